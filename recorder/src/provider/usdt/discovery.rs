//! Finding the Pythons of the machine: those that are running, and those that are installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::InterpreterFile;
use crate::os::procfs::{FileId, all_pids, file_id};

/// Directories with Pythons besides those of the `PATH`.
const DIRECTORIES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];

/// A program that runs Python.
#[derive(Debug)]
pub(crate) struct PythonProgram {
    /// The path of the program.
    pub program: PathBuf,
    /// The processes that run it.
    pub pids: Vec<i32>,
    /// Its interpreter.
    pub interpreter: InterpreterFile,
}

/// Finds every Python that is running or installed, each file once, in the order of paths. Leaves
/// out those that cannot be read.
pub(crate) fn find_all() -> Vec<PythonProgram> {
    let mut pythons = running();
    for program in installed() {
        let Some(id) = file_id(&program).filter(|id| !pythons.contains_key(id)) else { continue };
        if let Ok(interpreter) = InterpreterFile::of_program(&program) {
            pythons.insert(id, PythonProgram { program, pids: Vec::new(), interpreter });
        }
    }
    let mut pythons: Vec<PythonProgram> = pythons.into_values().collect();
    pythons.sort_by(|one, other| one.program.cmp(&other.program));
    pythons
}

/// The Pythons that are running.
fn running() -> BTreeMap<FileId, PythonProgram> {
    // None for programs that are no Pythons, so that each program is examined once.
    let mut programs: BTreeMap<FileId, Option<PythonProgram>> = BTreeMap::new();
    for pid in all_pids() {
        let link = format!("/proc/{pid}/exe");
        let Some(id) = file_id(Path::new(&link)) else { continue };
        let entry = programs.entry(id).or_insert_with(|| {
            let interpreter = InterpreterFile::of_process(pid).ok()?;
            Some(PythonProgram { program: fs::read_link(&link).ok()?, pids: Vec::new(), interpreter })
        });
        entry.iter_mut().for_each(|python| python.pids.push(pid));
    }
    programs.into_iter().filter_map(|(id, python)| Some((id, python?))).collect()
}

/// The files named like Pythons on the `PATH` and in the usual directories.
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from));
    let directories = directories.chain(entries_in(Path::new("/opt")).map(|child| child.join("bin")));
    let pyenv = entries_in(&home.join(".pyenv/versions")).map(|child| child.join("bin"));
    let mut programs: Vec<PathBuf> = directories
        .chain(pyenv)
        .flat_map(|directory| entries_in(&directory).collect::<Vec<_>>())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_python_name))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    programs.sort();
    programs.dedup();
    programs
}

fn entries_in(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Whether a file is named like a Python: `python3`, `python3.13`, `python3.13t`, but not
/// `python3-config`.
fn is_python_name(name: &str) -> bool {
    let version = name.strip_prefix("python").map(|rest| rest.strip_suffix('t').unwrap_or(rest));
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pythons_are_recognized() {
        for name in ["python", "python3", "python3.11", "python3.13t"] {
            assert!(is_python_name(name), "{name}");
        }
        for name in ["python3-config", "pythonw.sh", "ipython3", "python3.11-gdb.py", "pypy3"] {
            assert!(!is_python_name(name), "{name}");
        }
    }
}
