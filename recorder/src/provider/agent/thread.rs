//! One thread that the agent records: its ring, turned into rows.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use pyrec_schema::{CodeId, Event, LostEvents, Marker, Names, TextId};
use pyrec_wire::{Record, RecordKind};

use super::definitions::{Known, Site};
use super::tick_clock::{Clock, Converter};
use crate::os::clock::monotonic_ns;
use crate::output::row_writer::RowWriter;
use crate::session::ring::Ring;
use crate::{Error, Result};

/// Texts that rows of functions hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    resume: TextId,
    throw: TextId,
    yielded: TextId,
    unwind: TextId,
}

impl Texts {
    pub fn new(names: &Names) -> Texts {
        Texts {
            resume: names.text("resume"),
            throw: names.text("throw"),
            yielded: names.text("yield"),
            unwind: names.text("unwind"),
        }
    }
}

/// A thread.
pub(super) struct Thread {
    path: PathBuf,
    /// The name of its ring's file.
    name: Arc<str>,
    ring: Ring,
    /// By batches of rows: how far into the ring they go, for as long as a killed recorder would take them along. Their
    /// slots are not free yet.
    held: VecDeque<(u64, u64)>,
    released: u64,
    pid: i32,
    tid: i32,
    /// The time of its last row.
    last_ns: i64,
    /// Events dropped, and since when, before the next record.
    lost: Option<(u64, i64)>,
}

impl Thread {
    /// Opens a thread's ring; none while the thread is still making it.
    pub fn open(path: PathBuf) -> Result<Option<Thread>> {
        let failed = |source| Error::SessionFile { path: path.clone(), source };
        let file = File::options().read(true).write(true).open(&path);
        let ring = file.and_then(Ring::open).map_err(failed)?;
        Ok(ring.map(|ring| {
            let (pid, tid) = (ring.header().pid, ring.header().tid);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into();
            let released = ring.position();
            Thread { path, name, ring, held: VecDeque::new(), released, pid, tid, last_ns: 0, lost: None }
        }))
    }

    /// Its number.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The name of its ring's file.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The file of its ring.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What came before that record is in the trace.
    pub fn skip_to(&mut self, position: u64) {
        self.ring.skip_to(position);
    }

    /// Gives the thread the slots of what is in these batches, or in earlier ones.
    pub fn release(&mut self, safe: u64) {
        let done = self.held.partition_point(|(batch, _)| *batch <= safe);
        if let Some((_, position)) = self.held.drain(..done).next_back() {
            self.released = position;
            self.ring.release(position);
        }
    }

    /// Whether what is held takes so much of the ring that the thread may have to wait.
    pub fn is_crowded(&self) -> bool {
        self.ring.is_crowded_by(self.ring.position() - self.released)
    }

    fn hold(&mut self, rows: &mut RowWriter) {
        // A loss is told by the record after it.
        let position = self.ring.position() - u64::from(self.lost.is_some());
        rows.set_position(&self.name, position);
        match self.held.back_mut() {
            Some((batch, last)) if *batch == rows.batch_number() => *last = position,
            _ => self.held.push_back((rows.batch_number(), position)),
        }
    }

    /// Opens its books. Returns when it was first seen.
    pub fn start(&mut self, clock: &Clock) -> i64 {
        self.last_ns = clock.to_ns(self.ring.header().start_ticks);
        self.last_ns
    }

    /// The time of its last row.
    pub fn last_ns(&self) -> i64 {
        self.last_ns
    }

    /// Sees how far it has come.
    pub fn look(&mut self) {
        self.ring.look();
    }

    /// Whether it had ended at the last look.
    pub fn has_ended(&self) -> bool {
        self.ring.ended().is_some()
    }

