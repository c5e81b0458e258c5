//! Programs that others wrote: test runners, debuggers, other tracers, greenlets. They do what they do without us, and what
//! they call is recorded.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::venv::venv_with;
use support::{Python, json, number, pyrec, run};
use tempfile::TempDir;

const PACKAGES: [&str; 5] = ["coverage", "gevent", "greenlet", "pytest", "uv"];

/// A Python for each way to record from inside, with the packages.
fn guests() -> impl Iterator<Item = Guest> {
    ["3.13", "3.11"].into_iter().filter_map(|version| {
        let name = format!("guests-{version}");
        let bin = venv_with(&name, Python::find(version), &PACKAGES)?.join("bin");
        Some(Guest { version, bin, directory: tempfile::tempdir().expect("a temporary directory") })
    })
}

struct Guest {
    version: &'static str,
    bin: PathBuf,
    directory: TempDir,
}

impl Guest {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).expect("the directory is ours");
    }

    /// Runs `PROGRAM ARGUMENTS…`, a program of the environment, alone and recorded. Both must say and return the same.
    fn same(&self, options: &[&str], words: &[&str], input: &str) -> Recorded {
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
        let say = |output: &Output| {
            let text = [&output.stdout[..], &output.stderr[..]].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            // How long tests took.
            text.lines()
                .map(|line| line.split(" in 0.").next().unwrap_or(line).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(say(&alone), say(&recorded), "{words:?} on {}", self.version);
        assert_eq!(alone.status.code(), recorded.status.code(), "{words:?} on {}", self.version);
        Recorded { trace: self.directory.path().join("x.parquet"), output: recorded }
    }

    fn run(&self, command: &mut Command, input: &str) -> Output {
        self.write("input", input);
        let input = fs::File::open(self.directory.path().join("input")).expect("it was written");
        // What a guest keeps from its first run would be another thing to say in the second.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTEST_ADDOPTS", "-p no:cacheprovider");
        command.env("UV_OFFLINE", "1").env("PYTHONHASHSEED", "0").env("NO_COLOR", "1");
        run(command.current_dir(self.directory.path()).stdin(Stdio::from(input)))
    }
}

struct Recorded {
    trace: PathBuf,
    output: Output,
}

impl Recorded {
    /// How often a function of that file was called.
    fn calls(&self, file: &str, name: &str) -> u64 {
        assert_eq!(number(&json(&self.trace, "info"), "lost"), 0);
        let stats = json(&self.trace, "stats");
        let functions = stats["functions"].as_array().expect("functions are a list");
        let mine = functions.iter().filter(|function| {
            let path = function["file"].as_str().expect("it has a file");
            Path::new(path).file_name().is_some_and(|base| base == file) && function["name"] == name
        });
        mine.map(|function| number(function, "calls")).sum()
    }
}

#[test]
fn pytest_and_its_exit_status() {
    let tests = "\
import pytest
def helper(): return 1
@pytest.fixture
def one(): return helper()
@pytest.mark.parametrize('n', range(5))
def test_good(n, one): assert helper() == one
def test_bad(): assert helper() == 2
";
    for guest in guests() {
        guest.write("test_it.py", tests);
        for words in [&["pytest", "-q", "test_it.py"][..], &["python", "-m", "pytest", "-q", "test_it.py"]] {
            let recorded = guest.same(&[], words, "");
            assert_eq!(recorded.output.status.code(), Some(1));
            let calls =
                ["test_good", "one", "test_bad", "helper"].map(|name| recorded.calls("test_it.py", name));
            assert_eq!(calls, [5, 5, 1, 11], "{words:?} on {}", guest.version);
        }
    }
}

#[test]
fn uv_run() {
    for guest in guests() {
        guest.write("script.py", "def marked(): pass\nfor _ in range(3): marked()\nraise SystemExit(4)\n");
        let python = guest.bin.join("python").display().to_string();
        let words = ["uv", "run", "--quiet", "--no-project", "--python", &python, "script.py"];
        let recorded = guest.same(&[], &words, "");
        assert_eq!((recorded.output.status.code(), recorded.calls("script.py", "marked")), (Some(4), 3));
    }
}

#[test]
fn coverage_sees_the_same_lines() {
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
    for guest in guests() {
        guest.write("script.py", script);
        for (core, options) in [("pytrace", &[][..]), ("ctrace", &["--lines"]), ("sysmon", &["--lines"])] {
            if core == "sysmon" && guest.version == "3.11" {
                continue;
            }
            guest.write(".coveragerc", &format!("[run]\ncore = {core}\n"));
            let recorded = guest.same(options, &["coverage", "run", "script.py"], "");
            assert_eq!(recorded.calls("script.py", "seen"), 6, "{core} on {}", guest.version);
            let report = guest.run(
                Command::new(guest.bin.join("coverage")).args(["report", "-m", "--include=script.py"]),
                "",
            );
            let report = String::from_utf8_lossy(&report.stdout).into_owned();
            assert!(
                report.contains("89%") && report.contains(" 4\n"),
                "{core} on {}: {report}",
                guest.version
            );
        }
    }
}

#[test]
fn the_debugger_stops_where_it_would() {
    let script = "def f(n):\n    m = n + 1\n    return m\nprint(f(1))\nprint(f(2))\n";
    for guest in guests() {
        guest.write("script.py", script);
        let input = "break f\ncontinue\np n\nnext\np m\nwhere\ncontinue\np n\nreturn\ncontinue\nquit\n";
        for options in [&[][..], &["--lines"]] {
            let recorded = guest.same(options, &["python", "-m", "pdb", "script.py"], input);
            assert_eq!(recorded.calls("script.py", "f"), 2, "{}", guest.version);
        }
    }
}

/// Calls before and after a switch are all there, and what comes after the greenlets stands where it belongs.
#[test]
fn greenlets() {
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
    let gevents = "\
import gevent
def step(): pass
def work():
    for _ in range(3): step(); gevent.sleep(0)
def main(): gevent.joinall([gevent.spawn(work) for _ in range(10)])
def after(): pass
main()
after()
";
    for guest in guests() {
        guest.write("greenlets.py", script);
        let recorded = guest.same(&[], &["python", "greenlets.py"], "");
        // Not `pong`, which never returns.
        let calls = ["step", "ping", "fails", "switches", "after"];
        assert_eq!(
            calls.map(|name| recorded.calls("greenlets.py", name)),
            [6, 1, 1, 1, 1],
            "{}",
            guest.version
        );
        assert!(is_after_called_at_the_top(&recorded), "{}", guest.version);

        guest.write("gevents.py", gevents);
        let recorded = guest.same(&[], &["python", "gevents.py"], "");
        assert_eq!(
            ["step", "work"].map(|name| recorded.calls("gevents.py", name)),
            [30, 10],
            "{}",
            guest.version
        );
        assert!(is_after_called_at_the_top(&recorded), "{}", guest.version);
    }
}

/// Whether `after` was called by the module itself.
fn is_after_called_at_the_top(recorded: &Recorded) -> bool {
    let tree = support::report(&recorded.trace, "tree", &["--depth", "2"]);
    tree.lines().any(|line| line.contains(" after "))
}
