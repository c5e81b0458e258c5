//! The text of every report, for a trace of eleven events whose calls and times follow from
//! [`SCRIPT`].
//!
//! After a change of a report, `INSTA_UPDATE=always cargo test --test report_texts` updates the
//! files in `tests/snapshots`.

mod support;

use std::path::Path;
use std::sync::Arc;

use pyrec_schema::{Manifest, Names, Python, RecordingEnd, TraceWriter, WriterOptions};
use support::{pyrec, run, stderr, stdout};
use tempfile::TempDir;

/// Rows: time in nanoseconds, process and thread, marker, code object, line, value, text.
///
/// ```text
/// ms   0      1      3           4.5   5             6    8      9      10
///      ├─main─┼─import json──────┼─────┼─────────────┼────┼──────┼──main─┤
///                    ├─read──────┤     ├─read────────┼─gc─┼─read─┤
/// ```
///
/// - `main`: one call, 10 ms in total, of which 1.5 ms and 4 ms in `read`, so 4.5 ms self time.
/// - `read`: two calls, 1.5 ms and 4 ms, in total 5.5 ms. 2 ms of the second are a garbage
///   collection, so 3.5 ms self time.
/// - The import of `json` takes 2 ms, all of it inside `main`.
/// - The collection takes 2 ms: a fifth of the 10 ms.
const SCRIPT: &str = "\
0        7/7 function__entry           /srv/app.py:1:main 1
1000000  7/7 import__find__load__start -                  0 - json
3000000  7/7 import__find__load__done  -                  0 1 json
3000000  7/7 function__entry           /srv/app.py:9:read 9
4500000  7/7 function__return          /srv/app.py:9:read 12
5000000  7/7 audit                     /srv/app.py:1:main 4 - open
5000000  7/7 function__entry           /srv/app.py:9:read 9
6000000  7/7 gc__start                 -                  0 2
8000000  7/7 gc__done                  -                  0 17
9000000  7/7 function__return          /srv/app.py:9:read 12
10000000 7/7 function__return          /srv/app.py:1:main 6
";

/// Writes the trace as `trace.parquet` into a temporary directory.
fn trace() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let python =
        Python { version: "3.13.0".into(), build: None, executable: None, path: vec!["/srv".into()] };
    let manifest = Manifest {
        command: vec!["python3".into(), "/srv/app.py".into()],
        python: vec![python],
        provider: "agent".into(),
        markers: ["function", "gc", "import", "audit"].map(String::from).into(),
        ended: RecordingEnd::Exited { status: 0 },
        ..Manifest::unknown("pyrec 0.1.0")
    };
    let names = Arc::new(Names::new());
    let batch = pyrec_analyzer::script::parse(SCRIPT, &names).expect("the script parses");
    let path = directory.path().join("trace.parquet");
    let mut writer =
        TraceWriter::create(&path, names, manifest, WriterOptions::default()).expect("the trace is created");
    writer.write(&batch).expect("the write succeeds");
    writer.finish().expect("the write succeeds");
    directory
}

/// The output of a report, run in the directory of the trace so that it prints no path of this
/// machine.
fn report(directory: &Path, words: &[&str]) -> String {
    let mut command = pyrec(words[0]);
    let output = run(command.args(["-i", "trace.parquet"]).args(&words[1..]).current_dir(directory));
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn reports_are_those_of_the_snapshots() {
    let trace = trace();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        for words in [
            &["stats"][..],
            &["tree"],
            &["worst", "read"],
            &["gc"],
            &["imports"],
            &["audit"],
            &["threads"],
            &["info"],
            &["dump"],
            &["heat", "--text"],
            &["export", "collapsed", "-"],
        ] {
            insta::assert_snapshot!(format!("report_{}", words[0]), report(trace.path(), words));
        }
    });
}
