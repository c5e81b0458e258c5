//! bpftrace beside pyrec, on one run of one program: each marker has the hits that bpftrace counts.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use support::markers::{Counter, Gated, attach};
use support::{Subject, json, on_every_marked_python, program, skipped};

on_every_marked_python!(hits_are_those_that_bpftrace_counts);

fn hits_are_those_that_bpftrace_counts(subject: &Subject) {
    if Command::new("bpftrace").arg("--version").output().is_err() {
        return skipped("there is no bpftrace");
    }
    let (groups, markers) = subject.python.markers();
    // The parts that start no process: bpftrace would have to be told of each. On 3.15 those that make no generator,
    // which has an entry too many that pyrec leaves out.
    let parts = match subject.python.version.as_str() {
        "3.15" => "recursion methods exceptions decorators classes evaluated collections",
        _ => {
            "recursion methods generators throws exceptions comprehensions lambdas decorators classes evaluated imports \
             collections coroutines threads"
        }
    };
    let parts: Vec<&str> = parts.split_whitespace().collect();
    let mut gated = Gated::start(&subject.python, &program("matrix.py"), &parts);
    let counter = Counter::attach(&gated, &markers);
    let mut pyrec = attach(&gated.pid(), groups);

    gated.go();
    assert!(gated.process.end().success() && pyrec.recorder.end().success());
    let info = json(&pyrec.trace, "info");
    assert_eq!(info["lost"], 0);
    let recorded: BTreeMap<String, u64> = markers
        .iter()
        .map(|&marker| (marker.to_owned(), info["markers"][marker].as_u64().unwrap_or(0)))
        .collect();
    let counted = counter.counts();
    assert_eq!(counted.len(), markers.len(), "{counted:?}");
    assert_eq!(recorded, counted);
}
