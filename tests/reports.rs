//! The reports of one trace: their JSON, their agreement with each other, filters, and errors for
//! invalid input.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use support::call_counts::function;
use support::{Python, Recording, Setup, in_every_way, number, program, pyrec, run, stderr, stdout};

in_every_way!(times_are_those_that_the_program_slept);

/// A recording of `press.py` for all tests.
fn press() -> Option<&'static Recording> {
    static PRESS: OnceLock<Option<Recording>> = OnceLock::new();
    let recording = PRESS.get_or_init(|| {
        Some(Setup::any()?.record(&["--lines"], &[program("press.py").as_os_str(), "4".as_ref()]))
    });
    recording.as_ref()
}

fn times_are_those_that_the_program_slept(setup: &Setup) {
    const MS: u64 = 1_000_000;
    let stats = setup.record(&[], &[program("sleeps.py")]).json("stats");
    let (inner, outer) = (function(&stats, "inner"), function(&stats, "outer"));
    assert_eq!((number(inner, "calls"), number(outer, "calls")), (2, 1));
    assert!(number(inner, "min_ns") >= 40 * MS && number(inner, "total_ns") >= 80 * MS, "{inner}");
    // `outer` calls `inner` and sleeps itself.
    let difference = number(outer, "total_ns") - number(inner, "total_ns");
    assert_eq!(number(outer, "self_ns"), difference, "{inner} {outer}");
    assert!(difference >= 20 * MS, "{outer}");
    assert_eq!(number(outer, "min_ns"), number(outer, "max_ns"));
    // On a busy machine a sleep takes longer, but not by seconds.
    assert!(number(outer, "total_ns") < 5_000 * MS, "{outer}");
}

#[test]
fn stats_json_has_the_documented_keys() {
    let Some(press) = press() else { return };
    let stats = press.json("stats");
    let functions = stats["functions"].as_array().expect("an array");
    for function in functions {
        for key in ["file", "name", "qualname"] {
            assert!(function[key].is_string(), "{key}: {function}");
        }
        assert!(function["first_line"].is_u64() || function["first_line"].is_null(), "{function}");
        assert!(function["module"].is_string() || function["module"].is_null(), "{function}");
        let [min, mean, max] =
            ["min_ns", "mean_ns", "max_ns"].map(|key| function[key].as_f64().expect("a number"));
        assert!(min <= mean && mean <= max, "{function}");
        assert!(number(function, "calls") > 0, "{function}");
        // The self time of a recursive function may exceed the total time of one call, but not that
        // of all calls.
        assert!(number(function, "self_ns") <= number(function, "total_ns"), "{function}");
    }
    let qualified = |name: &str| functions.iter().filter(|function| function["qualname"] == name).count();
    assert_eq!((qualified("Printer.print_text"), qualified("HtmlPrinter.print_text")), (1, 1));
    assert_eq!(function(&stats, "list_of")["qualname"], "Parser.list_of");
    let escape = functions
        .iter()
        .find(|function| function["qualname"] == "escape")
        .expect("the program calls html.escape");
    assert_eq!(escape["module"], "html");
}

#[test]
fn all_reports_agree_on_how_far_to_trust_them() {
    let Some(press) = press() else { return };
    let (info, stats) = (press.json("info"), press.json("stats"));
    let events = number(&info, "events");
    assert_eq!((number(&stats["trust"], "events"), number(&stats["trust"], "lost")), (events, 0));
    assert_eq!(stats["trust"]["ended"], info["ended"]);

    let svg = press.directory.path().join("flame.svg");
    press.report("flame", &[svg.to_str().expect("UTF-8")]);
    let texts = [
        press.report("stats", &[]),
        press.report("tree", &["--root", "reach"]),
        press.report("info", &[]),
        press.report("threads", &[]),
        press.report("worst", &["build"]),
        press.report("gc", &[]),
        press.report("imports", &[]),
        press.report("audit", &[]),
        press.report("dump", &["--markers", "process__start"]),
        fs::read_to_string(svg).expect("the file is readable"),
    ];
    // Numbers may have any separators.
    let digits = events.to_string();
    for text in texts {
        let found = text.lines().any(|line| {
            line.contains("event") && line.contains("lost") && {
                let only: String = line.chars().filter(char::is_ascii_digit).collect();
                only.contains(&digits)
            }
        });
        assert!(found, "no trust line with {events} events in: …{}", &text[text.len().saturating_sub(600)..]);
    }
}

