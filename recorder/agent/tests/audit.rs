//! Audit events: each one, with the code and the line that raise it.

mod support;

use pyrec_wire::{Definition, RecordKind};
use support::{AUDIT, FUNCTION, Options, Process, Recording, pythons, run};

const VERSIONS: [u32; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

/// Event, function and line of each row, the interpreter's own end left out.
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
        let (code, event) = site.expect("every number is defined");
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
fn are_recorded_with_their_place() {
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
            let recording = Recording::start(Options { groups, ..Options::default() });
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

/// The program hears of the same events, by a hook of its own.
#[test]
fn are_those_that_the_program_hears() {
    let source = "\
import sys
heard = []
sys.addaudithook(lambda event, arguments: heard.append(event))
import json.tool, threading, socket, subprocess
open('/dev/null').close()
socket.socket().close()
subprocess.run(['true'])
thread = threading.Thread(target=lambda: sys.audit('in.thread'))
thread.start()
thread.join()
compile('1', 'x', 'eval')
ours = list(heard)
sys.audit('the.end')
print('\\n'.join(ours))
";
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(Options { groups: AUDIT | FUNCTION, ..Options::default() });
        let output = run(recording.command(&python.path).args(["-I", "-S", "-c", source]));
        let heard = String::from_utf8(output.stdout).expect("events are UTF-8");
        // Before 3.12 the program hears of the agent's own hooks, which is documented; the trace does not tell of them.
        let heard: Vec<&str> = heard.lines().filter(|event| *event != "sys.setprofile").collect();
        let trace = recording.finish();
        let found = events(&trace.processes[0]);
        let found: Vec<&str> = found.iter().map(|(event, ..)| event.as_str()).collect();
        let from = found.iter().position(|event| *event == "sys.addaudithook").map_or(0, |at| at + 1);
        let to = found.iter().position(|event| *event == "the.end").expect("the program ended");
        let differs = found[from..to].iter().zip(&heard).position(|(ours, theirs)| ours != theirs);
        assert_eq!((differs, to - from), (None, heard.len()), "{python:?}");
    }
}
