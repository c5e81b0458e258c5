//! DuckDB, pyarrow and polars read the same rows from a trace as the analyzer.

#![cfg(feature = "record")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};
use support::venv::venv;
use support::{Recording, Setup, consumer, in_every_way, json, number, program, run, stderr};

in_every_way!(every_reader_counts_the_same_rows);

fn every_reader_counts_the_same_rows(setup: &Setup) {
    let Some(environment) = venv() else { return };
    let recording: Recording = setup.record(&["--lines"], &[program("press.py").as_os_str(), "30".as_ref()]);
    compare(environment, &recording.trace(), 1);

    // A directory of traces is a trace.
    let rotated = tempfile::tempdir().expect("a temporary directory");
    for name in ["1.parquet", "2.parquet"] {
        std::fs::copy(recording.trace(), rotated.path().join(name)).expect("the file is copied");
    }
    compare(environment, rotated.path(), 2);
}

/// Compares the counts of `tests/consumers/count.py` with those of `pyrec info`.
fn compare(environment: &Path, trace: &Path, files: u64) {
    let info = json(trace, "info");
    let markers: &Map<String, Value> = info["markers"].as_object().expect("an object");
    let rows: u64 = markers.values().map(|count| count.as_u64().expect("an integer")).sum();
    assert!(number(&info, "events") > 100_000 * files, "{info}");

    let script = consumer("count.py");
    let output = run(Command::new(environment.join("bin/python")).arg(script).arg(trace));
    assert!(output.status.success(), "{}", stderr(&output));
    let readers: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    for name in ["duckdb", "polars", "pyarrow"] {
        let reader = &readers[name];
        assert_eq!(&reader["markers"], &info["markers"], "{name}");
        assert_eq!(number(reader, "rows"), rows, "{name}");
        assert!(number(reader, "codes") > 50, "{name}: {reader}");
        assert_eq!(
            (&reader["codes"], &reader["value"]),
            (&readers["duckdb"]["codes"], &readers["duckdb"]["value"])
        );
    }
}
