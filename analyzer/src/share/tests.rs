//! Recordings before and after they are shared.

use std::path::Path;

use pyrec_schema::{
    Batch, JournalLocation, Manifest, Names, RecordingEnd, RotationPart, Trace, TraceWriter, WriterOptions,
};

use super::*;
use crate::script::{self, Line};

/// Rows that hold a secret in every place that can hold one.
const SCRIPT: &str = r"
    0   7/7  process__start   -  0  1  /home/wilma/.venv/bin/python3\s-u\s/home/wilma/shop/run.py\sacme-corp\s--password=hunter2\s7
    1   7/7  thread__start    -  0  -  MainThread
    1   7/8  thread__start    -  0  -  orders\sof\sacme
    2   7/7  function__entry  /home/wilma/shop/run.py:1:main  1
    3   7/7  function__entry  /home/wilma/.venv/lib/python3.13/site-packages/web/app.py:5:App.run  5
    4   7/7  audit            /home/wilma/shop/run.py:1:main  3  -  open
    5   7/7  audit            /home/wilma/shop/run.py:1:main  3  -  acme.login
    6   7/7  import__find__load__start  -  0  -  wilma_tools
    7   7/7  import__find__load__done   -  0  1  wilma_tools
    8   7/7  function__entry  /home/wilma/wilma_tools/x.py:2:test_wilma  2
    9   7/7  cfunction__entry  -  0  -  max
    10  7/7  cfunction__return -  0  -  max
    11  7/7  function__return /home/wilma/wilma_tools/x.py:2:test_wilma  2
    12  7/7  function__entry  /usr/lib/python3.13/json/decoder.py:9:decode  9
    13  7/7  function__return /usr/lib/python3.13/json/decoder.py:9:decode  9
    14  7/7  function__return /home/wilma/.venv/lib/python3.13/site-packages/web/app.py:5:App.run  5
    15  7/7  function__return /home/wilma/shop/run.py:1:main  4
    16  7/7  lost             -  0  3  15
    20  7/7  source  /home/wilma/shop/run.py::  3  11  open('/home/wilma/data')\s#\son\sbedrock,\sby\swilma\nhunter2\nmax(1)\n
    20  7/7  source  /home/wilma/.venv/lib/python3.13/site-packages/web/app.py::  3  12  app\sof\swilma\n
    20  7/7  source  /home/wilma/unseen.py::  3  13  unseen\n
";

/// What must be gone.
const SECRETS: [&str; 7] =
    ["wilma", "hunter2", "acme-corp", "orders of", "acme.login", "bedrock", "/home/wilma"];

fn manifest() -> Manifest {
    let command = [
        "/home/wilma/.venv/bin/python3",
        "-u",
        "/home/wilma/shop/run.py",
        "acme-corp",
        "--password=hunter2",
        "7",
    ];
    let path = ["/home/wilma/shop", "/usr/lib/python3.13", "/home/wilma/.venv/lib/python3.13/site-packages"];
    let mut manifest = script::manifest(&command, &path);
    manifest.directory = Some("/home/wilma/shop".into());
    manifest.host.name = "bedrock.example".into();
    manifest.include = vec!["/home/wilma/shop/*".into()];
    manifest.ended = RecordingEnd::Failed { reason: "cannot write /home/wilma/x/out on bedrock".into() };
    manifest
}

/// A trace of these rows.
fn recorded(script: &str, manifest: Manifest, directory: &Path) -> Trace {
    let path = directory.join("recorded.parquet");
    let names = Arc::new(Names::new());
    let batch: Batch = script::rows(script, &names);
    let ended = manifest.ended.clone();
    let mut writer =
        TraceWriter::create(&path, names, manifest, WriterOptions::default()).expect("a new file");
    writer.write(&batch).expect("room for it");
    writer.manifest_mut().ended = ended;
    writer.finish().expect("room for the footer");
    Trace::open(&[path]).expect("what was written")
}

fn here() -> Here {
    Here { user: Some("max".into()), home: Some("/home/max".into()), host: Some("quarry".into()) }
}

fn share<'a>(trace: &'a Trace, filter: Filter, sources: Sources) -> Share<'a> {
    Share::new(trace, filter, sources, Key::new([9; Key::BYTES]), &here(), "a page").expect("a whole trace")
}

