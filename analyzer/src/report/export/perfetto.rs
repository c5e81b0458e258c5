//! Perfetto's traces, which its viewer and its trace processor read.
//!
//! ```text
//! packet  the clock            every packet stands by itself, so memory holds the open calls and the names
//! packet  thread 8274 is …
//! packet  name 1 is "main …"; on that thread a slice begins
//! packet  it ends
//! ```

use std::io::{self, Write};

use pyrec_schema::{Lost, Marker, Trace};
use rustc_hash::FxHashSet;

use super::labels::{Label, Labels};
use super::message::Message;
use super::timeline::{self, Mark};
use super::{command, thread_name};
use crate::calls::{Call, Ending};
use crate::measure::Trust;
use crate::order::Thread;
use crate::report::trust_line;
use crate::tree::Frame;
use crate::{CallTree, Filter, Result};

/// The fields that are written here, by their numbers in Perfetto's `.proto` files.
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
        pub const NAME_NUMBER: u32 = 10;
        pub const TRACK: u32 = 11;
        pub const NAME: u32 = 23;
        pub const PLACE_NUMBER: u32 = 34;
        pub const ANNOTATION_TEXT: u32 = 6;
        pub const ANNOTATION_NAME: u32 = 10;
    }

    /// `InternedData`, `EventName`, `SourceLocation`
    pub mod interned {
        pub const NAME: u32 = 2;
        pub const PLACE: u32 = 4;
        pub const NUMBER: u32 = 1;
        pub const TEXT: u32 = 2;
        pub const LINE: u32 = 4;
    }
}

/// Perfetto's numbers for clocks.
const REALTIME: u64 = 1;
const MONOTONIC: u64 = 3;

/// What kind of a track event it is.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;

/// What the packets of a sequence say about the names that they share.
const NAMES_BEGIN: u64 = 1;
const NEEDS_NAMES: u64 = 2;

/// The track that says how far to trust the others. Those of threads hold a process in their upper half.
const TRUST_TRACK: u64 = 1;

/// Writes every call of every thread.
pub fn write(trace: &Trace, calls: &CallTree, filter: &Filter, out: &mut impl Write) -> Result<Trust> {
    let trust = Trust::of(calls);
    let mut writer = Writer {
        calls,
        labels: Labels::new(trace.names(), trace.manifest()),
        known: FxHashSet::default(),
        out,
    };
    writer.begin(&trust)?;
    timeline::read(trace, filter, &mut |thread, time_ns, mark| Ok(writer.mark(thread, time_ns, mark)?))?;
    Ok(trust)
}

struct Writer<'a, W> {
    calls: &'a CallTree,
    labels: Labels<'a>,
    /// The tracks that have been described.
    known: FxHashSet<u64>,
    out: W,
}

