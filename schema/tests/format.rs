//! Parts of the format: names, codes, the manifest, losses, columns, and the metadata for other
//! readers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::HashSet;
use std::fs::File;

use arrow::datatypes::DataType;
use common::{batch, manifest, names, plain_rows};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;
use pyrec_schema::{
    Code, CodeId, Columns, LostEvents, Manifest, Marker, MarkerGroup, RecordingEnd, TextId, Trace,
    TraceReader, TraceWriter, WriterOptions,
};

#[test]
fn codes_are_parsed_from_the_right() {
    let code = |file, first_line, qualname| Code { file, first_line, qualname };
    let table = [
        ("/usr/lib/a.py:12:Class.method", code("/usr/lib/a.py", Some(12), "Class.method")),
        ("C:\\a.py:1:f", code("C:\\a.py", Some(1), "f")),
        ("a:b.py:7:f.<locals>.<lambda>", code("a:b.py", Some(7), "f.<locals>.<lambda>")),
        ("<string>:0:<module>", code("<string>", Some(0), "<module>")),
        ("a.py::f", code("a.py", None, "f")),
        ("/x/a.py::", code("/x/a.py", None, "")),
        ("a.py:-1:f", code("a.py", None, "f")),
        (":1:f", code("", Some(1), "f")),
        ("a.py:f", code("", None, "a.py:f")),
        ("f", code("", None, "f")),
        ("", code("", None, "")),
    ];
    for (string, expected) in table {
        assert_eq!(Code::parse(string), expected, "{string}");
    }
    assert_eq!(Code::parse("a.py:1:Class.method").name(), "method");
    assert_eq!(Code::parse("a.py:1:f.<locals>.<lambda>").name(), "<lambda>");
    assert_eq!(code("a.py", Some(1), "odd:name").to_string(), "a.py:1:odd;name");
}

proptest! {
    #[test]
    fn codes_are_parsed_as_they_were_formatted(file in ".*", first_line: Option<u32>, qualname in "[^:]*") {
        let code = Code { file: &file, first_line, qualname: &qualname };
        let string = code.to_string();
        prop_assert_eq!(Code::parse(&string), code);
    }

    #[test]
    fn losses_are_converted_to_rows_and_back(pid: i32, tid: i32, count in 0..=i64::MAX as u64, from_ns: i64, to_ns: i64) {
        let lost = LostEvents { pid, tid, count, from_ns, to_ns };
        let names = names();
        prop_assert_eq!(LostEvents::from_event(&lost.to_event(&names), &names), Some(lost));
    }
}

#[test]
fn a_loss_without_a_start_has_no_duration() {
    let names = names();
    let mut event = LostEvents { pid: 1, tid: 2, count: 3, from_ns: 4, to_ns: 5 }.to_event(&names);
    event.text = TextId::NONE;
    event.value = None;
    assert_eq!(
        LostEvents::from_event(&event, &names),
        Some(LostEvents { pid: 1, tid: 2, count: 0, from_ns: 5, to_ns: 5 })
    );
    event.marker = Marker::Line;
    assert_eq!(LostEvents::from_event(&event, &names), None);
}

#[test]
fn markers_and_groups_have_unique_names() {
    for (at, marker) in Marker::ALL.into_iter().enumerate() {
        assert_eq!(marker as usize, at);
        assert_eq!(Marker::from_name(marker.name()), Some(marker));
        let groups = MarkerGroup::ALL.into_iter().filter(|group| group.markers().contains(&marker)).count();
        assert_eq!(groups, usize::from(marker.is_event()), "{marker}");
    }
    assert_eq!(Marker::ALL.map(Marker::name).into_iter().collect::<HashSet<_>>().len(), Marker::ALL.len());
    assert!(MarkerGroup::ALL.into_iter().all(|group| MarkerGroup::from_name(group.name()) == Some(group)));
    assert_eq!((Marker::from_name("nothing"), MarkerGroup::from_name("nothing")), (None, None));
}

#[test]
fn the_empty_code_is_none_and_the_empty_text_is_a_text() {
    let names = names();
    assert_eq!(names.code(""), CodeId::NONE);
    assert_ne!(names.text(""), TextId::NONE);
    assert_eq!(names.text_str(names.text("")).as_deref(), Some(""));
    assert_eq!(names.text_str(TextId::NONE), None);
}

#[test]
fn manifests_are_parsed_as_they_were_formatted() {
    let mut manifest = manifest();
    let ends = [
        RecordingEnd::Recording,
        RecordingEnd::Exited { status: 3 },
        RecordingEnd::Killed { signal: 15 },
        RecordingEnd::Stopped,
        RecordingEnd::Failed { reason: "no \"room\"\n".into() },
    ];
    for ended in ends {
        manifest.ended = ended;
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        // A later writer of this format version may add keys.
        let more = json.replacen('{', "{\"more\":[1],", 1);
        assert_eq!(serde_json::from_str::<Manifest>(&more).unwrap(), manifest);
    }
}

#[test]
fn a_manifest_is_read_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    TraceWriter::create(&path, names(), manifest(), WriterOptions::default()).unwrap().finish().unwrap();
    let reader = TraceReader::open(&path, names()).unwrap();
    assert_eq!(reader.manifest(), &manifest());
    assert_eq!((reader.rows(), reader.row_groups(), reader.torn_bytes()), (0, 0, 0));
    assert_eq!(reader.path(), &path);
}