/// All that stands in a trace: its rows as text, and its facts.
fn contents(path: &Path) -> (Vec<String>, String) {
    let trace = Trace::open(&[path]).expect("what was written");
    let mut rows = Vec::new();
    for group in 0..trace.files()[0].row_groups() {
        for batch in trace.files()[0].read(group, Columns::ALL).expect("it is there") {
            let batch = batch.expect("it is whole");
            rows.extend(batch.iter().map(|event| Line { event: &event, names: trace.names() }.to_string()));
        }
    }
    (rows, serde_json::to_string(trace.manifest()).expect("JSON"))
}

#[test]
fn nothing_secret_is_left() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let (before, _) = contents(&directory.path().join("recorded.parquet"));
    assert!(SECRETS.iter().all(|secret| before.concat().contains(secret)), "the test is about something");
    for (name, sources) in [("own", Sources::Own), ("all", Sources::All), ("none", Sources::None)] {
        let path = directory.path().join(name);
        let written = share(&trace, Filter::default(), sources).write(None, &path).expect("room");
        let (rows, facts) = contents(&path);
        for secret in SECRETS {
            assert!(!rows.concat().contains(secret), "{secret}: {rows:#?}");
            assert!(!facts.contains(secret), "{secret}: {facts}");
        }
        assert_eq!(
            written.texts,
            match sources {
                Sources::Own => 1,
                Sources::All => 2,
                Sources::None => 0,
            }
        );
    }
}

#[test]
fn what_everybody_has_stays_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let path = directory.path().join("shared");
    let written = share(&trace, Filter::default(), Sources::Own).write(None, &path).expect("room");
    assert_eq!(written.slice, None);
    let (rows, facts) = contents(&path);
    let text = rows.join("\n");
    for kept in [
        "/usr/lib/python3.13/json/decoder.py:9:decode",
        "/lib/python3.13/site-packages/web/app.py:5:App.run",
        "/project/run.py:1:main",
        "  open",
        "MainThread",
        // Our own user is called so, and that is no reason to hide a function that everybody has.
        "  max",
        "max(1)",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    // The file of which there is no code is of no use.
    assert_eq!(rows.len(), trace.rows() as usize - 1);
    let facts: serde_json::Value = serde_json::from_str(&facts).expect("JSON");
    assert_eq!((&facts["directory"], &facts["include"][0]), (&"/project".into(), &"/project/*".into()));
    assert_eq!((&facts["command"][1], &facts["command"][2]), (&"-u".into(), &"/project/run.py".into()));
    assert!(facts["command"][5].as_str().is_some_and(|argument| argument.starts_with("arg_")), "{facts}");
}

#[test]
fn what_is_shared_is_one_file_that_leads_nowhere() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let session = JournalLocation { directory: directory.path().join("session"), checkpoint: 3 };
    let part = RotationPart { recording: "18-42".into(), number: 7, has_open_state: true };
    let ended = RecordingEnd::Recording;
    let manifest = Manifest { session: Some(session), part: Some(part), ended, ..manifest() };
    let trace = recorded(SCRIPT, manifest, directory.path());
    assert!(trace.manifest().session.is_some() && trace.manifest().part.is_some());
    let path = directory.path().join("shared");
    share(&trace, Filter::default(), Sources::Own).write(None, &path).expect("room");
    let shared = Trace::open(&[path]).expect("what was written");
    let Manifest { session, part, ended, .. } = shared.manifest();
    assert_eq!((session, part, ended), (&None, &None, &RecordingEnd::Recording));
}

#[test]
fn the_same_name_is_the_same_word_everywhere() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let path = directory.path().join("shared");
    share(&trace, Filter::default(), Sources::Own).write(None, &path).expect("room");
    let (rows, _) = contents(&path);
    let wilma = Key::new([9; Key::BYTES]).token(Kind::User, "wilma");
    for place in [
        format!("/home/{wilma}/data"),
        format!("by\\s{wilma}"),
        format!("{wilma}_tools"),
        format!("test_{wilma}"),
    ] {
        assert!(rows.iter().any(|row| row.contains(&place.replace("\\s", " "))), "{place}: {rows:#?}");
    }
}

