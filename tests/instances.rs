//! Instances per class and line equal those that the program counts itself.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::{Python, Recording, Subject, program};

const MARKERS: [&str; 2] = ["--markers", "function,instance"];

/// By class and line: how many were made, and how many failed.
type Counts = BTreeMap<(String, u64), (u64, u64)>;

mod classes_and_lines {
    crate::support::tests_of!(super::classes_and_lines:
        agent_3_12 agent("3.12"), agent_3_13 agent("3.13"), agent_3_14 agent("3.14"), agent_3_15 agent("3.15"));
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// What the program printed.
fn counted(recording: &Recording) -> (Counts, u64) {
    let json: Value = serde_json::from_slice(&recording.output.stdout).expect("the program prints JSON");
    let rows = json["made"].as_array().expect("a list").iter();
    let counts =
        rows.map(|row| ((text(&row[0]), number(&row[1])), (number(&row[2]), number(&row[3])))).collect();
    (counts, number(&json["deleted"]))
}

/// What `pyrec instances` says of the program's own classes, and of its own lines.
fn reported(json: &Value, file: &Path) -> Counts {
    let mut counts = Counts::new();
    for class in json["classes"].as_array().expect("a list") {
        let name = text(&class["class"]);
        let lines = class["lines"].as_array().expect("a list").iter();
        let own = lines.filter(|line| line["place"]["file"] == file.to_str().expect("it is UTF-8"));
        for line in own.filter(|_| name.starts_with("__main__.")) {
            let at = (name.clone(), number(&line["place"]["line"]));
            counts.insert(at, (number(&line["created"]), number(&line["failed"])));
        }
    }
    counts
}

fn classes_and_lines(subject: &Subject) {
    let program = program("classes.py");
    let recording = subject.record(&MARKERS, &[&program]);
    let (expected, deleted) = counted(&recording);
    assert!(expected.len() > 30 && deleted == 5, "the program counts: {expected:?}");
    let json = recording.json("instances");
    assert_eq!(reported(&json, &program), expected, "{}", subject.python.version);
    for class in json["classes"].as_array().expect("a list") {
        let lines = class["lines"].as_array().expect("a list");
        for column in ["created", "failed", "unfinished"] {
            let sum: u64 = lines.iter().map(|line| number(&line[column])).sum();
            assert_eq!(number(&class[column]), sum, "{column} of {class}");
        }
        assert_eq!(number(&class["unfinished"]), 0, "{class}");
        assert!(number(&class["total_ns"]) > 0, "{class}");
    }
    let finalizers = json["finalizers"].as_array().expect("a list").iter();
    let mut ours = finalizers.filter(|row| row["place"]["module"] == "__main__");
    assert_eq!(ours.next().map(|row| number(&row["calls"])), Some(deleted));
    assert_eq!(ours.next(), None);
}

/// The time of a construction is what the program measures around it.
#[test]
fn a_construction_lasts_until_its_end() {
    let Some(subject) = Subject::agent("3.13") else { return };
    let source = "\
import time
class Slow:
    def __init__(self): time.sleep(0.05)
class Quick: pass
start = time.monotonic_ns(); Slow(); end = time.monotonic_ns()
Quick()
print(end - start)
";
    let recording = subject.record(&["--markers", "instance"], &["-c", source]);
    let around_ns: u64 = String::from_utf8_lossy(&recording.output.stdout).trim().parse().expect("a number");
    let json = recording.json("instances");
    let took_ns = |name: &str| {
        let class = json["classes"].as_array().expect("a list").iter().find(|class| class["class"] == name);
        number(&class.unwrap_or_else(|| panic!("{name} is not in {json}"))["total_ns"])
    };
    let slow_ns = took_ns("__main__.Slow");
    assert!((50_000_000..=around_ns).contains(&slow_ns), "{slow_ns} of {around_ns}");
    assert!(took_ns("__main__.Quick") < slow_ns);
    // Without functions nobody knows what was deleted.
    assert_eq!(json["finalizers"], Value::Null);
}

/// Only what the functions that are recorded create is there, as `--include` says.
#[test]
fn what_is_left_out_is_not_recorded() {
    let Some(subject) = Subject::agent("3.13") else { return };
    let program = program("classes.py");
    let options = [&MARKERS[..], &["--include", "in_a_generator", "--include", "main"]].concat();
    let recording = subject.record(&options, &[&program]);
    let (all, _) = counted(&recording);
    let reported = reported(&recording.json("instances"), &program);
    let expected = [("__main__.Closing", 5), ("__main__.Point", 3), ("__main__.main.<locals>.Local", 1)];
    let made = reported.iter().map(|((class, _), (made, _))| (class.as_str(), *made));
    assert!(made.eq(expected), "{reported:?}");
    assert!(reported.iter().all(|(at, counts)| all.get(at) == Some(counts)), "{reported:?}");
}

#[test]
fn who_cannot_tell_says_so() {
    if let Some(subject) = Subject::agent("3.11") {
        let recording = subject.record(&MARKERS, &["-c", "class C: pass\nC()"]);
        let said = "pyrec: Instances are not recorded: only CPython 3.12 and later report them.";
        assert!(recording.said().lines().any(|line| line == said), "{}", recording.said());
        assert!(recording.report("instances", &[]).starts_with("no instances were recorded; "));
    }
    let Some(python) = Python::with_markers() else { return };
    if !support::is_root() {
        return;
    }
    let words =
        ["--provider", "usdt", "--markers", "instance", "--", python.program.to_str().expect("UTF-8")];
    let recording = Recording::of(&[&words[..], &["-c", ""]].concat());
    let said = recording.said();
    assert!(!recording.output.status.success() && said.lines().count() == 1, "{said}");
    assert!(said.contains("instance"), "{said}");
}
