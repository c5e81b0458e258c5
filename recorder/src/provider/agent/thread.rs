//! A recorded thread: its ring, converted into rows.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use pyrec_schema::{CodeId, Event, LostEvents, Marker, Names, TextId};
use pyrec_wire::{Record, RecordKind};

use super::definitions::{DefinitionTables, Site};
use super::tick_clock::{TickClock, TickConverter};
use crate::os::clock::monotonic_ns;
use crate::output::row_writer::RowWriter;
use crate::session::ring::Ring;
use crate::{Error, Result};

/// The texts in rows of functions, which tell how a call was entered or left.
#[derive(Clone, Copy, Debug)]
pub(super) struct FunctionTexts {
    resume: TextId,
    throw: TextId,
    yielded: TextId,
    unwind: TextId,
}

impl FunctionTexts {
    pub fn new(names: &Names) -> FunctionTexts {
        FunctionTexts {
            resume: names.text("resume"),
            throw: names.text("throw"),
            yielded: names.text("yield"),
            unwind: names.text("unwind"),
        }
    }
}

/// A thread of a recorded process.
pub(super) struct RecordedThread {
    path: PathBuf,
    /// File name of `path`.
    name: Arc<str>,
    ring: Ring,
    /// Positions in the ring, each with the batch that holds the rows up to there. The slots before
    /// a position are released when its batch is committed.
    uncommitted: VecDeque<BatchPosition>,
    /// The position up to which slots are released.
    released: u64,
    pid: i32,
    tid: i32,
    /// The time of the last row.
    last_ns: i64,
    /// A loss record that no other record has followed yet. The row is written with that one,
    /// because it ends the interval of the loss.
    pending_loss: Option<PendingLoss>,
}

#[derive(Clone, Copy, Debug)]
struct BatchPosition {
    batch: u64,
    position: u64,
}

#[derive(Clone, Copy, Debug)]
struct PendingLoss {
    events: u64,
    from_ns: i64,
}

impl RecordedThread {
    /// Opens the ring of a thread; none while the thread is still creating it.
    pub fn open(path: PathBuf) -> Result<Option<RecordedThread>> {
        let file = File::options().read(true).write(true).open(&path);
        let ring = file.and_then(Ring::open);
        let ring = ring.map_err(|source| Error::SessionFile { path: path.clone(), source })?;
        Ok(ring.map(|ring| RecordedThread {
            name: path.file_name().unwrap_or_default().to_string_lossy().into(),
            path,
            uncommitted: VecDeque::new(),
            released: ring.position(),
            pid: ring.header().pid,
            tid: ring.header().tid,
            ring,
            last_ns: 0,
            pending_loss: None,
        }))
    }

    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The file name of the ring.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The path of the ring.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Continues at a position in the ring: what is before it is in the trace.
    pub fn skip_to(&mut self, position: u64) {
        self.ring.skip_to(position);
    }

    /// Releases the slots whose rows are in committed batches.
    pub fn release(&mut self, committed_batches: u64) {
        let count = self.uncommitted.partition_point(|entry| entry.batch <= committed_batches);
        if let Some(BatchPosition { position, .. }) = self.uncommitted.drain(..count).next_back() {
            self.released = position;
            self.ring.release(position);
        }
    }

    /// Whether unreleased records fill half of the ring, so that the thread may soon have to wait.
    pub fn is_half_full(&self) -> bool {
        self.ring.is_half_filled_by(self.ring.position() - self.released)
    }

    /// Notes that the rows up to the ring's position are in the current batch.
    fn update_position(&mut self, rows: &mut RowWriter) {
        // A pending loss has no row yet, so its record is read again after a crash.
        let position = self.ring.position() - u64::from(self.pending_loss.is_some());
        rows.set_position(&self.name, position);
        let batch = rows.batch_number();
        match self.uncommitted.back_mut() {
            Some(last) if last.batch == batch => last.position = position,
            _ => self.uncommitted.push_back(BatchPosition { batch, position }),
        }
    }

    /// Returns the time of the thread's first event.
    pub fn start(&mut self, clock: &TickClock) -> i64 {
        self.last_ns = clock.to_ns(self.ring.header().start_ticks);
        self.last_ns
    }

    /// The time of the last row.
    pub fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// Observes how far the thread has written.
    pub fn observe(&mut self) {
        self.ring.observe();
    }

    /// Whether the thread had ended at the last observation.
    pub fn has_ended(&self) -> bool {
        self.ring.end_ticks().is_some()
    }