#[test]
fn hashes_of_texts_that_are_hidden_are_hidden() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let script = "
        1  7/7  function__entry  /home/wilma/shop/a.py:1:a  1
        2  7/7  function__entry  /home/wilma/shop/b.py:1:b  1
        3  7/7  source           /home/wilma/shop/a.py::  1  11  plain
        3  7/7  source           /home/wilma/shop/b.py::  1  12  wilma
    ";
    let trace = recorded(script, manifest(), directory.path());
    let hashes = |name: &str, sources| {
        let path = directory.path().join(name);
        share(&trace, Filter::default(), sources).write(None, &path).expect("room");
        let (rows, _) = contents(&path);
        let value = |row: &String| row.split_whitespace().nth(5).and_then(|value| value.parse::<i64>().ok());
        rows.iter()
            .filter(|row| row.contains("source"))
            .map(|row| value(row).expect("a hash"))
            .collect::<Vec<_>>()
    };
    let (own, none) = (hashes("own", Sources::Own), hashes("none", Sources::None));
    assert_eq!(own[0], 11);
    assert!(own[1] != 12 && none[0] != 11 && none[1] == own[1], "{own:?} {none:?}");
}

#[test]
fn a_slice_says_what_it_is_and_its_tree_has_the_same_times() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let filter = || Filter { time: Some("6ns-14ns".parse().expect("a stretch")), ..Filter::default() };
    let path = directory.path().join("slice");
    // The first event is at 2.
    let written = share(&trace, filter(), Sources::None).write(None, &path).expect("room");
    let slice = written.slice.expect("it is one");
    assert_eq!((slice.from_ns, slice.to_ns), (Some(6), Some(14)));
    let totals = |trace: &Trace, filter: &Filter| {
        let totals = measure::Totals::of(&CallTree::read(trace, filter).expect("a whole trace"));
        let mut totals: Vec<_> = totals
            .functions
            .iter()
            .map(|function| (function.qualname.clone(), function.self_ns, function.total_ns))
            .collect();
        totals.retain(|function| !function.0.contains("wilma") && !function.0.contains("user_"));
        totals.sort();
        totals
    };
    let shared = Trace::open(&[path]).expect("what was written");
    let (expected, found) = (totals(&trace, &filter()), totals(&shared, &Filter::default()));
    assert!(expected.len() >= 3, "{expected:?}");
    assert_eq!(found, expected);
}

#[test]
fn a_leak_is_found_wherever_it_is() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let share = share(&trace, Filter::default(), Sources::Own);
    let zip = |trace: &Path, page: &str| {
        let path = directory.path().join("x.zip");
        pyrec_schema::write_zip(trace, page, std::fs::File::create(&path).expect("room")).expect("room");
        share.leak(&path, page).expect("a whole trace")
    };
    let path = directory.path().join("shared");
    share.write(None, &path).expect("room");
    assert_eq!(zip(&path, "a page"), None);
    let leak = zip(&path, "by wilma").expect("the page has it");
    assert_eq!((leak.secret.text.as_str(), leak.place), ("wilma", "its README"));
    // As it was recorded it has them all; the facts stand in the footer, as they are.
    let leak = zip(&directory.path().join("recorded.parquet"), "a page").expect("it has them");
    assert_eq!(leak.place, "its bytes");
    // A row alone, in packed pages; and a word too short to be looked for in anything but strings.
    let clean = share.cleaner().manifest(trace.manifest(), None);
    // Among other letters, so that it cannot be read in the bytes.
    let letter = |at: u32| char::from(b'a' + (at.wrapping_mul(2_654_435_761) >> 24) as u8 % 26);
    let letters: String = (0..4_000).map(letter).collect();
    for (text, place) in [("/home/wilma/x", "a page"), ("wilma", "a string")] {
        let other = tempfile::tempdir().expect("a directory for tests");
        let script = format!("1 7/7 import__find__load__start - 0 - {letters}\\s{text}\\s{letters}");
        drop(recorded(&script, clean.clone(), other.path()));
        let leak = zip(&other.path().join("recorded.parquet"), "a page").expect("it is there");
        assert_eq!(leak.place, place, "{text}");
    }
}
