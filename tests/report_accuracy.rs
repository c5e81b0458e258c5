//! The reports gc, imports, audit, worst, threads and flame: their numbers equal those that the
//! program measures itself.

#![cfg(feature = "record")]

mod support;

use std::process::Stdio;

use serde_json::Value;
use support::{Recording, Setup, in_every_way, number, program, pyrec, run};

in_every_way!(reports_have_the_numbers_of_the_program);

fn reports_have_the_numbers_of_the_program(setup: &Setup) {
    let recording = setup.record(&["--markers", "function,line,gc,import,audit"], &[program("answers.py")]);
    let known: Value = serde_json::from_slice(&recording.output.stdout).expect("valid JSON");
    check_gc(&recording, &known);
    check_imports(&recording);
    check_audit(&recording);
    check_worst(&recording, &known);
    check_threads(setup, &recording, &known);
}

fn report(recording: &Recording, command: &str, options: &[&str]) -> Value {
    let text = recording.report(command, &[options, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is not a list: {value}"))
}

/// The last part of a qualified name: static markers have only that.
fn name(place: &Value) -> &str {
    let name = place["qualname"].as_str().unwrap_or_else(|| panic!("no name: {place}"));
    name.rsplit('.').next().unwrap_or(name)
}

/// The line number of this code in `answers.py`.
fn line_of(code: &str) -> u64 {
    let source = std::fs::read_to_string(program("answers.py")).expect("the file is readable");
    let at = source.lines().position(|line| line.trim() == code).expect("the line exists");
    at as u64 + 1
}

fn check_gc(recording: &Recording, known: &Value) {
    let gc = report(recording, "gc", &["--root", "sweep"]);
    let generations = list(&gc, "generations");
    let pauses: Vec<u64> = generations.iter().map(|generation| number(generation, "pauses")).collect();
    let expected: Vec<u64> =
        list(known, "pauses").iter().map(|pauses| pauses.as_u64().expect("an integer")).collect();
    assert_eq!(pauses, expected, "{gc}");
    let objects: u64 = generations.iter().map(|generation| number(generation, "objects")).sum();
    assert_eq!(objects, number(known, "objects"), "{gc}");
    for generation in generations {
        let steps = list(generation, "histogram");
        let counts: u64 = steps.iter().map(|step| number(step, "count")).sum();
        assert_eq!(counts, number(generation, "pauses"), "{generation}");
    }
    let interrupted = list(&gc, "interrupted");
    let mut lines: Vec<u64> = interrupted.iter().map(|found| number(&found["place"], "line")).collect();
    lines.sort_unstable();
    assert!(interrupted.iter().all(|found| name(&found["place"]) == "sweep"), "{gc}");
    assert_eq!(lines, ["gc.collect(0)", "gc.collect(1)", "gc.collect(2)"].map(line_of), "{gc}");
    // Without a filter, other collections are included.
    assert!(number(&report(recording, "gc", &[]), "total_ns") > number(&gc, "total_ns"));
}

fn check_imports(recording: &Recording) {
    let imports = report(recording, "imports", &["--root", "bring"]);
    let imports = list(&imports, "imports");
    let rows: Vec<(&str, u64, &str)> = imports
        .iter()
        .map(|import| {
            (import["module"].as_str().expect("a string"), number(import, "depth"), name(&import["by"]))
        })
        .collect();
    assert_eq!(rows, [("outer_module", 0, "bring"), ("inner_module", 1, "<module>")]);
    let [outer, inner] = [0, 1].map(|at| (number(&imports[at], "total_ns"), number(&imports[at], "self_ns")));
    assert_eq!((outer.0 - inner.0, inner.0), (outer.1, inner.1));
    assert_eq!(number(&imports[0]["by"], "line"), line_of("import outer_module"));
}

fn check_audit(recording: &Recording) {
    let audit = report(recording, "audit", &["pyrec.*"]);
    let groups = list(&audit, "groups");
    let rows: Vec<(&str, u64)> = groups
        .iter()
        .map(|group| (group["event"].as_str().expect("a string"), number(group, "count")))
        .collect();
    assert_eq!(rows, [("pyrec.first", 3), ("pyrec.second", 1)]);
    let stack: Vec<(&str, u64)> =
        list(&groups[0], "stack").iter().take(3).map(|place| (name(place), number(place, "line"))).collect();
    let first = [
        ("announce", line_of("sys.audit(name, 1)")),
        ("first", line_of("announce(\"pyrec.first\")")),
        ("main", line_of("first()")),
    ];
    assert_eq!(stack, first, "{audit}");
    let opened = recording.report("audit", &["import", "-n", "0"]);
    assert!(opened.contains("bring ("), "{opened}");
}

fn check_worst(recording: &Recording, known: &Value) {
    let worst = report(recording, "worst", &["nap", "-n", "2"]);
    let mut naps: Vec<(f64, f64)> = list(known, "naps")
        .iter()
        .map(|nap| (nap[0].as_f64().expect("a number"), nap[1].as_f64().expect("a number")))
        .collect();
    assert_eq!(number(&worst, "of"), naps.len() as u64);
    naps.sort_by(|a, b| b.1.total_cmp(&a.1));
    let calls = list(&worst, "calls");
    assert_eq!(calls.len(), 2);
    for (call, (start, length)) in calls.iter().zip(naps) {
        // The program reads its clock within the call.
        let duration = number(call, "duration_ns") as f64 / 1e9;
        assert!(duration >= length - 1e-4 && duration < length + 0.5, "{call}: {length}");
        let began = number(call, "start_unix_ns") as f64 / 1e9;
        assert!((start - 0.5..start + 0.01).contains(&began), "{call}: {start}");
        let callers: Vec<&str> = list(call, "callers").iter().map(name).collect();
        assert_eq!(callers, ["main", "<module>"], "{call}");
        assert_eq!(name(&list(call, "tree")[0]), "nap");
    }
    let text = recording.report("worst", &["nap", "--exclude", "main"]);
    assert!(text.starts_with("1. nap (") && !text.contains("called by main"), "{text}");
}

fn check_threads(setup: &Setup, recording: &Recording, known: &Value) {
    let threads = report(recording, "threads", &[]);
    let processes = list(&threads, "processes");
    assert_eq!(processes.len(), 1, "{threads}");
    for (name, tid) in known["threads"].as_object().expect("an object") {
        let thread = list(&processes[0], "threads").iter().find(|thread| &thread["tid"] == tid);
        let thread = thread.unwrap_or_else(|| panic!("no thread {tid} in {threads}"));
        // Static markers have no thread names, and the kernel has only the name of the program.
        assert!(thread["name"] == **name || setup.provider == "usdt", "{thread}");
        // Each thread sleeps.
        assert!(number(thread, "in_calls_ns") >= 4_000_000, "{thread}");
        assert!(thread["start_ns"].as_i64() < thread["end_ns"].as_i64(), "{thread}");
    }
}

#[test]
fn the_options_of_flame_change_the_picture() {
    let Some(setup) = Setup::any() else { return };
    let recording = setup.record(&[], &[program("answers.py")]);
    let svg = recording.directory.path().join("out.svg");
    for (options, parts) in [
        (&["--by-thread"][..], &["<title>thread ", "<title>nap (__main__"][..]),
        (&["--reverse"], &["reversed, callers on top", "<title>nap (__main__"]),
        (&["--weight", "self"], &["reversed, callers on top"]),
        (&["--weight", "gc", "--icicle"], &["pauses for garbage collection", "<title>sweep (__main__"]),
        (&["--search", "nap"], &["% found; trust: ", "fill=\"rgb(230,0,230)\""]),
        (&["--search", "nonexistent"], &[">trust: "]),
    ] {
        let text = recording.report("flame", &[options, &[svg.to_str().expect("UTF-8")]].concat());
        let picture = std::fs::read_to_string(&svg).expect("the file is readable");
        for part in parts {
            assert!(picture.contains(part), "{options:?}: no {part}");
        }
        assert!(text.contains("trust: "), "{options:?}: {text}");
        assert_eq!(picture.contains("fill=\"rgb(230,0,230)\""), options.contains(&"nap"), "{options:?}");
    }
}

#[test]
fn fold_prints_repeated_calls_once() {
    let Some(setup) = Setup::any() else { return };
    let recording = setup.record(&[], &[program("answers.py")]);
    let fold = recording.report("tree", &["--fold", "--root", "sweep"]);
    assert!(fold.contains("… 99 × Ring.__init__  answers.py:"), "{fold}");
    let plain = recording.report("tree", &["--root", "sweep"]);
    assert_eq!(plain.matches("Ring.__init__").count(), 100);
}

#[test]
fn reports_without_data_say_so_in_one_line() {
    let Some(setup) = Setup::any() else { return };
    let recording = setup.record(&["--markers", "line"], &["-c", "pass"]);
    for (words, sentence) in [
        (&["gc"][..], "no garbage collection in the selected part"),
        (&["imports"], "no imports were recorded"),
        (&["audit"], "no audit events were recorded"),
        (&["worst", "main"], "no matching call was measured"),
    ] {
        let text = recording.report(words[0], &words[1..]);
        assert!(text.starts_with(sentence) && text.lines().count() == 2, "{words:?}: {text}");
        let mut command = pyrec(words[0]);
        command.arg("-i").arg(recording.trace()).args(&words[1..]).stdout(Stdio::piped());
        assert!(run(command.arg("--json")).status.success(), "{words:?}");
    }
}
