//! `pyrec record --include` and `--exclude` leave out the rows of the filtered functions, and no
//! others.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyrec_schema::{Code, Marker};
use serde_json::Value;
use support::trace_rows::{events, open};
use support::{Recording, Setup, in_every_way, program, report, tests_of};

in_every_way!(rows_of_other_functions_are_not_changed, filters_of_recordings_equal_filters_of_reports);

mod c_functions_and_audit_events_in_excluded_functions_are_recorded {
    super::tests_of!(super::events_in_excluded_functions: agent_3_11 agent("3.11"), agent_3_13 agent("3.13"));
}

mod thread_names_are_recorded_without_the_module_threading {
    super::tests_of!(super::thread_names_without_threading: agent_3_11 agent("3.11"), agent_3_13 agent("3.13"));
}

/// Parts of `matrix.py` that are equal in each run: calls between filtered and other functions in
/// both directions, exceptions that pass through filtered functions, exceptions thrown into
/// generators, and threads.
const PARTS: [&str; 7] =
    ["recursion", "methods", "generators", "throws", "exceptions", "coroutines", "threads"];

/// Flags, and a predicate for the functions of the program that are recorded with them.
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

fn record(setup: &Setup, options: &[&str]) -> Recording {
    let mut arguments = vec![program("matrix.py")];
    arguments.extend(PARTS.map(PathBuf::from));
    setup.record(options, &arguments)
}

/// Numbers of function and line events, by marker, code, line and text.
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

fn is_of_program((_, code, ..): &(Marker, String, i32, String)) -> bool {
    Code::parse(code).file.starts_with(&*program("").to_string_lossy())
}

fn rows_of_other_functions_are_not_changed(setup: &Setup) {
    let mut all = rows(&record(setup, &["--lines"]));
    all.retain(|row, _| is_of_program(row));
    for (flags, is_recorded) in CASES {
        let mut filtered = rows(&record(setup, &[&["--lines"], flags].concat()));
        if flags.contains(&"--include") {
            // No function of the standard library is included.
            assert!(filtered.keys().all(is_of_program), "{flags:?}");
        }
        filtered.retain(|row, _| is_of_program(row));
        let mut expected = all.clone();
        expected.retain(|(_, code, ..), _| is_recorded(&Code::parse(code)));
        assert!(!expected.is_empty() && expected.len() < all.len(), "{flags:?}");
        assert_eq!(filtered, expected, "{flags:?}");
    }
}

/// Numbers of calls of the program's functions.
fn calls(stats: &str) -> BTreeMap<String, u64> {
    let stats: Value = serde_json::from_str(stats).expect("valid JSON");
    let functions = stats["functions"].as_array().expect("an array").iter();
    let programs = program("");
    let programs = functions.filter(|function| {
        function["file"].as_str().is_some_and(|file| file.starts_with(&*programs.to_string_lossy()))
    });
    programs
        .map(|function| {
            let key = format!("{} {}", function["first_line"], function["qualname"]);
            (key, function["calls"].as_u64().expect("an integer"))
        })
        .collect()
}

fn filters_of_recordings_equal_filters_of_reports(setup: &Setup) {
    let whole = record(setup, &[]);
    let info = whole.json("info");
    for (flags, _) in CASES {
        let part = record(setup, flags);
        let reported = report(&whole.trace(), "stats", &[&["--json"], flags].concat());
        let recorded = part.report("stats", &["--json"]);
        assert!(!calls(&recorded).is_empty(), "{flags:?}");
        assert_eq!(calls(&recorded), calls(&reported), "{flags:?}");

        let part_info = part.json("info");
        assert_eq!(part_info["repaired"], info["repaired"], "{flags:?}: each entry has its return");
        assert_eq!(part_info["lost"], 0);
        for (flag, key) in [("--include", "include"), ("--exclude", "exclude")] {
            let globs: Vec<&str> =
                flags.chunks(2).filter(|pair| pair[0] == flag).map(|pair| pair[1]).collect();
            assert_eq!(part_info[key], serde_json::json!(globs));
            let line = part.report("info", &[]).lines().any(|line| line.starts_with(key));
            assert_eq!(line, !globs.is_empty(), "{key}");
        }
    }
}

/// `--exclude` matches C functions by their own names. The function that calls them does not
/// matter.
fn events_in_excluded_functions(setup: &Setup) {
    const SOURCE: &str = "import sys\n\
        def inner():\n    sys.audit('hello')\n    return divmod(7, 2)\n\
        def outer():\n    return inner(), divmod(8, 2)\n\
        for _ in range(3):\n    outer()\n";
    let rows = |flags: &[&str]| {
        let options = [&["--markers", "function,cfunction,audit"], flags].concat();
        let recording = setup.record(&options, &["-c", SOURCE]);
        let trace = open(&recording.trace());
        let mut rows = BTreeMap::<String, u64>::new();
        for event in events(&trace) {
            let text = trace.names().text_str(event.text).unwrap_or_default();
            let code = trace.names().code_str(event.code);
            let name = Code::parse(&code).name();
            if ["divmod", "hello"].contains(&&*text) || ["inner", "outer"].contains(&name) {
                *rows.entry(format!("{} {name} {text}", event.marker)).or_default() += 1;
            }
        }
        rows
    };
    let all = rows(&[]);
    assert_eq!(all["cfunction__entry  divmod"], 6);
    assert_eq!(all["audit inner hello"], 3);
    let all_without = |excluded: &[&str]| {
        let mut rows = all.clone();
        rows.retain(|row, _| !excluded.contains(&row.as_str()));
        rows
    };
    let inner = ["function__entry inner ", "function__return inner "];
    assert_eq!(rows(&["--exclude", "inner"]), all_without(&inner));
    assert_eq!(
        rows(&["--exclude", "divmod"]),
        all_without(&["cfunction__entry  divmod", "cfunction__return  divmod"])
    );
}

/// The agent reads the name of a thread from the first frame of the thread, which is in the module
/// `threading`.
fn thread_names_without_threading(setup: &Setup) {
    const SOURCE: &str = "import threading\n\
        for name in ['one', 'two', 'three']:\n    \
            thread = threading.Thread(target=len, args=('',), name=name)\n    \
            thread.start()\n    thread.join()\n";
    let recording = setup.record(&["--exclude", "threading.py"], &["-c", SOURCE]);
    let trace = open(&recording.trace());
    let threads = events(&trace).filter(|event| event.marker == Marker::ThreadStart);
    let names = threads.filter_map(|event| trace.names().text_str(event.text).map(|name| name.to_string()));
    let names: Vec<String> = names.filter(|name| name != "MainThread").collect();
    assert_eq!(names, ["one", "two", "three"]);
}
