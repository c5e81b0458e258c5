//! The package in `python/`: its tables hold what the command says.

#![cfg(feature = "record")]

mod support;

use serde_json::Value;
use support::venv::{venv, with_package};
use support::{Subject, json, number, program};

#[test]
fn tables_hold_what_the_command_says() {
    let (Some(environment), Some(subject)) = (venv(), Subject::any()) else { return };
    let recording = subject.record(&[], &[program("press.py").as_os_str(), "3".as_ref()]);
    let script = with_package(environment, "tables.py").arg(recording.trace()).output().expect("Python runs");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    let said: Value = serde_json::from_slice(&script.stdout).expect("it prints JSON");

    let info = json(&recording.trace(), "info");
    let stats = json(&recording.trace(), "stats");
    let functions = stats["functions"].as_array().expect("functions are a list");
    let calls: u64 = functions.iter().map(|function| number(function, "calls")).sum();
    let markers = info["markers"].as_object().expect("markers are an object");
    let rows: u64 = markers.values().map(|count| count.as_u64().expect("a count")).sum();
    assert!(calls > 1000, "{info}");
    for library in ["pyarrow", "polars", "pandas"] {
        let tables = &said[library];
        assert_eq!(number(tables, "events"), rows, "{library}");
        assert_eq!(number(tables, "functions"), functions.len() as u64, "{library}");
        assert_eq!(number(tables, "calls"), calls, "{library}");
    }
    assert_eq!(said["info"]["command"], info["command"]);
    assert!(number(&said, "inside") < calls / 2, "a filter leaves less");
    let refused = said["refused"].as_str().expect("a sentence");
    assert!(refused.contains("no-such-flag") && !refused.contains("Traceback"), "{refused}");
}