    /// Moves its records up to the last look. Returns the number of events.
    pub fn drain(
        &mut self,
        known: &Known,
        rows: &mut RowWriter,
        clock: &Clock,
        texts: &Texts,
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
            events += self.decode(bytes, known, rows, &mut converter, texts)?;
            if let Some(last) = bytes.as_chunks().0.last() {
                self.last_ns = converter.convert(Record::from_bytes(last).ticks);
            }
            self.hold(rows);
        }
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        known: &Known,
        rows: &mut RowWriter,
        converter: &mut Converter<'_>,
        texts: &Texts,
    ) -> Result<u64> {
        let mut events = 0;
        for bytes in bytes.as_chunks().0 {
            let record = Record::from_bytes(bytes);
            let time_ns = converter.convert(record.ticks);
            let Some(kind) = record.kind() else { return Err(self.malformed()) };
            if kind == RecordKind::Lost {
                self.lost = Some((record.payload(), time_ns));
                continue;
            }
            if let Some((count, from_ns)) = self.lost.take() {
                rows.push_lost(LostEvents { pid: self.pid, tid: self.tid, count, from_ns, to_ns: time_ns })?;
            }
            let Some(body) = body(kind, record, known, texts) else { return Err(self.malformed()) };
            let Body { marker, code, line, value, text } = body;
            rows.push(Event { time_ns, pid: self.pid, tid: self.tid, marker, code, line, value, text })?;
            events += u64::from(marker.is_event());
        }
        Ok(events)
    }

    /// Closes its books: it has ended by itself. Its file is of use until these rows are safe.
    pub fn end(&mut self, rows: &mut RowWriter, clock: &Clock) -> Result<()> {
        let ended_ns = self.ring.ended().map_or_else(monotonic_ns, |ticks| clock.to_ns(ticks));
        self.close(rows, clock, ended_ns)?;
        rows.push_thread_exit(ended_ns, self.pid, self.tid)
    }

    /// Closes its books without its having ended: its process is gone, or the recording over.
    pub fn abandon(&mut self, rows: &mut RowWriter, clock: &Clock) -> Result<()> {
        self.close(rows, clock, monotonic_ns())
    }

    fn close(&mut self, rows: &mut RowWriter, clock: &Clock, at_ns: i64) -> Result<()> {
        use std::sync::atomic::Ordering::Acquire;
        let produced = &self.ring.header().produced;
        let waited_ns = rows.facts.waited_ns.get_or_insert(0);
        *waited_ns = waited_ns.saturating_add(produced.waited_ns.load(Acquire));
        let untold = produced.lost.load(Acquire);
        let since_ns = clock.to_ns(produced.lost_since_ticks.load(Acquire));
        let told = self.lost.take().unwrap_or((0, since_ns));
        let (count, from_ns) = (told.0.saturating_add(untold), told.1);
        if count > 0 {
            rows.push_lost(LostEvents { pid: self.pid, tid: self.tid, count, from_ns, to_ns: at_ns })?;
        }
        Ok(())
    }

    fn malformed(&self) -> Error {
        Error::InvalidRecord { pid: self.pid, path: self.path.clone() }
    }
}

/// What a row says beside when and where.
struct Body {
    marker: Marker,
    code: CodeId,
    line: i32,
    value: Option<i64>,
    text: TextId,
}

/// Reads a record; none where it holds a number that was not defined.
#[inline]
fn body(kind: RecordKind, record: Record, known: &Known, texts: &Texts) -> Option<Body> {
    let function = |marker, text| {
        let code = known.codes.get(record.id())?;
        Some(Body { marker, code: code.id, line: code.lines.at(record.arg()), value: None, text })
    };
    let number = |marker| {
        let value = Some(record.payload() as i64);
        Some(Body { marker, code: CodeId::NONE, line: 0, value, text: TextId::NONE })
    };
    let text = |marker, value| {
        let text = *known.texts.get(record.id())?;
        Some(Body { marker, code: CodeId::NONE, line: 0, value, text })
    };
    let instance = |marker, value| {
        let Site { name, code } = *known.sites.get(record.id())?;
        let code = known.codes.get(code)?;
        Some(Body { marker, code: code.id, line: code.lines.at(record.arg()), value, text: name })
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
            let code = known.codes.get(record.id())?;
            let line = record.arg() as i32;
            Some(Body { marker: Marker::Line, code: code.id, line, value: None, text: TextId::NONE })
        }
        RecordKind::CfunctionCall => text(Marker::CfunctionEntry, None),
        RecordKind::CfunctionReturn => text(Marker::CfunctionReturn, None),
        RecordKind::Audit => {
            let Site { name, code } = *known.sites.get(record.id())?;
            let code = known.codes.get(code).map_or(CodeId::NONE, |code| code.id);
            Some(Body { marker: Marker::Audit, code, line: record.arg() as i32, value: None, text: name })
        }
        RecordKind::InstanceStart => instance(Marker::InstanceStart, None),
        RecordKind::InstanceDone => instance(Marker::InstanceDone, Some(1)),
        RecordKind::InstanceFailed => instance(Marker::InstanceDone, Some(0)),
        RecordKind::GcStart => number(Marker::GcStart),
        RecordKind::GcDone => number(Marker::GcDone),
        RecordKind::ImportStart => text(Marker::ImportStart, None),
        RecordKind::ImportDone => text(Marker::ImportDone, Some(i64::from(record.arg()))),
        // Told apart by the caller: it takes the next record to know how long it lasted.
        RecordKind::Lost => None,
    }
}
