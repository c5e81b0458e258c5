//! Hits of static markers, counted by bpftrace and recorded by pyrec in the same run.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;

use support::static_markers::{Counter, Gated, attach};
use support::{Setup, has_program, json, on_every_marked_python, program};

on_every_marked_python!(each_marker_is_recorded_as_often_as_bpftrace_counts);

fn each_marker_is_recorded_as_often_as_bpftrace_counts(setup: &Setup) {
    if !has_program("bpftrace") {
        return;
    }
    let (groups, markers) = setup.python.markers();
    // Parts that start no process, since bpftrace counts a single process. On 3.15 also without
    // generators: their creation fires an extra entry, which pyrec leaves out.
    let parts = match setup.python.version.as_str() {
        "3.15" => "recursion methods exceptions decorators classes evaluated collections",
        _ => {
            "recursion methods generators throws exceptions comprehensions lambdas decorators classes evaluated imports \
             collections coroutines threads"
        }
    };
    let parts: Vec<&str> = parts.split_whitespace().collect();
    let mut gated = Gated::start(&setup.python, &program("matrix.py"), &parts);
    let counter = Counter::attach(&gated, &markers);
    let mut attached = attach(&gated.pid(), groups);

    gated.go();
    assert!(gated.process.wait().success() && attached.recorder.wait().success());
    let info = json(&attached.trace, "info");
    assert_eq!(info["lost"], 0);
    let recorded: BTreeMap<String, u64> = markers
        .iter()
        .map(|&marker| (marker.to_owned(), info["markers"][marker].as_u64().unwrap_or(0)))
        .collect();
    let counted = counter.counts();
    assert_eq!(counted.len(), markers.len(), "{counted:?}");
    assert_eq!(recorded, counted);
}
