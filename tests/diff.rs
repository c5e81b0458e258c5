//! `pyrec diff` from outside: two runs, two checkouts, two versions, and what others got wrong.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::venv::Environment;
use support::{
    Background, Python, Recording, Subject, in_every_way, number, program, pyrec, run, signal, wait_for,
};
use tempfile::TempDir;

in_every_way!(the_same_program_in_two_checkouts_is_no_difference);

/// What the issues of CPython show their failures with: `f` sleeps on two lines.
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

/// A folder with copies of a program under other paths.
fn checkouts(texts: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (checkout, text) in texts {
        let checkout = folder.path().join(checkout);
        fs::create_dir_all(&checkout).expect("it is made");
        fs::write(checkout.join("demo.py"), text).expect("it is written");
    }
    folder
}

fn record(options: &[&str], script: &Path) -> Option<Recording> {
    Some(Subject::any()?.record(options, &[script]))
}

fn diff(words: &[&str], old: &Path, new: &Path) -> Output {
    run(pyrec("diff").arg(old).arg(new).args(words))
}

/// What a comparison prints that must be possible.
fn told(words: &[&str], old: &Path, new: &Path) -> String {
    let output = diff(words, old, new);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("reports are UTF-8")
}

fn json(old: &Path, new: &Path) -> Value {
    serde_json::from_str(&told(&["--json"], old, new)).expect("it is JSON")
}

/// The function of that name.
fn function<'a>(diff: &'a Value, qualname: &str) -> &'a Value {
    let functions = diff["functions"].as_array().expect("a list");
    let found = functions.iter().find(|function| function["qualname"] == qualname);
    found.unwrap_or_else(|| panic!("no {qualname} in {diff}"))
}

/// Panics with every count that is another one.
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
fn both_lines_of_a_function_do_not_get_its_whole_time() {
    let folder = checkouts(&[("demo", DEMO)]);
    let script = folder.path().join("demo/demo.py");
    let [Some(old), Some(new)] = [(); 2].map(|()| record(&["--lines"], &script)) else { return };
    let diff = json(&old.trace(), &new.trace());
    let f = function(&diff, "f");
    for (side, recording) in [("old", &old), ("new", &new)] {
        let stats = recording.json("stats");
        let alone = number(support::calls::function(&stats, "f"), "self_ns");
        assert_eq!(number(f, &format!("self_ns_{side}")), alone);
        let heat = recording.json("heat");
        let files = heat["files"].as_array().expect("a list").iter();
        let lines = files.filter(|file| file["file"] == script.to_str().expect("it is UTF-8"));
        let lines = lines.flat_map(|file| file["lines"].as_array().expect("a list"));
        let lines: Vec<&Value> = lines.collect();
        let own = |numbers: &[u64]| -> u64 {
            let of_f = lines.iter().filter(|line| numbers.contains(&number(line, "line")));
            of_f.map(|line| number(line, "self_ns")).sum()
        };
        // Line 3 has what f does before its first line, and what the module does to define it.
        assert!(own(&[4, 5]) <= alone && alone <= own(&[3, 4, 5]), "{heat} {alone}");
    }
    // In the picture f is one box, as wide as its longer side.
    let svg = told(&["--flame", "-"], &old.trace(), &new.trace());
    let boxes: Vec<&str> = svg.lines().flat_map(|line| line.split("<title>").skip(1)).collect();
    assert_eq!(boxes.iter().filter(|title| title.starts_with("f (__main__:3) ")).count(), 1, "{boxes:?}");
}

/// cpython#154087: "Differential flamegraphs do not match files from different checkout paths".
fn the_same_program_in_two_checkouts_is_no_difference(subject: &Subject) {
    let folder = checkouts(&[("old", DEMO), ("new", DEMO)]);
    let [old, new] = ["old", "new"].map(|checkout| {
        let trace = folder.path().join(format!("{checkout}.parquet"));
        let mut command = pyrec("record");
        command.args(["-q", "--lines", "--provider", subject.provider, "-o"]).arg(&trace).arg("--");
        command.arg(&subject.python.program).arg(format!("{checkout}/demo.py"));
        assert!(run(command.current_dir(folder.path())).status.success());
        trace
    });
    let diff = json(&old, &new);
    assert_no_difference(&diff);
    assert_eq!(function(&diff, "f")["module"], "__main__");
    let svg = told(&["--flame", "-"], &old, &new);
    assert!(
        svg.contains("<title>f (__main__:3) ") && !svg.contains(") gone, was") && !svg.contains(") new, ")
    );
    let text = told(&[], &old, &new);
    assert!(text.contains("calls: no difference in "), "{text}");
}

