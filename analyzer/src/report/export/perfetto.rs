//! Export as a Perfetto trace of track events, for Perfetto's viewer and trace processor.
//!
//! ```text
//! packet  clock snapshot
//! packet  track descriptor     thread 8274
//! packet  track event          interns name 1 as "main …"; a slice with this name begins on the track
//! packet  track event          the slice ends
//! ```
//!
//! Packets are written one by one, so the memory grows with open calls and names only.

use std::io::{self, Write};

use prost::encoding::{WireType, encode_key, encode_varint};
use pyrec_schema::{LostEvents, Marker, Trace};
use rustc_hash::FxHashSet;

use super::labels::{Label, Labels, command, find_thread, thread_name};
use super::timeline::{self, SpanEvent};
use crate::calls::{Call, Ending};
use crate::measure::Trust;
use crate::order::ThreadId;
use crate::report::trust_line;
use crate::tree::Frame;
use crate::{CallTree, Filter, Result};

/// The numbers of the fields in Perfetto's `.proto` files.
mod field {
    pub const PACKET: u32 = 1;

    /// `TracePacket`
    pub mod packet {
        pub const CLOCK_SNAPSHOT: u32 = 6;
        pub const TIMESTAMP: u32 = 8;
        pub const SEQUENCE: u32 = 10;
        pub const TRACK_EVENT: u32 = 11;
        pub const INTERNED_DATA: u32 = 12;
        pub const SEQUENCE_FLAGS: u32 = 13;
        pub const DEFAULTS: u32 = 59;
        pub const TRACK_DESCRIPTOR: u32 = 60;
    }

    /// `TracePacketDefaults`
    pub const DEFAULT_CLOCK: u32 = 58;

    /// `ClockSnapshot`
    pub mod clocks {
        pub const CLOCK: u32 = 1;
        pub const PRIMARY: u32 = 2;
        pub const ID: u32 = 1;
        pub const TIMESTAMP: u32 = 2;
    }

    /// `TrackDescriptor`, `ProcessDescriptor`, `ThreadDescriptor`
    pub mod track {
        pub const UUID: u32 = 1;
        pub const NAME: u32 = 2;
        pub const PROCESS: u32 = 3;
        pub const THREAD: u32 = 4;
        pub const PID: u32 = 1;
        pub const PROCESS_NAME: u32 = 6;
        pub const TID: u32 = 2;
        pub const THREAD_NAME: u32 = 5;
    }

    /// `TrackEvent`, `DebugAnnotation`
    pub mod event {
        pub const ANNOTATION: u32 = 4;
        pub const TYPE: u32 = 9;
        pub const NAME_IID: u32 = 10;
        pub const TRACK: u32 = 11;
        pub const NAME: u32 = 23;
        pub const SOURCE_LOCATION_IID: u32 = 34;
        pub const ANNOTATION_TEXT: u32 = 6;
        pub const ANNOTATION_NAME: u32 = 10;
    }

    /// `InternedData`, `EventName`, `SourceLocation`
    pub mod interned {
        pub const NAME: u32 = 2;
        pub const SOURCE_LOCATION: u32 = 4;
        pub const IID: u32 = 1;
        pub const TEXT: u32 = 2;
        pub const LINE: u32 = 4;
    }
}

/// `BUILTIN_CLOCK_REALTIME` of `BuiltinClock`.
const REALTIME: u64 = 1;

/// `BUILTIN_CLOCK_MONOTONIC` of `BuiltinClock`.
const MONOTONIC: u64 = 3;

/// `TYPE_SLICE_BEGIN` of `TrackEvent.Type`.
const SLICE_BEGIN: u64 = 1;

/// `TYPE_SLICE_END` of `TrackEvent.Type`.
const SLICE_END: u64 = 2;

/// `TYPE_INSTANT` of `TrackEvent.Type`.
const INSTANT: u64 = 3;

/// `SEQ_INCREMENTAL_STATE_CLEARED` of `TracePacket.SequenceFlags`: interned names start here.
const INCREMENTAL_STATE_CLEARED: u64 = 1;

/// `SEQ_NEEDS_INCREMENTAL_STATE` of `TracePacket.SequenceFlags`: the packet uses interned names.
const NEEDS_INCREMENTAL_STATE: u64 = 2;

/// The track of the trust line. The upper 32 bits of the uuids of processes and threads are the
/// pid.
const TRUST_TRACK: u64 = 1;

