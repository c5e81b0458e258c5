//! `pyrec top --batch`: its counts equal those of independent counters.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::call_counts::{Calls, assert_same, counted};
use support::static_markers::Gated;
use support::{
    Background, Python, Setup, has_program, on_every_agent, on_every_function_marker, program, pyrec, run,
    signal, stderr, stdout,
};

on_every_agent!(counts_of_the_agent_equal_those_of_a_profile_function);
on_every_function_marker!(
    counts_of_the_kernel_equal_those_of_a_profile_function,
    counts_of_the_kernel_equal_those_of_bpftrace,
    calls_that_are_too_deep_are_counted_but_not_timed
);

/// The numbers of calls in the last table of `pyrec top --batch`, which covers the whole time.
/// Names must have no spaces.
fn last_table(printed: &str, roots: &[&str]) -> Calls {
    let table = printed.split("since the start").nth(1).unwrap_or_else(|| panic!("no last table: {printed}"));
    let mut calls = Calls::new();
    for row in table.lines().skip(2) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let (names, numbers) = words.split_at(words.len() - 4);
        let [_, file @ .., line, name] = names else { panic!("no row: {row}") };
        let file = file.join(" ");
        if roots.iter().any(|root| file.starts_with(root)) && numbers[0] != "0" {
            let name = name.rsplit('.').next().unwrap_or(name).to_owned();
            let line = line.parse().expect("a line number");
            *calls.entry((file, line, name)).or_default() +=
                numbers[0].parse::<u64>().expect("a number of calls");
        }
    }
    calls
}

/// The output of `pyrec top --batch OPTIONS… PYTHON ARGUMENTS…`. Panics if events were lost.
fn top_output(setup: &Setup, options: &[&str], arguments: &[std::path::PathBuf]) -> String {
    let mut command = pyrec("top");
    command.args(["--batch", "--rows", "0", "--provider", setup.provider]).args(options);
    let output = run(command.arg("--").arg(&setup.python.program).args(arguments));
    let printed = stdout(&output);
    assert!(output.status.success(), "{printed}{}", stderr(&output));
    assert!(printed.contains(", 0 lost"), "{printed}");
    printed
}

fn programs() -> String {
    program("").to_string_lossy().into_owned()
}

fn compare(setup: &Setup, arguments: &[std::path::PathBuf]) {
    let (programs, options) = (programs(), ["--markers", "function"]);
    let counted = counted(&setup.python, arguments, &[&programs]);
    assert_same(&counted, &last_table(&top_output(setup, &options, arguments), &[&programs]));
}

fn counts_of_the_agent_equal_those_of_a_profile_function(setup: &Setup) {
    compare(setup, &[program("matrix.py")]);
}

/// Parts of `matrix.py` that start no process. On 3.15 without throwing into generators, for which
/// it fires no entry.
fn counts_of_the_kernel_equal_those_of_a_profile_function(setup: &Setup) {
    let parts = "recursion methods exceptions comprehensions lambdas decorators classes evaluated collections threads";
    let throwing = "generators throws coroutines".split_whitespace();
    let throwing = throwing.filter(|_| setup.python.version != "3.15");
    let parts = parts.split_whitespace().chain(throwing);
    let arguments: Vec<_> = [program("matrix.py")].into_iter().chain(parts.map(Into::into)).collect();
    compare(setup, &arguments);
}

/// bpftrace, counting the calls of each function in a process.
struct FunctionCounter {
    bpftrace: Background,
    output: BufReader<std::process::ChildStdout>,
}

impl FunctionCounter {
    fn attach(pid: &str) -> FunctionCounter {
        let source = format!(
            "usdt:/proc/{pid}/exe:python:function__entry /pid == {pid}/ {{ @[str(arg1)] = count(); }} \
             interval:ms:100 {{ printf(\"ready\\n\"); }}"
        );
        let mut command = Command::new("bpftrace");
        command.args(["-f", "json", "-e", &source]);
        let mut bpftrace = Background::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let output = BufReader::new(bpftrace.0.stdout.take().expect("standard output is piped"));
        let mut counter = FunctionCounter { bpftrace, output };
        while !counter.read_line().contains("ready") {}
        counter
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).expect("the output is text") > 0, "bpftrace ended");
        line
    }

    /// Ends bpftrace. Returns the counts by name: the stack of a BPF program has no room for a path
    /// as well.
    fn counts(self) -> BTreeMap<String, u64> {
        signal(&self.bpftrace.pid(), "INT");
        let lines = self.output.lines().map_while(Result::ok);
        let maps = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let maps = maps
            .filter(|object| object["type"] == "map")
            .flat_map(|map| map["data"]["@"].as_object().expect("an object").clone());
        maps.map(|(name, count)| (name, count.as_u64().expect("an integer"))).collect()
    }
}