    /// Writes the events up to the last observation as rows. Returns their number.
    pub fn drain(
        &mut self,
        definitions: &DefinitionTables,
        rows: &mut RowWriter,
        clock: &TickClock,
        texts: &FunctionTexts,
        buffer: &mut Vec<u8>,
    ) -> Result<u64> {
        let mut events = 0;
        let mut converter = clock.converter();
        loop {
            let bytes = self.ring.read(rows.read_limit()?, buffer);
            let bytes = bytes.map_err(|source| Error::SessionFile { path: self.path.clone(), source })?;
            if bytes.is_empty() {
                return Ok(events);
            }
            events += self.decode(bytes, definitions, rows, &mut converter, texts)?;
            if let Some(last) = bytes.as_chunks().0.last() {
                self.last_ns = converter.convert(Record::from_bytes(last).ticks);
            }
            self.update_position(rows);
        }
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        definitions: &DefinitionTables,
        rows: &mut RowWriter,
        converter: &mut TickConverter<'_>,
        texts: &FunctionTexts,
    ) -> Result<u64> {
        let mut events = 0;
        for bytes in bytes.as_chunks().0 {
            let record = Record::from_bytes(bytes);
            let time_ns = converter.convert(record.ticks);
            let Some(kind) = record.kind() else { return Err(self.invalid()) };
            self.write_pending_loss(rows, time_ns)?;
            if kind == RecordKind::Lost {
                self.pending_loss = Some(PendingLoss { events: record.payload(), from_ns: time_ns });
                continue;
            }
            let Some(fields) = decode_fields(kind, record, definitions, texts) else {
                return Err(self.invalid());
            };
            let EventFields { marker, code, line, value, text } = fields;
            rows.push(Event { time_ns, pid: self.pid, tid: self.tid, marker, code, line, value, text })?;
            events += u64::from(marker.is_event());
        }
        Ok(events)
    }

    #[inline]
    fn write_pending_loss(&mut self, rows: &mut RowWriter, to_ns: i64) -> Result<()> {
        let Some(PendingLoss { events: count, from_ns }) = self.pending_loss.take() else { return Ok(()) };
        rows.push_lost(LostEvents { pid: self.pid, tid: self.tid, count, from_ns, to_ns })
    }

    /// Closes a thread that has ended, and writes its exit.
    pub fn end(&mut self, rows: &mut RowWriter, clock: &TickClock) -> Result<()> {
        let ended_ns = self.ring.end_ticks().map_or_else(monotonic_ns, |ticks| clock.to_ns(ticks));
        self.close(rows, clock, ended_ns)?;
        rows.push_thread_exit(ended_ns, self.pid, self.tid)
    }

    /// Writes the events that were lost last, and adds the time that the thread waited. `at_ns`:
    /// when the thread or its recording ended.
    pub fn close(&mut self, rows: &mut RowWriter, clock: &TickClock, at_ns: i64) -> Result<()> {
        let waited_ns = rows.facts.waited_ns.get_or_insert(0);
        *waited_ns = waited_ns.saturating_add(self.ring.header().produced.waited_ns.load(Acquire));
        let counted = self.ring.counted_loss();
        // With a pending loss, the counter is 0 or still holds that same loss.
        if self.pending_loss.is_none() && counted.events > 0 {
            let from_ns = clock.to_ns(counted.since_ticks);
            self.pending_loss = Some(PendingLoss { events: counted.events, from_ns });
        }
        self.write_pending_loss(rows, at_ns)
    }

    fn invalid(&self) -> Error {
        Error::InvalidRecord { pid: self.pid, path: self.path.clone() }
    }
}

/// The fields of an event besides its time and thread.
struct EventFields {
    marker: Marker,
    code: CodeId,
    line: i32,
    value: Option<i64>,
    text: TextId,
}

