//! Third-party programs: test runners, debuggers, other tracers, greenlets. Recorded, they behave
//! as alone, and their calls are in the trace.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::venv::venv_with;
use support::{Python, json, number, pyrec, run, stdout};
use tempfile::TempDir;

const PACKAGES: [&str; 5] = ["coverage", "gevent", "greenlet", "pytest", "uv"];

/// A virtual environment with the packages for each way in which the agent records.
fn environments() -> impl Iterator<Item = PackageEnvironment> {
    ["3.13", "3.11"].into_iter().filter_map(|version| {
        let name = format!("packages-{version}");
        let bin = venv_with(&name, Python::find(version), &PACKAGES)?.join("bin");
        Some(PackageEnvironment {
            version,
            bin,
            directory: tempfile::tempdir().expect("a temporary directory"),
        })
    })
}

struct PackageEnvironment {
    version: &'static str,
    bin: PathBuf,
    directory: TempDir,
}

impl PackageEnvironment {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).expect("the write succeeds");
    }

    /// Runs a program of the environment alone and recorded. Asserts that output and exit status
    /// are equal.
    fn run_and_record(&self, options: &[&str], words: &[&str], input: &str) -> Recorded {
        let program = self.bin.join(words[0]);
        let alone = self.run(Command::new(&program).args(&words[1..]), input);
        let mut recorder = pyrec("record");
        recorder
            .args(["-q", "-f", "-o", "x.parquet"])
            .args(options)
            .arg("--")
            .arg(&program)
            .args(&words[1..]);
        let recorded = self.run(&mut recorder, input);
        let text = |output: &Output| {
            let text = [&output.stdout[..], &output.stderr[..]].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            // Without the durations of tests.
            text.lines()
                .map(|line| line.split(" in 0.").next().unwrap_or(line).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(text(&alone), text(&recorded), "{words:?} on {}", self.version);
        assert_eq!(alone.status.code(), recorded.status.code(), "{words:?} on {}", self.version);
        Recorded { trace: self.directory.path().join("x.parquet"), output: recorded }
    }

    fn run(&self, command: &mut Command, input: &str) -> Output {
        self.write("input", input);
        let input = fs::File::open(self.directory.path().join("input")).expect("the file is readable");
        // Without caches, so that the second run prints the same as the first.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTEST_ADDOPTS", "-p no:cacheprovider");
        command.env("UV_OFFLINE", "1").env("PYTHONHASHSEED", "0").env("NO_COLOR", "1");
        run(command.current_dir(self.directory.path()).stdin(Stdio::from(input)))
    }
}

/// A recorded program.
struct Recorded {
    trace: PathBuf,
    output: Output,
}

impl Recorded {
    /// The number of recorded calls of a function in a file.
    fn calls(&self, file: &str, name: &str) -> u64 {
        assert_eq!(number(&json(&self.trace, "info"), "lost"), 0);
        let stats = json(&self.trace, "stats");
        let functions = stats["functions"].as_array().expect("an array");
        let matching = functions.iter().filter(|function| {
            let path = function["file"].as_str().expect("a string");
            Path::new(path).file_name().is_some_and(|base| base == file) && function["name"] == name
        });
        matching.map(|function| number(function, "calls")).sum()
    }
}

#[test]
fn pytest_exits_with_its_status_and_its_tests_are_recorded() {
    let tests = "\
import pytest
def helper(): return 1
@pytest.fixture
def one(): return helper()
@pytest.mark.parametrize('n', range(5))
def test_good(n, one): assert helper() == one
def test_bad(): assert helper() == 2
";
    for environment in environments() {
        environment.write("test_it.py", tests);
        for words in [&["pytest", "-q", "test_it.py"][..], &["python", "-m", "pytest", "-q", "test_it.py"]] {
            let recorded = environment.run_and_record(&[], words, "");
            assert_eq!(recorded.output.status.code(), Some(1));
            let calls =
                ["test_good", "one", "test_bad", "helper"].map(|name| recorded.calls("test_it.py", name));
            assert_eq!(calls, [5, 5, 1, 11], "{words:?} on {}", environment.version);
        }
    }
}

#[test]
fn a_script_run_by_uv_is_recorded() {
    for environment in environments() {
        environment
            .write("script.py", "def marked(): pass\nfor _ in range(3): marked()\nraise SystemExit(4)\n");
        let python = environment.bin.join("python").display().to_string();
        let words = ["uv", "run", "--quiet", "--no-project", "--python", &python, "script.py"];
        let recorded = environment.run_and_record(&[], &words, "");
        assert_eq!((recorded.output.status.code(), recorded.calls("script.py", "marked")), (Some(4), 3));
    }
}

#[test]
fn coverage_reports_the_same_lines() {
    let script = "\
import threading
def seen(n):
    if n > 10:
        return 'never'
    return n
for n in range(5): seen(n)
thread = threading.Thread(target=seen, args=(1,))
thread.start()
thread.join()
";
    for environment in environments() {
        environment.write("script.py", script);
        for (core, options) in [("pytrace", &[][..]), ("ctrace", &["--lines"]), ("sysmon", &["--lines"])] {
            if core == "sysmon" && environment.version == "3.11" {
                continue;
            }
            environment.write(".coveragerc", &format!("[run]\ncore = {core}\n"));
            let recorded = environment.run_and_record(options, &["coverage", "run", "script.py"], "");
            assert_eq!(recorded.calls("script.py", "seen"), 6, "{core} on {}", environment.version);
            let report = environment.run(
                Command::new(environment.bin.join("coverage")).args(["report", "-m", "--include=script.py"]),
                "",
            );
            let report = stdout(&report);
            assert!(
                report.contains("89%") && report.contains(" 4\n"),
                "{core} on {}: {report}",
                environment.version
            );
        }
    }
}

#[test]
fn pdb_stops_at_the_same_lines() {
    let script = "def f(n):\n    m = n + 1\n    return m\nprint(f(1))\nprint(f(2))\n";
    for environment in environments() {
        environment.write("script.py", script);
        let input = "break f\ncontinue\np n\nnext\np m\nwhere\ncontinue\np n\nreturn\ncontinue\nquit\n";
        for options in [&[][..], &["--lines"]] {
            let recorded = environment.run_and_record(options, &["python", "-m", "pdb", "script.py"], input);
            assert_eq!(recorded.calls("script.py", "f"), 2, "{}", environment.version);
        }
    }
}

#[test]
fn calls_in_greenlets_and_after_them_are_recorded() {
    let script = "\
from greenlet import greenlet
def step(name): pass
def ping():
    for _ in range(3): step('ping'); b.switch()
def pong():
    while True: step('pong'); a.switch()
def fails(): raise KeyError
def switches():
    global a, b
    a, b = greenlet(ping), greenlet(pong)
    a.switch()
    try: greenlet(fails).switch()
    except KeyError: print('raised')
def after(): pass
switches()
after()
";
    let gevent_script = "\
import gevent
def step(): pass
def work():
    for _ in range(3): step(); gevent.sleep(0)
def main(): gevent.joinall([gevent.spawn(work) for _ in range(10)])
def after(): pass
main()
after()
";
    for environment in environments() {
        environment.write("greenlets.py", script);
        let recorded = environment.run_and_record(&[], &["python", "greenlets.py"], "");
        // Without `pong`, which never returns.
        let calls = ["step", "ping", "fails", "switches", "after"];
        assert_eq!(
            calls.map(|name| recorded.calls("greenlets.py", name)),
            [6, 1, 1, 1, 1],
            "{}",
            environment.version
        );
        assert!(module_calls_after(&recorded), "{}", environment.version);

        environment.write("gevents.py", gevent_script);
        let recorded = environment.run_and_record(&[], &["python", "gevents.py"], "");
        assert_eq!(
            ["step", "work"].map(|name| recorded.calls("gevents.py", name)),
            [30, 10],
            "{}",
            environment.version
        );
        assert!(module_calls_after(&recorded), "{}", environment.version);
    }
}

/// Whether the module called `after`.
fn module_calls_after(recorded: &Recorded) -> bool {
    let tree = support::report(&recorded.trace, "tree", &["--depth", "2"]);
    tree.lines().any(|line| line.contains(" after "))
}