#[test]
fn info_json_has_the_documented_keys() {
    let Some(press) = press() else { return };
    let info = press.json("info");
    let recorder_markers =
        ["process__start", "process__exit", "thread__start", "thread__exit", "lost", "source"];
    let markers = info["markers"].as_object().expect("an object");
    let of_python = markers.iter().filter(|(name, _)| !recorder_markers.contains(&name.as_str()));
    let sum: u64 = of_python.map(|(_, count)| count.as_u64().expect("an integer")).sum();
    assert_eq!(number(&info, "events"), sum);
    assert_eq!((number(&info, "lost"), number(&info, "threads"), number(&info, "processes")), (0, 1, 1));
    assert!(info["repaired"].is_object(), "{info}");
    assert_eq!(
        (&info["ended"], &info["provider"]),
        (&serde_json::json!({"how": "exited", "status": 0}), &"agent".into())
    );
    assert!(info["python"].as_str().is_some_and(|version| version.starts_with("3.")), "{info}");
    let command = info["command"].to_string();
    assert!(command.contains("press.py"), "{info}");
    let duration = number(&info, "duration_ns");
    assert!((1_000_000..60_000_000_000).contains(&duration), "{info}");
}

#[test]
fn the_flame_graph_is_valid_svg_with_the_functions() {
    let Some(press) = press() else { return };
    let check = "import sys, xml.etree.ElementTree as tree\n\
                 root = tree.parse(sys.argv[1]).getroot()\n\
                 assert root.tag.endswith('svg'), root.tag\n\
                 titles = [element.text for element in root.iter() if element.tag.endswith('title')]\n\
                 print('\\n'.join(filter(None, titles)))";
    for options in [&[][..], &["--weight", "calls"], &["--icicle"]] {
        let svg = press.directory.path().join(format!("flame{}.svg", options.join("")));
        let mut words = options.to_vec();
        words.push(svg.to_str().expect("UTF-8"));
        press.report("flame", &words);
        let Some(python) = Python::any() else { return };
        let parsed = run(python.command().args(["-c", check]).arg(&svg));
        assert!(parsed.status.success(), "{options:?}: {}", stderr(&parsed));
        let titles = stdout(&parsed);
        for name in ["Site.build", "Site.read", "Parser.parse", "Node.walk"] {
            assert!(titles.contains(name), "{options:?}: no {name} in {titles}");
        }
        if options.contains(&"calls") {
            let calls = number(function(&press.json("stats"), "search_index"), "calls");
            assert_eq!(calls, 1);
            assert!(titles.contains("Site.search_index"), "{titles}");
        }
    }
}

#[test]
fn the_tree_shows_calls_below_their_callers() {
    let Some(press) = press() else { return };
    let tree = press.report("tree", &["--root", "build"]);
    let indent = |name: &str| {
        let line =
            tree.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name} in {tree}"));
        line.find(name).expect("the line contains the name")
    };
    assert!(indent("Site.build") < indent("Site.read"));
    assert!(indent("Site.read") < indent("Parser.parse"));
    assert!(!tree.contains("parse_args"), "main's other calls are not inside build");
    assert_eq!(
        press.json("info")["repaired"].as_object().expect("an object").values().filter(|n| **n != 0).count(),
        0
    );
}

