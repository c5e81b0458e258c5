//! Complete, truncated and damaged captures.

use proptest::prelude::*;
use pyrec_schema::{Columns, Trace};

use super::*;

const HEADER_LINE: &str = "# pyrec 1\tdtrace\t1000\t1700000000000000000\t3.15.2\tfunction,gc\n";

/// Imports a text. Returns its rows as `time pid/tid marker code line value text`, the summary and
/// the manifest.
fn imported(text: impl AsRef<[u8]>) -> Result<(Vec<String>, ImportSummary, Manifest), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("x.parquet");
    let summary = import(text.as_ref(), &path, "a test")?;
    let trace = Trace::open(&[path]).expect("the trace is valid");
    let mut rows = Vec::new();
    for batch in trace.files()[0].read(0, Columns::ALL).expect("the trace has a row group") {
        for event in batch.expect("the batch is valid").iter() {
            let code = trace.names().code_str(event.code);
            let text = trace.names().text_str(event.text).unwrap_or_default();
            let (time, marker, line) = (event.time_ns, event.marker, event.line);
            let value = event.value.map_or(String::new(), |value| value.to_string());
            rows.push(format!("{time} {}/{} {marker} {code} {line} {value} {text}", event.pid, event.tid));
        }
    }
    Ok((rows, summary, trace.manifest().clone()))
}

fn rows(text: &str) -> (Vec<String>, ImportSummary) {
    let (rows, summary, _) = imported(text).expect("the capture has events");
    (rows.iter().map(|row| row.trim_end().to_owned()).collect(), summary)
}

#[test]
fn every_marker_of_the_capture_format() {
    let text = format!(
        "{HEADER_LINE}\
         10\t7\t8\tfunction__entry\t3\tf\t/srv/a b.py\n\
         20\t7\t8\tline\t4\tf\t/srv/a b.py\n\
         30\t7\t8\tgc__start\t2\n\
         40\t7\t8\tgc__done\t5000000000\n\
         50\t7\t8\timport__find__load__start\tjson\n\
         60\t7\t8\timport__find__load__done\t1\tjson\n\
         70\t7\t8\taudit\topen\n\
         80\t7\t8\tfunction__entry\t-1\tC\t/srv/a b.py\n\
         90\t7\t8\tfunction__return\t4\t\t\n\
         95\t7\t8\tfunction__return\t0\tg\t__init__\n\
         # end\n"
    );
    let (rows, summary, manifest) = imported(text).expect("the capture has events");
    let rows: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
    assert_eq!(
        rows,
        [
            "10 7/8 function__entry /srv/a b.py::f 3",
            "20 7/8 line /srv/a b.py::f 4",
            "30 7/8 gc__start  0 2",
            "40 7/8 gc__done  0 5000000000",
            "50 7/8 import__find__load__start  0  json",
            "60 7/8 import__find__load__done  0 1 json",
            "70 7/8 audit  0  open",
            "80 7/8 function__entry /srv/a b.py::C 0",
            "90 7/8 function__return :: 4",
        ]
    );
    assert_eq!(summary, ImportSummary { events: 9, is_complete: Some(true), ..ImportSummary::default() });
    assert_eq!(
        (manifest.clock.source.as_str(), manifest.clock.unix_ns(1_007)),
        ("dtrace", Some(1_700_000_000_000_000_007))
    );
    assert_eq!((manifest.python[0].version.as_str(), manifest.ended), ("3.15.2", RecordingEnd::Stopped));
    assert_eq!(manifest.markers, ["function", "gc"]);
}

#[test]
fn the_formats_of_example_scripts() {
    // As CPython's documentation prints them.
    let (dtrace, summary) = rows(
        "156641360502280\t function-entry:call_stack.py:start:23\n\
         156641360518804\t function-entry: call_stack.py:function_1:1\n\
         156641360546807\tfunction-return: call_stack.py:function_1:10\n\
         156641360747370\tfunction-return:call_stack.py:start:28\n",
    );
    assert_eq!(dtrace[1], "156641360518804 0/0 function__entry call_stack.py::function_1 1");
    assert_eq!(summary, ImportSummary { events: 4, ..ImportSummary::default() });
    let (stap, summary) = rows(
        "11408 python(8274):        => __contains__ in Lib/_abcoll.py:362\n\
         11414 python(8274):         => __getitem__ in Lib/os.py:425\n\
         11418 python(8274):          => encode in Lib/os.py:490\n\
         11424 python(8274):          <= encode in Lib/os.py:493\n\
         11428 python(8274):         <= __getitem__ in <frozen importlib._bootstrap_external>:426\n",
    );
    assert_eq!(stap[2], "11418000 8274/8274 function__entry Lib/os.py::encode 490");
    assert_eq!(summary, ImportSummary { events: 5, has_per_thread_times: true, ..ImportSummary::default() });
}

#[test]
fn events_of_several_processors_are_put_in_order() {
    let (rows, _) = rows("30\t7\t7\tgc__done\t0\n40\t7\t7\tgc__start\t1\n10\t7\t7\tgc__start\t0\n");
    assert_eq!(rows.iter().map(|row| &row[..2]).collect::<Vec<_>>(), ["10", "30", "40"]);
}

