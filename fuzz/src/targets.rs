//! What is fuzzed: whatever takes a stranger's bytes, as functions of nothing but bytes that must return.
//!
//! ```text
//! bytes ─┬─ reader ──▶ a file, opened and read to its end
//!        ├─ rebuild ─▶ rows of any kind, cut anywhere ──▶ calls ──▶ reports
//!        ├─ script ──▶ rows from text, and back
//!        ├─ import ──▶ a trace from what another tool printed
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
use pyrec_schema::{Batch, Columns, Event, Manifest, Marker, Names, TextId, Trace};
use pyrec_wire::{Definition, DefinitionReader, FunctionFilter, Record};

/// A function of bytes that must return, whatever they are.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 5] =
    [("reader", reader), ("rebuild", rebuild), ("script", text), ("import", capture), ("wire", wire)];

/// Opens a trace and reads all of it.
pub fn reader(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    drop(rows(file.path()).map_err(|error| error.to_string()));
}

/// How many rows a trace has of each marker.
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

/// Rebuilds calls from rows that stand in no order, and writes what a tree is enough for.
pub fn rebuild(bytes: &[u8]) {
    let names = Arc::new(Names::new());
    let stretches = stretches(bytes, &names);
    let filter = Filter::default();
    let calls = CallTree::of_rows(&stretches, &filter, names.clone(), Manifest::unknown("nobody"));

    let mut moments = 0u64;
    let mut visit = |_: pyrec_analyzer::calls::CallEvent, _: pyrec_analyzer::calls::Callers| {
        moments += 1;
        Ok(())
    };
    let mut single = CallStream::new(&filter, &names, TimeWindow::ALL);
    let rows = stretches.iter().flat_map(Batch::iter);
    let told = rows.map(|event| single.push(&event, &mut visit)).collect::<Result<Vec<()>, Error>>();
    assert!(told.is_ok());
    let repairs = single.finish(&mut visit).expect("nothing is written");
    assert_eq!(repairs, calls.repairs(), "both readings mend the same");

    report(&calls, &filter).expect("nothing is written");
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

/// Rows from bytes, eight for each, and where they are cut.
///
/// ```text
/// marker  cut, pid, tid  code  text  value  what to do with the time: kind, number, shift
/// ```
fn stretches(bytes: &[u8], names: &Names) -> Vec<Batch> {
    const CODES: [&str; 5] = ["", "m.py:1:f", "m.py:5:C.g", "no colon", "::\u{1b}"];
    const TEXTS: [&str; 6] = ["", "yield", "101", "-9223372036854775808", "9223372036854775807", "a\nb"];
    let mut stretches = vec![Batch::default()];
    let mut time_ns = 0i64;
    for row in bytes.as_chunks::<8>().0 {
        let [marker, place, code, text, value, time, number, shift] = *row;
        let step = i64::from(number).wrapping_shl(shift.into());
        time_ns = match time {
            255 => i64::MAX,
            254 => i64::MIN,
            253 => step,
            128.. => time_ns.wrapping_sub(step),
            _ => time_ns.wrapping_add(step),
        };
        if place & 0x80 != 0 {
            stretches.push(Batch::default());
        }
        let text = TEXTS.get(usize::from(text) % (TEXTS.len() + 1));
        let event = Event {
            time_ns,
            pid: i32::from(place >> 2 & 1),
            tid: i32::from(place & 3),
            marker: Marker::ALL[usize::from(marker) % Marker::ALL.len()],
            code: names.code(CODES[usize::from(code) % CODES.len()]),
            line: i32::from(number) - 1,
            value: (value > 0).then(|| if value == 255 { i64::MAX } else { i64::from(value as i8) }),
            text: text.map_or(TextId::NONE, |text| names.text(text)),
        };
        stretches.last_mut().expect("there is one from the beginning").push(event);
    }
    stretches
}

/// Reads rows as text. What was read is written, and read again as the same rows.
pub fn text(bytes: &[u8]) {
    let names = Names::new();
    let Ok(rows) = script::parse(&String::from_utf8_lossy(bytes), &names) else { return };
    for event in rows.iter() {
        let line = Line { event: &event, names: &names }.to_string();
        assert_eq!(script::parse(&line, &names), Ok(Batch::from_iter([event])), "{line}");
    }
}

/// Imports what a tracing tool printed. All that it says it found is in the trace, or there is no trace.
pub fn capture(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let trace = folder.path().join("x.parquet");
    match import(bytes, &trace, "a test") {
        Ok(tally) => {
            let rows = rows(&trace).expect("it is whole");
            assert_eq!(rows.iter().sum::<u64>() - rows[Marker::Lost as usize], tally.events);
        }
        Err(error) => assert!(!trace.exists(), "{error}"),
    }
}

/// Reads what an agent says, wherever its log is cut.
pub fn wire(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let (before, after) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let mut log = DefinitionReader::default();
    let said = log.feed(before).and_then(|mut said| {
        said.extend(log.feed(after)?);
        Ok(said)
    });
    let whole = DefinitionReader::default().feed(bytes);
    if let (Ok(said), Ok(whole)) = (&said, &whole) {
        // A number that is none is not equal to itself.
        assert_eq!(format!("{said:?}"), format!("{whole:?}"));
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
