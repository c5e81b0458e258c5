//! `pyrec heat` of several recordings: which of them are summed.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Python, number, pyrec, run, stderr, stdout};
use tempfile::TempDir;

/// Runs its last line as often as its argument says.
const PROGRAM: &str = "import sys\nfor _ in range(int(sys.argv[1])):\n    len('hit')\n";

/// Records the program several times in one directory. A run is the name of the trace, the text of
/// the program, options of `pyrec record`, and the argument of the program.
fn recordings(runs: &[(&str, &str, &[&str], u64)]) -> Option<(TempDir, PathBuf)> {
    let python = Python::any()?;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let program = folder.path().join("run.py");
    for (name, text, options, times) in runs {
        fs::write(&program, text).expect("the write succeeds");
        let mut command = pyrec("record");
        command.arg("-q").args(*options).arg("-o").arg(folder.path().join(name)).arg("--");
        command.arg(&python.program).arg(&program).arg(times.to_string());
        assert!(run(&mut command).status.success());
    }
    Some((folder, program))
}

fn heat(folder: &Path) -> Value {
    let output = run(pyrec("heat").arg("--json").arg("-i").arg(folder.join("*.parquet")));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("valid JSON")
}

/// The hits of a line of a file.
fn hits(heat: &Value, file: &str, line: u64) -> u64 {
    let files = heat["files"].as_array().expect("an array");
    let found = files.iter().find(|entry| entry["file"] == file);
    let lines = found.unwrap_or_else(|| panic!("no {file} in {heat}"))["lines"].as_array().expect("an array");
    number(lines.iter().find(|entry| entry["line"] == line).expect("the line ran"), "hits")
}

#[test]
fn hits_of_one_source_text_are_summed() {
    let runs = [("1.parquet", PROGRAM, &["--lines"][..], 3), ("2.parquet", PROGRAM, &["--lines"], 4)];
    let Some((folder, program)) = recordings(&runs) else { return };
    let sum = heat(folder.path());
    assert_eq!(hits(&sum, &program.to_string_lossy(), 3), 3 + 4);
    let events = ["1.parquet", "2.parquet"].map(|name| {
        let info = run(pyrec("info").arg("--json").arg("-i").arg(folder.path().join(name)));
        number(&serde_json::from_slice(&info.stdout).expect("valid JSON"), "events")
    });
    assert_eq!(number(&sum["trust"], "events"), events[0] + events[1]);
}

#[test]
fn lines_of_two_source_texts_are_kept_apart() {
    let other = format!("# another\n{PROGRAM}");
    let runs = [("1.parquet", PROGRAM, &["--lines"][..], 3), ("2.parquet", &other, &["--lines"], 4)];
    let Some((folder, program)) = recordings(&runs) else { return };
    let sum = heat(folder.path());
    let name = |text: u64| format!("text {text} of 2: {}", program.display());
    assert_eq!((hits(&sum, &name(1), 3), hits(&sum, &name(2), 4)), (3, 4));
    let input = folder.path().join("*.parquet");
    let text = stdout(&run(pyrec("heat").args(["--text", "run.py"]).arg("-i").arg(&input)));
    assert!(text.contains(&name(1)) && text.contains(&name(2)) && text.contains("# another"), "{text}");
    let page = stdout(&run(pyrec("heat").arg("-").arg("-i").arg(&input)));
    assert!(page.contains(&name(1)) && page.contains(&name(2)), "{page}");
}

#[test]
fn recordings_with_and_without_line_events_are_not_summed() {
    let runs = [("1.parquet", PROGRAM, &["--lines"][..], 1), ("2.parquet", PROGRAM, &[], 1)];
    let Some((folder, _)) = recordings(&runs) else { return };
    let refused = run(pyrec("heat").arg("--json").arg("-i").arg(folder.path().join("*.parquet")));
    let stderr = stderr(&refused);
    assert_eq!((refused.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(
        stderr.contains("1.parquet has line events and ") && stderr.contains("2.parquet has none"),
        "{stderr}"
    );
}