#[test]
fn counts_of_lost_events_saturate() {
    let lost = format!("Lost {} events\n", u64::MAX);
    let (rows, summary) =
        rows(&format!("{HEADER_LINE}{lost}{lost}10\t7\t7\tgc__start\t2\n{lost}{lost}20\t7\tgc"));
    assert_eq!((summary.lost, summary.events), (u64::MAX, 1));
    let most = i64::MAX;
    assert_eq!(
        rows,
        [
            format!("10 7/7 lost  0 {most} 10"),
            "10 7/7 gc__start  0 2".into(),
            format!("10 7/7 lost  0 {most} 10")
        ]
    );
}

#[test]
fn a_malformed_line_is_a_loss_at_its_position() {
    let (rows, summary) = rows(
        "10\t7\t7\tgc__start\t0\n\
         15\t8\t8\tgc__start\t0\n\
         20\t7\t7\tgc__do21\t7\t7\tgc__done\t0\n\
         30\t8\t8\tgc__done\t0\n\
         40\t7\t7\tgc__start\t1\n\
         what is this\n\
         50\t7\t7\tgc__done\t1\n\
         60\t8\t8\tgc__start\t2\n\
         70\t7\t7\tgc__sta",
    );
    assert_eq!(
        rows,
        [
            "10 7/7 gc__start  0 0",
            "15 8/8 gc__start  0 0",
            // The first malformed line still has its thread; the second one may be of any thread.
            "30 8/8 gc__done  0 0",
            "40 7/7 lost  0 1 10",
            "40 7/7 gc__start  0 1",
            "50 7/7 lost  0 1 40",
            "50 7/7 gc__done  0 1",
            "50 7/7 lost  0 1 50",
            "60 8/8 lost  0 0 30",
            "60 8/8 gc__start  0 2",
            "60 8/8 lost  0 0 60",
        ]
    );
    assert_eq!(
        (summary.events, summary.malformed, summary.first_malformed.expect("a malformed line exists").0),
        (6, 3, 3)
    );
}

#[test]
fn losses_reported_by_the_tools_are_counted() {
    let text = "Attaching 9 probes...\n10\t7\t7\tgc__start\t0\nLost 12 events\n@lines: 3\n\n\
                20\t7\t7\tgc__done\t0\ndtrace: 5 drops on CPU 0\n30\t7\t7\tgc__start\t0\n\
                WARNING: Number of errors: 0, skipped probes: 2\n";
    let (rows, summary) = rows(text);
    assert_eq!((summary.lost, summary.malformed), (17, 0));
    assert_eq!((rows[1].as_str(), rows[3].as_str()), ("20 7/7 lost  0 12 10", "30 7/7 lost  0 5 20"));
}

#[test]
fn a_jump_in_depth_is_a_loss() {
    let (rows, summary) = rows(
        "10\t function-entry:a.py:f:1\n\
         20\tfunction-return:  a.py:h:9\n\
         30\tfunction-return: a.py:g:5\n",
    );
    assert_eq!((summary.missing, rows[1].as_str()), (2, "20 0/0 lost  0 2 10"));
    assert_eq!(rows.len(), 4);
}

#[test]
fn names_that_bpftrace_may_have_truncated_are_counted() {
    let head = HEADER_LINE.replace("dtrace", "bpftrace");
    for (bytes, cut) in [(62, 0), (63, 1), (64, 0), (98, 0), (99, 1)] {
        let text = format!("{head}10\t7\t7\tline\t3\tf\t{}\n", "x".repeat(bytes));
        let (_, summary, manifest) = imported(text).expect("the capture has an event");
        assert_eq!((summary.maybe_truncated, summary.is_complete), (cut, Some(false)), "{bytes}");
        assert_eq!(manifest.ended, RecordingEnd::Recording);
    }
}

#[test]
fn a_capture_without_events_is_an_error_and_leaves_no_file() {
    let long = [&b"x".repeat(200_000)[..], b"\n\xff\xfe\n"].concat();
    for text in [&b""[..], b"hello\n", HEADER_LINE.as_bytes(), &long] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("x.parquet");
        assert!(matches!(import(text, &path, "a test"), Err(Error::NoEvents)));
        assert!(!path.exists());
    }
}

proptest! {
    /// Overwrites, removes or inserts bytes: no event appears that is not a line of the capture.
    #[test]
    fn a_damaged_capture_yields_no_invented_event(at in 0usize..300, len in 0usize..40, with in "[\t\n0-9a-z]{0,3}") {
        let line = |at: usize| {
            let (time, kind) = (1_000_000 + at * 1_000, if at.is_multiple_of(2) { "entry" } else { "return" });
            format!("{time}\t4711\t4712\tfunction__{kind}\t17\tname\t/srv/file.py\n")
        };
        let mut text = (0..6).map(line).collect::<String>().into_bytes();
        let at = at.min(text.len());
        let end = (at + len).min(text.len());
        text.splice(at..end, with.bytes());
        if let Ok((rows, summary, _)) = imported(&text) {
            prop_assert_eq!(rows.iter().filter(|row| !row.contains(" lost ")).count() as u64, summary.events);
            prop_assert!(summary.events <= 7);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = imported(text);
    }

    #[test]
    fn arbitrary_fields_do_not_panic(text in "([0-9\\-]{1,20}|[\t :=<>()#]|function__entry|gc__done|lost|\n| => | in ){0,60}") {
        let _ = imported(text);
    }
}