/// cpython#154089: "Replayed Tachyon flamegraphs report unknown efficiency as 100%".
#[test]
fn what_nobody_knows_is_not_shown_as_perfect() {
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
    // The recorder dies before it can say how many events were lost.
    signal(&recorder.pid(), "KILL");
    recorder.end();
    drop(recorder);
    let refused = diff(&["--json"], &trace, &trace);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("an unknown number"), "{said}");
    let answer: Value = serde_json::from_slice(&refused.stdout).expect("it is JSON");
    assert_eq!(
        (&answer["comparable"], answer["functions"].as_array().map(Vec::len)),
        (&false.into(), Some(0))
    );
    let forced: Value =
        serde_json::from_str(&told(&["--json", "--force"], &trace, &trace)).expect("it is JSON");
    assert_eq!((&forced["comparable"], &forced["trust"]["new"][0]["lost"]), (&false.into(), &Value::Null));
    let svg = told(&["--flame", "-", "--force"], &trace, &trace);
    for text in [told(&["--force"], &trace, &trace), svg] {
        assert!(text.contains("lost unknown") && text.contains("not comparable: lost events"), "{text}");
    }
}

/// cpython#154090: "Sampling binary profiles do not record the profiling mode", so that a baseline of one mode is
/// silently compared with a profile of another.
#[test]
fn recordings_of_other_modes_are_not_compared() {
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
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(reason) && said.contains("--force") && refused.stdout.is_empty(), "{said}");
        assert!(
            told(&["--force"], &plain.trace(), &other.trace()).contains(&format!("not comparable: {reason}"))
        );
    }
}