/// Both count the same run.
fn counts_of_the_kernel_equal_those_of_bpftrace(setup: &Setup) {
    if !has_program("bpftrace") {
        return;
    }
    // On 3.15 without generators: their creation fires an extra entry, which pyrec leaves out.
    let parts: &[&str] = match setup.python.version.as_str() {
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
    let mut gated = Gated::start(&setup.python, &program("matrix.py"), parts);
    let mut command = pyrec("top");
    command.args(["--batch", "--rows", "0", "--interval", "0.1", "--provider", "usdt", "-p", &gated.pid()]);
    let mut top = Background::start(command.stdout(Stdio::piped()));
    let mut printed = BufReader::new(top.0.stdout.take().expect("standard output is piped"));
    let mut text = String::new();
    printed.read_line(&mut text).expect("the output is text");
    assert!(text.starts_with("pyrec top: "), "{text}");
    let counter = FunctionCounter::attach(&gated.pid());

    gated.go();
    assert!(gated.process.wait().success());
    std::io::Read::read_to_string(&mut printed, &mut text).expect("the output is text");
    assert!(top.wait().success());
    let mut by_pyrec = BTreeMap::new();
    for ((.., name), calls) in last_table(&text, &[""]) {
        *by_pyrec.entry(name).or_default() += calls;
    }
    let by_bpftrace = counter.counts();
    assert!(by_bpftrace.len() > 5, "{by_bpftrace:?}");
    assert_eq!(by_pyrec, by_bpftrace);
}

fn calls_that_are_too_deep_are_counted_but_not_timed(setup: &Setup) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("deep.py");
    std::fs::write(&file, "def down(n):\n    return n and down(n - 1)\nfor _ in range(3):\n    down(599)\n")
        .expect("the write succeeds");
    let printed = top_output(setup, &["--include", "deep.py"], std::slice::from_ref(&file));
    let calls = last_table(&printed, &[&folder.path().to_string_lossy()]);
    let down = calls.iter().find(|((_, _, name), _)| name == "down").map(|(_, calls)| *calls);
    assert_eq!(down, Some(1800), "{printed}");
    // 256 open calls are timed, of which the first is that of the module.
    let untimed = 3 * (600 - 255);
    assert!(printed.contains(&format!("{} counted but not timed", "1,035")) && untimed == 1035, "{printed}");
}

#[test]
fn batch_prints_the_requested_tables_and_keeps_output_and_status_of_the_program() {
    let Some(python) = Python::any() else { return };
    let top = |options: &[&str], code: &str| {
        let mut command = pyrec("top");
        let output = run(command.arg("--batch").args(options).arg(&python.program).args(["-c", code]));
        (output.status.code(), stdout(&output))
    };
    let (status, printed) = top(&["-n", "2", "--interval", "0.2"], "import time; time.sleep(1); exit(7)");
    assert_eq!((status, printed.matches("pyrec top: ").count()), (Some(7), 2), "{printed}");
    assert!(!printed.contains("since the start"), "{printed}");
    let (status, printed) = top(&["--interval", "100"], "print('hello'); import os; os.kill(os.getpid(), 9)");
    assert_eq!((status, printed.matches("pyrec top: ").count()), (Some(137), 1), "{printed}");
    assert!(printed.starts_with("hello\n") || printed.contains("\nhello\n"), "{printed}");
    let (_, printed) = top(&["--lines", "--markers", "function,gc"], "import gc\ngc.collect()\nexit()");
    let headline =
        printed.lines().find(|line| line.contains("since the start")).expect("the output has a last table");
    assert!(headline.contains(" lines/s") && headline.contains(" collections/s"), "{headline}");
    assert!(!headline.contains("imports"), "{headline}");
}

#[test]
fn the_agent_counts_in_a_running_process() {
    let Some(Setup { python, .. }) = Setup::agent("3.14") else { return };
    let mut command = python.command();
    let mut steady = Background::start(command.arg(program("steady.py")).stdout(Stdio::piped()));
    let mut line = String::new();
    let mut reader = BufReader::new(steady.0.stdout.take().expect("standard output is piped"));
    reader.read_line(&mut line).expect("the output is text");
    let words = ["--batch", "-n", "1", "--rows", "0", "--interval", "0.5", "--provider", "agent", "-p"];
    let output = run(pyrec("top").args(words).arg(steady.pid()));
    let printed = stdout(&output);
    assert!(output.status.success(), "{printed}{}", stderr(&output));
    let rows: Vec<Vec<&str>> = printed.lines().skip(2).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], rows[0][3]), (&*steady.pid(), "step"), "{printed}");
    // The call of main was open at the start, so it is timed but not counted.
    let main = rows.iter().find(|row| row[3] == "main").unwrap_or_else(|| panic!("no main: {printed}"));
    assert_eq!((main[4], main[6] != "0.000000"), ("0", true), "{printed}");
}

#[test]
fn without_a_terminal_batch_is_required() {
    let output = run(pyrec("top").args(["-c", "1"]));
    let stderr = stderr(&output);
    assert_eq!(
        (output.status.code(), &*stderr),
        (Some(1), "pyrec: standard output is not a terminal; give --batch for plain text\n")
    );
}

#[test]
fn invalid_targets_are_refused_in_one_sentence() {
    let table: &[(&[&str], &str)] = &[
        (&["/no/such/program"], "there is no such program"),
        (&["--all", "--provider", "agent"], "--provider usdt"),
        (&["-p", "2147483647"], "there is no process"),
        (&["--line", "x.py"], "there is no option --line; `pyrec top --help`"),
    ];
    for (words, expected) in table {
        let output = run(pyrec("top").arg("--batch").args(*words));
        let stderr = stderr(&output);
        assert!(output.status.code() == Some(1) && stderr.contains(expected), "{words:?}: {stderr}");
    }
}
