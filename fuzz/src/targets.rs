//! Fuzz targets: a function for each reader of untrusted input. A target must return for any bytes.
//!
//! ```text
//! bytes ─┬─ reader ──▶ a trace file, read completely
//!        ├─ profile ─▶ a profile ──▶ call tree ──▶ reports
//!        ├─ rebuild ─▶ arbitrary rows, in pieces ──▶ calls ──▶ reports
//!        ├─ script ──▶ rows from text, and back
//!        ├─ import ──▶ a trace from a capture of another tool
//!        └─ wire ────▶ an agent's definitions, records and filters
//! ```

use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use pyrec_analyzer::calls::CallStream;
use pyrec_analyzer::filter::TimeWindow;
use pyrec_analyzer::measure::{Folded, Threads, Totals, TraceInfo, Weight};
use pyrec_analyzer::report::{flame, info, stats, threads};
use pyrec_analyzer::script::{self, Line};
use pyrec_analyzer::{CallTree, Error, Filter};
use pyrec_classic::import::import;
use pyrec_schema::{Batch, Columns, Event, Manifest, Marker, Names, TextId, Trace, read_profile};
use pyrec_wire::{Definition, DefinitionReader, FunctionFilter, Record};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const ALL: [(&str, Target); 6] = [
    ("reader", reader),
    ("profile", profile),
    ("rebuild", rebuild),
    ("script", text),
    ("import", capture),
    ("wire", wire),
];

/// Opens a trace and reads all rows.
pub fn reader(bytes: &[u8]) {
    let file = temporary_file(bytes);
    drop(rows(file.path()).map_err(|error| error.to_string()));
}

/// Reads a profile, and writes the reports that a call tree is sufficient for.
pub fn profile(bytes: &[u8]) {
    let file = temporary_file(bytes);
    let Ok(profile) = read_profile(file.path()) else { return };
    let filter = Filter::default();
    if let Ok(calls) = CallTree::of_profile(&profile, &filter) {
        report(&calls, &filter).expect("a sink accepts all writes");
    }
}

fn temporary_file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file is created");
    file.write_all(bytes).expect("the file system has room");
    file
}

/// Counts the rows of a trace by marker.
fn rows(trace: &Path) -> Result<[u64; Marker::ALL.len()], pyrec_schema::Error> {
    let mut rows = [0; Marker::ALL.len()];
    for file in Trace::open(&[trace])?.files() {
        for group in 0..file.row_groups() {
            for batch in file.read(group, Columns::ALL)? {
                batch?.marker.iter().for_each(|&marker| rows[marker as usize] += 1);
            }
        }
    }
    Ok(rows)
}

/// Rebuilds calls from arbitrary rows, and writes the reports that a call tree is sufficient for.
pub fn rebuild(bytes: &[u8]) {
    let names = Arc::new(Names::new());
    let pieces = pieces(bytes, &names);
    let filter = Filter::default();
    let calls = CallTree::of_rows(&pieces, &filter, names.clone(), Manifest::unknown("fuzz"));

    let mut moments = 0u64;
    let mut visit = |_: pyrec_analyzer::calls::CallEvent, _: pyrec_analyzer::calls::Callers| {
        moments += 1;
        Ok(())
    };
    let mut single = CallStream::new(&filter, &names, TimeWindow::ALL);
    let rows = pieces.iter().flat_map(Batch::iter);
    let pushed = rows.map(|event| single.push(&event, &mut visit)).collect::<Result<Vec<()>, Error>>();
    assert!(pushed.is_ok());
    let repairs = single.finish(&mut visit).expect("a sink accepts all writes");
    assert_eq!(repairs, calls.repairs(), "both make the same repairs");

    report(&calls, &filter).expect("a sink accepts all writes");
}

