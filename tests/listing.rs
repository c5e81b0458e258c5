//! `pyrec markers` against `readelf`.

#![cfg(feature = "record")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Background, Python, number, pyrec, run};

/// `pyrec markers --json` with these words; it must end well.
fn listed(of: &[&str]) -> Vec<Value> {
    let output = run(pyrec("markers").arg("--json").args(of));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    whole["pythons"].as_array().expect("a list").clone()
}

/// Name, address, semaphore and arguments of each marker, by address.
type Places = Vec<(String, u64, u64, String)>;

fn by_readelf(program: &Path) -> Places {
    let output = run(Command::new("readelf").args(["-n", "--wide"]).arg(program));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |line: &str, word: &str| line.split_once(word).map(|(_, rest)| rest.to_owned());
    let hexadecimal = |line: &str, word: &str| {
        let rest = after(line, word).unwrap_or_else(|| panic!("no {word} in {line}"));
        u64::from_str_radix(rest.split(',').next().unwrap_or_default(), 16).expect("a number")
    };
    let mut places: Places = Vec::new();
    for line in text.lines() {
        if let Some(name) = after(line, "Name: ") {
            places.push((name, 0, 0, String::new()));
        }
        let Some(last) = places.last_mut() else { continue };
        if line.contains("Location: ") {
            (last.1, last.2) = (hexadecimal(line, "Location: 0x"), hexadecimal(line, "Semaphore: 0x"));
        }
        if let Some(arguments) = after(line, "Arguments: ") {
            last.3 = arguments;
        }
    }
    places.sort_by_key(|place| place.1);
    places
}

fn by_us(python: &Value) -> Places {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let markers = python["markers"].as_array().expect("a list").iter();
    let place = |marker: &Value| {
        let (address, semaphore) = (number(marker, "address"), number(marker, "semaphore"));
        (text(&marker["marker"]), address, semaphore, text(&marker["arguments"]))
    };
    markers.map(place).collect()
}

#[test]
fn lists_what_readelf_finds_and_says_what_fires() {
    let Some(python) = Python::with_markers() else { return };
    let listed = listed(&[&python.program.to_string_lossy()]);
    assert_eq!(by_us(&listed[0]), by_readelf(&python.program));
    for marker in listed[0]["markers"].as_array().expect("a list") {
        // CPython 3.11 alone keeps entries back while nobody wants lines.
        let expected = if marker["marker"] == "function__entry" { "with line" } else { "yes" };
        assert_eq!(marker["fires"], expected, "{marker}");
    }
    assert_eq!(listed[0]["absent"].as_array().map(Vec::len), Some(0));
    let text = run(pyrec("markers").arg(&python.program));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert_eq!(text.lines().count(), 2 + by_readelf(&python.program).len(), "{text}");
    assert!(text.contains("python:function__return"), "{text}");
}

#[test]
fn finds_the_python_of_a_process_and_of_a_script() {
    let Some(python) = Python::with_markers() else { return };
    let process = Background::start(python.command().args(["-c", "import time; time.sleep(100)"]));
    let of_process = listed(&[&process.pid()]);
    assert_eq!(of_process[0]["processes"], serde_json::json!([process.0.id()]));
    let everywhere = listed(&[]);
    let here = everywhere.iter().find(|one| one["program"] == of_process[0]["program"]);
    let pids = here.expect("it is among them")["processes"].as_array().expect("a list");
    assert!(pids.contains(&process.0.id().into()), "{pids:?}");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("script");
    std::fs::write(&script, format!("#!{}\n", python.program.display())).expect("room for a small file");
    run(Command::new("chmod").arg("755").arg(&script));
    assert_eq!(by_us(&listed(&[&script.to_string_lossy()])[0]), by_us(&of_process[0]));
}

#[test]
fn says_what_to_use_where_there_are_none() {
    let Some(python) = Python::without_markers() else { return };
    let output = run(pyrec("markers").arg(&python.program));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.starts_with(&*python.program.canonicalize().expect("it is there").to_string_lossy()),
        "{text}"
    );
    assert!(text.contains("--with-dtrace") && text.contains("--provider agent"), "{text}");
}

#[test]
fn what_is_no_python_is_refused_in_a_sentence() {
    for (word, expected) in [("/bin/true", "is not Python"), ("/no/such", "/no/such"), ("4194305", "4194305")]
    {
        let output = run(pyrec("markers").arg(word));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{word}");
        assert!(
            said.starts_with("pyrec: ") && said.lines().count() == 1 && said.contains(expected),
            "{said}"
        );
    }
}
