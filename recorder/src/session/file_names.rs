//! Names of the files in a session directory.

use std::ffi::OsStr;

/// Beginning of the names of session directories.
pub(crate) const DIRECTORY_PREFIX: &str = "pyrec-";

/// The [`SessionPage`](pyrec_wire::SessionPage).
pub(crate) const SESSION: &str = "session";

/// The globs of the functions to record.
pub(crate) const FILTER: &str = "filter";

/// The file that the recorder keeps locked.
pub(crate) const LOCK: &str = "lock";

/// A program in a process. The number distinguishes the programs that a pid has had: exec keeps the
/// pid, and the system reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProgramId {
    pub pid: i32,
    pub number: u32,
}

/// A file that an agent has created. The order is that in which the recorder opens the files:
/// definitions before the rings that refer to them, and earlier programs before later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AgentFile {
    /// `PID-N.defs`: the definitions of a program.
    Definitions(ProgramId),
    /// `PID-N.K.ring`: the ring of its thread K.
    Ring(ProgramId, u32),
}

impl AgentFile {
    /// Parses a file name; none if an agent creates no such file.
    pub fn parse(name: &OsStr) -> Option<AgentFile> {
        let name = name.to_str()?;
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            "defs" => Some(AgentFile::Definitions(ProgramId::parse(stem)?)),
            "ring" => {
                let (program, thread) = stem.split_once('.')?;
                Some(AgentFile::Ring(ProgramId::parse(program)?, thread.parse().ok()?))
            }
            _ => None,
        }
    }
}

impl ProgramId {
    fn parse(text: &str) -> Option<ProgramId> {
        let (pid, number) = text.split_once('-')?;
        Some(ProgramId { pid: pid.parse().ok()?, number: number.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        let program = ProgramId { pid: 7, number: 10 };
        let table = [
            ("7-10.defs", Some(AgentFile::Definitions(program))),
            ("7-10.3.ring", Some(AgentFile::Ring(program, 3))),
            ("7-10.ring", None),
            ("7.defs", None),
            ("session", None),
            ("journal-7", None),
            ("x-1.defs", None),
        ];
        for (name, file) in table {
            assert_eq!(AgentFile::parse(OsStr::new(name)), file, "{name}");
        }
    }

    #[test]
    fn files_are_opened_in_the_order_of_their_numbers_and_definitions_first() {
        let names = ["7-9.10.ring", "7-10.defs", "7-9.9.ring", "12-0.defs", "7-9.defs", "7-10.1.ring"];
        let mut files = names.map(|name| (AgentFile::parse(OsStr::new(name)).expect("a file name"), name));
        files.sort();
        let sorted = ["7-9.defs", "7-10.defs", "12-0.defs", "7-9.9.ring", "7-9.10.ring", "7-10.1.ring"];
        assert_eq!(files.map(|(_, name)| name), sorted);
    }
}
