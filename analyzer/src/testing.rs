//! Test helpers: traces and call trees from scripts, those in tests and
//! `testdata/scripts/*.script`.

use std::path::PathBuf;
use std::sync::Arc;

use pyrec_schema::{
    Batch, Clock, Host, Manifest, MarkerGroup, Names, Python, RecordingEnd, Trace, TraceWriter, WriterOptions,
};

use crate::script::parse;
use crate::{CallTree, Filter};

/// The call tree of a script, as if recorded by `python3 run.py` with `/srv` and `/lib` on its
/// path.
pub fn calls(script: &str, filter: &Filter) -> CallTree {
    let names = Arc::new(Names::new());
    let rows = rows(script, &names);
    CallTree::of_rows(&[rows], filter, names, manifest(&["python3", "run.py"], &["/srv", "/lib"]))
}

/// A trace file with the rows of a script in row groups of that many rows. Dropping the returned
/// directory removes the file.
pub fn trace(script: &str, row_group_rows: usize) -> (Trace, tempfile::TempDir) {
    trace_on("here", script, row_group_rows)
}

/// A trace file as [`trace`] returns it, recorded on a host of that name.
pub fn trace_on(host: &str, script: &str, row_group_rows: usize) -> (Trace, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("script.parquet");
    let names = Arc::new(Names::new());
    let batch = rows(script, &names);
    let has = |group: &MarkerGroup| batch.marker.iter().any(|marker| group.markers().contains(marker));
    let manifest = Manifest {
        markers: MarkerGroup::ALL.into_iter().filter(has).map(|group| group.name().into()).collect(),
        host: Host { system: "Linux".into(), machine: "x86_64".into(), processors: 2, name: host.into() },
        ..manifest(&["python3", "run.py"], &["/srv", "/lib"])
    };
    let options = WriterOptions { row_group_rows };
    let mut writer =
        TraceWriter::create(&path, names, manifest.clone(), options).expect("the file is created");
    writer.write(&batch).expect("the rows are written");
    writer.manifest_mut().ended = manifest.ended;
    writer.finish().expect("the footer is written");
    (Trace::open(&[path]).expect("the trace is valid"), directory)
}

/// The manifest of a recording that ended with exit status 0.
pub fn manifest(command: &[&str], path: &[&str]) -> Manifest {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Manifest {
        command: words(command),
        python: vec![Python { version: "3.13.0".into(), build: None, executable: None, path: words(path) }],
        provider: "agent".into(),
        markers: vec!["function".into()],
        clock: Clock { source: "monotonic".into(), anchor_monotonic_ns: 0, anchor_unix_ns: Some(0) },
        host: Host { system: "Linux".into(), machine: "x86_64".into(), processors: 2, name: "here".into() },
        cost_per_event_ns: Some(30.6),
        ended: RecordingEnd::Exited { status: 0 },
        slice: None,
        ..Manifest::unknown("a test")
    }
}

/// The rows of a script. Panics on an invalid row.
pub fn rows(script: &str, names: &Names) -> Batch {
    parse(script, names).unwrap_or_else(|error| panic!("{error}"))
}

/// The files in `testdata/scripts` with that extension, sorted: their names without the extension,
/// and their texts.
pub fn all(extension: &str) -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/scripts");
    let files = std::fs::read_dir(&directory).expect("testdata/scripts exists");
    let mut scripts: Vec<_> = files
        .map(|file| file.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_stem().expect("a file with an extension has a stem");
            let text = std::fs::read_to_string(&path).expect("the file is UTF-8 text");
            (name.to_string_lossy().into_owned(), text)
        })
        .collect();
    scripts.sort();
    scripts
}
