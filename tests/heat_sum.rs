//! `pyrec heat` over several recordings: what adds up, and what never does.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Python, number, pyrec, run};
use tempfile::TempDir;

/// Its last line runs as often as the program is told.
const PROGRAM: &str = "import sys\nfor _ in range(int(sys.argv[1])):\n    len('hit')\n";

/// A folder with recordings of one program, by their names: with these options, so often.
fn recordings(runs: &[(&str, &str, &[&str], u64)]) -> Option<(TempDir, PathBuf)> {
    let python = Python::any()?;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let program = folder.path().join("run.py");
    for (name, text, options, times) in runs {
        fs::write(&program, text).expect("it is written");
        let mut command = pyrec("record");
        command.arg("-q").args(*options).arg("-o").arg(folder.path().join(name)).arg("--");
        command.arg(&python.program).arg(&program).arg(times.to_string());
        assert!(run(&mut command).status.success());
    }
    Some((folder, program))
}

fn heat(folder: &Path) -> Value {
    let output = run(pyrec("heat").arg("--json").arg("-i").arg(folder.join("*.parquet")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

/// The hits of a line of a file.
fn hits(heat: &Value, file: &str, line: u64) -> u64 {
    let files = heat["files"].as_array().expect("a list");
    let found = files.iter().find(|known| known["file"] == file);
    let lines = found.unwrap_or_else(|| panic!("no {file} in {heat}"))["lines"].as_array().expect("a list");
    number(lines.iter().find(|known| known["line"] == line).expect("it ran"), "hits")
}

#[test]
fn recordings_of_one_text_add_up() {
    let runs = [("1.parquet", PROGRAM, &["--lines"][..], 3), ("2.parquet", PROGRAM, &["--lines"], 4)];
    let Some((folder, program)) = recordings(&runs) else { return };
    let sum = heat(folder.path());
    assert_eq!(hits(&sum, &program.to_string_lossy(), 3), 3 + 4);
    let events = ["1.parquet", "2.parquet"].map(|name| {
        let info = run(pyrec("info").arg("--json").arg("-i").arg(folder.path().join(name)));
        number(&serde_json::from_slice(&info.stdout).expect("it is JSON"), "events")
    });
    assert_eq!(number(&sum["trust"], "events"), events[0] + events[1]);
}

#[test]
fn lines_of_two_texts_are_never_mixed() {
    let other = format!("# another\n{PROGRAM}");
    let runs = [("1.parquet", PROGRAM, &["--lines"][..], 3), ("2.parquet", &other, &["--lines"], 4)];
    let Some((folder, program)) = recordings(&runs) else { return };
    let sum = heat(folder.path());
    let name = |text: u64| format!("text {text} of 2: {}", program.display());
    assert_eq!((hits(&sum, &name(1), 3), hits(&sum, &name(2), 4)), (3, 4));
    let input = folder.path().join("*.parquet");
    let listed = run(pyrec("heat").args(["--text", "run.py"]).arg("-i").arg(&input));
    let listed = String::from_utf8(listed.stdout).expect("text");
    assert!(
        listed.contains(&name(1)) && listed.contains(&name(2)) && listed.contains("# another"),
        "{listed}"
    );
    let page = String::from_utf8(run(pyrec("heat").arg("-").arg("-i").arg(&input)).stdout).expect("text");
    assert!(page.contains(&name(1)) && page.contains(&name(2)), "{page}");
}

#[test]
fn recordings_with_and_without_lines_do_not_add_up() {
    let runs = [("1.parquet", PROGRAM, &["--lines"][..], 1), ("2.parquet", PROGRAM, &[], 1)];
    let Some((folder, _)) = recordings(&runs) else { return };
    let refused = run(pyrec("heat").arg("--json").arg("-i").arg(folder.path().join("*.parquet")));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("1.parquet has line events and ") && said.contains("2.parquet has none"), "{said}");
}
