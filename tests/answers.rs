//! The reports that answer questions, beside what the program says of itself.

#![cfg(feature = "record")]

mod support;

use std::process::Stdio;

use serde_json::Value;
use support::{Recording, Subject, in_every_way, number, program, pyrec, run};

in_every_way!(answers_are_those_that_the_program_gives);

fn answers_are_those_that_the_program_gives(subject: &Subject) {
    let recording = subject.record(&["--markers", "function,line,gc,import,audit"], &[program("answers.py")]);
    let known: Value = serde_json::from_slice(&recording.output.stdout).expect("the program prints JSON");
    pauses(&recording, &known);
    imports(&recording);
    audit(&recording);
    slowest(&recording, &known);
    threads(subject, &recording, &known);
}

fn report(recording: &Recording, command: &str, options: &[&str]) -> Value {
    let text = recording.report(command, &[options, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is not a list: {value}"))
}

/// The last part of a qualified name, which is all that static markers tell.
fn name(place: &Value) -> &str {
    let name = place["qualname"].as_str().unwrap_or_else(|| panic!("no name: {place}"));
    name.rsplit('.').next().unwrap_or(name)
}

/// The line of `answers.py` on which that stands.
fn line_of(code: &str) -> u64 {
    let source = std::fs::read_to_string(program("answers.py")).expect("the program is there");
    let at = source.lines().position(|line| line.trim() == code).expect("the line is there");
    at as u64 + 1
}

fn pauses(recording: &Recording, known: &Value) {
    let gc = report(recording, "gc", &["--root", "sweep"]);
    let generations = list(&gc, "generations");
    let pauses: Vec<u64> = generations.iter().map(|generation| number(generation, "pauses")).collect();
    let expected: Vec<u64> =
        list(known, "pauses").iter().map(|pauses| pauses.as_u64().expect("a number")).collect();
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
    // All pauses, those before and after too.
    assert!(number(&report(recording, "gc", &[]), "total_ns") > number(&gc, "total_ns"));
}

fn imports(recording: &Recording) {
    let imports = report(recording, "imports", &["--root", "bring"]);
    let imports = list(&imports, "imports");
    let rows: Vec<(&str, u64, &str)> = imports
        .iter()
        .map(|import| {
            (import["module"].as_str().expect("a name"), number(import, "depth"), name(&import["by"]))
        })
        .collect();
    assert_eq!(rows, [("outer_module", 0, "bring"), ("inner_module", 1, "<module>")]);
    let [outer, inner] = [0, 1].map(|at| (number(&imports[at], "total_ns"), number(&imports[at], "self_ns")));
    assert_eq!((outer.0 - inner.0, inner.0), (outer.1, inner.1));
    assert_eq!(number(&imports[0]["by"], "line"), line_of("import outer_module"));
}

fn audit(recording: &Recording) {
    let audit = report(recording, "audit", &["pyrec.*"]);
    let groups = list(&audit, "groups");
    let rows: Vec<(&str, u64)> = groups
        .iter()
        .map(|group| (group["event"].as_str().expect("a name"), number(group, "count")))
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

fn slowest(recording: &Recording, known: &Value) {
    let worst = report(recording, "worst", &["nap", "-n", "2"]);
    let mut naps: Vec<(f64, f64)> = list(known, "naps")
        .iter()
        .map(|nap| (nap[0].as_f64().expect("a time"), nap[1].as_f64().expect("a length")))
        .collect();
    assert_eq!(number(&worst, "of"), naps.len() as u64);
    naps.sort_by(|a, b| b.1.total_cmp(&a.1));
    let calls = list(&worst, "calls");
    assert_eq!(calls.len(), 2);
    for (call, (start, length)) in calls.iter().zip(naps) {
        // The program looks at its clock within the call.
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

fn threads(subject: &Subject, recording: &Recording, known: &Value) {
    let threads = report(recording, "threads", &[]);
    let processes = list(&threads, "processes");
    assert_eq!(processes.len(), 1, "{threads}");
    for (name, tid) in known["threads"].as_object().expect("an object") {
        let thread = list(&processes[0], "threads").iter().find(|thread| &thread["tid"] == tid);
        let thread = thread.unwrap_or_else(|| panic!("no thread {tid} in {threads}"));
        // The static markers tell no names, and the system knows only the program's.
        assert!(thread["name"] == **name || subject.provider == "usdt", "{thread}");
        // It napped.
        assert!(number(thread, "in_calls_ns") >= 4_000_000, "{thread}");
        assert!(thread["start_ns"].as_i64() < thread["end_ns"].as_i64(), "{thread}");
    }
}

/// Every option of the picture, and what must stand in it.
#[test]
fn pictures_from_every_side() {
    let Some(subject) = Subject::any() else { return };
    let recording = subject.record(&[], &[program("answers.py")]);
    let svg = recording.directory.path().join("out.svg");
    for (options, parts) in [
        (&["--by-thread"][..], &["<title>thread ", "<title>nap (__main__"][..]),
        (&["--reverse"], &["reversed, callers on top", "<title>nap (__main__"]),
        (&["--weight", "self"], &["reversed, callers on top"]),
        (&["--weight", "gc", "--icicle"], &["pauses for garbage collection", "<title>sweep (__main__"]),
        (&["--search", "nap"], &["% found; trust: ", "fill=\"rgb(230,0,230)\""]),
        (&["--search", "nobody"], &[">trust: "]),
    ] {
        let text = recording.report("flame", &[options, &[svg.to_str().expect("it is UTF-8")]].concat());
        let picture = std::fs::read_to_string(&svg).expect("it was drawn");
        for part in parts {
            assert!(picture.contains(part), "{options:?}: no {part}");
        }
        assert!(text.contains("trust: "), "{options:?}: {text}");
        assert_eq!(picture.contains("fill=\"rgb(230,0,230)\""), options.contains(&"nap"), "{options:?}");
    }
}

#[test]
fn what_repeats_is_told_once() {
    let Some(subject) = Subject::any() else { return };
    let recording = subject.record(&[], &[program("answers.py")]);
    let fold = recording.report("tree", &["--fold", "--root", "sweep"]);
    assert!(fold.contains("… 99 × Ring.__init__  answers.py:"), "{fold}");
    let plain = recording.report("tree", &["--root", "sweep"]);
    assert_eq!(plain.matches("Ring.__init__").count(), 100);
}

#[test]
fn what_is_not_there_is_said_to_be_nothing() {
    let Some(subject) = Subject::any() else { return };
    let recording = subject.record(&["--markers", "line"], &["-c", "pass"]);
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