#[test]
fn events_of_threads_add_up_to_those_of_the_trace() {
    let Some(press) = press() else { return };
    let (info, threads) = (press.json("info"), press.json("threads"));
    let processes = threads["processes"].as_array().expect("an array");
    assert_eq!(processes.len(), 1, "{threads}");
    let process = &processes[0];
    assert_eq!(process["status"], 0, "{process}");
    assert!(process["command"].as_str().is_some_and(|command| command.contains("press.py")), "{process}");
    let list = process["threads"].as_array().expect("an array");
    let events: u64 = list.iter().map(|thread| number(thread, "events")).sum();
    assert_eq!(events, number(&info, "events"));
    for thread in list {
        let busy = thread["busy"].as_f64().expect("a number");
        assert!((0.0..=1.0).contains(&busy), "{thread}");
    }
    let stats = press.json("stats");
    let functions = stats["functions"].as_array().expect("an array").iter();
    let self_ns: u64 = functions.map(|function| number(function, "self_ns")).sum();
    let in_calls: u64 = list.iter().map(|thread| number(thread, "in_calls_ns")).sum();
    assert!(in_calls >= self_ns, "{in_calls} {self_ns}");
}

#[test]
fn a_dump_has_every_row() {
    let Some(press) = press() else { return };
    let markers = press.json("info")["markers"].as_object().expect("an object").clone();
    let json = press.report("dump", &["--json"]);
    let mut rows: Vec<Value> =
        json.lines().map(|row| serde_json::from_str(row).expect("valid JSON")).collect();
    let trust = rows.pop().expect("the last line is the trust");
    assert_eq!(number(&trust["trust"], "lost"), 0, "{trust}");
    for (marker, count) in markers.iter().filter(|(marker, _)| *marker != "source") {
        let found = rows.iter().filter(|row| row["marker"] == **marker).count();
        assert_eq!(Some(found as u64), count.as_u64(), "{marker}");
    }
    // The parser of the analyzer's test scripts reads the text as the same rows.
    let text = press.report("dump", &["--markers", "function,source"]);
    let names = pyrec_schema::Names::new();
    let read = pyrec_analyzer::script::parse(&text, &names).expect("the text parses");
    let functions =
        rows.iter().filter(|row| row["marker"].as_str().is_some_and(|m| m.starts_with("function")));
    let count = |name: &str| markers[name].as_u64().expect("an integer") as usize;
    assert_eq!(read.len(), functions.count() + count("source"));
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    let Some(press) = press() else { return };
    for words in [
        &["tree"][..],
        &["stats"],
        &["stats", "--json"],
        &["tree", "--style", "dtrace", "--markers", "line"],
        &["dump"],
        &["dump", "--json"],
    ] {
        let mut command = pyrec(words[0]);
        command.arg("-i").arg(press.trace()).args(&words[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("standard output is piped"))
            .read_line(&mut line)
            .expect("the output is text");
        assert!(!line.is_empty(), "{words:?}");
        let mut messages = String::new();
        child
            .stderr
            .take()
            .expect("standard error is piped")
            .read_to_string(&mut messages)
            .expect("standard error is UTF-8");
        let status = child.wait().expect("the child ends");
        assert_eq!((status.code(), messages.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn filters_select_functions_and_rows() {
    let Some(press) = press() else { return };
    let functions = |options: &[&str]| -> Vec<Value> {
        let mut words = vec!["--json"];
        words.extend(options);
        let stats: Value = serde_json::from_str(&press.report("stats", &words)).expect("valid JSON");
        stats["functions"].as_array().expect("an array").clone()
    };
    let all = functions(&[]);
    let parser = functions(&["--include", "Parser.*"]);
    assert!(!parser.is_empty() && parser.len() < all.len());
    for function in &parser {
        assert!(function["qualname"].as_str().is_some_and(|name| name.starts_with("Parser.")), "{function}");
        let unfiltered = all
            .iter()
            .find(|other| other["qualname"] == function["qualname"])
            .expect("the function is in the unfiltered report");
        assert_eq!(unfiltered["calls"], function["calls"]);
    }
    let without = functions(&["--exclude", "Parser.*"]);
    assert_eq!(without.len() + parser.len(), all.len());
    let inside = functions(&["--root", "reach"]);
    assert!(inside.iter().any(|function| function["name"] == "follow"));
    assert!(!inside.iter().any(|function| function["name"] == "parse"));
    assert_eq!(functions(&["-n", "3"]).len(), 3);
}

#[test]
fn files_that_are_not_traces_are_named() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let whole = fs::read(press.trace()).expect("the file is readable");
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("the write succeeds");
        path
    };
    let empty_directory = directory.path().join("folder");
    fs::create_dir(&empty_directory).expect("the directory is created");
    let mut newer = whole.clone();
    // The file also contains footers of earlier checkpoints. Readers use the last one.
    let format = find_last(&newer, b"\"format\":1").expect("the file contains a manifest");
    newer[format + b"\"format\":".len()] = b'9';
    let cases = [
        (directory.path().join("missing.parquet"), "missing.parquet"),
        (file("empty.parquet", b""), "record"),
        (file("text.parquet", b"a text that is longer than the smallest Parquet file"), "Parquet"),
        (file("cut.parquet", &whole[..6]), "cut.parquet"),
        (file("newer.parquet", &newer), "update"),
        (empty_directory, "folder"),
    ];
    for (path, word) in &cases {
        for command in
            ["info", "stats", "tree", "flame", "worst", "gc", "imports", "audit", "threads", "dump"]
        {
            let svg = directory.path().join("out.svg");
            let mut words = pyrec(command);
            words.arg("-i").arg(path);
            match command {
                "flame" => words.arg(&svg),
                "worst" => words.arg("main"),
                _ => &mut words,
            };
            let output = run(&mut words);
            let stderr = stderr(&output);
            assert_eq!(
                (output.status.code(), stderr.lines().count()),
                (Some(1), 1),
                "{command} {path:?}: {stderr}"
            );
            let name = path.file_name().expect("a file name").to_string_lossy();
            assert!(stderr.contains(&*name) && stderr.contains(word), "{command} {path:?}: {stderr}");
            assert!(output.stdout.is_empty() && !svg.exists(), "{command} {path:?} wrote something");
        }
    }
}

#[test]
fn a_truncated_trace_is_refused_or_read_with_fewer_events() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let whole = fs::read(press.trace()).expect("the file is readable");
    let all = number(&press.json("info"), "events");
    let cut = directory.path().join("cut.parquet");
    for twentieth in 0..20 {
        fs::write(&cut, &whole[..whole.len() * twentieth / 20]).expect("the write succeeds");
        let output = run(pyrec("info").arg("-i").arg(&cut).arg("--json"));
        let stderr = stderr(&output);
        match output.status.code() {
            Some(0) => {
                let info: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
                assert!(number(&info, "events") <= all && info["ended"]["how"] != "exited", "{info}");
            }
            Some(1) => assert!(stderr.contains("cut.parquet") && stderr.lines().count() == 1, "{stderr}"),
            other => panic!("{other:?}: {stderr}"),
        }
    }
}

#[test]
fn without_a_trace_the_error_names_the_command_to_record_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(pyrec("stats").current_dir(directory.path()));
    let stderr = stderr(&output);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("pyrec record") && stderr.contains("pyrec.parquet"), "{stderr}");
}

