//! `pyrec diff` of two runs, two checkouts and two versions, with regression tests for bugs of
//! other tools.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::venv::Environment;
use support::{
    Background, Python, Recording, Setup, in_every_way, number, program, pyrec, run, signal, stderr, stdout,
    wait_for,
};
use tempfile::TempDir;

in_every_way!(two_checkouts_of_one_program_do_not_differ);

/// A program from issues of CPython's tracker: `f` sleeps on two lines.
const DEMO: &str = "\
import time

def f():
    time.sleep(0.02)
    time.sleep(0.02)

def wait():
    time.sleep(0.01)

f()
wait()
";

/// A directory with several checkouts, each with a program `demo.py`.
fn checkouts(texts: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (checkout, text) in texts {
        let checkout = folder.path().join(checkout);
        fs::create_dir_all(&checkout).expect("the directory is created");
        fs::write(checkout.join("demo.py"), text).expect("the write succeeds");
    }
    folder
}

fn record(options: &[&str], script: &Path) -> Option<Recording> {
    Some(Setup::any()?.record(options, &[script]))
}

fn diff(words: &[&str], old: &Path, new: &Path) -> Output {
    run(pyrec("diff").arg(old).arg(new).args(words))
}

/// The output of a comparison. Panics unless the command succeeds.
fn diff_output(words: &[&str], old: &Path, new: &Path) -> String {
    let output = diff(words, old, new);
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(old: &Path, new: &Path) -> Value {
    serde_json::from_str(&diff_output(&["--json"], old, new)).expect("valid JSON")
}

/// The function with this qualified name.
fn function<'a>(diff: &'a Value, qualname: &str) -> &'a Value {
    let functions = diff["functions"].as_array().expect("an array");
    let found = functions.iter().find(|function| function["qualname"] == qualname);
    found.unwrap_or_else(|| panic!("no {qualname} in {diff}"))
}

