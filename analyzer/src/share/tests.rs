//! Traces before and after redaction.

use std::path::Path;

use pyrec_schema::{
    Batch, JournalLocation, Manifest, Names, RecordingEnd, RotationPart, Trace, TraceWriter, WriterOptions,
};

use super::*;
use crate::script::Line;
use crate::testing;

/// Rows with a secret in every field that can hold one.
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

/// Texts that must not be in a redacted trace.
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
    let mut manifest = testing::manifest(&command, &path);
    manifest.directory = Some("/home/wilma/shop".into());
    manifest.host.name = "bedrock.example".into();
    manifest.include = vec!["/home/wilma/shop/*".into()];
    manifest.ended = RecordingEnd::Failed { reason: "cannot write /home/wilma/x/out on bedrock".into() };
    manifest
}

/// A trace with the rows of a script.
fn recorded(script: &str, manifest: Manifest, directory: &Path) -> Trace {
    let path = directory.join("recorded.parquet");
    let names = Arc::new(Names::new());
    let batch: Batch = testing::rows(script, &names);
    let ended = manifest.ended.clone();
    let mut writer =
        TraceWriter::create(&path, names, manifest, WriterOptions::default()).expect("the file is created");
    writer.write(&batch).expect("the rows are written");
    writer.manifest_mut().ended = ended;
    writer.finish().expect("the footer is written");
    Trace::open(&[path]).expect("the trace is valid")
}

fn local() -> LocalIdentity {
    LocalIdentity { user: Some("max".into()), home: Some("/home/max".into()), host: Some("quarry".into()) }
}

fn redactor<'a>(trace: &'a Trace, filter: Filter, sources: SourcePolicy) -> TraceRedactor<'a> {
    TraceRedactor::new(trace, filter, sources, TokenKey::new([9; TokenKey::BYTES]), &local(), "a readme")
        .expect("the trace is valid")
}

/// The contents of a trace: its rows as lines, and its manifest as JSON.
fn contents(path: &Path) -> (Vec<String>, String) {
    let trace = Trace::open(&[path]).expect("the trace is valid");
    let mut rows = Vec::new();
    for group in 0..trace.files()[0].row_groups() {
        for batch in trace.files()[0].read(group, Columns::ALL).expect("the row group is read") {
            let batch = batch.expect("the batch is valid");
            rows.extend(batch.iter().map(|event| Line { event: &event, names: trace.names() }.to_string()));
        }
    }
    (rows, serde_json::to_string(trace.manifest()).expect("the manifest is JSON"))
}

#[test]
fn a_redacted_trace_holds_no_secret() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let (before, _) = contents(&directory.path().join("recorded.parquet"));
    assert!(
        SECRETS.iter().all(|secret| before.concat().contains(secret)),
        "the recorded trace has all secrets"
    );
    for (name, sources) in
        [("own", SourcePolicy::Project), ("all", SourcePolicy::All), ("none", SourcePolicy::None)]
    {
        let path = directory.path().join(name);
        let written =
            redactor(&trace, Filter::default(), sources).write(None, &path).expect("the file is written");
        let (rows, facts) = contents(&path);
        for secret in SECRETS {
            assert!(!rows.concat().contains(secret), "{secret}: {rows:#?}");
            assert!(!facts.contains(secret), "{secret}: {facts}");
        }
        assert_eq!(
            written.texts,
            match sources {
                SourcePolicy::Project => 1,
                SourcePolicy::All => 2,
                SourcePolicy::None => 0,
            }
        );
    }
}

#[test]
fn public_names_stay() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let path = directory.path().join("shared");
    let written = redactor(&trace, Filter::default(), SourcePolicy::Project)
        .write(None, &path)
        .expect("the file is written");
    assert_eq!(written.excerpt, None);
    let (rows, facts) = contents(&path);
    let text = rows.join("\n");
    for kept in [
        "/usr/lib/python3.13/json/decoder.py:9:decode",
        "/lib/python3.13/site-packages/web/app.py:5:App.run",
        "/project/run.py:1:main",
        "  open",
        "MainThread",
        // Also the name of the user who shares, but a function of Python is public.
        "  max",
        "max(1)",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    // The source text of a file without other rows is left out.
    assert_eq!(rows.len(), trace.rows() as usize - 1);
    let facts: serde_json::Value = serde_json::from_str(&facts).expect("the manifest is JSON");
    assert_eq!((&facts["directory"], &facts["include"][0]), (&"/project".into(), &"/project/*".into()));
    assert_eq!((&facts["command"][1], &facts["command"][2]), (&"-u".into(), &"/project/run.py".into()));
    assert!(facts["command"][5].as_str().is_some_and(|argument| argument.starts_with("arg_")), "{facts}");
}

#[test]
fn a_redacted_trace_does_not_refer_to_other_files() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let session = JournalLocation { directory: directory.path().join("session"), checkpoint: 3 };
    let part = RotationPart { recording: "18-42".into(), number: 7, has_open_state: true };
    let ended = RecordingEnd::Recording;
    let manifest = Manifest { session: Some(session), part: Some(part), ended, ..manifest() };
    let trace = recorded(SCRIPT, manifest, directory.path());
    assert!(trace.manifest().session.is_some() && trace.manifest().part.is_some());
    let path = directory.path().join("shared");
    redactor(&trace, Filter::default(), SourcePolicy::Project)
        .write(None, &path)
        .expect("the file is written");
    let shared = Trace::open(&[path]).expect("the trace is valid");
    let Manifest { session, part, ended, .. } = shared.manifest();
    assert_eq!((session, part, ended), (&None, &None, &RecordingEnd::Recording));
}

