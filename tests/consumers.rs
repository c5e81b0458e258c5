//! A trace is a Parquet file like any other: DuckDB, pyarrow and polars read in it what the analyzer reads.

#![cfg(feature = "record")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};
use support::venv::venv;
use support::{Recording, Subject, in_every_way, json, number, program, run};

in_every_way!(every_reader_counts_alike);

fn every_reader_counts_alike(subject: &Subject) {
    let Some(environment) = venv() else { return };
    let recording: Recording =
        subject.record(&["--lines"], &[program("press.py").as_os_str(), "30".as_ref()]);
    compare(environment, &recording.trace(), 1);

    // A directory of traces is a trace, too.
    let rotated = tempfile::tempdir().expect("a temporary directory");
    for name in ["1.parquet", "2.parquet"] {
        std::fs::copy(recording.trace(), rotated.path().join(name)).expect("it is copied");
    }
    compare(environment, rotated.path(), 2);
}

/// What `tests/consumers/count.py` says of a trace against what `pyrec info` says of it.
fn compare(environment: &Path, trace: &Path, files: u64) {
    let info = json(trace, "info");
    let markers: &Map<String, Value> = info["markers"].as_object().expect("markers are an object");
    let rows: u64 = markers.values().map(|count| count.as_u64().expect("a count")).sum();
    assert!(number(&info, "events") > 100_000 * files, "{info}");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/count.py");
    let counted = run(Command::new(environment.join("bin/python")).arg(script).arg(trace));
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    let readers: Value = serde_json::from_slice(&counted.stdout).expect("it prints JSON");
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
