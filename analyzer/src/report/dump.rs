//! The rows of a trace as text or JSON lines, in the order of the file.

use std::io::{self, Write};

use pyrec_schema::{Columns, Event, Marker, Names, Trace};
use serde::Serialize;

use super::{json, trust_line};
use crate::calls::TraceSummary;
use crate::filter::TimeWindow;
use crate::measure::Trust;
use crate::order;
use crate::script::Line;
use crate::tree::TracePiece;
use crate::{Filter, Result};

/// Options of the dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// The markers whose rows are written. If empty: all but source texts.
    pub markers: Vec<Marker>,
    /// The format of a row.
    pub format: DumpFormat,
}

/// The format of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DumpFormat {
    /// A line of a script, as [`crate::script::parse`] reads it.
    #[default]
    Script,
    /// A JSON object on a line.
    Json,
}

impl DumpOptions {
    fn has(&self, marker: Marker) -> bool {
        match self.markers.as_slice() {
            [] => marker != Marker::Source,
            markers => markers.contains(&marker),
        }
    }
}

/// Writes the rows that the filter and the options select, and the trust line. Only the threads and
/// the time range of the filter apply, since a row has no callers and no duration.
pub fn write(trace: &Trace, filter: &Filter, options: &DumpOptions, out: &mut impl Write) -> Result<()> {
    let origin_ns = if filter.time.is_some() { order::origin_ns(trace)? } else { None };
    let window = filter.window(origin_ns.unwrap_or(0));
    let is_wanted = |event: &Event| {
        options.has(event.marker)
            && filter.selects_thread(event.pid, event.tid)
            && window.contains(event.time_ns)
    };
    let names = trace.names();
    // The calls are rebuilt only for the number of repairs in the trust line.
    let mut streams = TracePiece::first(TimeWindow::ALL);
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, Columns::ALL)? {
                let batch = batch?;
                streams.push(&batch, names);
                let mut rows = batch.iter().filter(is_wanted);
                rows.try_for_each(|event| write_row(&event, names, options.format, out))?;
            }
        }
    }
    let counts = streams.counts.clone();
    let torn_bytes = trace.files().iter().map(|file| file.torn_bytes()).sum();
    let seen = TraceSummary { counts, repairs: streams.repairs(), torn_bytes };
    let trust = Trust::of_summary(trace.manifest(), &seen);
    Ok(write_trust(&trust, options.format, out)?)
}

fn write_row(event: &Event, names: &Names, format: DumpFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        DumpFormat::Script => writeln!(out, "{}", Line { event, names }),
        DumpFormat::Json => write_json_row(event, names, out),
    }
}

/// The keys are the names of the trace's columns.
fn write_json_row(event: &Event, names: &Names, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Row<'a> {
        time_ns: i64,
        pid: i32,
        tid: i32,
        marker: &'a str,
        code: &'a str,
        line: i32,
        value: Option<i64>,
        text: Option<&'a str>,
    }
    let Event { time_ns, pid, tid, marker, code, line, value, text } = *event;
    let (code, text) = (names.code_str(code), names.text_str(text));
    let (marker, text) = (marker.name(), text.as_deref());
    json::write(&Row { time_ns, pid, tid, marker, code: &code, line, value, text }, out)
}

/// In a script the trust line is a comment. In JSON lines it is the last object.
fn write_trust(trust: &Trust, format: DumpFormat, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct TrustRow<'a> {
        trust: &'a Trust,
    }
    match format {
        DumpFormat::Script => writeln!(out, "# {}", trust_line(trust)),
        DumpFormat::Json => json::write(&TrustRow { trust }, out),
    }
}

#[cfg(test)]
mod tests {
    //! Dumps of small traces.

    use std::sync::Arc;

    use pyrec_schema::Names;

    use super::*;
    use crate::testing;

    const SCRIPT: &str = "
        10  7/7  process__start    -                 0  1  python3 run.py
        20  7/7  function__entry   /srv/run.py:1:a   1
        25  7/8  function__entry   /srv/run.py:9:b   9
        30  7/8  function__return  /srv/run.py:9:b   9
        35  7/7  lost              -                 0  40  25
        40  7/7  function__return  /srv/run.py:1:a   2  -  unwind
        50  7/7  source            /srv/run.py::     1  5  a()
    ";

    fn text(filter: &Filter, options: &DumpOptions) -> String {
        let (trace, _directory) = testing::trace(SCRIPT, 3);
        let mut out = Vec::new();
        write(&trace, filter, options, &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    /// The time and thread of each row.
    fn times_and_threads(filter: &Filter, markers: &[Marker]) -> Vec<String> {
        let options = DumpOptions { markers: markers.to_vec(), ..DumpOptions::default() };
        let text = text(filter, &options);
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        rows.map(|row| row.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_dump_parses_to_the_same_rows() {
        let text = text(
            &Filter::default(),
            &DumpOptions { markers: Marker::ALL.to_vec(), ..DumpOptions::default() },
        );
        let names = Arc::new(Names::new());
        assert_eq!(testing::rows(&text, &names), testing::rows(SCRIPT, &names));
        assert!(text.ends_with(
            "# trust: 4 events, 40 lost, 0 repaired, exited with 0, tracing cost 31 ns per event\n"
        ));
    }

    #[test]
    fn testdata_scripts_round_trip_through_a_file() {
        for (name, script) in testing::all("script") {
            let (trace, _directory) = testing::trace(&script, 5);
            let mut out = Vec::new();
            write(&trace, &Filter::default(), &DumpOptions::default(), &mut out)
                .expect("a vector accepts all writes");
            let names = Arc::new(Names::new());
            let dumped = String::from_utf8(out).expect("the output is UTF-8");
            assert_eq!(testing::rows(&dumped, &names), testing::rows(&script, &names), "{name}");
        }
    }

    #[test]
    fn rows_are_selected_by_thread_time_and_marker() {
        let tids = Filter { tids: vec![8], ..Filter::default() };
        assert_eq!(times_and_threads(&tids, &[]), ["25 7/8", "30 7/8"]);
        let pids = Filter { pids: vec![8], ..Filter::default() };
        assert_eq!(times_and_threads(&pids, &[]), [""; 0]);
        // Times count from the first event, which is at 20.
        let time =
            Filter { time: Some("5ns-15ns".parse().expect("the range is valid")), ..Filter::default() };
        assert_eq!(times_and_threads(&time, &[]), ["25 7/8", "30 7/8"]);
        assert_eq!(
            times_and_threads(&Filter::default(), &[Marker::Lost, Marker::FunctionEntry]),
            ["20 7/7", "25 7/8", "35 7/7"]
        );
    }

    #[test]
    fn json_lines_have_the_trace_columns_and_end_with_the_trust() {
        let text =
            text(&Filter::default(), &DumpOptions { format: DumpFormat::Json, ..DumpOptions::default() });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("the output is valid JSON")).collect();
        assert_eq!(
            lines[0],
            serde_json::json!({"time_ns": 10, "pid": 7, "tid": 7, "marker": "process__start", "code": "", "line": 0,
                               "value": 1, "text": "python3 run.py"})
        );
        assert_eq!(
            lines[2],
            serde_json::json!({"time_ns": 25, "pid": 7, "tid": 8, "marker": "function__entry",
                               "code": "/srv/run.py:9:b", "line": 9, "value": null, "text": null})
        );
        assert_eq!((lines.len(), &lines[6]["trust"]["lost"]), (7, &serde_json::json!(40)));
    }
}
