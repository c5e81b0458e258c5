//! `pyrec markers` lists the static markers that readelf finds.

#![cfg(feature = "record")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Background, Python, number, pyrec, run, stderr, stdout};

/// The Pythons in the output of `pyrec markers --json`. Panics unless the command succeeds.
fn list(arguments: &[&str]) -> Vec<Value> {
    let output = run(pyrec("markers").arg("--json").args(arguments));
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    report["pythons"].as_array().expect("an array").clone()
}

/// The name, address, semaphore and arguments of each location of a marker, sorted by address.
type Locations = Vec<(String, u64, u64, String)>;

fn by_readelf(program: &Path) -> Locations {
    let output = run(Command::new("readelf").args(["-n", "--wide"]).arg(program));
    let text = stdout(&output);
    let after = |line: &str, word: &str| line.split_once(word).map(|(_, rest)| rest.to_owned());
    let hexadecimal = |line: &str, word: &str| {
        let rest = after(line, word).unwrap_or_else(|| panic!("no {word} in {line}"));
        u64::from_str_radix(rest.split(',').next().unwrap_or_default(), 16).expect("a number")
    };
    let mut locations: Locations = Vec::new();
    for line in text.lines() {
        if let Some(name) = after(line, "Name: ") {
            locations.push((name, 0, 0, String::new()));
        }
        let Some(last) = locations.last_mut() else { continue };
        if line.contains("Location: ") {
            (last.1, last.2) = (hexadecimal(line, "Location: 0x"), hexadecimal(line, "Semaphore: 0x"));
        }
        if let Some(arguments) = after(line, "Arguments: ") {
            last.3 = arguments;
        }
    }
    locations.sort_by_key(|location| location.1);
    locations
}

fn by_pyrec(python: &Value) -> Locations {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let markers = python["markers"].as_array().expect("an array").iter();
    let location = |marker: &Value| {
        let (address, semaphore) = (number(marker, "address"), number(marker, "semaphore"));
        (text(&marker["marker"]), address, semaphore, text(&marker["arguments"]))
    };
    markers.map(location).collect()
}

#[test]
fn markers_are_those_of_readelf_and_state_whether_they_fire() {
    let Some(python) = Python::with_markers() else { return };
    let pythons = list(&[&python.program.to_string_lossy()]);
    assert_eq!(by_pyrec(&pythons[0]), by_readelf(&python.program));
    for marker in pythons[0]["markers"].as_array().expect("an array") {
        // CPython 3.11 fires entries only while the semaphore of `line` is raised.
        let expected = if marker["marker"] == "function__entry" { "with line" } else { "yes" };
        assert_eq!(marker["fires"], expected, "{marker}");
    }
    assert_eq!(pythons[0]["absent"].as_array().map(Vec::len), Some(0));
    let text = stdout(&run(pyrec("markers").arg(&python.program)));
    assert_eq!(text.lines().count(), 2 + by_readelf(&python.program).len(), "{text}");
    assert!(text.contains("python:function__return"), "{text}");
}

#[test]
fn the_argument_may_be_a_process_or_a_script() {
    let Some(python) = Python::with_markers() else { return };
    let process = Background::start(python.command().args(["-c", "import time; time.sleep(100)"]));
    let of_process = list(&[&process.pid()]);
    assert_eq!(of_process[0]["processes"], serde_json::json!([process.0.id()]));
    let everywhere = list(&[]);
    let found = everywhere.iter().find(|python| python["program"] == of_process[0]["program"]);
    let pids = found.expect("the Python is listed")["processes"].as_array().expect("an array");
    assert!(pids.contains(&process.0.id().into()), "{pids:?}");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("script");
    std::fs::write(&script, format!("#!{}\n", python.program.display())).expect("the write succeeds");
    run(Command::new("chmod").arg("755").arg(&script));
    assert_eq!(by_pyrec(&list(&[&script.to_string_lossy()])[0]), by_pyrec(&of_process[0]));
}

#[test]
fn for_a_python_without_markers_the_alternatives_are_named() {
    let Some(python) = Python::without_markers() else { return };
    let output = run(pyrec("markers").arg(&python.program));
    let text = stdout(&output);
    assert!(
        text.starts_with(&*python.program.canonicalize().expect("the program exists").to_string_lossy()),
        "{text}"
    );
    assert!(text.contains("--with-dtrace") && text.contains("--provider agent"), "{text}");
}

#[test]
fn a_program_that_is_not_python_is_refused_in_one_sentence() {
    for (word, expected) in [("/bin/true", "is not Python"), ("/no/such", "/no/such"), ("4194305", "4194305")]
    {
        let output = run(pyrec("markers").arg(word));
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{word}");
        assert!(
            stderr.starts_with("pyrec: ") && stderr.lines().count() == 1 && stderr.contains(expected),
            "{stderr}"
        );
    }
}
