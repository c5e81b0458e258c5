//! Every report of untrusted traces, by every command of the help page: each has the trust line,
//! escapes all names, and accepts any depth, number of threads and time.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyrec_schema::{
    Batch, Event, Host, Manifest, Marker, Names, Python, RecordingEnd, TextId, TraceWriter, WriterOptions,
};
use support::{pyrec, run, stderr, stdout};

/// Text with control sequences, line ends, bidirectional controls, markup, path components, and
/// delimiters of formats.
const HOSTILE: &str =
    "\u{1b}[2J\u{9b}31m\r\n\u{202e}\u{2066}</text><script>alert(1)</script>;\"'&]]>--><!--../../x";

/// The part of [`HOSTILE`] that a page contains if a name was not escaped.
const UNESCAPED: &str = "<script>alert(1)";

/// A row of thread 7 of process 7.
fn row(time_ns: i64, marker: Marker, names: &Names) -> Event {
    let code = names.code(&format!("/srv/{HOSTILE}.py:1:f{HOSTILE}"));
    let text = match marker {
        Marker::FunctionEntry | Marker::FunctionReturn => TextId::NONE,
        _ => names.text(HOSTILE),
    };
    Event { time_ns, pid: 7, tid: 7, marker, code, line: 1, value: Some(1), text }
}

/// Every marker, with calls from the lowest to the highest time, and a loss of twelve events.
fn hostile_rows(names: &Names) -> Batch {
    let one_of_each = (0..).zip(Marker::ALL).map(|(at, marker)| row(10 * at, marker, names));
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
    calls.into_iter().chain(one_of_each.filter(|row| row.marker != Marker::Lost)).chain([lost]).collect()
}

/// The number of Python events in these rows.
const HOSTILE_EVENTS: usize = 12 + 8;

fn hostile_manifest() -> Manifest {
    let hostile = || HOSTILE.to_owned();
    Manifest {
        command: vec![hostile(), hostile()],
        python: vec![Python {
            version: hostile(),
            build: Some(hostile()),
            executable: Some(hostile()),
            path: vec![hostile()],
        }],
        provider: hostile(),
        markers: vec![hostile(), "line".into()],
        include: vec![hostile()],
        exclude: vec![hostile()],
        host: Host { system: hostile(), machine: hostile(), processors: usize::MAX, name: hostile() },
        cost_per_event_ns: Some(f64::MAX),
        waited_ns: Some(u64::MAX),
        ended: RecordingEnd::Failed { reason: hostile() },
        ..Manifest::unknown(HOSTILE)
    }
}

fn write(path: &Path, manifest: &Manifest, batches: impl FnOnce(&Names, &mut dyn FnMut(Batch))) {
    let names = Arc::new(Names::new());
    let options = WriterOptions { row_group_rows: 1 << 20 };
    let mut writer =
        TraceWriter::create(path, names.clone(), manifest.clone(), options).expect("the trace is created");
    batches(&names, &mut |batch| writer.write(&batch).expect("the write succeeds"));
    writer.manifest_mut().ended = manifest.ended.clone();
    writer.finish().expect("the write succeeds");
}

/// The commands in the section `Analyze a trace` of the help page, with their help texts. Without
/// `share`, which writes a trace.
fn commands() -> BTreeMap<String, String> {
    let page = stdout(&run(&mut pyrec("--help")));
    let section = page.split("\nAnalyze a trace:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    let names =
        section.expect("the page has the section").lines().filter_map(|line| line.split_whitespace().next());
    let help = |name: &str| stdout(&run(pyrec(name).arg("--help")));
    names.filter(|&name| name != "share").map(|name| (name.to_owned(), help(name))).collect()
}

/// The possible values of flags and arguments in a help text, by name: `--style`, `<FORMAT>`.
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

/// The arguments for each output format of a command.
fn variants(command: &str, help: &str, trace: &str) -> Vec<Vec<String>> {
    let values = values(help);
    let formats = || values.iter().find(|(name, _)| name == "<FORMAT>").map(|(_, formats)| formats.clone());
    // Required arguments beside the trace.
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
    let mut variants: Vec<Vec<String>> = required;
    for (flag, values) in values.iter().filter(|(name, _)| name.starts_with("--")) {
        variants.extend(values.iter().map(|value| with(&[flag, value])));
    }
    let flags = ["--json", "--markdown", "--text", "--fold", "--reverse"]
        .into_iter()
        .filter(|flag| help.contains(flag));
    variants.extend(flags.map(|flag| with(&[flag])));
    let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default();
    let files = [("OUT.html", "out.html"), ("OUT.svg", "out.svg")];
    for (argument, file) in files {
        variants.extend(usage.contains(argument).then(|| with(&[file])));
        let flags = values.iter().filter(|(name, _)| help.contains(&format!("{name} <{argument}>")));
        variants.extend(flags.map(|(flag, _)| with(&[flag, file])));
    }
    // `diff` compares the trace with itself.
    let inputs = match help.contains("--input <") {
        true => vec!["-i".to_owned(), trace.to_owned()],
        false => vec![trace.to_owned(), trace.to_owned(), "--force".to_owned()],
    };
    variants.iter().map(|variant| [inputs.clone(), variant.clone()].concat()).collect()
}

/// The complete output of a command: standard output, standard error and files, and whether people
/// read it, not another tool. None if there is nothing to draw.
fn complete_output(command: &str, words: &[String]) -> Option<(String, bool)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = run(pyrec(command).args(words).current_dir(directory.path()));
    let stderr = stderr(&output);
    if stderr.contains("there is nothing to draw") {
        return None;
    }
    assert!(output.status.success(), "{command} {words:?}: {stderr}");
    let files = fs::read_dir(directory.path())
        .expect("the directory is readable")
        .map(|entry| entry.expect("the directory is readable").path());
    let files: Vec<PathBuf> = files.collect();
    assert!(files.iter().all(|file| file.is_file()), "{command} made a directory: {files:?}");
    let files = files.iter().map(|file| fs::read(file).expect("the file is readable"));
    let all = [output.stdout, output.stderr].into_iter().chain(files).collect::<Vec<_>>().concat();
    let is_text = !["export", "profile"].contains(&command)
        || words.iter().any(|word| word == "collapsed" || word == "callgrind");
    Some((String::from_utf8_lossy(&all).into_owned(), is_text))
}

