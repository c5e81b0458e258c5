//! Both providers on one program, on every Python with static markers: they record the same events,
//! with the exceptions that `docs/reference/markers.md` lists for a version.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyrec_schema::{Code, CodeId, Event, Marker, Trace};
use support::static_markers::{GATE, Gated, attach};
use support::trace_rows::{events, open};
use support::{
    Python, Recording, Setup, inherited_events_stay_with_their_thread, on_every_function_marker,
    on_every_marked_python, program,
};

on_every_function_marker!(
    both_providers_record_the_same_calls,
    both_providers_record_the_same_calls_of_children
);
on_every_marked_python!(both_providers_record_the_same_collections_and_imports);

fn both_providers_record_the_same_calls(setup: &Setup) {
    let parts = "recursion methods generators throws exceptions comprehensions lambdas decorators classes evaluated \
                 imports collections coroutines threads";
    assert!(compare(setup, parts) > 5, "the program starts more threads");
}

/// Children that return from frames of their parents, that have children, and that execute other
/// programs.
fn both_providers_record_the_same_calls_of_children(setup: &Setup) {
    if !inherited_events_stay_with_their_thread() {
        return;
    }
    assert!(compare(setup, "forks executed spawned_processes subprocesses") > 8, "it starts more processes");
}

/// Compares the calls of each thread, with their order and lines. Threads are matched by their
/// calls. Returns the number of threads.
fn compare(setup: &Setup, parts: &str) -> usize {
    let [agent, usdt] = both(&setup.python, "function", parts).map(|trace| {
        let mut threads = BTreeMap::<_, Calls>::new();
        let launched = events(&trace).next().expect("the trace has an event").pid;
        for event in events(&trace) {
            let thread = threads.entry((event.pid, event.tid)).or_default();
            thread.push(&trace, &event, setup.python.version == "3.15");
        }
        // Only the agent records the main thread before it waits for the go.
        threads.entry((launched, launched)).or_default().drop_calls_before_main();
        let mut threads: Vec<Vec<String>> = threads.into_values().map(|calls| calls.rows).collect();
        threads.retain(|rows| !rows.is_empty());
        threads.sort_unstable();
        threads
    });
    for (agent, usdt) in agent.iter().zip(&usdt) {
        let equal = agent.iter().zip(usdt).take_while(|(agent, usdt)| agent == usdt).count();
        let context = |rows: &[String]| rows[equal.saturating_sub(5)..rows.len().min(equal + 5)].join("\n");
        assert!(agent == usdt, "by the agent:\n{}\n\nby the markers:\n{}", context(agent), context(usdt));
    }
    assert_eq!(agent.len(), usdt.len(), "threads");
    agent.len()
}

/// The calls of one thread in the files of the program.
#[derive(Default)]
struct Calls {
    rows: Vec<String>,
    /// The open calls, and whether each is ignored.
    open: Vec<(CodeId, bool)>,
}

impl Calls {
    /// Adds an event. CPython 3.15 fires no marker when an exception is thrown into a generator,
    /// and no line at the start of a class body, so for 3.15 such entries with their returns,
    /// returns without an entry, and all lines are ignored.
    fn push(&mut self, trace: &Trace, event: &Event, is_3_15: bool) {
        let code = trace.names().code_str(event.code);
        let code = Code::parse(&code);
        let (file, first_line) = (code.file, code.first_line.unwrap_or(0));
        if !file.starts_with(&*programs()) && file != "<made>" {
            return;
        }
        let is_ignored = match event.marker {
            Marker::FunctionEntry => {
                let is_throw = trace.names().text_str(event.text).as_deref() == Some("throw");
                self.open.push((event.code, is_throw && is_3_15));
                is_throw && is_3_15
            }
            Marker::FunctionReturn => match self.open.pop_if(|(code, _)| *code == event.code) {
                Some((_, is_ignored)) => is_ignored,
                None => is_3_15,
            },
            _ => true,
        };
        if !is_ignored {
            let line = if is_3_15 { 0 } else { event.line };
            // Without qualified names: before 3.11, only the provider of static markers finds them,
            // in the source.
            self.rows.push(format!("{} {file}:{first_line}:{} {line}", event.marker, code.name()));
        }
    }

    fn drop_calls_before_main(&mut self) {
        let main = self.rows.iter().position(|row| row.contains(":main ")).expect("the thread calls main");
        self.rows.drain(..main);
    }
}

/// Explicit collections, and imports that succeed, that find no module, and that fail.
fn both_providers_record_the_same_collections_and_imports(setup: &Setup) {
    let [agent, usdt] = both(&setup.python, "gc,import", "imports collections").map(|trace| {
        let mut is_full = false;
        let rows = events(&trace).filter_map(|event| {
            let text = trace.names().text_str(event.text).unwrap_or_default();
            is_full = if event.marker == Marker::GcStart { event.value == Some(2) } else { is_full };
            let is_compared = match event.marker {
                Marker::GcStart | Marker::GcDone => is_full,
                Marker::ImportStart | Marker::ImportDone => true,
                _ => false,
            };
            is_compared.then(|| (event.marker, event.value, text.to_string()))
        });
        let is_first = |(_, _, text): &(Marker, Option<i64>, String)| text == "outer_module";
        rows.skip_while(|row| !is_first(row)).collect::<Vec<_>>()
    });
    // The last collection of the interpreter happens after its hooks were removed, so only the
    // markers show it.
    let (usdt, at_exit) = usdt.split_at(agent.len().min(usdt.len()));
    assert_eq!(usdt, agent);
    assert!(usdt.len() >= 8 + 2, "{usdt:?}");
    assert!(at_exit.iter().all(|row| matches!(row.0, Marker::GcStart | Marker::GcDone)), "{at_exit:?}");
}

fn programs() -> String {
    program("").to_string_lossy().into_owned()
}

/// Two traces of the program: by the agent, and by static markers.
fn both(python: &Python, groups: &str, parts: &str) -> [Trace; 2] {
    let parts: Vec<&str> = parts.split_whitespace().collect();
    let matrix = program("matrix.py");
    let options = ["--provider", "agent", "--markers", groups, "--"].map(PathBuf::from);
    let words = [&options[..], &[python.program.clone(), "-c".into(), GATE.into(), matrix.clone()]].concat();
    let words = words.into_iter().chain(parts.iter().map(PathBuf::from)).collect::<Vec<_>>();
    let agent = Recording::of(&words);
    assert!(agent.output.status.success(), "{}", agent.stderr());

    let mut gated = Gated::start(python, &matrix, &parts);
    let mut usdt = attach(&gated.pid(), groups);
    gated.go();
    assert!(gated.process.wait().success() && usdt.recorder.wait().success());
    [open(&agent.trace()), open(&usdt.trace)]
}
