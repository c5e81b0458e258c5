//! Every report of a stranger's trace, by every command that the help page names: each says how far to trust it, none
//! lets a name of the trace act on who looks at it, and none minds how deep, wide or late things are.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyrec_schema::{
    Batch, Event, Host, Manifest, Marker, Names, Python, RecordingEnd, TextId, TraceWriter, WriterOptions,
};
use support::{pyrec, run};

/// Moves a cursor, ends lines, turns text around, and is markup, a path, and signs of other formats.
const NASTY: &str =
    "\u{1b}[2J\u{9b}31m\r\n\u{202e}\u{2066}</text><script>alert(1)</script>;\"'&]]>--><!--../../x";

/// What stands in a page if a name of the trace became a part of it.
const LIVE: &str = "<script>alert(1)";

/// A row of thread 7 of process 7.
fn row(time_ns: i64, marker: Marker, names: &Names) -> Event {
    let code = names.code(&format!("/srv/{NASTY}.py:1:f{NASTY}"));
    let text = match marker {
        Marker::FunctionEntry | Marker::FunctionReturn => TextId::NONE,
        _ => names.text(NASTY),
    };
    Event { time_ns, pid: 7, tid: 7, marker, code, line: 1, value: Some(1), text }
}

/// Every marker with the same name, calls from one end of time to the other, and a loss of twelve events.
fn nasty_rows(names: &Names) -> Batch {
    let around = (0..).zip(Marker::ALL).map(|(at, marker)| row(10 * at, marker, names));
    let calls = [
        (1, Marker::FunctionEntry),
        (5, Marker::FunctionEntry),
        (100, Marker::FunctionReturn),
        (150, Marker::FunctionReturn),
        (i64::MIN, Marker::FunctionEntry),
        (i64::MAX, Marker::FunctionReturn),
        (i64::MIN, Marker::FunctionEntry),
        (i64::MAX, Marker::FunctionReturn),
    ];
    let calls = calls.map(|(time_ns, marker)| Event { tid: 8, ..row(time_ns, marker, names) });
    let from = names.text("99999999999999999999");
    let lost = Event { value: Some(12), text: from, ..row(300, Marker::Lost, names) };
    calls.into_iter().chain(around.filter(|row| row.marker != Marker::Lost)).chain([lost]).collect()
}

/// Events of Python in them.
const NASTY_EVENTS: usize = 12 + 8;

fn nasty_manifest() -> Manifest {
    let nasty = || NASTY.to_owned();
    Manifest {
        command: vec![nasty(), nasty()],
        python: vec![Python {
            version: nasty(),
            build: Some(nasty()),
            executable: Some(nasty()),
            path: vec![nasty()],
        }],
        provider: nasty(),
        markers: vec![nasty(), "line".into()],
        include: vec![nasty()],
        exclude: vec![nasty()],
        host: Host { system: nasty(), machine: nasty(), processors: usize::MAX, name: nasty() },
        cost_per_event_ns: Some(f64::MAX),
        waited_ns: Some(u64::MAX),
        ended: RecordingEnd::Failed { reason: nasty() },
        ..Manifest::unknown(NASTY)
    }
}

fn write(path: &Path, manifest: &Manifest, batches: impl FnOnce(&Names, &mut dyn FnMut(Batch))) {
    let names = Arc::new(Names::new());
    let options = WriterOptions { row_group_rows: 1 << 20 };
    let mut writer = TraceWriter::create(path, names.clone(), manifest.clone(), options).expect("a new file");
    batches(&names, &mut |batch| writer.write(&batch).expect("room for it"));
    writer.manifest_mut().ended = manifest.ended.clone();
    writer.finish().expect("room for the footer");
}

