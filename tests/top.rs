//! `pyrec top`: counts equal those of independent counters, and the table can be had in a pipe.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::calls::{Calls, assert_same, counted};
use support::markers::Gated;
use support::{
    Background, Python, Subject, on_every_agent, on_every_function_marker, program, pyrec, run, signal,
    skipped,
};

on_every_agent!(counts_are_those_of_a_profile_function);
on_every_function_marker!(
    kernel_counts_are_those_of_a_profile_function,
    and_those_of_bpftrace,
    what_is_too_deep_is_counted_and_told
);

/// The table of all at the end of what `pyrec top --batch` printed: by file, line and name. Names have no spaces.
fn last_table(printed: &str, roots: &[&str]) -> Calls {
    let table =
        printed.split("since the beginning").nth(1).unwrap_or_else(|| panic!("no last table: {printed}"));
    let mut calls = Calls::new();
    for row in table.lines().skip(2) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let (names, numbers) = words.split_at(words.len() - 4);
        let [_, file @ .., line, name] = names else { panic!("no row: {row}") };
        let file = file.join(" ");
        if roots.iter().any(|root| file.starts_with(root)) && numbers[0] != "0" {
            let name = name.rsplit('.').next().unwrap_or(name).to_owned();
            let line = line.parse().expect("a line");
            *calls.entry((file, line, name)).or_default() += numbers[0].parse::<u64>().expect("calls");
        }
    }
    calls
}

/// What `pyrec top --batch OPTIONS… PYTHON ARGUMENTS…` prints. Nothing may be lost.
fn watched(subject: &Subject, options: &[&str], arguments: &[std::path::PathBuf]) -> String {
    let mut command = pyrec("top");
    command.args(["--batch", "--rows", "0", "--provider", subject.provider]).args(options);
    let output = run(command.arg("--").arg(&subject.python.program).args(arguments));
    let printed = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains(", 0 lost"), "{printed}");
    printed
}

fn programs() -> String {
    program("").to_string_lossy().into_owned()
}

fn compare(subject: &Subject, arguments: &[std::path::PathBuf]) {
    let (programs, options) = (programs(), ["--markers", "function"]);
    let counted = counted(&subject.python, arguments, &[&programs]);
    assert_same(&counted, &last_table(&watched(subject, &options, arguments), &[&programs]));
}

fn counts_are_those_of_a_profile_function(subject: &Subject) {
    compare(subject, &[program("matrix.py")]);
}

/// Parts of the matrix that start no other program. On 3.15 those that throw nothing into a generator, of which its
/// markers tell no entry.
fn kernel_counts_are_those_of_a_profile_function(subject: &Subject) {
    let parts = "recursion methods exceptions comprehensions lambdas decorators classes evaluated collections threads";
    let throwing = "generators throws coroutines".split_whitespace();
    let throwing = throwing.filter(|_| subject.python.version != "3.15");
    let parts = parts.split_whitespace().chain(throwing);
    let arguments: Vec<_> = [program("matrix.py")].into_iter().chain(parts.map(Into::into)).collect();
    compare(subject, &arguments);
}

/// What bpftrace counts per function in a process, until it has ended.
struct Beside {
    bpftrace: Background,
    output: BufReader<std::process::ChildStdout>,
}

impl Beside {
    fn attach(pid: &str) -> Beside {
        let source = format!(
            "usdt:/proc/{pid}/exe:python:function__entry /pid == {pid}/ {{ @[str(arg1)] = count(); }} \
             interval:ms:100 {{ printf(\"ready\\n\"); }}"
        );
        let mut command = Command::new("bpftrace");
        command.args(["-f", "json", "-e", &source]);
        let mut bpftrace = Background::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let output = BufReader::new(bpftrace.0.stdout.take().expect("it is piped"));
        let mut beside = Beside { bpftrace, output };
        while !beside.line().contains("ready") {}
        beside
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).expect("it prints text") > 0, "bpftrace ended");
        line
    }

    /// By name: there is no room for a path beside it on the stack of a BPF program.
    fn counts(self) -> BTreeMap<String, u64> {
        signal(&self.bpftrace.pid(), "INT");
        let lines = self.output.lines().map_while(Result::ok);
        let maps = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let maps = maps
            .filter(|object| object["type"] == "map")
            .flat_map(|map| map["data"]["@"].as_object().expect("a map has data").clone());
        maps.map(|(name, count)| (name, count.as_u64().expect("a count"))).collect()
    }
}

