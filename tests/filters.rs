//! What `--include` and `--exclude` leave out of a recording: the rows of those functions, and nothing else.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyrec_schema::{Code, Marker};
use serde_json::Value;
use support::rows::{events, open};
use support::{Recording, Subject, in_every_way, program, report, tests_of};

in_every_way!(the_rest_is_as_without_a_filter, a_report_with_the_same_filter_says_the_same);

mod functions_in_c_and_audit_events_are_told_apart {
    super::tests_of!(super::inside_of_what_is_left_out: agent_3_11 agent("3.11"), agent_3_13 agent("3.13"));
}

mod threads_keep_their_names {
    super::tests_of!(super::without_threading: agent_3_11 agent("3.11"), agent_3_13 agent("3.13"));
}

/// Parts of the program that do the same in each run: calls between functions that are left out and others, both ways,
/// exceptions that pass through them, generators that are thrown into, and threads.
const PARTS: [&str; 7] =
    ["recursion", "methods", "generators", "throws", "exceptions", "coroutines", "threads"];

/// Flags, and which functions of the program they leave.
type Case = (&'static [&'static str], fn(&Code) -> bool);

const CASES: [Case; 3] = [
    (&["--exclude", "even", "--exclude", "{cleans,stubborn,echo}", "--exclude", "Ledger.*"], |code| {
        !["even", "cleans", "stubborn", "echo"].contains(&code.name())
            && !code.qualname.starts_with("Ledger.")
    }),
    (&["--include", "odd", "--include", "*.chain", "--include", "outer", "--include", "fails"], |code| {
        ["odd", "chain", "outer", "fails"].contains(&code.name())
    }),
    (&["--include", "programs/matrix.py", "--exclude", "[ac-z]*t"], |code| {
        let edge = code.name().starts_with(|c: char| c.is_ascii_lowercase() && c != 'b');
        let qualname_edge = code.qualname.starts_with(|c: char| c.is_ascii_lowercase() && c != 'b');
        code.file.ends_with("/programs/matrix.py")
            && !(edge && code.name().ends_with('t') || qualname_edge && code.qualname.ends_with('t'))
    }),
];

fn record(subject: &Subject, options: &[&str]) -> Recording {
    let mut arguments = vec![program("matrix.py")];
    arguments.extend(PARTS.map(PathBuf::from));
    subject.record(options, &arguments)
}

/// Rows of functions and lines, by marker, code, line and text.
type Rows = BTreeMap<(Marker, String, i32, String), u64>;

fn rows(recording: &Recording) -> Rows {
    let trace = open(&recording.trace());
    let mut rows = Rows::new();
    for event in events(&trace) {
        if matches!(event.marker, Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line) {
            let text = trace.names().text_str(event.text).unwrap_or_default().to_string();
            let code = trace.names().code_str(event.code).to_string();
            *rows.entry((event.marker, code, event.line, text)).or_default() += 1;
        }
    }
    rows
}

fn is_programs((_, code, ..): &(Marker, String, i32, String)) -> bool {
    Code::parse(code).file.starts_with(&*program("").to_string_lossy())
}

fn the_rest_is_as_without_a_filter(subject: &Subject) {
    let mut all = rows(&record(subject, &["--lines"]));
    all.retain(|row, _| is_programs(row));
    for (flags, is_left) in CASES {
        let mut some = rows(&record(subject, &[&["--lines"], flags].concat()));
        if flags.contains(&"--include") {
            // Nothing of the standard library, either.
            assert!(some.keys().all(is_programs), "{flags:?}");
        }
        some.retain(|row, _| is_programs(row));
        let mut left = all.clone();
        left.retain(|(_, code, ..), _| is_left(&Code::parse(code)));
        assert!(!left.is_empty() && left.len() < all.len(), "{flags:?}");
        assert_eq!(some, left, "{flags:?}");
    }
}

