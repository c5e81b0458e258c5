//! Audit events are recorded with the code object and line that raise them.

mod support;

use pyrec_wire::{Definition, RecordKind};
use support::{AUDIT, FUNCTION, Process, Recording, RecordingOptions, pythons, run};

const VERSIONS: [u32; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

/// Event, function and line of each record, without the events that CPython raises as it ends.
fn events(process: &Process) -> Vec<(String, String, u32)> {
    let codes = process.codes();
    let mut records: Vec<_> =
        process.records().filter(|record| record.kind() == Some(RecordKind::Audit)).collect();
    records.sort_by_key(|record| record.ticks);
    let events = records.into_iter().map(|record| {
        let site = process.definitions.iter().find_map(|definition| match definition {
            Definition::Site { id, code, name } if *id == record.id() => Some((*code, name.clone())),
            _ => None,
        });
        let (code, event) = site.expect("every id is defined");
        (event, codes.get(&code).map(|code| code.2.clone()).unwrap_or_default(), record.arg())
    });
    events.filter(|(event, _, _)| !event.starts_with("cpython.")).collect()
}

const SOURCE: &str = "\
import sys, os
def raise_one(name):
    sys.audit(name, 1)
def generate():
    sys.audit('in.generator')
    yield
def fail():
    try:
        raise KeyError
    except KeyError:
        sys.audit('while.handled')
sys.audit('top.level')
raise_one('first')
raise_one('second')
raise_one('first')
next(generate())
fail()
";

#[test]
fn audit_events_have_the_function_and_line_that_raise_them() {
    let expected = [
        ("top.level", "<module>", 12),
        ("first", "raise_one", 3),
        ("second", "raise_one", 3),
        ("first", "raise_one", 3),
        ("in.generator", "generate", 5),
        ("while.handled", "fail", 11),
    ];
    for python in pythons(&VERSIONS) {
        for groups in [AUDIT, AUDIT | FUNCTION] {
            let recording = Recording::start(RecordingOptions { groups, ..RecordingOptions::default() });
            run(recording.command(&python.path).args(["-I", "-S", "-c", SOURCE]));
            let trace = recording.finish();
            assert_eq!(trace.notices(), Vec::<&str>::new());
            let mut found = events(&trace.processes[0]);
            found.retain(|(event, ..)| expected.iter().any(|(name, ..)| name == event));
            let expected = expected.map(|(event, function, line)| (event.into(), function.into(), line));
            assert_eq!(found, expected, "{python:?}");
        }
    }
}

/// The program receives the same events by a hook of its own.
#[test]
fn all_audit_events_are_recorded() {
    let source = "\
import sys
received = []
sys.addaudithook(lambda event, arguments: received.append(event))
import json.tool, threading, socket, subprocess
open('/dev/null').close()
socket.socket().close()
subprocess.run(['true'])
thread = threading.Thread(target=lambda: sys.audit('in.thread'))
thread.start()
thread.join()
compile('1', 'x', 'eval')
snapshot = list(received)
sys.audit('the.end')
print('\\n'.join(snapshot))
";
    for python in pythons(&VERSIONS) {
        let recording =
            Recording::start(RecordingOptions { groups: AUDIT | FUNCTION, ..RecordingOptions::default() });
        let output = run(recording.command(&python.path).args(["-I", "-S", "-c", source]));
        let received = String::from_utf8(output.stdout).expect("event names are UTF-8");
        // Before 3.12 the program's hook receives the events that the agent raises as it sets its
        // hooks (docs/design/agent.md). They are not recorded.
        let received: Vec<&str> = received.lines().filter(|event| *event != "sys.setprofile").collect();
        let trace = recording.finish();
        let found = events(&trace.processes[0]);
        let found: Vec<&str> = found.iter().map(|(event, ..)| event.as_str()).collect();
        let from = found.iter().position(|event| *event == "sys.addaudithook").map_or(0, |at| at + 1);
        let to =
            found.iter().position(|event| *event == "the.end").expect("the program raised its last event");
        let recorded = &found[from..to];
        let difference = recorded.iter().zip(&received).find(|(recorded, received)| recorded != received);
        assert_eq!((difference, recorded.len()), (None, received.len()), "{python:?}");
    }
}