/// The commands that look at a recording, by the help page, each with its own help. `share` is none: what it writes is
/// a recording, of the part that it shares.
fn commands() -> BTreeMap<String, String> {
    let page = String::from_utf8(run(&mut pyrec("--help")).stdout).expect("help is text");
    let section = page.split("\nLook at a recording:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    let names =
        section.expect("there is such a section").lines().filter_map(|line| line.split_whitespace().next());
    let help = |name: &str| String::from_utf8(run(pyrec(name).arg("--help")).stdout).expect("help is text");
    names.filter(|&name| name != "share").map(|name| (name.to_owned(), help(name))).collect()
}

/// The values that a flag or an argument can have, by its name: `--style` or `<FORMAT>`.
fn values(help: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in help.lines().map(str::trim) {
        let is_flag = line.starts_with("--") || line.starts_with('-') && line.contains(", --");
        if is_flag || line.starts_with('<') || line.starts_with('[') && !line.starts_with("[default") {
            let name = line.split(", ").last().unwrap_or(line).split_whitespace().next().unwrap_or(line);
            found.push((name.to_owned(), Vec::new()));
        } else if let (Some((value, _)), Some(last)) =
            (line.strip_prefix("- ").and_then(|line| line.split_once(':')), found.last_mut())
        {
            last.1.push(value.to_owned());
        }
    }
    found
}

/// Every way in which a command writes what it found: each a list of words.
fn ways(command: &str, help: &str, trace: &str) -> Vec<Vec<String>> {
    let values = values(help);
    let formats = || values.iter().find(|(name, _)| name == "<FORMAT>").map(|(_, formats)| formats.clone());
    // What must be said beside the trace.
    let required: Vec<Vec<String>> = match command {
        "worst" => vec![vec!["*".into()]],
        "export" => formats()
            .expect("formats are listed")
            .into_iter()
            .map(|format| vec![format, "-".into()])
            .collect(),
        _ => vec![vec![]],
    };
    let first = required[0].clone();
    let with =
        |words: &[&str]| first.iter().cloned().chain(words.iter().map(|&word| word.to_owned())).collect();
    let mut ways: Vec<Vec<String>> = required;
    for (flag, values) in values.iter().filter(|(name, _)| name.starts_with("--")) {
        ways.extend(values.iter().map(|value| with(&[flag, value])));
    }
    let flags = ["--json", "--markdown", "--text", "--fold", "--reverse"]
        .into_iter()
        .filter(|flag| help.contains(flag));
    ways.extend(flags.map(|flag| with(&[flag])));
    let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default();
    let files = [("OUT.html", "out.html"), ("OUT.svg", "out.svg")];
    for (argument, file) in files {
        ways.extend(usage.contains(argument).then(|| with(&[file])));
        let flags = values.iter().filter(|(name, _)| help.contains(&format!("{name} <{argument}>")));
        ways.extend(flags.map(|(flag, _)| with(&[flag, file])));
    }
    // Of two recordings: the same one twice, whatever is to be said against that.
    let inputs = match help.contains("--input <") {
        true => vec!["-i".to_owned(), trace.to_owned()],
        false => vec![trace.to_owned(), trace.to_owned(), "--force".to_owned()],
    };
    ways.iter().map(|way| [inputs.clone(), way.clone()].concat()).collect()
}

/// What a command wrote, wherever it did, and whether that is for people and not another tool's; none where there is
/// nothing to draw.
fn written(command: &str, words: &[String]) -> Option<(String, bool)> {
    let directory = tempfile::tempdir().expect("a directory for what is written");
    let output = run(pyrec(command).args(words).current_dir(directory.path()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("there is nothing to draw") {
        return None;
    }
    assert!(output.status.success(), "{command} {words:?}: {said}");
    let files =
        fs::read_dir(directory.path()).expect("it is there").map(|file| file.expect("an entry").path());
    let files: Vec<PathBuf> = files.collect();
    assert!(files.iter().all(|file| file.is_file()), "{command} made a directory: {files:?}");
    let files = files.iter().map(|file| fs::read(file).expect("it was written"));
    let all = [output.stdout, output.stderr].into_iter().chain(files).collect::<Vec<_>>().concat();
    let is_text = !["export", "profile"].contains(&command)
        || words.iter().any(|word| word == "collapsed" || word == "callgrind");
    Some((String::from_utf8_lossy(&all).into_owned(), is_text))
}

/// Whether a character acts on a terminal, or on how text beside it is read.
fn acts(c: char) -> bool {
    c.is_control() && !"\n\t".contains(c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[test]
fn every_report_says_how_far_to_trust_it_and_lets_no_name_act() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("\u{1b}[2J.parquet");
    write(&path, &nasty_manifest(), |names, write| write(nasty_rows(names)));
    let commands = commands();
    assert!(commands.len() >= 12, "{:?}", commands.keys());
    let line = format!("trust: {NASTY_EVENTS} events, lost unknown (12 known of), ");
    let mut seen = 0;
    for (command, help) in &commands {
        for words in ways(command, help, path.to_str().expect("it is UTF-8")) {
            let Some((text, is_text)) = written(command, &words) else { continue };
            let as_json = format!("\"events\":{NASTY_EVENTS},\"");
            let is_trusted =
                text.contains(&line) || text.contains(&as_json) && text.contains("\"repaired\":{");
            assert!(is_trusted, "{command} {words:?} says nothing of trust: {text}");
            if is_text {
                let found = text.chars().find(|&c| acts(c));
                assert_eq!(found, None, "{command} {words:?}: {text}");
                let page =
                    ["<svg", "<html"].iter().find_map(|tag| text.find(tag)).map_or("", |at| &text[at..]);
                assert!(!page.contains(LIVE), "{command} {words:?}: {page}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 30, "{seen}");
}

#[test]
fn errors_let_no_name_act() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(format!("{}.parquet", NASTY.replace('/', "_")));
    let files: [&[u8]; 3] = [b"", b"PAR1 and no more", b"other"];
    for bytes in files {
        fs::write(&path, bytes).expect("it is written");
        let output = run(pyrec("info").arg("-i").arg(&path));
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && text.ends_with('\n'), "{text}");
        assert!(!text.trim_end().contains(acts) && text.lines().count() == 1, "{text}");
    }
    let output = run(pyrec("info").arg(NASTY));
    assert!(!String::from_utf8(output.stderr).expect("text").contains(acts));
}

/// Calls, each within the one before it.
fn deep(depth: i64) -> impl FnOnce(&Names, &mut dyn FnMut(Batch)) {
    move |names, write| {
        let event = |(time_ns, marker): (i64, Marker)| Event {
            pid: 7,
            tid: 7,
            marker,
            time_ns: time_ns * 100 + jitter(time_ns),
            code: names.code("/srv/run.py:1:f"),
            line: 1,
            value: None,
            text: if marker == Marker::Audit { names.text("open") } else { TextId::NONE },
        };
        let entries = (0..depth).map(|at| (at, Marker::FunctionEntry));
        let returns = (depth + 9..2 * depth + 9).map(|at| (at, Marker::FunctionReturn));
        let rows = entries.chain([(depth, Marker::Audit), (depth + 1, Marker::Line)]).chain(returns);
        let rows: Vec<Event> = rows.map(event).collect();
        rows.chunks(1 << 16).for_each(|rows| write(rows.iter().copied().collect()));
    }
}

/// What a clock never repeats: without it the rows pack so well that a trace of them is refused.
fn jitter(time_ns: i64) -> i64 {
    ((time_ns as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as i64
}

/// Threads with a call each.
fn wide(threads: i32) -> impl FnOnce(&Names, &mut dyn FnMut(Batch)) {
    move |names, write| {
        let markers = [Marker::FunctionEntry, Marker::FunctionReturn];
        let event = |(at, marker): (i32, Marker)| Event {
            time_ns: i64::from(at) * 50,
            pid: at / 2,
            tid: at / 2,
            marker,
            code: names.code("/srv/run.py:1:f"),
            line: 1,
            value: None,
            text: TextId::NONE,
        };
        let rows: Vec<Event> = (0..2 * threads).zip(markers.into_iter().cycle()).map(event).collect();
        rows.chunks(1 << 16).for_each(|rows| write(rows.iter().copied().collect()));
    }
}

/// Every report of a trace of so many events, in so many of its ways, none longer than so many bytes for each event.
fn survives(
    events: usize,
    ways_each: usize,
    bytes_each: usize,
    batches: impl FnOnce(&Names, &mut dyn FnMut(Batch)),
) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pyrec.parquet");
    let manifest = Manifest {
        markers: vec!["line".into()],
        ended: RecordingEnd::Stopped,
        ..Manifest::unknown("a test")
    };
    write(&path, &manifest, batches);
    for (command, help) in &commands() {
        for words in ways(command, help, path.to_str().expect("it is UTF-8")).into_iter().take(ways_each) {
            let text = written(command, &words).map_or(String::new(), |(text, _)| text);
            assert!(
                text.len() < 1 << 20 || text.len() / events < bytes_each,
                "{command} {words:?}: {}",
                text.len()
            );
        }
    }
}

/// More than the levels that a line of text has room for, by any means.
#[test]
fn a_call_stack_of_forty_thousand_frames_is_reported_by_all() {
    survives(80_000, usize::MAX, 50_000, deep(40_000));
}

#[test]
fn ten_thousand_processes_are_reported_by_all() {
    survives(20_000, usize::MAX, 4_000, wide(10_000));
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn a_call_stack_of_a_million_frames_is_reported_by_all() {
    survives(2_000_000, 1, 50_000, deep(1_000_000));
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn a_million_processes_are_reported_by_all() {
    survives(2_000_000, 1, 4_000, wide(1_000_000));
}