/// Asserts that all counts are equal. Panics with the differences.
fn assert_no_difference(diff: &Value) {
    assert_eq!(diff["comparable"], true, "{}", diff["reasons"]);
    let rows = |key: &str| diff[key].as_array().into_iter().flatten();
    let functions = rows("functions").filter(|row| row["calls_verdict"] != "same");
    let others = ["paths", "lines", "imports"].into_iter().flat_map(rows);
    let gc = rows("gc").filter(|row| row["pauses_verdict"] != "same");
    let found: Vec<String> = functions.chain(others).chain(gc).map(Value::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// cpython#154085: "Differential flamegraphs duplicate self time across line nodes".
#[test]
fn the_time_of_a_function_is_divided_among_its_lines() {
    let folder = checkouts(&[("demo", DEMO)]);
    let script = folder.path().join("demo/demo.py");
    let [Some(old), Some(new)] = [(); 2].map(|()| record(&["--lines"], &script)) else { return };
    let diff = json(&old.trace(), &new.trace());
    let f = function(&diff, "f");
    for (side, recording) in [("old", &old), ("new", &new)] {
        let stats = recording.json("stats");
        let self_ns = number(support::call_counts::function(&stats, "f"), "self_ns");
        assert_eq!(number(f, &format!("self_ns_{side}")), self_ns);
        let heat = recording.json("heat");
        let files = heat["files"].as_array().expect("an array").iter();
        let lines = files.filter(|file| file["file"] == script.to_str().expect("UTF-8"));
        let lines = lines.flat_map(|file| file["lines"].as_array().expect("an array"));
        let lines: Vec<&Value> = lines.collect();
        let self_ns_of = |numbers: &[u64]| -> u64 {
            let of_f = lines.iter().filter(|line| numbers.contains(&number(line, "line")));
            of_f.map(|line| number(line, "self_ns")).sum()
        };
        // Line 3 has the time of f before its first line, and that of the module for defining f.
        assert!(self_ns_of(&[4, 5]) <= self_ns && self_ns <= self_ns_of(&[3, 4, 5]), "{heat} {self_ns}");
    }
    // The flame graph has one box for f, as wide as the longer of both times.
    let svg = diff_output(&["--flame", "-"], &old.trace(), &new.trace());
    let boxes: Vec<&str> = svg.lines().flat_map(|line| line.split("<title>").skip(1)).collect();
    assert_eq!(boxes.iter().filter(|title| title.starts_with("f (__main__:3) ")).count(), 1, "{boxes:?}");
}

/// cpython#154087: "Differential flamegraphs do not match files from different checkout paths".
fn two_checkouts_of_one_program_do_not_differ(setup: &Setup) {
    let folder = checkouts(&[("old", DEMO), ("new", DEMO)]);
    let [old, new] = ["old", "new"].map(|checkout| {
        let trace = folder.path().join(format!("{checkout}.parquet"));
        let mut command = pyrec("record");
        command.args(["-q", "--lines", "--provider", setup.provider, "-o"]).arg(&trace).arg("--");
        command.arg(&setup.python.program).arg(format!("{checkout}/demo.py"));
        assert!(run(command.current_dir(folder.path())).status.success());
        trace
    });
    let diff = json(&old, &new);
    assert_no_difference(&diff);
    assert_eq!(function(&diff, "f")["module"], "__main__");
    let svg = diff_output(&["--flame", "-"], &old, &new);
    assert!(
        svg.contains("<title>f (__main__:3) ") && !svg.contains(") gone, was") && !svg.contains(") new, ")
    );
    let text = diff_output(&[], &old, &new);
    assert!(text.contains("calls: no difference in "), "{text}");
}

/// cpython#154089: "Replayed Tachyon flamegraphs report unknown efficiency as 100%".
#[test]
fn an_unknown_number_of_lost_events_is_not_shown_as_none() {
    let Some(python) = Python::any() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("cut.parquet");
    let mut command = pyrec("record");
    command.args(["-q", "-o"]).arg(&trace).arg("--").arg(&python.program).arg(program("forever.py"));
    let mut recorder = Background::start(
        command.arg(folder.path().join("calls")).stdout(Stdio::null()).stderr(Stdio::null()),
    );
    wait_for("a recording with calls", || {
        let info = run(pyrec("info").arg("--json").arg("-i").arg(&trace));
        let info: Value = serde_json::from_slice(&info.stdout).ok()?;
        (number(&info, "events") > 1_000).then_some(())
    });
    // The recorder is killed before it writes the number of lost events.
    signal(&recorder.pid(), "KILL");
    recorder.wait();
    drop(recorder);
    let refused = diff(&["--json"], &trace, &trace);
    let stderr = stderr(&refused);
    assert_eq!((refused.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("an unknown number"), "{stderr}");
    let answer: Value = serde_json::from_slice(&refused.stdout).expect("valid JSON");
    assert_eq!(
        (&answer["comparable"], answer["functions"].as_array().map(Vec::len)),
        (&false.into(), Some(0))
    );
    let forced: Value =
        serde_json::from_str(&diff_output(&["--json", "--force"], &trace, &trace)).expect("valid JSON");
    assert_eq!((&forced["comparable"], &forced["trust"]["new"][0]["lost"]), (&false.into(), &Value::Null));
    let svg = diff_output(&["--flame", "-", "--force"], &trace, &trace);
    for text in [diff_output(&["--force"], &trace, &trace), svg] {
        assert!(text.contains("lost unknown") && text.contains("not comparable: lost events"), "{text}");
    }
}

/// cpython#154090: "Sampling binary profiles do not record the profiling mode", so that a baseline
/// of one mode is silently compared with a profile of another.
#[test]
fn traces_of_different_modes_are_not_compared() {
    let folder = checkouts(&[("demo", DEMO)]);
    let script = folder.path().join("demo/demo.py");
    let modes = [&[][..], &["--lines"], &["--exclude", "wait"], &["--markers", "function"]];
    let recordings = modes.map(|mode| record(mode, &script));
    let [Some(plain), Some(lines), Some(partial), Some(few)] = recordings else { return };
    assert!(lines.report("info", &[]).contains("line"));
    for (other, reason) in [
        (&lines, "recorded markers: function,gc,import in the old, function,gc,import,line in the new"),
        (&partial, "left out functions that match: nothing in the old, wait in the new"),
        (&few, "recorded markers: function,gc,import in the old, function in the new"),
    ] {
        let refused = diff(&[], &plain.trace(), &other.trace());
        let stderr = stderr(&refused);
        assert_eq!((refused.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(
            stderr.contains(reason) && stderr.contains("--force") && refused.stdout.is_empty(),
            "{stderr}"
        );
        assert!(
            diff_output(&["--force"], &plain.trace(), &other.trace())
                .contains(&format!("not comparable: {reason}"))
        );
    }
}

#[test]
fn two_virtual_environments_do_not_differ() {
    let Some(python) = Python::any() else { return };
    let folder = checkouts(&[("a", DEMO), ("b", DEMO)]);
    let traces = ["a", "b"].map(|name| {
        let environment = Environment::of(&python);
        let trace = folder.path().join(format!("{name}.parquet"));
        let mut command = pyrec("record");
        command.args(["-q", "-o"]).arg(&trace).arg("--").arg(environment.bin().join("python"));
        assert!(run(command.arg(folder.path().join(name).join("demo.py"))).status.success());
        trace
    });
    assert_no_difference(&json(&traces[0], &traces[1]));
}

/// A changed version of `DEMO`: `wait` is removed, `f` is called twice as often, `fresh` is new.
const CHANGED: &str = "\
import time

def fresh():
    return sum(range(100))

def f():
    time.sleep(0.02)
    time.sleep(0.02)

for _ in range(2):
    f()
fresh()
";

/// Recordings of `DEMO` and `CHANGED`.
fn record_change() -> Option<[Recording; 2]> {
    let folder = checkouts(&[("old", DEMO), ("new", CHANGED)]);
    let [old, new] =
        ["old", "new"].map(|checkout| record(&["--lines"], &folder.path().join(checkout).join("demo.py")));
    Some([old?, new?])
}

#[test]
fn every_view_shows_what_changed() {
    let Some([old, new]) = record_change() else { return };
    let output = |words: &[&str]| diff_output(words, &old.trace(), &new.trace());
    let diff: Value = serde_json::from_str(&output(&["--json"])).expect("valid JSON");
    let calls = |name: &str| {
        let function = function(&diff, name);
        (number(function, "calls_old"), number(function, "calls_new"))
    };
    assert_eq!((calls("f"), calls("wait"), calls("fresh")), ((1, 2), (1, 0), (0, 1)));
    // Equal lines of both texts are matched: the second sleep moved from line 5 to line 8.
    let lines = diff["lines"].as_array().expect("an array");
    let line =
        |number: u64| lines.iter().find(|line| line["module"] == "__main__" && line["line_new"] == number);
    let sleep = line(8).expect("line 8 has more hits");
    assert_eq!((&sleep["line_old"], number(sleep, "hits_old"), number(sleep, "hits_new")), (&5.into(), 1, 2));
    // A single run of each side gives no evidence about times.
    assert!(diff["functions"].as_array().expect("an array").iter().all(|function| {
        ["self_verdict", "total_verdict"]
            .iter()
            .all(|key| function[key] != "slower" && function[key] != "faster")
    }));

    let table = output(&[]);
    for row in ["f (__main__:6): other calls, one run", "wait (__main__:7): gone", "fresh (__main__:3): new"]
    {
        assert!(table.contains(row), "no {row} in {table}");
    }
    let tree = output(&["--view", "tree"]);
    assert!(tree.contains("<module> (__main__)") && tree.contains("  fresh (__main__:3): new"), "{tree}");
    assert!(output(&["--view", "lines"]).contains("__main__:5 → 8"));
    assert!(output(&["--view", "imports"]).contains("imports: no difference in "));
    assert!(output(&["--view", "gc"]).contains("pauses: "));
    let markdown = output(&["--markdown"]);
    assert!(markdown.contains("| `wait (__main__:7)` | 1 → 0 | "), "{markdown}");
    // The flame graph shows both sides, and removed functions in blue.
    let svg = output(&["--flame", "-"]);
    for title in ["wait (__main__:7) gone, was ", "fresh (__main__:3) new, ", "f (__main__:6) "] {
        assert!(svg.contains(&format!("<title>{title}")), "no {title} in {svg}");
    }
    assert!(svg.contains("rgb(60,110,255)") && svg.contains("rgb(255,70,50)"), "{svg}");
    for text in [table, tree, markdown, svg] {
        assert_eq!(text.matches("trust: ").count(), 2, "both sides: {text}");
    }
}

#[test]
fn a_gate_exits_with_2_and_names_the_rule() {
    let Some([old, new]) = record_change() else { return };
    let gate = |rules: &[&str]| {
        let words: Vec<&str> = rules.iter().flat_map(|rule| ["--fail-on", rule]).collect();
        let output = diff(&words, &old.trace(), &new.trace());
        (output.status.code(), stderr(&output))
    };
    let (status, stderr) = gate(&["calls:wai*:+0%", "calls:f:+0%", "hits:demo.py:+100%"]);
    assert_eq!(status, Some(2), "{stderr}");
    assert!(
        stderr.contains("the rule `calls:f:+0%` broke: f (__main__:6) had 1 and has 2 (+100.0 %)"),
        "{stderr}"
    );
    assert!(!stderr.contains("wai*"), "{stderr}");
    assert_eq!(gate(&["calls:f:+100%"]), (Some(0), String::new()));
    // Twice as long, but with a single run of each side.
    let (status, stderr) = gate(&["total:f:+10%"]);
    assert!(status == Some(2) && stderr.contains("no evidence"), "{stderr}");
    for rule in ["calls:f", "calls:f:10%", "speed:+1%", "calls:nonexistent:+0%"] {
        let (status, stderr) = gate(&[rule]);
        assert_eq!((status, stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(rule), "{stderr}");
    }
}

#[test]
fn by_default_the_last_two_traces_are_compared() {
    let Some(python) = Python::any() else { return };
    let folder = checkouts(&[("demo", DEMO)]);
    let pyrec_here = |subcommand: &str| -> Command {
        let mut command = pyrec(subcommand);
        command.current_dir(folder.path());
        command
    };
    let stderr = stderr(&run(&mut pyrec_here("diff")));
    assert!(stderr.contains("pyrec.old.parquet") && stderr.lines().count() == 1, "{stderr}");
    for _ in 0..2 {
        assert!(
            run(pyrec_here("record").args(["-q", "--"]).arg(&python.program).arg("demo/demo.py"))
                .status
                .success()
        );
    }
    let output = run(&mut pyrec_here("diff"));
    let table = stdout(&output);
    assert!(output.status.success() && table.contains("calls: no difference"), "{table}");
}

#[test]
fn a_file_that_is_not_a_trace_is_named() {
    let folder = checkouts(&[("demo", DEMO)]);
    let Some(recording) = record(&[], &folder.path().join("demo/demo.py")) else { return };
    let (trace, script) = (recording.trace(), folder.path().join("demo/demo.py"));
    for (old, new) in [(&trace, &script), (&script, &trace)] {
        let refused = diff(&[], old, new);
        let stderr = stderr(&refused);
        assert_eq!((refused.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains("demo.py") && refused.stdout.is_empty(), "{stderr}");
    }
}

#[test]
fn a_program_under_load_does_not_differ_from_itself() {
    compare_with_itself(3);
}

#[test]
#[ignore = "it takes minutes; `make soak` runs it"]
fn a_program_under_load_does_not_differ_from_itself_in_twenty_rounds() {
    compare_with_itself(20);
}

/// Compares a program with itself, three runs of each side, under a load that varies at random.
/// Asserts that no count differs, and that no time is reported as changed.
fn compare_with_itself(rounds: usize) {
    let Some(python) = Python::any() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let load = "import os, time\n\
                while True:\n\
                \x20   end = time.monotonic() + int.from_bytes(os.urandom(1)) / 512\n\
                \x20   while time.monotonic() < end: pass\n\
                \x20   time.sleep(int.from_bytes(os.urandom(1)) / 1024)\n";
    let _load: Vec<Background> = (0..2)
        .map(|_| Background::start(Command::new("python3").args(["-c", load]).stdin(Stdio::null())))
        .collect();
    let record = |name: String| -> PathBuf {
        let trace = folder.path().join(name);
        let mut command = pyrec("record");
        command.args(["-q", "-f", "--lines", "-o"]).arg(&trace).arg("--").arg(&python.program);
        assert!(run(command.arg(program("press.py")).arg("2").stdout(Stdio::null())).status.success());
        trace
    };
    for round in 0..rounds {
        let [old, new]: [Vec<PathBuf>; 2] = ["old", "new"]
            .map(|side| (0..3).map(|number| record(format!("{side}{number}.parquet"))).collect());
        let output = run(pyrec("diff").arg("--json").arg("--old").args(&old).arg("--new").args(&new));
        let diff: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", stderr(&output));
        });
        assert_no_difference(&diff);
        let functions = diff["functions"].as_array().expect("an array").iter().chain([&diff["whole"]]);
        let changed: Vec<String> = functions
            .chain(diff["gc"].as_array().expect("an array"))
            .filter(|row| {
                let verdicts = ["self_verdict", "total_verdict"].map(|key| &row[key]);
                verdicts.iter().any(|verdict| **verdict == "slower" || **verdict == "faster")
            })
            .map(Value::to_string)
            .collect();
        assert!(changed.is_empty(), "round {round}: {}", changed.join("\n"));
    }
}
