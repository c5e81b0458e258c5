//! Export of every call as a row of a Parquet file, for SQL. `docs/reference/exports.md` describes
//! the columns.

use std::io::Write;
use std::sync::Arc;

use pyrec_schema::{CallRow, CallsWriter, Code, Columns, Event, Names, Trace};
use rustc_hash::FxHashMap;

use crate::calls::{self, CallEvent, Callers, Ending};
use crate::measure::{FrameNames, Trust, qualname};
use crate::report::trust_line;
use crate::tree::Frame;
use crate::{Filter, Result};

/// Writes a row for every call, in the order in which calls end.
pub fn write(trace: &Trace, filter: &Filter, out: &mut (impl Write + Send)) -> Result<Trust> {
    let mut writer = CallsWriter::new(out)?;
    let mut titles = Titles::new(trace);
    let columns = Columns { line: false, value: true, text: true };
    let seen = calls::read(trace, filter, columns, &mut |call_event, callers| {
        let frame = match call_event {
            CallEvent::Leave(call, _) => call.frame,
            CallEvent::UnmatchedReturn(frame, _) => frame,
            CallEvent::Enter(_) | CallEvent::Instant(_) => return Ok(()),
        };
        let row = row(call_event, callers, titles.get(frame), trace.names());
        row.map_or(Ok(()), |row| Ok(writer.write(&row)?))
    })?;
    let trust = Trust::of_summary(trace.manifest(), &seen);
    writer.finish(&[("trust", trust_line(&trust)), ("command", trace.manifest().command.join(" "))])?;
    Ok(trust)
}

/// The row of an event that ends a call; `None` for other events.
fn row<'a>(call_event: CallEvent, callers: Callers, title: &'a Title, names: &Names) -> Option<CallRow<'a>> {
    let kind = title.kind;
    let defaults = CallRow {
        id: None,
        parent: None,
        pid: 0,
        tid: 0,
        depth: 0,
        kind,
        code: title.code.as_deref().unwrap_or_default(),
        module: title.module.as_deref(),
        name: &title.name,
        start_ns: None,
        end_ns: 0,
        duration_ns: None,
        self_ns: 0,
        began: "unseen",
        ended: "return",
        value: None,
    };
    match call_event {
        CallEvent::Leave(call, end) => Some(CallRow {
            id: Some(number(call.id)),
            parent: call.parent.map(number),
            pid: call.entry.pid,
            tid: call.entry.tid,
            depth: call.depth as i32,
            start_ns: Some(call.entry.time_ns),
            end_ns: end.time_ns,
            duration_ns: end.duration_ns.map(number),
            self_ns: number(call.self_ns),
            began: word(&call.entry, call.frame, names, ["call", "resume", "throw"]),
            ended: match (end.ending, end.event) {
                (Ending::NeverReturned, _) => "never",
                (Ending::InLoss, _) => "lost",
                (Ending::StillOpen, _) => "open",
                (_, Some(event)) => word(event, call.frame, names, ENDINGS),
                (_, None) => "return",
            },
            value: call.entry.value.filter(|_| call.frame == Frame::Gc),
            ..defaults
        }),
        CallEvent::UnmatchedReturn(frame, event) => Some(CallRow {
            parent: callers.innermost().map(|caller| number(caller.id)),
            pid: event.pid,
            tid: event.tid,
            depth: callers.innermost().map_or(0, |caller| caller.depth as i32 + 1),
            end_ns: event.time_ns,
            ended: word(event, frame, names, ENDINGS),
            ..defaults
        }),
        CallEvent::Enter(_) | CallEvent::Instant(_) => None,
    }
}

/// The values of `ended` for calls that end with a row.
const ENDINGS: [&str; 3] = ["return", "yield", "unwind"];

/// The word in the text of a function's row, or the first of `words` if it has none. The texts of
/// other rows are names.
fn word(event: &Event, frame: Frame, names: &Names, words: [&'static str; 3]) -> &'static str {
    let text = match frame {
        Frame::Function(_) => names.text_str(event.text),
        _ => None,
    };
    words.into_iter().find(|&word| text.as_deref() == Some(word)).unwrap_or(words[0])
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The columns that depend on the frame only.
#[derive(Debug)]
struct Title {
    kind: &'static str,
    code: Option<Arc<str>>,
    module: Option<String>,
    name: String,
}

/// The titles of all frames so far.
struct Titles<'a> {
    naming: FrameNames<'a>,
    titles: FxHashMap<Frame, Title>,
}

impl<'a> Titles<'a> {
    fn new(trace: &'a Trace) -> Self {
        Titles { naming: FrameNames::new(trace.names(), trace.manifest()), titles: FxHashMap::default() }
    }

    fn get(&mut self, frame: Frame) -> &Title {
        self.titles.entry(frame).or_insert_with(|| Title::of(frame, &self.naming))
    }
}

impl Title {
    fn of(frame: Frame, naming: &FrameNames) -> Title {
        let code = naming.code(frame);
        let parsed = code.as_deref().map(Code::parse);
        let name = match (parsed, naming.cfunction(frame)) {
            (Some(code), _) => qualname(&code),
            (None, Some(name)) => name.to_string(),
            (None, None) => naming.label(frame),
        };
        let kind = match frame {
            Frame::Function(_) => "function",
            Frame::Cfunction(_) => "cfunction",
            Frame::Gc => "gc",
            Frame::Lost | Frame::Thread => "lost",
        };
        Title { kind, module: parsed.and_then(|code| naming.module(code.file)), name, code: code.clone() }
    }
}