#[test]
fn a_name_has_the_same_token_everywhere() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let path = directory.path().join("shared");
    redactor(&trace, Filter::default(), SourcePolicy::Project)
        .write(None, &path)
        .expect("the file is written");
    let (rows, _) = contents(&path);
    let wilma = TokenKey::new([9; TokenKey::BYTES]).token(SecretKind::User, "wilma");
    for expected in [
        format!("/home/{wilma}/data"),
        format!("by\\s{wilma}"),
        format!("{wilma}_tools"),
        format!("test_{wilma}"),
    ] {
        assert!(rows.iter().any(|row| row.contains(&expected.replace("\\s", " "))), "{expected}: {rows:#?}");
    }
}

#[test]
fn the_hash_of_a_hidden_text_is_replaced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "
        1  7/7  function__entry  /home/wilma/shop/a.py:1:a  1
        2  7/7  function__entry  /home/wilma/shop/b.py:1:b  1
        3  7/7  source           /home/wilma/shop/a.py::  1  11  plain
        3  7/7  source           /home/wilma/shop/b.py::  1  12  wilma
    ";
    let trace = recorded(script, manifest(), directory.path());
    let hashes = |name: &str, sources| {
        let path = directory.path().join(name);
        redactor(&trace, Filter::default(), sources).write(None, &path).expect("the file is written");
        let (rows, _) = contents(&path);
        let value = |row: &String| row.split_whitespace().nth(5).and_then(|value| value.parse::<i64>().ok());
        rows.iter()
            .filter(|row| row.contains("source"))
            .map(|row| value(row).expect("the value is a hash"))
            .collect::<Vec<_>>()
    };
    let (own, none) = (hashes("own", SourcePolicy::Project), hashes("none", SourcePolicy::None));
    assert_eq!(own[0], 11);
    assert!(own[1] != 12 && none[0] != 11 && none[1] == own[1], "{own:?} {none:?}");
}

#[test]
fn an_excerpt_is_marked_and_its_tree_has_the_same_times() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let filter =
        || Filter { time: Some("6ns-14ns".parse().expect("a valid time range")), ..Filter::default() };
    let path = directory.path().join("excerpt");
    // The first event is at 2.
    let written =
        redactor(&trace, filter(), SourcePolicy::None).write(None, &path).expect("the file is written");
    let excerpt = written.excerpt.expect("the trace is an excerpt");
    assert_eq!((excerpt.from_ns, excerpt.to_ns), (Some(6), Some(14)));
    let totals = |trace: &Trace, filter: &Filter| {
        let totals = measure::Totals::of(&CallTree::read(trace, filter).expect("the trace is valid"));
        let mut totals: Vec<_> = totals
            .functions
            .iter()
            .map(|function| (function.qualname.clone(), function.self_ns, function.total_ns))
            .collect();
        totals.retain(|function| !function.0.contains("wilma") && !function.0.contains("user_"));
        totals.sort();
        totals
    };
    let shared = Trace::open(&[path]).expect("the trace is valid");
    let (expected, found) = (totals(&trace, &filter()), totals(&shared, &Filter::default()));
    assert!(expected.len() >= 3, "{expected:?}");
    assert_eq!(found, expected);
}

#[test]
fn a_leak_is_found_in_every_part_of_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let trace = recorded(SCRIPT, manifest(), directory.path());
    let redactor = redactor(&trace, Filter::default(), SourcePolicy::Project);
    let zip = |trace: &Path, readme: &str| {
        let path = directory.path().join("x.zip");
        pyrec_schema::write_zip(trace, readme, std::fs::File::create(&path).expect("the file is written"))
            .expect("the file is written");
        redactor.find_leak(&path, readme).expect("the trace is valid")
    };
    let path = directory.path().join("shared");
    redactor.write(None, &path).expect("the file is written");
    assert_eq!(zip(&path, "a readme"), None);
    let leak = zip(&path, "by wilma").expect("the README contains it");
    assert_eq!((leak.secret.text.as_str(), leak.location), ("wilma", "its README"));
    // The footer of the recorded trace contains the manifest uncompressed.
    let leak =
        zip(&directory.path().join("recorded.parquet"), "a readme").expect("the trace is not redacted");
    assert_eq!(leak.location, "its bytes");
    // A secret in a compressed page only, and one that is too short to be searched for in bytes.
    let clean = redactor.redactor().manifest(trace.manifest(), None);
    // Among other letters, so that compression does not leave it as it is.
    let letter = |at: u32| char::from(b'a' + (at.wrapping_mul(2_654_435_761) >> 24) as u8 % 26);
    let letters: String = (0..4_000).map(letter).collect();
    for (text, location) in [("/home/wilma/x", "a page"), ("wilma", "a string")] {
        let other = tempfile::tempdir().expect("a temporary directory");
        let script = format!("1 7/7 import__find__load__start - 0 - {letters}\\s{text}\\s{letters}");
        drop(recorded(&script, clean.clone(), other.path()));
        let leak = zip(&other.path().join("recorded.parquet"), "a readme").expect("a secret is found");
        assert_eq!(leak.location, location, "{text}");
    }
}
