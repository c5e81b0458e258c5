//! A manifest that says as little as one can.

use pyrec_schema::{Clock, Ended, FORMAT_VERSION, Host, Manifest};

pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT_VERSION,
        writer: "test".into(),
        command: vec![],
        attached: vec![],
        python: vec![],
        provider: "usdt".into(),
        markers: vec![],
        include: vec![],
        exclude: vec![],
        clock: Clock { source: "monotonic".into(), anchor_monotonic_ns: 0, anchor_unix_ns: 0 },
        host: Host { system: "".into(), machine: "".into(), processors: 1, name: "".into() },
        cost_per_event_ns: None,
        waited_ns: None,
        ended: Ended::Recording,
    }
}
