//! Helpers for the tests: a manifest, rows, and functions to write and read them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of them, and a test may panic")]

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use pyrec_schema::{
    Batch, Clock, Columns, Event, FORMAT_VERSION, Host, Manifest, Marker, Names, Python, RecordingEnd,
    TextId, Trace,
};

pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT_VERSION,
        writer: "pyrec 0.1.0".into(),
        command: vec!["python3".into(), "richards.py".into()],
        attached: vec![],
        directory: None,
        python: vec![Python {
            version: "3.13.0".into(),
            build: None,
            executable: Some("/usr/bin/python3.13".into()),
            path: vec!["/usr/lib/python3.13".into()],
        }],
        provider: "agent".into(),
        markers: vec!["function".into(), "gc".into()],
        include: vec![],
        exclude: vec![],
        clock: Clock {
            source: "tsc".into(),
            anchor_monotonic_ns: 5,
            anchor_unix_ns: Some(1_700_000_000_000_000_000),
        },
        host: Host {
            system: "Linux 6.1".into(),
            machine: "x86_64".into(),
            processors: 2,
            name: "box".into(),
        },
        cost_per_event_ns: Some(28.5),
        waited_ns: None,
        ended: RecordingEnd::Exited { status: 0 },
        slice: None,
        session: None,
        part: None,
        live_row_groups: 0,
    }
}

/// A row with its strings, so that rows of different string tables can be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub time_ns: i64,
    pub pid: i32,
    pub tid: i32,
    pub marker: Marker,
    pub code: String,
    pub line: i32,
    pub value: Option<i64>,
    pub text: Option<String>,
}

impl Row {
    pub fn to_event(&self, names: &Names) -> Event {
        Event {
            time_ns: self.time_ns,
            pid: self.pid,
            tid: self.tid,
            marker: self.marker,
            code: names.code(&self.code),
            line: self.line,
            value: self.value,
            text: self.text.as_deref().map_or(TextId::NONE, |text| names.text(text)),
        }
    }

    pub fn from_event(event: &Event, names: &Names) -> Row {
        Row {
            time_ns: event.time_ns,
            pid: event.pid,
            tid: event.tid,
            marker: event.marker,
            code: names.code_str(event.code).to_string(),
            line: event.line,
            value: event.value,
            text: names.text_str(event.text).map(|text| text.to_string()),
        }
    }
}

pub fn batch(rows: &[Row], names: &Names) -> Batch {
    rows.iter().map(|row| row.to_event(names)).collect()
}

/// Replaces a file. Removes it first, since overwriting a non-empty file waits for the disk (ext4's
/// `auto_da_alloc`).
pub fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
}

/// Reads all rows of a trace file.
pub fn read(path: &Path) -> Vec<Row> {
    rows_of(&Trace::open(&[path]).unwrap())
}

/// Reads all rows of an open trace.
pub fn rows_of(trace: &Trace) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in trace.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, Columns::ALL).unwrap() {
                rows.extend(batch.unwrap().iter().map(|event| Row::from_event(&event, trace.names())));
            }
        }
    }
    assert_eq!(rows.len() as u64, trace.rows());
    rows
}

/// Rows similar to those of a program: a few codes, increasing times, and some values and texts.
pub fn plain_rows(count: usize) -> Vec<Row> {
    let row = |at: usize| Row {
        time_ns: 1_000_000 + at as i64 * 40 + (at as i64 * 7919 % 23),
        pid: 100,
        tid: 100 + (at / 1000 % 2) as i32,
        marker: if at.is_multiple_of(2) { Marker::FunctionEntry } else { Marker::FunctionReturn },
        code: format!("/x/a{}.py:{}:f{}", at % 3, at % 17, at % 17),
        line: (at % 97) as i32,
        value: at.is_multiple_of(101).then_some(at as i64),
        text: at.is_multiple_of(103).then(|| format!("text {}", at % 5)),
    };
    (0..count).map(row).collect()
}

/// Arbitrary rows, with both frequent and rare values.
pub fn any_row() -> impl Strategy<Value = Row> {
    let number = || prop_oneof![3 => 0..9i32, 1 => any::<i32>()];
    let time = prop_oneof![3 => 0..1000i64, 1 => any::<i64>()];
    let string = || prop_oneof![3 => "[a-c]", 1 => ".*"];
    let marker = (0..Marker::ALL.len()).prop_map(|at| Marker::ALL[at]);
    let value = prop_oneof![2 => Just(None), 1 => any::<Option<i64>>()];
    let text = prop_oneof![2 => Just(None), 1 => string().prop_map(Some)];
    (time, number(), number(), marker, string(), number(), value, text).prop_map(
        |(time_ns, pid, tid, marker, code, line, value, text)| Row {
            time_ns,
            pid,
            tid,
            marker,
            code,
            line,
            value,
            text,
        },
    )
}

pub fn names() -> Arc<Names> {
    Arc::new(Names::new())
}