/// Decodes a record; none if it contains an id that is not defined.
#[inline]
fn decode_fields(
    kind: RecordKind,
    record: Record,
    definitions: &DefinitionTables,
    texts: &FunctionTexts,
) -> Option<EventFields> {
    let function = |marker, text| {
        let code = definitions.codes.get(record.id())?;
        Some(EventFields { marker, code: code.id, line: code.lines.at(record.arg()), value: None, text })
    };
    let number = |marker| {
        let value = Some(record.payload() as i64);
        Some(EventFields { marker, code: CodeId::NONE, line: 0, value, text: TextId::NONE })
    };
    let text = |marker, value| {
        let text = *definitions.texts.get(record.id())?;
        Some(EventFields { marker, code: CodeId::NONE, line: 0, value, text })
    };
    let instance = |marker, value| {
        let Site { name, code } = *definitions.sites.get(record.id())?;
        let code = definitions.codes.get(code)?;
        Some(EventFields { marker, code: code.id, line: code.lines.at(record.arg()), value, text: name })
    };
    match kind {
        RecordKind::Call => function(Marker::FunctionEntry, TextId::NONE),
        RecordKind::Open => function(Marker::FunctionOpen, TextId::NONE),
        RecordKind::Resume => function(Marker::FunctionEntry, texts.resume),
        RecordKind::Throw => function(Marker::FunctionEntry, texts.throw),
        RecordKind::Return => function(Marker::FunctionReturn, TextId::NONE),
        RecordKind::Yield => function(Marker::FunctionReturn, texts.yielded),
        RecordKind::Unwind => function(Marker::FunctionReturn, texts.unwind),
        RecordKind::Line => {
            let code = definitions.codes.get(record.id())?;
            let line = record.arg() as i32;
            Some(EventFields { marker: Marker::Line, code: code.id, line, value: None, text: TextId::NONE })
        }
        RecordKind::CfunctionCall => text(Marker::CfunctionEntry, None),
        RecordKind::CfunctionReturn => text(Marker::CfunctionReturn, None),
        RecordKind::Audit => {
            let Site { name, code } = *definitions.sites.get(record.id())?;
            let code = definitions.codes.get(code).map_or(CodeId::NONE, |code| code.id);
            Some(EventFields {
                marker: Marker::Audit,
                code,
                line: record.arg() as i32,
                value: None,
                text: name,
            })
        }
        RecordKind::InstanceStart => instance(Marker::InstanceStart, None),
        RecordKind::InstanceDone => instance(Marker::InstanceDone, Some(1)),
        RecordKind::InstanceFailed => instance(Marker::InstanceDone, Some(0)),
        RecordKind::GcStart => number(Marker::GcStart),
        RecordKind::GcDone => number(Marker::GcDone),
        RecordKind::ImportStart => text(Marker::ImportStart, None),
        RecordKind::ImportDone => text(Marker::ImportDone, Some(i64::from(record.arg()))),
        // The caller handles it, because the next record ends the interval.
        RecordKind::Lost => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use pyrec_schema::{Batch, Manifest};
    use pyrec_wire::ClockSource;

    use super::*;
    use crate::output::pipeline::{EventSink, Pipeline, PositionUpdates};
    use crate::output::source_files::SourceFiles;
    use crate::session::ring::testing::write_ring;

    /// Keeps the rows.
    #[derive(Clone, Default)]
    struct RowsInMemory(Arc<Mutex<Vec<Event>>>);

    impl EventSink for RowsInMemory {
        fn write(&mut self, batch: &Batch, _: PositionUpdates, _: bool) -> pyrec_schema::Result<bool> {
            self.0.lock().expect("no thread panicked").extend(batch.iter());
            Ok(true)
        }

        fn checkpoint(&mut self, _: Manifest) -> pyrec_schema::Result<()> {
            Ok(())
        }

        fn snapshot(&mut self) -> pyrec_schema::Result<()> {
            Ok(())
        }

        fn finish(self, _: Manifest) -> pyrec_schema::Result<u64> {
            Ok(0)
        }

        fn bytes(&self) -> u64 {
            0
        }

        fn lacked_journal(&self) -> bool {
            false
        }
    }

    /// The lost events in the rows that a thread with these records leaves, if its counter of lost
    /// events has this value at the end.
    fn lost_events(records: &[Record], counter: u64) -> Vec<u64> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        write_ring(file.as_file(), records, counter);
        let names = Arc::new(Names::new());
        let sink = RowsInMemory::default();
        let pipeline = Pipeline::start(sink.clone()).expect("the thread starts");
        let mut rows = RowWriter::new(names.clone(), Arc::new(Mutex::new(SourceFiles::default())), pipeline);
        let clock = TickClock::new(ClockSource::Monotonic);
        let texts = FunctionTexts::new(&names);
        let thread = RecordedThread::open(file.path().to_owned()).expect("the ring opens");
        let mut thread = thread.expect("the ring is complete");
        thread.observe();
        let drained = thread.drain(&DefinitionTables::default(), &mut rows, &clock, &texts, &mut Vec::new());
        drained.expect("the records are valid");
        thread.close(&mut rows, &clock, 100).expect("rows are written");
        let (pipeline, facts) = rows.into_parts().expect("rows are sent");
        pipeline.finish(Manifest::unknown("a test")).expect("the sink finishes");
        let rows = sink.0.lock().expect("no thread panicked");
        let lost = rows.iter().filter_map(|row| LostEvents::from_event(row, &names));
        let counts: Vec<u64> = lost.map(|lost| lost.count).collect();
        assert_eq!(facts.lost, counts.iter().sum::<u64>());
        counts
    }

    #[test]
    fn every_lost_event_is_counted_once() {
        let event = Record::with_payload(20, RecordKind::GcStart, 0);
        let loss = |events| Record::with_payload(10, RecordKind::Lost, events);
        let none: &[u64] = &[];
        let table = [
            ("no loss", &[event] as &[Record], 0, none),
            ("a loss in the counter alone", &[event], 3, &[3]),
            ("a loss in a record alone", &[event, loss(3), event], 0, &[3]),
            ("a loss in a record, another in the counter", &[event, loss(3), event], 4, &[3, 4]),
            ("stopped after the loss record was written", &[event, loss(3)], 3, &[3]),
            ("stopped after the counter was reset", &[event, loss(3)], 0, &[3]),
        ];
        for (name, records, counter, expected) in table {
            assert_eq!(lost_events(records, counter), expected, "{name}");
        }
    }
}