/// Writes every call of every thread.
pub fn write(trace: &Trace, calls: &CallTree, filter: &Filter, out: &mut impl Write) -> Result<Trust> {
    let trust = Trust::of(calls);
    let mut writer = TraceWriter {
        calls,
        labels: Labels::new(trace.names(), trace.manifest()),
        described: FxHashSet::default(),
        out,
    };
    writer.begin(&trust)?;
    timeline::read(trace, filter, &mut |thread, time_ns, span_event| {
        Ok(writer.span_event(thread, time_ns, span_event)?)
    })?;
    Ok(trust)
}

struct TraceWriter<'a, W> {
    calls: &'a CallTree,
    labels: Labels<'a>,
    /// The tracks whose descriptors have been written.
    described: FxHashSet<u64>,
    out: W,
}

impl<W: Write> TraceWriter<'_, W> {
    fn begin(&mut self, trust: &Trust) -> io::Result<()> {
        let clock = &self.calls.manifest.clock;
        let reading = |id, time_ns| {
            let id = ProtoMessage::default().number(field::clocks::ID, id);
            id.number(field::clocks::TIMESTAMP, unsigned(time_ns))
        };
        let clocks = ProtoMessage::default()
            .message(field::clocks::CLOCK, &reading(MONOTONIC, clock.anchor_monotonic_ns))
            .optional_message(
                field::clocks::CLOCK,
                clock.anchor_unix_ns.map(|unix_ns| reading(REALTIME, unix_ns)),
            )
            .number(field::clocks::PRIMARY, MONOTONIC);
        let defaults = ProtoMessage::default().number(field::DEFAULT_CLOCK, MONOTONIC);
        self.packet(
            ProtoMessage::default()
                .number(field::packet::SEQUENCE_FLAGS, INCREMENTAL_STATE_CLEARED)
                .message(field::packet::DEFAULTS, &defaults)
                .message(field::packet::CLOCK_SNAPSHOT, &clocks),
        )?;
        self.describe(track(TRUST_TRACK).text(field::track::NAME, "pyrec"))?;
        let first_ns = Some(self.calls.counts.first_ns).filter(|&first_ns| first_ns != i64::MAX);
        let trusted = event(INSTANT, TRUST_TRACK).text(field::event::NAME, &trust_line(trust));
        self.event(first_ns.unwrap_or(clock.anchor_monotonic_ns), &trusted, None)
    }

    fn span_event(&mut self, thread: ThreadId, time_ns: i64, span_event: SpanEvent) -> io::Result<()> {
        let track = self.track(thread)?;
        match span_event {
            SpanEvent::Begin(call) => {
                let (number, is_new) = self.labels.number(call.frame);
                let label = self.labels.get(number);
                let number = number as u64 + 1;
                let names = is_new.then(|| interned(number, label));
                let mut begin = event(SLICE_BEGIN, track).number(field::event::NAME_IID, number);
                if label.file.is_some() {
                    begin = begin.number(field::event::SOURCE_LOCATION_IID, number);
                }
                self.event(
                    time_ns,
                    &begin.optional_message(field::event::ANNOTATION, self.began(call)),
                    names,
                )
            }
            SpanEvent::End(_, ending) => {
                let ended = ended(ending).map(|how| annotation("ended", how));
                self.event(
                    time_ns,
                    &event(SLICE_END, track).optional_message(field::event::ANNOTATION, ended),
                    None,
                )
            }
            SpanEvent::Instant(row) if row.marker == Marker::Lost => {
                let lost = LostEvents::from_event(row, &self.calls.names).map_or(0, |lost| lost.count);
                let name = format!("{lost} events lost");
                self.event(time_ns, &event(INSTANT, track).text(field::event::NAME, &name), None)
            }
            SpanEvent::Instant(_) => Ok(()),
        }
    }

    /// How a generator was resumed, or the generation of a collection.
    fn began(&self, call: &Call) -> Option<ProtoMessage> {
        match call.frame {
            Frame::Function(_) => {
                self.calls.names.text_str(call.entry.text).map(|text| annotation("began", &text))
            }
            Frame::Gc => call.entry.value.map(|generation| annotation("generation", &generation.to_string())),
            _ => None,
        }
    }

    /// The track of a thread. The descriptors of thread and process are written when they are first
    /// used.
    fn track(&mut self, thread: ThreadId) -> io::Result<u64> {
        use field::track::{PID, PROCESS, PROCESS_NAME, THREAD, THREAD_NAME, TID};

        let ThreadId { pid, tid } = thread;
        let (process_uuid, numbered) =
            (u64::from(pid as u32) << 32, ProtoMessage::default().number(PID, signed(pid)));
        let thread_uuid = process_uuid | u64::from(tid as u32);
        if self.described.insert(process_uuid) {
            let process = numbered.clone().text(PROCESS_NAME, &command(&self.calls.manifest));
            self.describe(track(process_uuid).message(PROCESS, &process))?;
        }
        if self.described.insert(thread_uuid) {
            let mut thread = numbered.number(TID, signed(tid));
            if let Some(found) = find_thread(self.calls, pid, tid) {
                thread = thread.text(THREAD_NAME, &thread_name(found, &self.calls.names));
            }
            self.describe(track(thread_uuid).message(THREAD, &thread))?;
        }
        Ok(thread_uuid)
    }

    fn describe(&mut self, track: ProtoMessage) -> io::Result<()> {
        self.packet(ProtoMessage::default().message(field::packet::TRACK_DESCRIPTOR, &track))
    }

    fn event(&mut self, time_ns: i64, event: &ProtoMessage, names: Option<ProtoMessage>) -> io::Result<()> {
        self.packet(
            ProtoMessage::default()
                .number(field::packet::TIMESTAMP, unsigned(time_ns))
                .number(field::packet::SEQUENCE_FLAGS, NEEDS_INCREMENTAL_STATE)
                .optional_message(field::packet::INTERNED_DATA, names)
                .message(field::packet::TRACK_EVENT, event),
        )
    }

    /// Writes a packet as a field of the `Trace` message, which has only packets.
    fn packet(&mut self, packet: ProtoMessage) -> io::Result<()> {
        let packet = packet.number(field::packet::SEQUENCE, 1);
        self.out.write_all(ProtoMessage::default().message(field::PACKET, &packet).as_bytes())
    }
}

