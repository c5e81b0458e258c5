//! Markers: the kinds of rows.

use std::fmt;

/// The kind of a row. Events have the names of CPython's static markers (`Include/pydtrace.d`), or
/// similar names where CPython has no such marker. The other kinds are facts of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Marker {
    /// A Python frame starts or resumes. `line` is the `def` line, or on a resume the line of the
    /// `yield`. `text` is null for a call, and `resume` or `throw` when a generator continues.
    /// Providers that cannot distinguish them always leave it null.
    FunctionEntry,
    /// A Python frame returns or is suspended. `line` is the line being executed. `text` is null
    /// for a return, else `yield` or `unwind` (an exception). Providers that cannot distinguish
    /// them always leave it null.
    FunctionReturn,
    /// A line is about to be executed.
    Line,
    /// A garbage collection starts. `value` is the generation.
    GcStart,
    /// A garbage collection ends. `value` is the number of collected and uncollectable objects.
    GcDone,
    /// The search for a module that is not in `sys.modules` starts. `text` is its name.
    ImportStart,
    /// The search ends. `text` is the module's name. `value` is 1 if it was found, else 0.
    ImportDone,
    /// An audit event. `text` is its name.
    Audit,
    /// A C function is called. `text` is its name.
    CfunctionEntry,
    /// A C function returns or raises. `text` is its name.
    CfunctionReturn,
    /// A class is called. `text` is its name. `code` and `line` are those of the caller.
    InstanceStart,
    /// The call of a class ends. `value` is 1 if it returned an object, 0 if it raised. The other
    /// columns are those of the [`Marker::InstanceStart`] row.
    InstanceDone,
    /// The recorder sees a process for the first time. `value` is its parent's pid, `text` its
    /// command line.
    ProcessStart,
    /// A process has ended. `value` is its exit status, null if it is unknown.
    ProcessExit,
    /// The recorder sees a thread for the first time, or its name becomes known. `text` is the
    /// name.
    ThreadStart,
    /// A thread has ended.
    ThreadExit,
    /// Events of this thread were not recorded: see [`LostEvents`](super::LostEvents).
    Lost,
    /// A source file. `code` is `FILE::`. `text` is the source text, null if the file changed
    /// during the recording or is too long. `value` is the XXH64 of its bytes, `line` the number of
    /// its lines.
    Source,
    /// A Python frame that was already active when the recording began. It stands for the entry
    /// that was not recorded. `line` is the line being executed.
    FunctionOpen,
}

impl Marker {
    /// Every marker, in the order of discriminants.
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

    /// The name in the `marker` column.
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

    /// The marker with this name.
    pub fn from_name(name: &str) -> Option<Marker> {
        Marker::ALL.into_iter().find(|marker| marker.name() == name)
    }

    /// Whether the event is an entry, a return or a line of a code object.
    pub const fn is_code(self) -> bool {
        matches!(self, Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line)
    }

    /// Whether rows of this marker are events of the program, and not facts of the recorder.
    pub const fn is_event(self) -> bool {
        (self as u8) < Marker::ProcessStart as u8
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Markers that are recorded or not recorded together. The option `--markers` takes their names.
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

    /// The groups that are recorded by default.
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

    /// The group with this name.
    pub fn from_name(name: &str) -> Option<MarkerGroup> {
        MarkerGroup::ALL.into_iter().find(|group| group.name() == name)
    }

    /// The markers in this group.
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
