//! One line of a capture.

use pyrec_schema::{Group, Marker};

use super::foreign;
use crate::layout::{END, Field, HEAD, STRING_BYTES, fields};

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// An event.
    Event(Said<'a>),
    /// The beginning of a capture by one of our scripts.
    Head(Head),
    /// Its end.
    End,
    /// The tool says that so many events were lost.
    Lost(u64),
    /// Something that the tool says beside its events.
    Remark,
    /// None of all these, of that process and thread if it says so.
    Malformed(Option<(i32, i32)>),
}

/// An event, as a line says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Said<'a> {
    pub time_ns: i64,
    pub pid: i32,
    pub tid: i32,
    pub marker: Marker,
    pub file: &'a str,
    pub name: &'a str,
    pub line: i32,
    pub value: Option<i64>,
    /// How deep it is in the calls of its thread, where the layout shows it.
    pub level: Option<usize>,
}

/// What the head of a capture says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub tool: String,
    pub monotonic_ns: i64,
    pub unix_ns: i64,
    /// None where the script was made for an unknown one.
    pub version: Option<String>,
    pub groups: Vec<Group>,
}

impl<'a> Said<'a> {
    /// A marker in that thread at that time, and nothing else.
    pub fn new(time_ns: i64, pid: i32, tid: i32, marker: Marker) -> Self {
        Said { time_ns, pid, tid, marker, file: "", name: "", line: 0, value: None, level: None }
    }

    /// Whether a string of it may have been cut by bpftrace, which says nothing of that.
    pub fn may_be_cut(&self) -> bool {
        // What it captures when the script's first line was not heeded.
        const DEFAULT_BYTES: usize = 64;
        let is_full = |text: &str| [STRING_BYTES - 1, DEFAULT_BYTES - 1].contains(&text.len());
        is_full(self.file) || is_full(self.name)
    }
}

impl<'a> Line<'a> {
    /// Takes a line apart.
    pub fn parse(line: &'a str) -> Line<'a> {
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(head) = line.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix('\t')) {
            return Head::parse(head).map_or(Line::Malformed(None), Line::Head);
        }
        if line == END {
            return Line::End;
        }
        if let Some(lost) = lost(line) {
            return Line::Lost(lost);
        }
        if is_remark(line) {
            return Line::Remark;
        }
        let event = own(line).or_else(|| foreign::dtrace(line)).or_else(|| foreign::thread_indent(line));
        event.map_or_else(|| Line::Malformed(thread(line)), Line::Event)
    }
}

impl Head {
    fn parse(head: &str) -> Option<Head> {
        let [tool, monotonic, unix, version, groups] =
            head.split('\t').collect::<Vec<_>>().try_into().ok()?;
        Some(Head {
            tool: tool.to_owned(),
            monotonic_ns: monotonic.parse().ok()?,
            unix_ns: unix.parse().ok()?,
            version: (version != "unknown").then(|| version.to_owned()),
            groups: groups.split(',').map(Group::from_name).collect::<Option<_>>()?,
        })
    }
}

/// Whose a line is that is not whole, or more than one.
fn thread(line: &str) -> Option<(i32, i32)> {
    let mut fields = line.split('\t');
    let _: i64 = fields.next()?.parse().ok()?;
    let thread = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Were the number itself cut off, it would be another one.
    fields.next().map(|_| thread)
}

/// An event in our own layout.
fn own(line: &str) -> Option<Said<'_>> {
    let mut rest = line.split('\t');
    let mut next = || rest.next();
    let (time_ns, pid, tid) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    let mut said = Said::new(time_ns, pid, tid, Marker::from_name(next()?)?);
    let is_code = said.marker.is_code();
    for field in fields(said.marker)? {
        let word = next()?;
        match field {
            // -1 is a class body's or a generator's before its first line.
            Field::Int(_) if is_code => said.line = word.parse::<i32>().ok()?.max(0),
            Field::Int(_) | Field::Long(_) => said.value = Some(word.parse().ok()?),
            Field::Text(1) if is_code => said.file = word,
            Field::Text(_) => said.name = word,
        }
    }
    next().is_none().then_some(said)
}

/// How many events the tool says were lost, if it does.
fn lost(line: &str) -> Option<u64> {
    let bpftrace = || line.strip_prefix("Lost ")?.strip_suffix(" events");
    let dtrace = || {
        let (count, rest) = line.strip_prefix("dtrace: ")?.split_once(' ')?;
        let kind = rest.split(" on CPU ").next()?;
        (kind == "drops" || kind.ends_with(" drops") || kind.ends_with(" drop") || kind == "drop")
            .then_some(count)
    };
    let stap = || line.strip_prefix("WARNING: There were ")?.strip_suffix(" transport failures.");
    bpftrace().or_else(dtrace).or_else(stap)?.parse().ok()
}

/// Whether a tool says it of itself.
fn is_remark(line: &str) -> bool {
    let starts = ["#", "@", "Attaching ", "Attached ", "dtrace: ", "WARNING: ", "ERROR: ", "Pass "];
    line.trim().is_empty() || starts.iter().any(|start| line.starts_with(start))
}
