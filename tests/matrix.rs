//! The two providers on one program, on every Python that has static markers: both record the same, but for what
//! `docs/reference/markers.md` says of a version.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyrec_schema::{Code, CodeId, Event, Marker, Trace};
use support::markers::{GATE, Gated, attach};
use support::rows::{events, open};
use support::{
    Python, Recording, Subject, keeps_events_apart, on_every_function_marker, on_every_marked_python, program,
};

on_every_function_marker!(calls_are_the_same, calls_of_children_are_the_same);
on_every_marked_python!(collections_and_imports_are_the_same);

fn calls_are_the_same(subject: &Subject) {
    let parts = "recursion methods generators throws exceptions comprehensions lambdas decorators classes evaluated \
                 imports collections coroutines threads";
    assert!(compare(subject, parts) > 5, "the program starts more threads");
}

/// Children that return from frames of their parent's and have children themselves, and such as become other programs.
fn calls_of_children_are_the_same(subject: &Subject) {
    if !keeps_events_apart() {
        return;
    }
    assert!(
        compare(subject, "forks executed spawned_processes subprocesses") > 8,
        "it starts more processes"
    );
}

/// Compares thread by thread, in their order and with their lines. Which thread is which is told by its calls alone.
/// Returns how many there are.
fn compare(subject: &Subject, parts: &str) -> usize {
    let [agent, usdt] = both(&subject.python, "function", parts).map(|trace| {
        let mut threads = BTreeMap::<_, Calls>::new();
        let launched = events(&trace).next().expect("it begins with a process").pid;
        for event in events(&trace) {
            let thread = threads.entry((event.pid, event.tid)).or_default();
            thread.push(&trace, &event, subject.python.version == "3.15");
        }
        // What the program's own thread did before the word was given, only the agent has seen.
        threads.entry((launched, launched)).or_default().begin_at_main();
        let mut threads: Vec<Vec<String>> = threads.into_values().map(|calls| calls.rows).collect();
        threads.retain(|rows| !rows.is_empty());
        threads.sort_unstable();
        threads
    });
    for (agent, usdt) in agent.iter().zip(&usdt) {
        let same = agent.iter().zip(usdt).take_while(|(agent, usdt)| agent == usdt).count();
        let about = |rows: &[String]| rows[same.saturating_sub(5)..rows.len().min(same + 5)].join("\n");
        assert!(agent == usdt, "by the agent:\n{}\n\nby the markers:\n{}", about(agent), about(usdt));
    }
    assert_eq!(agent.len(), usdt.len(), "threads");
    agent.len()
}

/// What one thread did in the program's files.
#[derive(Default)]
struct Calls {
    rows: Vec<String>,
    /// The open calls, and whether each is left out.
    open: Vec<(CodeId, bool)>,
}

impl Calls {
    /// 3.15 has no marker where an exception is thrown into a generator, so there these calls are left out, and the
    /// returns from them: they stand alone. And no line where the body of a class begins.
    fn push(&mut self, trace: &Trace, event: &Event, is_3_15: bool) {
        let code = trace.names().code_str(event.code);
        let code = Code::parse(&code);
        let (file, first_line) = (code.file, code.first_line.unwrap_or(0));
        if !file.starts_with(&*programs()) && file != "<made>" {
            return;
        }
        let left_out = match event.marker {
            Marker::FunctionEntry => {
                let is_throw = trace.names().text_str(event.text).as_deref() == Some("throw");
                self.open.push((event.code, is_throw && is_3_15));
                is_throw && is_3_15
            }
            Marker::FunctionReturn => match self.open.pop_if(|(code, _)| *code == event.code) {
                Some((_, left_out)) => left_out,
                None => is_3_15,
            },
            _ => true,
        };
        if !left_out {
            let line = if is_3_15 { 0 } else { event.line };
            // Before 3.11 only the markers' reader finds qualified names, in the source.
            self.rows.push(format!("{} {file}:{first_line}:{} {line}", event.marker, code.name()));
        }
    }

    fn begin_at_main(&mut self) {
        let main = self.rows.iter().position(|row| row.contains(":main ")).expect("it calls main");
        self.rows.drain(..main);
    }
}

/// Explicit collections, and imports of a module's own, found, not found and broken.
fn collections_and_imports_are_the_same(subject: &Subject) {
    let [agent, usdt] = both(&subject.python, "gc,import", "imports collections").map(|trace| {
        let mut is_full = false;
        let rows = events(&trace).filter_map(|event| {
            let text = trace.names().text_str(event.text).unwrap_or_default();
            is_full = if event.marker == Marker::GcStart { event.value == Some(2) } else { is_full };
            let wanted = match event.marker {
                Marker::GcStart | Marker::GcDone => is_full,
                Marker::ImportStart | Marker::ImportDone => true,
                _ => false,
            };
            wanted.then(|| (event.marker, event.value, text.to_string()))
        });
        let begin = |(_, _, text): &(Marker, Option<i64>, String)| text == "outer_module";
        rows.skip_while(|row| !begin(row)).collect::<Vec<_>>()
    });
    // The interpreter collects once more when it shuts down, and calls nobody back.
    let (usdt, at_exit) = usdt.split_at(agent.len().min(usdt.len()));
    assert_eq!(usdt, agent);
    assert!(usdt.len() >= 8 + 2, "{usdt:?}");
    assert!(at_exit.iter().all(|row| matches!(row.0, Marker::GcStart | Marker::GcDone)), "{at_exit:?}");
}

fn programs() -> String {
    program("").to_string_lossy().into_owned()
}

/// A run recorded by the agent, and one recorded by the static markers.
fn both(python: &Python, groups: &str, parts: &str) -> [Trace; 2] {
    let parts: Vec<&str> = parts.split_whitespace().collect();
    let matrix = program("matrix.py");
    let options = ["--provider", "agent", "--markers", groups, "--"].map(PathBuf::from);
    let words = [&options[..], &[python.program.clone(), "-c".into(), GATE.into(), matrix.clone()]].concat();
    let words = words.into_iter().chain(parts.iter().map(PathBuf::from)).collect::<Vec<_>>();
    let agent = Recording::of(&words);
    assert!(agent.output.status.success(), "{}", agent.said());

    let mut gated = Gated::start(python, &matrix, &parts);
    let mut usdt = attach(&gated.pid(), groups);
    gated.go();
    assert!(gated.process.end().success() && usdt.recorder.end().success());
    [open(&agent.trace()), open(&usdt.trace)]
}