#[test]
fn two_virtual_environments_are_no_difference() {
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

/// What is called, by how often: `wait` is gone, `f` is called twice as often, `fresh` is new.
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

/// The program before and after, recorded.
fn changed() -> Option<[Recording; 2]> {
    let folder = checkouts(&[("old", DEMO), ("new", CHANGED)]);
    let [old, new] =
        ["old", "new"].map(|checkout| record(&["--lines"], &folder.path().join(checkout).join("demo.py")));
    Some([old?, new?])
}

#[test]
fn every_view_shows_what_changed() {
    let Some([old, new]) = changed() else { return };
    let told = |words: &[&str]| told(words, &old.trace(), &new.trace());
    let diff: Value = serde_json::from_str(&told(&["--json"])).expect("it is JSON");
    let calls = |name: &str| {
        let function = function(&diff, name);
        (number(function, "calls_old"), number(function, "calls_new"))
    };
    assert_eq!((calls("f"), calls("wait"), calls("fresh")), ((1, 2), (1, 0), (0, 1)));
    // What is the same in both texts is one line; the second sleep has moved from 5 to 8.
    let lines = diff["lines"].as_array().expect("a list");
    let line =
        |number: u64| lines.iter().find(|line| line["module"] == "__main__" && line["line_new"] == number);
    let sleep = line(8).expect("it was begun more often");
    assert_eq!((&sleep["line_old"], number(sleep, "hits_old"), number(sleep, "hits_new")), (&5.into(), 1, 2));
    // No run says how much its times differ by themselves.
    assert!(diff["functions"].as_array().expect("a list").iter().all(|function| {
        ["self_verdict", "total_verdict"]
            .iter()
            .all(|key| function[key] != "slower" && function[key] != "faster")
    }));

    let table = told(&[]);
    for row in ["f (__main__:6): other calls, one run", "wait (__main__:7): gone", "fresh (__main__:3): new"]
    {
        assert!(table.contains(row), "no {row} in {table}");
    }
    let tree = told(&["--view", "tree"]);
    assert!(tree.contains("<module> (__main__)") && tree.contains("  fresh (__main__:3): new"), "{tree}");
    assert!(told(&["--view", "lines"]).contains("__main__:5 → 8"));
    assert!(told(&["--view", "imports"]).contains("imports: no difference in "));
    assert!(told(&["--view", "gc"]).contains("pauses: "));
    let markdown = told(&["--markdown"]);
    assert!(markdown.contains("| `wait (__main__:7)` | 1 → 0 | "), "{markdown}");
    // Both sides in one picture, what vanished, too: by its name, and in blue.
    let svg = told(&["--flame", "-"]);
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
    let Some([old, new]) = changed() else { return };
    let gate = |rules: &[&str]| {
        let words: Vec<&str> = rules.iter().flat_map(|rule| ["--fail-on", rule]).collect();
        let output = diff(&words, &old.trace(), &new.trace());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = gate(&["calls:wai*:+0%", "calls:f:+0%", "hits:demo.py:+100%"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("the rule `calls:f:+0%` broke: f (__main__:6) had 1 and has 2 (+100.0 %)"),
        "{said}"
    );
    assert!(!said.contains("wai*"), "{said}");
    assert_eq!(gate(&["calls:f:+100%"]), (Some(0), String::new()));
    // Twice as long, by one run a side.
    let (status, said) = gate(&["total:f:+10%"]);
    assert!(status == Some(2) && said.contains("no evidence"), "{said}");
    for rule in ["calls:f", "calls:f:10%", "speed:+1%", "calls:nobody:+0%"] {
        let (status, said) = gate(&[rule]);
        assert_eq!((status, said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(rule), "{said}");
    }
}

#[test]
fn without_names_the_last_two_recordings_are_compared() {
    let Some(python) = Python::any() else { return };
    let folder = checkouts(&[("demo", DEMO)]);
    let here = |subcommand: &str| -> Command {
        let mut command = pyrec(subcommand);
        command.current_dir(folder.path());
        command
    };
    let said = String::from_utf8_lossy(&run(&mut here("diff")).stderr).into_owned();
    assert!(said.contains("pyrec.old.parquet") && said.lines().count() == 1, "{said}");
    for _ in 0..2 {
        assert!(
            run(here("record").args(["-q", "--"]).arg(&python.program).arg("demo/demo.py")).status.success()
        );
    }
    let output = run(&mut here("diff"));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && table.contains("calls: no difference"), "{table}");
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let folder = checkouts(&[("demo", DEMO)]);
    let Some(recording) = record(&[], &folder.path().join("demo/demo.py")) else { return };
    let (trace, letter) = (recording.trace(), folder.path().join("demo/demo.py"));
    for (old, new) in [(&trace, &letter), (&letter, &trace)] {
        let refused = diff(&[], old, new);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains("demo.py") && refused.stdout.is_empty(), "{said}");
    }
}

#[test]
fn a_program_under_load_is_no_other_than_itself() {
    is_no_other(3);
}

#[test]
#[ignore = "it takes minutes; `make soak` runs it"]
fn a_program_under_load_is_no_other_than_itself_twenty_times() {
    is_no_other(20);
}

/// Compares the program with itself so many times, three runs a side, while others keep every processor busy for now and
/// again. No count is another one, and no time has changed.
fn is_no_other(rounds: usize) {
    let Some(python) = Python::any() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let busy = "import os, time\n\
                while True:\n\
                \x20   end = time.monotonic() + int.from_bytes(os.urandom(1)) / 512\n\
                \x20   while time.monotonic() < end: pass\n\
                \x20   time.sleep(int.from_bytes(os.urandom(1)) / 1024)\n";
    let _load: Vec<Background> = (0..2)
        .map(|_| Background::start(Command::new("python3").args(["-c", busy]).stdin(Stdio::null())))
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
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        assert_no_difference(&diff);
        let functions = diff["functions"].as_array().expect("a list").iter().chain([&diff["whole"]]);
        let changed: Vec<String> = functions
            .chain(diff["gc"].as_array().expect("a list"))
            .filter(|row| {
                let verdicts = ["self_verdict", "total_verdict"].map(|key| &row[key]);
                verdicts.iter().any(|verdict| **verdict == "slower" || **verdict == "faster")
            })
            .map(Value::to_string)
            .collect();
        assert!(changed.is_empty(), "round {round}: {}", changed.join("\n"));
    }
}
