//! The layouts of the DTrace and SystemTap scripts for CPython, for programs that parse their
//! output.

use std::io::{self, Write};

use pyrec_schema::{Code, Event, Manifest, Marker, Names};
use rustc_hash::FxHashMap;

use super::lines::{LineKind, TreeLine};
use crate::escape::Printable;
use crate::order::ThreadId;
use crate::report::display::Indent;

/// The output of CPython's `call_stack.d`, `gc.d` and `line.d` under DTrace: the time in
/// nanoseconds, a tab, the probe's name, a colon, the probe's arguments. The names of function
/// probes are right-aligned in 15 columns, and one space per level follows their colon.
///
/// ```text
/// 156641360502280⇥ function-entry:call_stack.py:start:23
/// 156641360518804⇥ function-entry: call_stack.py:function_1:1
/// ```
pub struct DtraceLayout<'a> {
    names: &'a Names,
}

impl<'a> DtraceLayout<'a> {
    /// A layout that takes functions, files and texts from `names`.
    pub fn new(names: &'a Names) -> Self {
        DtraceLayout { names }
    }

    /// Writes a line, unless the scripts have no probe for it.
    pub fn write(&mut self, line: &TreeLine, out: &mut impl Write) -> io::Result<()> {
        let event = &line.event;
        if matches!(line.kind, LineKind::NeverReturned(_) | LineKind::StillOpen(_)) {
            return Ok(());
        }
        let indent = Indent { levels: line.level, columns: 1 };
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

/// The output of SystemTap's `thread_indent`: microseconds since the thread's first line, the
/// process, one space per level, an arrow, the function and its source location.
///
/// ```text
/// 11408 python(8274):        => __contains__ in Lib/_abcoll.py:362
/// 11424 python(8274):          <= encode in Lib/os.py:493
/// ```
pub struct StapLayout<'a> {
    names: &'a Names,
    /// Program names by pid.
    programs: FxHashMap<i32, String>,
    /// The program name of processes whose start was not recorded.
    default_program: String,
    /// The time of each thread's first line.
    first_line_ns: FxHashMap<ThreadId, i64>,
}

impl<'a> StapLayout<'a> {
    /// A layout that takes functions, files and texts from `names`.
    pub fn new(names: &'a Names, manifest: &Manifest) -> Self {
        let python = manifest.python.first().and_then(|python| python.executable.as_deref());
        let program = python.or(manifest.command.first().map(String::as_str)).unwrap_or("python");
        StapLayout {
            names,
            programs: FxHashMap::default(),
            default_program: base_name(program).to_owned(),
            first_line_ns: FxHashMap::default(),
        }
    }

    /// Takes the program name from the row of a process start.
    pub fn observe(&mut self, event: &Event) {
        if event.marker == Marker::ProcessStart
            && let Some(command) = self.names.text_str(event.text)
            && let Some(program) = command.split_whitespace().next()
        {
            self.programs.insert(event.pid, base_name(program).to_owned());
        }
    }

    /// Writes a line, unless the scripts have no probe for it.
    pub fn write(&mut self, line: &TreeLine, out: &mut impl Write) -> io::Result<()> {
        let event = &line.event;
        let arrow = match line.kind {
            LineKind::Entry(_) => "=> ",
            LineKind::Return(..) => "<= ",
            LineKind::Instant => "",
            LineKind::NeverReturned(_) | LineKind::StillOpen(_) | LineKind::Repeats { .. } => return Ok(()),
        };
        let thread = ThreadId::of(event);
        let first_line_ns = *self.first_line_ns.entry(thread).or_insert(event.time_ns);
        let us = event.time_ns.saturating_sub(first_line_ns) / 1_000;
        let program = Printable(self.programs.get(&event.pid).unwrap_or(&self.default_program));
        let indent = Indent { levels: line.level, columns: 1 };
        write!(out, "{us} {program}({}):{indent} ", event.pid)?;
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionReturn => {
                let code = self.names.code_str(event.code);
                let code = Code::parse(&code);
                let (name, file) = (Printable(code.name()), Printable(code.file));
                writeln!(out, "{arrow}{name} in {file}:{}", event.line)
            }
            _ => writeln!(out, "{}:{}", event.marker, arguments(event, self.names)),
        }
    }
}

/// The arguments of a marker as the classic scripts print them.
fn arguments(event: &Event, names: &Names) -> String {
    let text = || Printable(&names.text_str(event.text).unwrap_or_default()).to_string();
    let value = || event.value.map_or(String::new(), |value| value.to_string());
    match event.marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            let code = names.code_str(event.code);
            let code = Code::parse(&code);
            format!("{}:{}:{}", Printable(base_name(code.file)), Printable(code.name()), event.line)
        }
        Marker::GcStart | Marker::GcDone => value(),
        Marker::ImportDone => format!("{}:{}", text(), value()),
        _ => text(),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