fn report(calls: &CallTree, filter: &Filter) -> io::Result<()> {
    let out = &mut io::sink();
    let totals = Totals::of(calls);
    stats::write(&totals, &stats::StatsOptions::default(), out)?;
    stats::write_json(&totals, &stats::StatsOptions::default(), out)?;
    info::write(&TraceInfo::of(calls), out)?;
    threads::write(&Threads::of(calls, filter), out)?;
    let folded = Folded::of(calls, Weight::Time);
    match flame::write(folded.reversed(1, 100), &flame::FlameOptions::default(), out) {
        Ok(()) | Err(Error::NothingToDraw) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Decodes rows from bytes, eight bytes a row, and the places where the stream is split into
/// pieces.
///
/// ```text
/// marker │ split, pid, tid │ code │ text │ value │ change of the time: kind, number, shift
/// ```
fn pieces(bytes: &[u8], names: &Names) -> Vec<Batch> {
    const CODES: [&str; 5] = ["", "m.py:1:f", "m.py:5:C.g", "no colon", "::\u{1b}"];
    const TEXTS: [&str; 6] = ["", "yield", "101", "-9223372036854775808", "9223372036854775807", "a\nb"];
    let mut pieces = vec![Batch::default()];
    let mut time_ns = 0i64;
    for row in bytes.as_chunks::<8>().0 {
        let [marker, thread, code, text, value, time, number, shift] = *row;
        let step = i64::from(number).wrapping_shl(shift.into());
        time_ns = match time {
            255 => i64::MAX,
            254 => i64::MIN,
            253 => step,
            128.. => time_ns.wrapping_sub(step),
            _ => time_ns.wrapping_add(step),
        };
        if thread & 0x80 != 0 {
            pieces.push(Batch::default());
        }
        let text = TEXTS.get(usize::from(text) % (TEXTS.len() + 1));
        let event = Event {
            time_ns,
            pid: i32::from(thread >> 2 & 1),
            tid: i32::from(thread & 3),
            marker: Marker::ALL[usize::from(marker) % Marker::ALL.len()],
            code: names.code(CODES[usize::from(code) % CODES.len()]),
            line: i32::from(number) - 1,
            value: (value > 0).then(|| if value == 255 { i64::MAX } else { i64::from(value as i8) }),
            text: text.map_or(TextId::NONE, |text| names.text(text)),
        };
        pieces.last_mut().expect("there is at least one piece").push(event);
    }
    pieces
}

/// Parses rows from text. Formats them, and parses the result as the same rows.
pub fn text(bytes: &[u8]) {
    let names = Names::new();
    let Ok(rows) = script::parse(&String::from_utf8_lossy(bytes), &names) else { return };
    for event in rows.iter() {
        let line = Line { event: &event, names: &names }.to_string();
        assert_eq!(script::parse(&line, &names), Ok(Batch::from_iter([event])), "{line}");
    }
}

/// Imports a capture. The trace has all events of the summary, or there is no trace.
pub fn capture(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary directory is created");
    let trace = folder.path().join("x.parquet");
    match import(bytes, &trace, "a test") {
        Ok(summary) => {
            let rows = rows(&trace).expect("an imported trace is valid");
            assert_eq!(rows.iter().sum::<u64>() - rows[Marker::Lost as usize], summary.events);
        }
        Err(error) => assert!(!trace.exists(), "{error}"),
    }
}

/// Decodes definitions, with the log split in two, and records and filters.
pub fn wire(bytes: &[u8]) {
    let Some((&split, bytes)) = bytes.split_first() else { return };
    let (before, after) = bytes.split_at(usize::from(split).min(bytes.len()));
    let mut reader = DefinitionReader::default();
    let decoded = reader.feed(before).and_then(|mut decoded| {
        decoded.extend(reader.feed(after)?);
        Ok(decoded)
    });
    let whole = DefinitionReader::default().feed(bytes);
    if let (Ok(decoded), Ok(whole)) = (&decoded, &whole) {
        // Compares the formatted values, since NaN does not equal itself.
        assert_eq!(format!("{decoded:?}"), format!("{whole:?}"));
    }
    for definition in whole.iter().flatten() {
        assert!(!Definition::encode(definition).is_empty());
    }
    for record in bytes.as_chunks().0.iter().map(Record::from_bytes) {
        assert!(record.arg() <= Record::MAX_ARG && record.payload() >> 56 == 0);
        black_box((record.kind(), record.id()));
    }
    if let Some(filter) = FunctionFilter::decode(bytes) {
        let names = String::from_utf8_lossy(bytes);
        black_box((
            filter.records_all(),
            filter.is_recorded("/srv/run.py", "C.f"),
            filter.is_recorded(&names, &names),
        ));
    }
}
