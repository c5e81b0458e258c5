//! The listing of `pyrec markers`: the static markers of a Python, and which of them pyrec can
//! record.

use std::ffi::OsStr;
use std::path::PathBuf;

use pyrec_schema::{Marker, MarkerGroup};

use crate::os::procfs;
use crate::provider::usdt::discovery::{self, PythonProgram};
use crate::provider::usdt::{self, InterpreterFile, Version};
use crate::target::program;
use crate::{Error, Result};

/// The static markers of a Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerListing {
    /// The path of the program.
    pub program: PathBuf,
    /// The path of the file with the interpreter: the program, or the libpython that it loads.
    pub interpreter: PathBuf,
    /// The version, if it can be determined from the file.
    pub version: Option<Version>,
    /// The pids of running processes of the program. Empty if they were not searched for.
    pub processes: Vec<i32>,
    /// The markers in the file, by address.
    pub markers: Vec<MarkerSite>,
    /// The markers of other versions or builds that are not in the file.
    pub absent: Vec<AbsentMarker>,
    /// The groups that pyrec can record by these markers.
    pub groups: Vec<MarkerGroup>,
}

/// A place in the code where a marker is. Addresses are those in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerSite {
    /// The name of the marker.
    pub name: String,
    /// The address of the instruction.
    pub address: u64,
    /// The address of the counter that enables the marker.
    pub semaphore: Option<u64>,
    /// The locations of the arguments, in assembler syntax.
    pub arguments: String,
    /// When the marker fires.
    pub fires: FiringCondition,
    /// Whether pyrec can record the marker in this build.
    pub recorded: bool,
}

/// A marker that is not in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentMarker {
    /// The marker.
    pub marker: Marker,
    /// The reason, and what to use instead.
    pub advice: &'static str,
}

/// When a marker fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiringCondition {
    /// Whenever a tool has attached to it.
    Always,
    /// Only while a tool has attached to `line`, too.
    WithLine,
    /// Never: it is declared, but no code of CPython reaches it.
    Never,
    /// Unknown: pyrec does not know the marker.
    Unknown,
}

/// Lists the markers of every Python that is running or installed, by path.
pub fn all_pythons() -> Vec<MarkerListing> {
    discovery::find_all().into_iter().map(MarkerListing::new).collect()
}

/// Lists the markers of the Python that a process runs.
pub fn of_process(pid: i32) -> Result<MarkerListing> {
    if !procfs::exists(pid) {
        return Err(Error::NoProcess { pid });
    }
    let interpreter = InterpreterFile::of_process(pid)?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    let program = program.unwrap_or_else(|_| interpreter.image.path.clone());
    Ok(MarkerListing::new(PythonProgram { program, pids: vec![pid], interpreter }))
}

/// Lists the markers of a program, of the interpreter of a script, or of a library.
pub fn of_program(name: &OsStr) -> Result<MarkerListing> {
    let missing = || Error::Launch {
        program: name.to_string_lossy().into_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    // A library is not executable, so it is taken by its path.
    let by_path = || PathBuf::from(name).canonicalize().ok();
    let program = program::find_binary(name).or_else(by_path).ok_or_else(missing)?;
    let interpreter = InterpreterFile::of_program(&program)?;
    Ok(MarkerListing::new(PythonProgram { program, pids: Vec::new(), interpreter }))
}

impl MarkerListing {
    fn new(python: PythonProgram) -> MarkerListing {
        let PythonProgram { program, pids: processes, interpreter } = python;
        let image = &interpreter.image;
        let version = image.python.and_then(|python| python.version);
        let groups = usdt::recordable_groups(image);
        let can_record = |marker| groups.iter().any(|group| group.markers().contains(&marker));
        let mut markers: Vec<MarkerSite> = image
            .notes
            .iter()
            .map(|note| MarkerSite {
                name: note.name.clone(),
                address: note.address,
                semaphore: note.semaphore,
                arguments: note.arguments.clone(),
                fires: FiringCondition::of(&note.name, version),
                recorded: Marker::from_name(&note.name).is_some_and(can_record),
            })
            .collect();
        markers.sort_by_key(|marker| marker.address);
        let is_absent = |marker: &Marker| !image.notes.iter().any(|note| note.name == marker.name());
        let absent = CPYTHON_MARKERS
            .into_iter()
            .filter(is_absent)
            .map(|marker| AbsentMarker { marker, advice: advice(marker, version, image.notes.is_empty()) })
            .collect();
        MarkerListing {
            program,
            interpreter: image.path.clone(),
            version,
            processes,
            markers,
            absent,
            groups,
        }
    }
}

/// The markers that some version of CPython fires.
const CPYTHON_MARKERS: [Marker; 8] = [
    Marker::FunctionEntry,
    Marker::FunctionReturn,
    Marker::Line,
    Marker::GcStart,
    Marker::GcDone,
    Marker::ImportStart,
    Marker::ImportDone,
    Marker::Audit,
];

impl FiringCondition {
    fn of(name: &str, version: Option<Version>) -> FiringCondition {
        match Marker::from_name(name) {
            Some(Marker::FunctionEntry) if version.is_some_and(Version::entry_needs_line) => {
                FiringCondition::WithLine
            }
            _ if name.starts_with("instance__") => FiringCondition::Never,
            Some(marker) if marker.is_event() => FiringCondition::Always,
            _ => FiringCondition::Unknown,
        }
    }
}

fn advice(marker: Marker, version: Option<Version>, has_none: bool) -> &'static str {
    let minor = version.map(|version| version.minor);
    match (marker, minor) {
        _ if has_none => "it was built without --with-dtrace; use --provider agent",
        (Marker::FunctionEntry | Marker::FunctionReturn, Some(12..=14)) => {
            "CPython 3.12 to 3.14 have none; use --provider agent"
        }
        (Marker::Line, Some(12..)) => "CPython has none since 3.12; use --provider agent",
        _ => "this build has none; use --provider agent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(minor: u8) -> Option<Version> {
        Some(Version { major: 3, minor, micro: 1 })
    }

    #[test]
    fn entries_of_3_11_fire_only_with_line() {
        for minor in [8, 9, 10, 15] {
            assert_eq!(
                FiringCondition::of("function__entry", version(minor)),
                FiringCondition::Always,
                "{minor}"
            );
        }
        assert_eq!(FiringCondition::of("function__entry", version(11)), FiringCondition::WithLine);
        assert_eq!(FiringCondition::of("function__return", version(11)), FiringCondition::Always);
        assert_eq!(FiringCondition::of("instance__new__start", version(9)), FiringCondition::Never);
        assert_eq!(FiringCondition::of("thread__start", version(9)), FiringCondition::Unknown);
    }

    #[test]
    fn advice_names_the_reason_and_the_agent() {
        let table = [
            (Marker::FunctionEntry, 13, false, "3.12 to 3.14"),
            (Marker::Line, 15, false, "since 3.12"),
            (Marker::Line, 13, true, "--with-dtrace"),
            (Marker::Audit, 7, false, "this build"),
        ];
        for (marker, minor, has_none, expected) in table {
            let advice = advice(marker, version(minor), has_none);
            assert!(advice.contains(expected) && advice.contains("--provider agent"), "{advice}");
        }
    }
}
