//! The layouts of the classic tools, so that what reads theirs reads ours.

use std::io::{self, Write};

use pyrec_schema::{Code, Event, Manifest, Marker, Names};
use rustc_hash::FxHashMap;

use super::item::{Item, What};
use crate::order::Thread;
use crate::report::escape::Plain;
use crate::report::indent::Indent;

/// DTrace with CPython's `call_stack.d`, `gc.d` and `line.d`: the time in nanoseconds, a tab, the probe's name (that
/// of a function right-aligned in 15, a colon and one space per level), then what the probe tells.
///
/// ```text
/// 156641360502280⇥ function-entry:call_stack.py:start:23
/// 156641360518804⇥ function-entry: call_stack.py:function_1:1
/// ```
pub struct Dtrace<'a> {
    names: &'a Names,
}

impl<'a> Dtrace<'a> {
    /// Lines with these names.
    pub fn new(names: &'a Names) -> Self {
        Dtrace { names }
    }

    /// Writes the line of an item, if DTrace would have one.
    pub fn item(&mut self, item: &Item, out: &mut impl Write) -> io::Result<()> {
        let event = &item.event;
        if matches!(item.what, What::NeverReturned(_) | What::StillOpen(_)) {
            return Ok(());
        }
        let indent = Indent { levels: item.level, columns: 1 };
        let probe = event.marker.name().replace("__", "-");
        let arguments = arguments(event, self.names);
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionReturn => {
                writeln!(out, "{}\t{probe:>15}:{indent}{arguments}", event.time_ns)
            }
            _ => writeln!(out, "{}\t{probe}:{arguments}", event.time_ns),
        }
    }
}

/// SystemTap with `thread_indent`: microseconds since the thread's first line, the process, one space per level, an
/// arrow, and where.
///
/// ```text
/// 11408 python(8274):        => __contains__ in Lib/_abcoll.py:362
/// 11424 python(8274):          <= encode in Lib/os.py:493
/// ```
pub struct Stap<'a> {
    names: &'a Names,
    /// What processes are called, by their pid.
    processes: FxHashMap<i32, String>,
    /// What the others are called.
    program: String,
    /// When each thread had its first line.
    since_ns: FxHashMap<Thread, i64>,
}

impl<'a> Stap<'a> {
    /// Lines with these names.
    pub fn new(names: &'a Names, manifest: &Manifest) -> Self {
        let python = manifest.python.first().and_then(|python| python.executable.as_deref());
        let program = python.or(manifest.command.first().map(String::as_str)).unwrap_or("python");
        Stap {
            names,
            processes: FxHashMap::default(),
            program: base_name(program).to_owned(),
            since_ns: FxHashMap::default(),
        }
    }

    /// Learns what a process is called.
    pub fn notice(&mut self, event: &Event) {
        if event.marker == Marker::ProcessStart
            && let Some(command) = self.names.text_str(event.text)
            && let Some(program) = command.split_whitespace().next()
        {
            self.processes.insert(event.pid, base_name(program).to_owned());
        }
    }

    /// Writes the line of an item, if SystemTap would have one.
    pub fn item(&mut self, item: &Item, out: &mut impl Write) -> io::Result<()> {
        let event = &item.event;
        let arrow = match item.what {
            What::Entry(_) => "=> ",
            What::Return(..) => "<= ",
            What::Point => "",
            What::NeverReturned(_) | What::StillOpen(_) | What::Repeats { .. } => return Ok(()),
        };
        let thread = Thread::of(event);
        let since_ns = *self.since_ns.entry(thread).or_insert(event.time_ns);
        let us = event.time_ns.saturating_sub(since_ns) / 1_000;
        let program = Plain(self.processes.get(&event.pid).unwrap_or(&self.program));
        let indent = Indent { levels: item.level, columns: 1 };
        write!(out, "{us} {program}({}):{indent} ", event.pid)?;
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionReturn => {
                let code = self.names.code_str(event.code);
                let code = Code::parse(&code);
                let (name, file) = (Plain(code.name()), Plain(code.file));
                writeln!(out, "{arrow}{name} in {file}:{}", event.line)
            }
            _ => writeln!(out, "{}:{}", event.marker, arguments(event, self.names)),
        }
    }
}

/// What the marker's arguments are, as the classic scripts print them.
fn arguments(event: &Event, names: &Names) -> String {
    let text = || Plain(&names.text_str(event.text).unwrap_or_default()).to_string();
    let value = || event.value.map_or(String::new(), |value| value.to_string());
    match event.marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            let code = names.code_str(event.code);
            let code = Code::parse(&code);
            format!("{}:{}:{}", Plain(base_name(code.file)), Plain(code.name()), event.line)
        }
        Marker::GcStart | Marker::GcDone => value(),
        Marker::ImportDone => format!("{}:{}", text(), value()),
        _ => text(),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
