//! The reports of one recording, from outside: their shapes, that they agree, and what they say of bad input.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use support::calls::function;
use support::{Python, Recording, Subject, in_every_way, number, program, pyrec, run};

in_every_way!(times_are_those_that_were_slept);

/// `press.py` recorded once for all tests here.
fn press() -> Option<&'static Recording> {
    static PRESS: OnceLock<Option<Recording>> = OnceLock::new();
    let recording = PRESS.get_or_init(|| {
        Some(Subject::any()?.record(&["--lines"], &[program("press.py").as_os_str(), "4".as_ref()]))
    });
    recording.as_ref()
}

fn times_are_those_that_were_slept(subject: &Subject) {
    const MS: u64 = 1_000_000;
    let stats = subject.record(&[], &[program("sleeps.py")]).json("stats");
    let (inner, outer) = (function(&stats, "inner"), function(&stats, "outer"));
    assert_eq!((number(inner, "calls"), number(outer, "calls")), (2, 1));
    assert!(number(inner, "min_ns") >= 40 * MS && number(inner, "total_ns") >= 80 * MS, "{inner}");
    // `outer` has nothing but its own sleep beside `inner`.
    let difference = number(outer, "total_ns") - number(inner, "total_ns");
    assert_eq!(number(outer, "self_ns"), difference, "{inner} {outer}");
    assert!(difference >= 20 * MS, "{outer}");
    assert_eq!(number(outer, "min_ns"), number(outer, "max_ns"));
    // A busy machine sleeps longer, but not by seconds.
    assert!(number(outer, "total_ns") < 5_000 * MS, "{outer}");
}

#[test]
fn stats_as_json_has_the_agreed_shape() {
    let Some(press) = press() else { return };
    let stats = press.json("stats");
    let functions = stats["functions"].as_array().expect("functions are a list");
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
        // A method that calls itself has more self time than one of its calls, but never more than all of them.
        assert!(number(function, "self_ns") <= number(function, "total_ns"), "{function}");
    }
    let qualified = |name: &str| functions.iter().filter(|function| function["qualname"] == name).count();
    assert_eq!((qualified("Printer.print_text"), qualified("HtmlPrinter.print_text")), (1, 1));
    assert_eq!(function(&stats, "list_of")["qualname"], "Parser.list_of");
    let escape =
        functions.iter().find(|function| function["qualname"] == "escape").expect("html.escape is called");
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
    press.report("flame", &[svg.to_str().expect("it is UTF-8")]);
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
        fs::read_to_string(svg).expect("it was drawn"),
    ];
    // Digits with or without separators, by whatever sign.
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
fn info_as_json_has_the_agreed_shape() {
    let Some(press) = press() else { return };
    let info = press.json("info");
    let ours = ["process__start", "process__exit", "thread__start", "thread__exit", "lost", "source"];
    let markers = info["markers"].as_object().expect("markers are an object");
    let of_python = markers.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    let sum: u64 = of_python.map(|(_, count)| count.as_u64().expect("a count")).sum();
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
fn the_flame_graph_is_a_picture_with_the_functions_in_it() {
    let Some(press) = press() else { return };
    let check = "import sys, xml.etree.ElementTree as tree\n\
                 root = tree.parse(sys.argv[1]).getroot()\n\
                 assert root.tag.endswith('svg'), root.tag\n\
                 titles = [element.text for element in root.iter() if element.tag.endswith('title')]\n\
                 print('\\n'.join(filter(None, titles)))";
    for options in [&[][..], &["--weight", "calls"], &["--icicle"]] {
        let svg = press.directory.path().join(format!("flame{}.svg", options.join("")));
        let mut words = options.to_vec();
        words.push(svg.to_str().expect("it is UTF-8"));
        press.report("flame", &words);
        let Some(python) = Python::any() else { return };
        let parsed = run(python.command().args(["-c", check]).arg(&svg));
        assert!(parsed.status.success(), "{options:?}: {}", String::from_utf8_lossy(&parsed.stderr));
        let titles = String::from_utf8_lossy(&parsed.stdout).into_owned();
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
        line.find(name).expect("it is there")
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
fn threads_add_up_to_the_whole() {
    let Some(press) = press() else { return };
    let (info, threads) = (press.json("info"), press.json("threads"));
    let processes = threads["processes"].as_array().expect("a list");
    assert_eq!(processes.len(), 1, "{threads}");
    let process = &processes[0];
    assert_eq!(process["status"], 0, "{process}");
    assert!(process["command"].as_str().is_some_and(|command| command.contains("press.py")), "{process}");
    let list = process["threads"].as_array().expect("a list");
    let events: u64 = list.iter().map(|thread| number(thread, "events")).sum();
    assert_eq!(events, number(&info, "events"));
    for thread in list {
        let busy = thread["busy"].as_f64().expect("a life has a length");
        assert!((0.0..=1.0).contains(&busy), "{thread}");
    }
    // The program's own time lies in `<module>`, which is called once.
    let stats = press.json("stats");
    let functions = stats["functions"].as_array().expect("a list").iter();
    let own: u64 = functions.map(|function| number(function, "self_ns")).sum();
    let in_calls: u64 = list.iter().map(|thread| number(thread, "in_calls_ns")).sum();
    assert!(in_calls >= own, "{in_calls} {own}");
}

#[test]
fn a_dump_has_every_row() {
    let Some(press) = press() else { return };
    let markers = press.json("info")["markers"].as_object().expect("an object").clone();
    let json = press.report("dump", &["--json"]);
    let mut rows: Vec<Value> = json.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let trust = rows.pop().expect("the trust comes last");
    assert_eq!(number(&trust["trust"], "lost"), 0, "{trust}");
    for (marker, count) in markers.iter().filter(|(marker, _)| *marker != "source") {
        let found = rows.iter().filter(|row| row["marker"] == **marker).count();
        assert_eq!(Some(found as u64), count.as_u64(), "{marker}");
    }
    // What is printed as text is read as the same rows by the crate itself.
    let text = press.report("dump", &["--markers", "function,source"]);
    let names = pyrec_schema::Names::new();
    let read = pyrec_analyzer::script::parse(&text, &names).expect("a script");
    let functions =
        rows.iter().filter(|row| row["marker"].as_str().is_some_and(|m| m.starts_with("function")));
    let count = |name: &str| markers[name].as_u64().expect("a count") as usize;
    assert_eq!(read.len(), functions.count() + count("source"));
}

#[test]
fn whoever_reads_may_stop_reading() {
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
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
        assert!(!line.is_empty(), "{words:?}");
        let mut said = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        let status = child.wait().expect("it ends");
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn filters_leave_what_was_asked_for() {
    let Some(press) = press() else { return };
    let functions = |options: &[&str]| -> Vec<Value> {
        let mut words = vec!["--json"];
        words.extend(options);
        let stats: Value = serde_json::from_str(&press.report("stats", &words)).expect("it is JSON");
        stats["functions"].as_array().expect("a list").clone()
    };
    let all = functions(&[]);
    let parser = functions(&["--include", "Parser.*"]);
    assert!(!parser.is_empty() && parser.len() < all.len());
    for function in &parser {
        assert!(function["qualname"].as_str().is_some_and(|name| name.starts_with("Parser.")), "{function}");
        let whole =
            all.iter().find(|other| other["qualname"] == function["qualname"]).expect("it is among all");
        assert_eq!(whole["calls"], function["calls"]);
    }
    let without = functions(&["--exclude", "Parser.*"]);
    assert_eq!(without.len() + parser.len(), all.len());
    let inside = functions(&["--root", "reach"]);
    assert!(inside.iter().any(|function| function["name"] == "follow"));
    assert!(!inside.iter().any(|function| function["name"] == "parse"));
    assert_eq!(functions(&["-n", "3"]).len(), 3);
}

#[test]
fn what_is_not_a_trace_is_refused_by_name() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let whole = fs::read(press.trace()).expect("there is a trace");
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("it is written");
        path
    };
    let empty_directory = directory.path().join("folder");
    fs::create_dir(&empty_directory).expect("it is made");
    let mut newer = whole.clone();
    // The last footer counts; the checkpoints before it are in the file, too.
    let format = find_last(&newer, b"\"format\":1").expect("the manifest is in the file");
    newer[format + b"\"format\":".len()] = b'9';
    let cases = [
        (directory.path().join("missing.parquet"), "missing.parquet"),
        (file("empty.parquet", b""), "record"),
        (file("letter.parquet", b"Dear Sir or Madam, this is not a trace at all"), "Parquet"),
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
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                (output.status.code(), said.lines().count()),
                (Some(1), 1),
                "{command} {path:?}: {said}"
            );
            let name = path.file_name().expect("it has a name").to_string_lossy();
            assert!(said.contains(&*name) && said.contains(word), "{command} {path:?}: {said}");
            assert!(output.stdout.is_empty() && !svg.exists(), "{command} {path:?} wrote something");
        }
    }
}