impl<W: Write> Writer<'_, W> {
    fn begin(&mut self, trust: &Trust) -> io::Result<()> {
        let clock = &self.calls.manifest.clock;
        let reading = |id, time_ns| {
            let id = Message::default().number(field::clocks::ID, id);
            id.number(field::clocks::TIMESTAMP, unsigned(time_ns))
        };
        let clocks = Message::default()
            .message(field::clocks::CLOCK, &reading(MONOTONIC, clock.anchor_monotonic_ns))
            .maybe(field::clocks::CLOCK, clock.anchor_unix_ns.map(|unix_ns| reading(REALTIME, unix_ns)))
            .number(field::clocks::PRIMARY, MONOTONIC);
        let defaults = Message::default().number(field::DEFAULT_CLOCK, MONOTONIC);
        self.packet(
            Message::default()
                .number(field::packet::SEQUENCE_FLAGS, NAMES_BEGIN)
                .message(field::packet::DEFAULTS, &defaults)
                .message(field::packet::CLOCK_SNAPSHOT, &clocks),
        )?;
        self.describe(track(TRUST_TRACK).text(field::track::NAME, "pyrec"))?;
        let first_ns = Some(self.calls.counts.first_ns).filter(|&first_ns| first_ns != i64::MAX);
        let trusted = event(INSTANT, TRUST_TRACK).text(field::event::NAME, &trust_line(trust));
        self.event(first_ns.unwrap_or(clock.anchor_monotonic_ns), &trusted, None)
    }

    fn mark(&mut self, thread: Thread, time_ns: i64, mark: Mark) -> io::Result<()> {
        let track = self.track(thread)?;
        match mark {
            Mark::Begin(call) => {
                let (number, is_new) = self.labels.number(call.frame);
                let label = self.labels.get(number);
                let number = number as u64 + 1;
                let names = is_new.then(|| interned(number, label));
                let mut begin = event(SLICE_BEGIN, track).number(field::event::NAME_NUMBER, number);
                if label.file.is_some() {
                    begin = begin.number(field::event::PLACE_NUMBER, number);
                }
                self.event(time_ns, &begin.maybe(field::event::ANNOTATION, self.began(call)), names)
            }
            Mark::End(_, ending) => {
                let ended = ended(ending).map(|how| annotation("ended", how));
                self.event(time_ns, &event(SLICE_END, track).maybe(field::event::ANNOTATION, ended), None)
            }
            Mark::Point(point) if point.marker == Marker::Lost => {
                let lost = Lost::from_event(point, &self.calls.names).map_or(0, |lost| lost.count);
                let name = format!("{lost} events lost");
                self.event(time_ns, &event(INSTANT, track).text(field::event::NAME, &name), None)
            }
            Mark::Point(_) => Ok(()),
        }
    }

    /// How a generator goes on, and the generation of a collection.
    fn began(&self, call: &Call) -> Option<Message> {
        match call.frame {
            Frame::Function(_) => {
                self.calls.names.text_str(call.entry.text).map(|text| annotation("began", &text))
            }
            Frame::Gc => call.entry.value.map(|generation| annotation("generation", &generation.to_string())),
            _ => None,
        }
    }

    /// The track of a thread, described when it is first met, and its process likewise.
    fn track(&mut self, thread: Thread) -> io::Result<u64> {
        use field::track::{PID, PROCESS, PROCESS_NAME, THREAD, THREAD_NAME, TID};

        let Thread { pid, tid } = thread;
        let (process_uuid, numbered) =
            (u64::from(pid as u32) << 32, Message::default().number(PID, signed(pid)));
        let thread_uuid = process_uuid | u64::from(tid as u32);
        if self.known.insert(process_uuid) {
            let process = numbered.clone().text(PROCESS_NAME, &command(&self.calls.manifest));
            self.describe(track(process_uuid).message(PROCESS, &process))?;
        }
        if self.known.insert(thread_uuid) {
            let mut thread = numbered.number(TID, signed(tid));
            if let Some(known) = super::thread(self.calls, pid, tid) {
                thread = thread.text(THREAD_NAME, &thread_name(known, &self.calls.names));
            }
            self.describe(track(thread_uuid).message(THREAD, &thread))?;
        }
        Ok(thread_uuid)
    }

    fn describe(&mut self, track: Message) -> io::Result<()> {
        self.packet(Message::default().message(field::packet::TRACK_DESCRIPTOR, &track))
    }

    fn event(&mut self, time_ns: i64, event: &Message, names: Option<Message>) -> io::Result<()> {
        self.packet(
            Message::default()
                .number(field::packet::TIMESTAMP, unsigned(time_ns))
                .number(field::packet::SEQUENCE_FLAGS, NEEDS_NAMES)
                .maybe(field::packet::INTERNED_DATA, names)
                .message(field::packet::TRACK_EVENT, event),
        )
    }

    /// A trace is a message of nothing but packets.
    fn packet(&mut self, packet: Message) -> io::Result<()> {
        let packet = packet.number(field::packet::SEQUENCE, 1);
        self.out.write_all(Message::default().message(field::PACKET, &packet).as_bytes())
    }
}

fn track(uuid: u64) -> Message {
    Message::default().number(field::track::UUID, uuid)
}

fn event(kind: u64, track: u64) -> Message {
    Message::default().number(field::event::TYPE, kind).number(field::event::TRACK, track)
}

/// Name and place of a function, under one number.
fn interned(number: u64, label: &Label) -> Message {
    use field::interned::{LINE, NAME, NUMBER, PLACE, TEXT};

    let numbered = Message::default().number(NUMBER, number);
    let name = numbered.clone().text(TEXT, &label.name);
    let place = label
        .file
        .as_ref()
        .map(|file| numbered.text(TEXT, file).number(LINE, u64::from(label.line.unwrap_or(0))));
    Message::default().message(NAME, &name).maybe(PLACE, place)
}

fn annotation(name: &str, text: &str) -> Message {
    let name = Message::default().text(field::event::ANNOTATION_NAME, name);
    name.text(field::event::ANNOTATION_TEXT, text)
}

/// How a call ended, unless it returned.
fn ended(ending: Option<Ending>) -> Option<&'static str> {
    match ending {
        Some(Ending::Returned) => None,
        Some(Ending::AcrossLoss) => Some("returned across a loss"),
        Some(Ending::NeverReturned) => Some("never returned"),
        Some(Ending::InLoss) | None => Some("cut by a loss"),
        Some(Ending::StillOpen) => Some("still open"),
    }
}

/// `CLOCK_MONOTONIC` begins at 0.
fn unsigned(time_ns: i64) -> u64 {
    u64::try_from(time_ns).unwrap_or(0)
}

/// A number of 32 bits is written in 64.
fn signed(number: i32) -> u64 {
    i64::from(number) as u64
}
