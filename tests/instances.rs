//! Recorded instances by class and line equal the counts of the program itself.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::{Python, Recording, Setup, program, stdout};

const MARKERS: [&str; 2] = ["--markers", "function,instance"];

/// Numbers of created and of failed instances, by class and line.
type Counts = BTreeMap<(String, u64), (u64, u64)>;

mod instances_of_each_class_and_line {
    crate::support::tests_of!(super::instances_equal_counts:
        agent_3_12 agent("3.12"), agent_3_13 agent("3.13"), agent_3_14 agent("3.14"), agent_3_15 agent("3.15"));
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("an integer")
}

/// The counts that the program printed, and its number of deleted instances.
fn counted(recording: &Recording) -> (Counts, u64) {
    let json: Value = serde_json::from_slice(&recording.output.stdout).expect("valid JSON");
    let rows = json["made"].as_array().expect("an array").iter();
    let counts =
        rows.map(|row| ((text(&row[0]), number(&row[1])), (number(&row[2]), number(&row[3])))).collect();
    (counts, number(&json["deleted"]))
}

/// The counts of `pyrec instances` for classes and lines of the program.
fn reported(json: &Value, file: &Path) -> Counts {
    let mut counts = Counts::new();
    for class in json["classes"].as_array().expect("an array") {
        let name = text(&class["class"]);
        let lines = class["lines"].as_array().expect("an array").iter();
        let of_program = lines.filter(|line| line["place"]["file"] == file.to_str().expect("UTF-8"));
        for line in of_program.filter(|_| name.starts_with("__main__.")) {
            let at = (name.clone(), number(&line["place"]["line"]));
            counts.insert(at, (number(&line["created"]), number(&line["failed"])));
        }
    }
    counts
}

fn instances_equal_counts(setup: &Setup) {
    let program = program("classes.py");
    let recording = setup.record(&MARKERS, &[&program]);
    let (expected, deleted) = counted(&recording);
    assert!(expected.len() > 30 && deleted == 5, "the program counts: {expected:?}");
    let json = recording.json("instances");
    assert_eq!(reported(&json, &program), expected, "{}", setup.python.version);
    for class in json["classes"].as_array().expect("an array") {
        let lines = class["lines"].as_array().expect("an array");
        for column in ["created", "failed", "unfinished"] {
            let sum: u64 = lines.iter().map(|line| number(&line[column])).sum();
            assert_eq!(number(&class[column]), sum, "{column} of {class}");
        }
        assert_eq!(number(&class["unfinished"]), 0, "{class}");
        assert!(number(&class["total_ns"]) > 0, "{class}");
    }
    let finalizers = json["finalizers"].as_array().expect("an array").iter();
    let mut of_program = finalizers.filter(|row| row["place"]["module"] == "__main__");
    assert_eq!(of_program.next().map(|row| number(&row["calls"])), Some(deleted));
    assert_eq!(of_program.next(), None);
}

#[test]
fn the_time_of_a_construction_is_at_most_that_measured_around_it() {
    let Some(setup) = Setup::agent("3.13") else { return };
    let source = "\
import time
class Slow:
    def __init__(self): time.sleep(0.05)
class Quick: pass
start = time.monotonic_ns(); Slow(); end = time.monotonic_ns()
Quick()
print(end - start)
";
    let recording = setup.record(&["--markers", "instance"], &["-c", source]);
    let around_ns: u64 = stdout(&recording.output).trim().parse().expect("a number");
    let json = recording.json("instances");
    let took_ns = |name: &str| {
        let class = json["classes"].as_array().expect("an array").iter().find(|class| class["class"] == name);
        number(&class.unwrap_or_else(|| panic!("{name} is not in {json}"))["total_ns"])
    };
    let slow_ns = took_ns("__main__.Slow");
    assert!((50_000_000..=around_ns).contains(&slow_ns), "{slow_ns} of {around_ns}");
    assert!(took_ns("__main__.Quick") < slow_ns);
    // Finalizers are found by function events, which were not recorded.
    assert_eq!(json["finalizers"], Value::Null);
}

#[test]
fn instances_created_in_excluded_functions_are_not_recorded() {
    let Some(setup) = Setup::agent("3.13") else { return };
    let program = program("classes.py");
    let options = [&MARKERS[..], &["--include", "in_a_generator", "--include", "main"]].concat();
    let recording = setup.record(&options, &[&program]);
    let (all, _) = counted(&recording);
    let reported = reported(&recording.json("instances"), &program);
    let expected = [("__main__.Closing", 5), ("__main__.Point", 3), ("__main__.main.<locals>.Local", 1)];
    let made = reported.iter().map(|((class, _), (made, _))| (class.as_str(), *made));
    assert!(made.eq(expected), "{reported:?}");
    assert!(reported.iter().all(|(at, counts)| all.get(at) == Some(counts)), "{reported:?}");
}

#[test]
fn pythons_that_cannot_record_instances_are_named() {
    if let Some(setup) = Setup::agent("3.11") {
        let recording = setup.record(&MARKERS, &["-c", "class C: pass\nC()"]);
        let message = "pyrec: Instances are not recorded: only CPython 3.12 and later report them.";
        assert!(recording.stderr().lines().any(|line| line == message), "{}", recording.stderr());
        assert!(recording.report("instances", &[]).starts_with("no instances were recorded; "));
    }
    let Some(python) = Python::with_markers() else { return };
    if !support::is_root() {
        return;
    }
    let words =
        ["--provider", "usdt", "--markers", "instance", "--", python.program.to_str().expect("UTF-8")];
    let recording = Recording::of(&[&words[..], &["-c", ""]].concat());
    let stderr = recording.stderr();
    assert!(!recording.output.status.success() && stderr.lines().count() == 1, "{stderr}");
    assert!(stderr.contains("instance"), "{stderr}");
}