/// Cut anywhere, a file is either refused or read with fewer events; never does anything crash.
#[test]
fn a_trace_may_be_cut_anywhere() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let whole = fs::read(press.trace()).expect("there is a trace");
    let all = number(&press.json("info"), "events");
    let cut = directory.path().join("cut.parquet");
    for twentieth in 0..20 {
        fs::write(&cut, &whole[..whole.len() * twentieth / 20]).expect("it is written");
        let output = run(pyrec("info").arg("-i").arg(&cut).arg("--json"));
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {
                let info: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
                assert!(number(&info, "events") <= all && info["ended"]["how"] != "exited", "{info}");
            }
            Some(1) => assert!(said.contains("cut.parquet") && said.lines().count() == 1, "{said}"),
            other => panic!("{other:?}: {said}"),
        }
    }
}

#[test]
fn without_a_recording_it_says_how_to_make_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(pyrec("stats").current_dir(directory.path()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("pyrec record") && said.contains("pyrec.parquet"), "{said}");
}

#[test]
fn several_traces_are_read_as_one() {
    let Some(press) = press() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in ["a.parquet", "b.parquet"] {
        fs::copy(press.trace(), directory.path().join(name)).expect("it is copied");
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
    let info: Value = serde_json::from_slice(&run(&mut command).stdout).expect("it is JSON");
    assert_eq!(number(&info, "events"), 2 * one);
}

#[test]
fn help_is_a_page_for_newcomers() {
    let output = run(Command::new(env!("CARGO_BIN_EXE_pyrec")).arg("--help"));
    let page = String::from_utf8_lossy(&output.stdout);
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