/// Whether a character controls a terminal or the direction of text.
fn is_control(c: char) -> bool {
    c.is_control() && !"\n\t".contains(c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[test]
fn every_report_has_the_trust_line_and_escapes_all_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("\u{1b}[2J.parquet");
    write(&path, &hostile_manifest(), |names, write| write(hostile_rows(names)));
    let commands = commands();
    assert!(commands.len() >= 12, "{:?}", commands.keys());
    let line = format!("trust: {HOSTILE_EVENTS} events, lost unknown (12 known of), ");
    let mut outputs = 0;
    for (command, help) in &commands {
        for words in variants(command, help, path.to_str().expect("UTF-8")) {
            let Some((text, is_text)) = complete_output(command, &words) else { continue };
            let as_json = format!("\"events\":{HOSTILE_EVENTS},\"");
            let has_trust =
                text.contains(&line) || text.contains(&as_json) && text.contains("\"repaired\":{");
            assert!(has_trust, "{command} {words:?} has no trust line: {text}");
            if is_text {
                let found = text.chars().find(|&c| is_control(c));
                assert_eq!(found, None, "{command} {words:?}: {text}");
                let page =
                    ["<svg", "<html"].iter().find_map(|tag| text.find(tag)).map_or("", |at| &text[at..]);
                assert!(!page.contains(UNESCAPED), "{command} {words:?}: {page}");
            }
            outputs += 1;
        }
    }
    assert!(outputs >= 30, "{outputs}");
}

#[test]
fn errors_escape_all_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(format!("{}.parquet", HOSTILE.replace('/', "_")));
    let files: [&[u8]; 3] = [b"", b"PAR1 and no more", b"other"];
    for bytes in files {
        fs::write(&path, bytes).expect("the write succeeds");
        let output = run(pyrec("info").arg("-i").arg(&path));
        let text = stderr(&output);
        assert!(!output.status.success() && text.ends_with('\n'), "{text}");
        assert!(!text.trim_end().contains(is_control) && text.lines().count() == 1, "{text}");
    }
    let output = run(pyrec("info").arg(HOSTILE));
    assert!(!stderr(&output).contains(is_control));
}

/// `depth` calls, each inside the one before it.
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

/// Noise as of a real clock. Without it, rows compress so well that the trace is refused as a
/// decompression bomb.
fn jitter(time_ns: i64) -> i64 {
    ((time_ns as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as i64
}

/// Threads with one call each.
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

/// Runs every report on a trace with this many events, in at most `max_variants` variants. Asserts
/// that no output exceeds `max_bytes_per_event`.
fn assert_all_report(
    events: usize,
    max_variants: usize,
    max_bytes_per_event: usize,
    batches: impl FnOnce(&Names, &mut dyn FnMut(Batch)),
) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("pyrec.parquet");
    let manifest = Manifest {
        markers: vec!["line".into()],
        ended: RecordingEnd::Stopped,
        ..Manifest::unknown("a test")
    };
    write(&path, &manifest, batches);
    for (command, help) in &commands() {
        for words in variants(command, help, path.to_str().expect("UTF-8")).into_iter().take(max_variants) {
            let text = complete_output(command, &words).map_or(String::new(), |(text, _)| text);
            assert!(
                text.len() < 1 << 20 || text.len() / events < max_bytes_per_event,
                "{command} {words:?}: {}",
                text.len()
            );
        }
    }
}

/// More levels than a line of text can indent.
#[test]
fn every_report_accepts_a_stack_of_forty_thousand_frames() {
    assert_all_report(80_000, usize::MAX, 50_000, deep(40_000));
}

#[test]
fn every_report_accepts_ten_thousand_processes() {
    assert_all_report(20_000, usize::MAX, 4_000, wide(10_000));
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn every_report_accepts_a_stack_of_a_million_frames() {
    assert_all_report(2_000_000, 1, 50_000, deep(1_000_000));
}

#[test]
#[ignore = "it takes minutes; `make torture` runs it"]
fn every_report_accepts_a_million_processes() {
    assert_all_report(2_000_000, 1, 4_000, wide(1_000_000));
}