/// On one run of one program.
fn and_those_of_bpftrace(subject: &Subject) {
    if Command::new("bpftrace").arg("--version").output().is_err() {
        return skipped("there is no bpftrace");
    }
    // On 3.15 those that make no generator, which has an entry too many that pyrec leaves out.
    let parts: &[&str] = match subject.python.version.as_str() {
        "3.15" => &["recursion", "methods", "exceptions", "decorators", "evaluated"],
        _ => &[
            "recursion",
            "methods",
            "generators",
            "throws",
            "exceptions",
            "lambdas",
            "coroutines",
            "threads",
        ],
    };
    let mut gated = Gated::start(&subject.python, &program("matrix.py"), parts);
    let mut command = pyrec("top");
    command.args(["--batch", "--rows", "0", "--interval", "0.1", "--provider", "usdt", "-p", &gated.pid()]);
    let mut top = Background::start(command.stdout(Stdio::piped()));
    let mut printed = BufReader::new(top.0.stdout.take().expect("it is piped"));
    let mut text = String::new();
    printed.read_line(&mut text).expect("it prints text");
    assert!(text.starts_with("pyrec top: "), "it is attached: {text}");
    let beside = Beside::attach(&gated.pid());

    gated.go();
    assert!(gated.process.end().success());
    std::io::Read::read_to_string(&mut printed, &mut text).expect("it prints text");
    assert!(top.end().success());
    let mut ours = BTreeMap::new();
    for ((.., name), calls) in last_table(&text, &[""]) {
        *ours.entry(name).or_default() += calls;
    }
    let theirs = beside.counts();
    assert!(theirs.len() > 5, "{theirs:?}");
    assert_eq!(ours, theirs);
}

fn what_is_too_deep_is_counted_and_told(subject: &Subject) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("deep.py");
    std::fs::write(&file, "def down(n):\n    return n and down(n - 1)\nfor _ in range(3):\n    down(599)\n")
        .expect("room for a small file");
    let printed = watched(subject, &["--include", "deep.py"], std::slice::from_ref(&file));
    let calls = last_table(&printed, &[&folder.path().to_string_lossy()]);
    let down = calls.iter().find(|((_, _, name), _)| name == "down").map(|(_, calls)| *calls);
    assert_eq!(down, Some(1800), "{printed}");
    // The module is the first of 256 that are timed.
    let untimed = 3 * (600 - 255);
    assert!(printed.contains(&format!("{} counted but not timed", "1,035")) && untimed == 1035, "{printed}");
}

/// A table for each interval, as many as were asked for, and the program's own output and status.
#[test]
fn batch_ends_as_it_was_told() {
    let Some(python) = Python::any() else { return };
    let top = |options: &[&str], code: &str| {
        let mut command = pyrec("top");
        let output = run(command.arg("--batch").args(options).arg(&python.program).args(["-c", code]));
        (output.status.code(), String::from_utf8(output.stdout).expect("it is text"))
    };
    let (status, printed) = top(&["-n", "2", "--interval", "0.2"], "import time; time.sleep(1); exit(7)");
    assert_eq!((status, printed.matches("pyrec top: ").count()), (Some(7), 2), "{printed}");
    assert!(!printed.contains("since the beginning"), "{printed}");
    let (status, printed) = top(&["--interval", "100"], "print('hello'); import os; os.kill(os.getpid(), 9)");
    assert_eq!((status, printed.matches("pyrec top: ").count()), (Some(137), 1), "{printed}");
    assert!(printed.starts_with("hello\n") || printed.contains("\nhello\n"), "{printed}");
    let (_, printed) = top(&["--lines", "--markers", "function,gc"], "import gc\ngc.collect()\nexit()");
    let headline = printed.lines().find(|line| line.contains("since the beginning")).expect("a last table");
    assert!(headline.contains(" lines/s") && headline.contains(" collections/s"), "{headline}");
    assert!(!headline.contains("imports"), "{headline}");
}

#[test]
fn a_process_that_runs_already_is_watched_from_inside() {
    let Some(Subject { python, .. }) = Subject::agent("3.14") else { return };
    let mut command = python.command();
    let mut steady = Background::start(command.arg(program("steady.py")).stdout(Stdio::piped()));
    let mut line = String::new();
    let mut reader = BufReader::new(steady.0.stdout.take().expect("it is piped"));
    reader.read_line(&mut line).expect("it prints text");
    let words = ["--batch", "-n", "1", "--rows", "0", "--interval", "0.5", "--provider", "agent", "-p"];
    let output = run(pyrec("top").args(words).arg(steady.pid()));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Vec<&str>> = printed.lines().skip(2).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], rows[0][3]), (&*steady.pid(), "step"), "{printed}");
    // It was open before anybody looked, and is timed from then on without being counted as entered.
    let main = rows.iter().find(|row| row[3] == "main").unwrap_or_else(|| panic!("no main: {printed}"));
    assert_eq!((main[4], main[6] != "0.000000"), ("0", true), "{printed}");
}

#[test]
fn a_pipe_is_no_terminal() {
    let output = run(pyrec("top").args(["-c", "1"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), &*said),
        (Some(1), "pyrec: standard output is no terminal; give --batch for plain text\n")
    );
}

#[test]
fn what_cannot_be_watched_is_refused_in_a_sentence() {
    let table: &[(&[&str], &str)] = &[
        (&["/no/such/program"], "there is no such program"),
        (&["--all", "--provider", "agent"], "--provider usdt"),
        (&["-p", "2147483647"], "there is no process"),
        (&["--line", "x.py"], "there is no option --line; `pyrec top --help`"),
    ];
    for (words, expected) in table {
        let output = run(pyrec("top").arg("--batch").args(*words));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(expected), "{words:?}: {said}");
    }
}
