//! What can happen: the markers of CPython and the recorder's own rows.

use std::fmt;

/// What a row reports, by the name that CPython gives the marker (`Include/pydtrace.d`), or a fact of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Marker {
    /// A Python frame starts or resumes. `line` is the `def` line, on resuming the line of the `yield`;
    /// `text` is null for a call, `resume` or `throw` where a generator goes on and the provider can tell.
    FunctionEntry,
    /// A Python frame is left. `line` is the line executing; `text` is null for a return,
    /// `yield` or `unwind` where the provider can tell.
    FunctionReturn,
    /// A line is about to execute.
    Line,
    /// A collection starts. `value` is the generation.
    GcStart,
    /// A collection is done. `value` is the number of objects collected and uncollectable.
    GcDone,
    /// A module that is not in `sys.modules` is looked for. `text` is its name.
    ImportStart,
    /// That search is done. `text` is the module's name, `value` 1 if it was found, else 0.
    ImportDone,
    /// An audit event. `text` is its name.
    Audit,
    /// A function written in C is called. `text` is its name.
    CfunctionEntry,
    /// A function written in C is done. `text` is its name.
    CfunctionReturn,
    /// A class is called. `text` is its name, `code` and `line` are who calls it.
    InstanceStart,
    /// That call is done. `value` is 1 if it gave an object, 0 if it raised; the rest is as in the row that began it.
    InstanceDone,
    /// A process is first seen. `value` is its parent's pid, `text` its command line.
    ProcessStart,
    /// A process has ended. `value` is its exit status, null if nobody could know it.
    ProcessExit,
    /// A thread is first seen, or its name becomes known. `text` is that name.
    ThreadStart,
    /// A thread has ended.
    ThreadExit,
    /// Events that were not recorded: see [`crate::Lost`].
    Lost,
    /// A source file. `code` is `FILE::`, `text` its contents (null where they changed on disk during the
    /// recording or are too long), `value` the XXH64 of its bytes, `line` the number of its lines.
    Source,
    /// A Python frame that was there already when the recording began: the recorder's word for an entry that nobody
    /// saw. `line` is the line executing.
    FunctionOpen,
}

impl Marker {
    /// Every marker, in the order of its discriminant.
    pub const ALL: [Marker; 19] = [
        Marker::FunctionEntry,
        Marker::FunctionReturn,
        Marker::Line,
        Marker::GcStart,
        Marker::GcDone,
        Marker::ImportStart,
        Marker::ImportDone,
        Marker::Audit,
        Marker::CfunctionEntry,
        Marker::CfunctionReturn,
        Marker::InstanceStart,
        Marker::InstanceDone,
        Marker::ProcessStart,
        Marker::ProcessExit,
        Marker::ThreadStart,
        Marker::ThreadExit,
        Marker::Lost,
        Marker::Source,
        Marker::FunctionOpen,
    ];

    /// The name that stands in the `marker` column.
    pub const fn name(self) -> &'static str {
        match self {
            Marker::FunctionEntry => "function__entry",
            Marker::FunctionReturn => "function__return",
            Marker::Line => "line",
            Marker::GcStart => "gc__start",
            Marker::GcDone => "gc__done",
            Marker::ImportStart => "import__find__load__start",
            Marker::ImportDone => "import__find__load__done",
            Marker::Audit => "audit",
            Marker::CfunctionEntry => "cfunction__entry",
            Marker::CfunctionReturn => "cfunction__return",
            Marker::InstanceStart => "instance__new__start",
            Marker::InstanceDone => "instance__new__done",
            Marker::ProcessStart => "process__start",
            Marker::ProcessExit => "process__exit",
            Marker::ThreadStart => "thread__start",
            Marker::ThreadExit => "thread__exit",
            Marker::Lost => "lost",
            Marker::Source => "source",
            Marker::FunctionOpen => "function__open",
        }
    }

    /// The marker of that name.
    pub fn from_name(name: &str) -> Option<Marker> {
        Marker::ALL.into_iter().find(|marker| marker.name() == name)
    }

    /// Whether it is about a code object: an entry, a return or a line of one.
    pub const fn is_code(self) -> bool {
        matches!(self, Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line)
    }

    /// Whether CPython said it, rather than the recorder.
    pub const fn is_event(self) -> bool {
        (self as u8) < Marker::ProcessStart as u8
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Markers that are switched on and off together: what `--markers` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkerGroup {
    /// `function__entry`, `function__return`.
    Function,
    /// `line`.
    Line,
    /// `gc__start`, `gc__done`.
    Gc,
    /// `import__find__load__start`, `import__find__load__done`.
    Import,
    /// `audit`.
    Audit,
    /// `cfunction__entry`, `cfunction__return`.
    Cfunction,
    /// `instance__new__start`, `instance__new__done`.
    Instance,
}

impl MarkerGroup {
    /// Every group.
    pub const ALL: [MarkerGroup; 7] = [
        MarkerGroup::Function,
        MarkerGroup::Line,
        MarkerGroup::Gc,
        MarkerGroup::Import,
        MarkerGroup::Audit,
        MarkerGroup::Cfunction,
        MarkerGroup::Instance,
    ];

    /// What is recorded when nothing is said.
    pub const DEFAULT: [MarkerGroup; 3] = [MarkerGroup::Function, MarkerGroup::Gc, MarkerGroup::Import];

    /// The name on the command line and in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            MarkerGroup::Function => "function",
            MarkerGroup::Line => "line",
            MarkerGroup::Gc => "gc",
            MarkerGroup::Import => "import",
            MarkerGroup::Audit => "audit",
            MarkerGroup::Cfunction => "cfunction",
            MarkerGroup::Instance => "instance",
        }
    }

    /// The group of that name.
    pub fn from_name(name: &str) -> Option<MarkerGroup> {
        MarkerGroup::ALL.into_iter().find(|group| group.name() == name)
    }

    /// Its markers.
    pub const fn markers(self) -> &'static [Marker] {
        match self {
            MarkerGroup::Function => &[Marker::FunctionEntry, Marker::FunctionReturn],
            MarkerGroup::Line => &[Marker::Line],
            MarkerGroup::Gc => &[Marker::GcStart, Marker::GcDone],
            MarkerGroup::Import => &[Marker::ImportStart, Marker::ImportDone],
            MarkerGroup::Audit => &[Marker::Audit],
            MarkerGroup::Cfunction => &[Marker::CfunctionEntry, Marker::CfunctionReturn],
            MarkerGroup::Instance => &[Marker::InstanceStart, Marker::InstanceDone],
        }
    }
}

impl fmt::Display for MarkerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