#[test]
fn columns_that_are_not_selected_have_default_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let mut writer = TraceWriter::create(&path, names.clone(), manifest(), WriterOptions::default()).unwrap();
    writer.write(&batch(&plain_rows(500), &names)).unwrap();
    writer.finish().unwrap();
    let reader = TraceReader::open(&path, names).unwrap();
    let batch = |columns| reader.read(0, columns).unwrap().next().unwrap().unwrap();
    let all = batch(Columns::ALL);
    for which in 0..8 {
        let columns = Columns { line: which & 1 > 0, value: which & 2 > 0, text: which & 4 > 0 };
        let mut expected = all.clone();
        if !columns.line {
            expected.line.fill(0);
        }
        if !columns.value {
            expected.values.clear();
        }
        if !columns.text {
            expected.text.fill(TextId::NONE);
        }
        assert_eq!(batch(columns), expected, "{columns:?}");
    }
}

#[test]
fn several_files_are_one_trace_with_one_string_table() {
    let dir = tempfile::tempdir().unwrap();
    for (at, name) in ["b.parquet", "a.parquet", "c.parquet"].into_iter().enumerate() {
        let names = names();
        let mut facts = manifest();
        facts.ended = RecordingEnd::Exited { status: at as i32 };
        let mut writer =
            TraceWriter::create(&dir.path().join(name), names.clone(), facts, WriterOptions::default())
                .unwrap();
        writer.write(&batch(&plain_rows(10 * (at + 1)), &names)).unwrap();
        writer.finish().unwrap();
    }
    let trace = Trace::open(&[dir.path()]).unwrap();
    assert_eq!(trace.files().iter().map(TraceReader::rows).collect::<Vec<_>>(), [20, 10, 30]);
    assert_eq!(trace.rows(), 60);
    assert_eq!(trace.manifest().ended, RecordingEnd::Exited { status: 2 });
    let code = |file: &TraceReader| file.read(0, Columns::ALL).unwrap().next().unwrap().unwrap().code[0];
    assert_eq!(code(&trace.files()[0]), code(&trace.files()[2]));
    let two = Trace::open(&[dir.path().join("c.parquet"), dir.path().join("b.parquet")]).unwrap();
    assert_eq!(two.files().iter().map(TraceReader::rows).collect::<Vec<_>>(), [30, 10]);
    assert!(Trace::open::<&str>(&[]).is_err());
}

#[test]
fn row_groups_are_read_by_several_threads_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let rows = plain_rows(20_000);
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 1000 })
            .unwrap();
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();
    let reader = TraceReader::open(&path, names.clone()).unwrap();
    let read = |group: usize| {
        let batches = reader.read(group, Columns::ALL).unwrap();
        batches.flat_map(|batch| batch.unwrap().iter().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let groups: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|group| scope.spawn(move || read(group))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let expected: Vec<_> = batch(&rows, &names).iter().collect();
    assert_eq!(groups.concat(), expected);
}

#[test]
fn the_file_has_types_and_statistics_for_other_readers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let names = names();
    let rows = plain_rows(2000);
    let mut writer =
        TraceWriter::create(&path, names.clone(), manifest(), WriterOptions { row_group_rows: 1500 })
            .unwrap();
    writer.write(&batch(&rows, &names)).unwrap();
    writer.finish().unwrap();

    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let columns = file.schema().fields().iter();
    let columns: Vec<_> =
        columns.map(|field| (field.name().as_str(), field.data_type(), field.is_nullable())).collect();
    let expected = [
        ("time_ns", &DataType::Int64, false),
        ("pid", &DataType::Int32, false),
        ("tid", &DataType::Int32, false),
        ("marker", &dictionary, false),
        ("code", &dictionary, false),
        ("line", &DataType::Int32, false),
        ("value", &DataType::Int64, true),
        ("text", &dictionary, true),
    ];
    assert_eq!(columns, expected);

    for (group, rows) in file.metadata().row_groups().iter().zip([&rows[..1500], &rows[1500..]]) {
        let statistics = |column: usize| group.column(column).statistics().unwrap();
        let Statistics::Int64(time) = statistics(0) else { panic!() };
        let times = || rows.iter().map(|row| row.time_ns);
        assert_eq!((time.min_opt().copied(), time.max_opt().copied()), (times().min(), times().max()));
        let Statistics::Int32(tid) = statistics(2) else { panic!() };
        let tids = || rows.iter().map(|row| row.tid);
        assert_eq!((tid.min_opt().copied(), tid.max_opt().copied()), (tids().min(), tids().max()));
        let nulls =
            |empty: fn(&common::Row) -> bool| Some(rows.iter().filter(|row| empty(row)).count() as u64);
        assert_eq!(statistics(6).null_count_opt(), nulls(|row| row.value.is_none()));
        assert_eq!(statistics(7).null_count_opt(), nulls(|row| row.text.is_none()));
        assert!(group.column(0).encodings().any(|encoding| encoding == Encoding::DELTA_BINARY_PACKED));
    }
}