#[test]
fn several_traces_are_read_as_one() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in ["a.parquet", "b.parquet"] {
        fs::copy(press.trace(), directory.path().join(name)).expect("the file is copied");
    }
    let one = number(&press.json("info"), "events");
    assert_eq!(number(&support::json(directory.path(), "info"), "events"), 2 * one);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyrec"));
    command
        .arg("info")
        .arg("--json")
        .arg("-i")
        .arg(press.trace())
        .arg("-i")
        .arg(directory.path().join("b.parquet"));
    let info: Value = serde_json::from_slice(&run(&mut command).stdout).expect("valid JSON");
    assert_eq!(number(&info, "events"), 2 * one);
}

#[test]
fn the_help_page_fits_a_screen() {
    let output = run(Command::new(env!("CARGO_BIN_EXE_pyrec")).arg("--help"));
    let page = stdout(&output);
    assert!(output.status.success() && output.stderr.is_empty());
    for word in [
        "record",
        "flame",
        "stats",
        "tree",
        "worst",
        "gc",
        "imports",
        "audit",
        "threads",
        "info",
        "dump",
        "pyrec record script.py",
    ] {
        assert!(page.contains(word), "no {word} in {page}");
    }
    assert!(page.lines().count() <= 51 && page.lines().all(|line| line.chars().count() <= 100), "{page}");
}

fn find_last(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).rposition(|window| window == needle)
}
