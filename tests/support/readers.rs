//! pyarrow and DuckDB, which must read every file that is left by anything.

use std::path::{Path, PathBuf};
use std::process::Command;

use pyrec_schema::Trace;
use serde_json::Value;

use super::run;
use super::venv::venv;

/// Files that are to be read by others.
#[derive(Default)]
pub struct Readers(Vec<PathBuf>);

impl Readers {
    /// Keeps a file, or all of a directory, under another name until it has been read.
    pub fn keep(&mut self, trace: &Path, place: &Path) {
        let files = match std::fs::read_dir(trace) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => vec![trace.to_owned()],
        };
        let files = files.iter().filter(|file| file.extension().is_some_and(|name| name == "parquet"));
        for file in files {
            let kept = place.join(format!("{}.parquet", self.0.len()));
            std::fs::copy(file, &kept).expect("there is room");
            self.0.push(kept);
        }
    }

    /// Has each file read. Its rows are those that we read.
    pub fn read(&self) {
        let Some(environment) = venv() else { return };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/open.py");
        let read = run(Command::new(environment.join("bin/python")).arg(script).args(&self.0));
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let rows: Vec<[u64; 2]> = serde_json::from_slice::<Value>(&read.stdout)
            .and_then(serde_json::from_value)
            .expect("a pair of numbers per file");
        assert_eq!(rows.len(), self.0.len());
        for (file, rows) in self.0.iter().zip(rows) {
            let ours = Trace::open(&[file]).expect("it is whole").rows();
            assert_eq!(rows, [ours; 2], "{}", file.display());
        }
    }
}
