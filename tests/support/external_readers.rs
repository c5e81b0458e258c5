//! pyarrow and DuckDB, which must read every trace at every moment, however its recording ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use pyrec_schema::Trace;
use serde_json::Value;

use super::venv::venv;
use super::{consumer, run, stderr};

/// Copies of traces that the readers are to open.
#[derive(Default)]
pub struct ExternalReaders(Vec<PathBuf>);

impl ExternalReaders {
    /// Copies a trace, a file or a directory of files, into `place`.
    pub fn keep(&mut self, trace: &Path, place: &Path) {
        let files = match std::fs::read_dir(trace) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => vec![trace.to_owned()],
        };
        let files = files.iter().filter(|file| file.extension().is_some_and(|name| name == "parquet"));
        for file in files {
            let kept = place.join(format!("{}.parquet", self.0.len()));
            std::fs::copy(file, &kept).expect("the file is copied");
            self.0.push(kept);
        }
    }

    /// Asserts that the readers open each file, and find as many rows as pyrec.
    pub fn read(&self) {
        let Some(environment) = venv() else { return };
        let script = consumer("open.py");
        let output = run(Command::new(environment.join("bin/python")).arg(script).args(&self.0));
        assert!(output.status.success(), "{}", stderr(&output));
        let rows: Vec<[u64; 2]> = serde_json::from_slice::<Value>(&output.stdout)
            .and_then(serde_json::from_value)
            .expect("valid JSON");
        assert_eq!(rows.len(), self.0.len());
        for (file, rows) in self.0.iter().zip(rows) {
            let expected = Trace::open(&[file]).expect("the trace opens").rows();
            assert_eq!(rows, [expected; 2], "{}", file.display());
        }
    }
}