/// Calls by function, of the program's own.
fn calls(stats: &str) -> BTreeMap<String, u64> {
    let stats: Value = serde_json::from_str(stats).expect("JSON");
    let functions = stats["functions"].as_array().expect("functions are a list").iter();
    let programs = program("");
    let programs = functions.filter(|function| {
        function["file"].as_str().is_some_and(|file| file.starts_with(&*programs.to_string_lossy()))
    });
    programs
        .map(|function| {
            let key = format!("{} {}", function["first_line"], function["qualname"]);
            (key, function["calls"].as_u64().expect("a number"))
        })
        .collect()
}

fn a_report_with_the_same_filter_says_the_same(subject: &Subject) {
    let whole = record(subject, &[]);
    let info = whole.json("info");
    for (flags, _) in CASES {
        let part = record(subject, flags);
        let asked = report(&whole.trace(), "stats", &[&["--json"], flags].concat());
        let recorded = part.report("stats", &["--json"]);
        assert!(!calls(&recorded).is_empty(), "{flags:?}");
        assert_eq!(calls(&recorded), calls(&asked), "{flags:?}");

        let said = part.json("info");
        assert_eq!(said["repaired"], info["repaired"], "{flags:?}: entries and returns belong together");
        assert_eq!(said["lost"], 0);
        for (flag, key) in [("--include", "include"), ("--exclude", "exclude")] {
            let globs: Vec<&str> =
                flags.chunks(2).filter(|pair| pair[0] == flag).map(|pair| pair[1]).collect();
            assert_eq!(said[key], serde_json::json!(globs));
            let line = part.report("info", &[]).lines().any(|line| line.starts_with(key));
            assert_eq!(line, !globs.is_empty(), "{key}");
        }
    }
}

/// What a function does that is left out, by function in C and by audit event.
fn inside_of_what_is_left_out(subject: &Subject) {
    const SOURCE: &str = "import sys\n\
        def quiet():\n    sys.audit('hello')\n    return divmod(7, 2)\n\
        def loud():\n    return quiet(), divmod(8, 2)\n\
        for _ in range(3):\n    loud()\n";
    let rows = |flags: &[&str]| {
        let options = [&["--markers", "function,cfunction,audit"], flags].concat();
        let recording = subject.record(&options, &["-c", SOURCE]);
        let trace = open(&recording.trace());
        let mut rows = BTreeMap::<String, u64>::new();
        for event in events(&trace) {
            let text = trace.names().text_str(event.text).unwrap_or_default();
            let code = trace.names().code_str(event.code);
            let name = Code::parse(&code).name();
            if ["divmod", "hello"].contains(&&*text) || ["quiet", "loud"].contains(&name) {
                *rows.entry(format!("{} {name} {text}", event.marker)).or_default() += 1;
            }
        }
        rows
    };
    let all = rows(&[]);
    assert_eq!(all["cfunction__entry  divmod"], 6);
    assert_eq!(all["audit quiet hello"], 3);
    let without = |left_out: &[&str]| {
        let mut rows = all.clone();
        rows.retain(|row, _| !left_out.contains(&row.as_str()));
        rows
    };
    let quiet = ["function__entry quiet ", "function__return quiet "];
    assert_eq!(rows(&["--exclude", "quiet"]), without(&quiet));
    assert_eq!(
        rows(&["--exclude", "divmod"]),
        without(&["cfunction__entry  divmod", "cfunction__return  divmod"])
    );
}

/// A thread's name is found in the frame of `threading` that it begins with.
fn without_threading(subject: &Subject) {
    const SOURCE: &str = "import threading\n\
        for name in ['one', 'two', 'three']:\n    \
            thread = threading.Thread(target=len, args=('',), name=name)\n    \
            thread.start()\n    thread.join()\n";
    let recording = subject.record(&["--exclude", "threading.py"], &["-c", SOURCE]);
    let trace = open(&recording.trace());
    let threads = events(&trace).filter(|event| event.marker == Marker::ThreadStart);
    let names = threads.filter_map(|event| trace.names().text_str(event.text).map(|name| name.to_string()));
    let names: Vec<String> = names.filter(|name| name != "MainThread").collect();
    assert_eq!(names, ["one", "two", "three"]);
}
