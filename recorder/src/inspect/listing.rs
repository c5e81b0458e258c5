//! Which static markers a Python has, and what each is good for.

use std::ffi::OsStr;
use std::path::PathBuf;

use pyrec_schema::{Marker, MarkerGroup};

use crate::os::procfs;
use crate::provider::usdt::pythons::{self, PythonProgram};
use crate::provider::usdt::{self, Interpreter, Version};
use crate::target::program;
use crate::{Error, Result};

/// The markers of one Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The program.
    pub program: PathBuf,
    /// The file that holds the interpreter: the program, or the library that it loads.
    pub interpreter: PathBuf,
    /// Its version, where the file says it.
    pub version: Option<Version>,
    /// Who runs it, as far as that was asked.
    pub processes: Vec<i32>,
    /// What it has, by address.
    pub markers: Vec<Listed>,
    /// What it has not.
    pub absent: Vec<Absent>,
    /// The groups that pyrec can record by them.
    pub groups: Vec<MarkerGroup>,
}

/// One place of one marker. Addresses are those of the file before it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The instruction to trap on.
    pub address: u64,
    /// The counter that switches it on.
    pub semaphore: Option<u64>,
    /// Where its arguments are, in the assembler's words.
    pub arguments: String,
    /// When it fires.
    pub fires: Fires,
    /// Whether pyrec can record it in this build.
    pub recorded: bool,
}

/// A marker that is not in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Its name.
    pub marker: Marker,
    /// Why, and what to use in its place.
    pub advice: &'static str,
}

/// When a marker fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fires {
    /// Whenever somebody listens.
    Always,
    /// Only while somebody listens to `line`, too.
    WithLine,
    /// Nowhere: it is declared, but no code leads to it.
    Never,
    /// It is none that we know.
    Unknown,
}

/// Every Python that runs or is installed, by path.
pub fn everywhere() -> Vec<Listing> {
    pythons::everywhere().into_iter().map(Listing::new).collect()
}

/// The one that a process runs.
pub fn of_process(pid: i32) -> Result<Listing> {
    if !procfs::exists(pid) {
        return Err(Error::NoProcess { pid });
    }
    let interpreter = Interpreter::of_process(pid)?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    let program = program.unwrap_or_else(|_| interpreter.image.path.clone());
    Ok(Listing::new(PythonProgram { program, pids: vec![pid], interpreter }))
}

/// The one that a program is, or that a script runs.
pub fn of_program(name: &OsStr) -> Result<Listing> {
    let missing = || Error::Launch {
        program: name.to_string_lossy().into_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    // A library is no program, but a file with markers.
    let as_it_is = || PathBuf::from(name).canonicalize().ok();
    let program = program::find_binary(name).or_else(as_it_is).ok_or_else(missing)?;
    let interpreter = Interpreter::of_program(&program)?;
    Ok(Listing::new(PythonProgram { program, pids: Vec::new(), interpreter }))
}

impl Listing {
    fn new(found: PythonProgram) -> Listing {
        let PythonProgram { program, pids: processes, interpreter } = found;
        let image = &interpreter.image;
        let version = image.python.and_then(|python| python.version);
        let groups = usdt::groups(image);
        let can_record = |marker| groups.iter().any(|group| group.markers().contains(&marker));
        let mut markers: Vec<Listed> = image
            .notes
            .iter()
            .map(|note| Listed {
                name: note.name.clone(),
                address: note.address,
                semaphore: note.semaphore,
                arguments: note.arguments.clone(),
                fires: Fires::of(&note.name, version),
                recorded: Marker::from_name(&note.name).is_some_and(can_record),
            })
            .collect();
        markers.sort_by_key(|marker| marker.address);
        let is_absent = |marker: &Marker| !image.notes.iter().any(|note| note.name == marker.name());
        let absent = MARKERS
            .into_iter()
            .filter(is_absent)
            .map(|marker| Absent { marker, advice: advice(marker, version, image.notes.is_empty()) })
            .collect();
        Listing { program, interpreter: image.path.clone(), version, processes, markers, absent, groups }
    }
}

/// Those that CPython fires in one version or another.
const MARKERS: [Marker; 8] = [
    Marker::FunctionEntry,
    Marker::FunctionReturn,
    Marker::Line,
    Marker::GcStart,
    Marker::GcDone,
    Marker::ImportStart,
    Marker::ImportDone,
    Marker::Audit,
];

impl Fires {
    fn of(name: &str, version: Option<Version>) -> Fires {
        match Marker::from_name(name) {
            Some(Marker::FunctionEntry) if version.is_some_and(Version::entry_needs_line) => Fires::WithLine,
            _ if name.starts_with("instance__") => Fires::Never,
            Some(marker) if marker.is_event() => Fires::Always,
            _ => Fires::Unknown,
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
    fn entries_of_3_11_fire_with_lines_only() {
        for minor in [8, 9, 10, 15] {
            assert_eq!(Fires::of("function__entry", version(minor)), Fires::Always, "{minor}");
        }
        assert_eq!(Fires::of("function__entry", version(11)), Fires::WithLine);
        assert_eq!(Fires::of("function__return", version(11)), Fires::Always);
        assert_eq!(Fires::of("instance__new__start", version(9)), Fires::Never);
        assert_eq!(Fires::of("thread__start", version(9)), Fires::Unknown);
    }

    #[test]
    fn what_is_absent_has_a_reason_and_a_remedy() {
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