fn track(uuid: u64) -> ProtoMessage {
    ProtoMessage::default().number(field::track::UUID, uuid)
}

fn event(kind: u64, track: u64) -> ProtoMessage {
    ProtoMessage::default().number(field::event::TYPE, kind).number(field::event::TRACK, track)
}

/// Interns the name and source location of a function under one number.
fn interned(number: u64, label: &Label) -> ProtoMessage {
    use field::interned::{IID, LINE, NAME, SOURCE_LOCATION, TEXT};

    let numbered = ProtoMessage::default().number(IID, number);
    let name = numbered.clone().text(TEXT, &label.name);
    let location = label
        .file
        .as_ref()
        .map(|file| numbered.text(TEXT, file).number(LINE, u64::from(label.line.unwrap_or(0))));
    ProtoMessage::default().message(NAME, &name).optional_message(SOURCE_LOCATION, location)
}

fn annotation(name: &str, text: &str) -> ProtoMessage {
    let name = ProtoMessage::default().text(field::event::ANNOTATION_NAME, name);
    name.text(field::event::ANNOTATION_TEXT, text)
}

/// The ending of a call unless it returned. `None` as input stands for a span that a loss cut.
fn ended(ending: Option<Ending>) -> Option<&'static str> {
    match ending {
        Some(Ending::Returned) => None,
        Some(Ending::AcrossLoss) => Some("returned across a loss"),
        Some(Ending::NeverReturned) => Some("never returned"),
        Some(Ending::InLoss) | None => Some("cut by a loss"),
        Some(Ending::StillOpen) => Some("still open"),
    }
}

/// A time as an unsigned number: times of `CLOCK_MONOTONIC` are not negative.
fn unsigned(time_ns: i64) -> u64 {
    u64::try_from(time_ns).unwrap_or(0)
}

/// An `int32` as a varint, which sign-extends it to 64 bits.
fn signed(number: i32) -> u64 {
    i64::from(number) as u64
}

/// A protocol buffers message that is encoded field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ProtoMessage(Vec<u8>);

impl ProtoMessage {
    /// Appends a varint field.
    fn number(mut self, field: u32, value: u64) -> Self {
        encode_key(field, WireType::Varint, &mut self.0);
        encode_varint(value, &mut self.0);
        self
    }

    /// Appends a string field.
    fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Appends a message field.
    fn message(self, field: u32, message: &ProtoMessage) -> Self {
        self.bytes(field, &message.0)
    }

    /// Appends a message field if there is a message.
    fn optional_message(self, field: u32, message: Option<ProtoMessage>) -> Self {
        match message {
            Some(message) => self.message(field, &message),
            None => self,
        }
    }

    /// The encoded message.
    fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
        self
    }
}
