//! The Pythons of this machine: those that run, and those that could be started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Interpreter;
use crate::os::procfs::{FileId, all_pids, file_id};

/// Where Pythons are besides the `PATH`.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/bin"];

/// A Python that was found.
#[derive(Debug)]
pub(crate) struct PythonProgram {
    /// The program, as those who run it know it.
    pub program: PathBuf,
    /// Who runs it.
    pub pids: Vec<i32>,
    /// Its interpreter.
    pub interpreter: Interpreter,
}

/// Every Python that runs or is installed, each once, by path. What we may not look into is passed over.
pub(crate) fn everywhere() -> Vec<PythonProgram> {
    let mut found = running();
    for program in installed() {
        let id = file_id(&program);
        if id.is_none_or(|id| found.contains_key(&id)) {
            continue;
        }
        if let (Some(id), Ok(interpreter)) = (id, Interpreter::of_program(&program)) {
            found.insert(id, PythonProgram { program, pids: Vec::new(), interpreter });
        }
    }
    let mut found: Vec<PythonProgram> = found.into_values().collect();
    found.sort_by(|one, other| one.program.cmp(&other.program));
    found
}

/// Those that run, each program once.
fn running() -> BTreeMap<FileId, PythonProgram> {
    let mut seen: BTreeMap<FileId, Option<PythonProgram>> = BTreeMap::new();
    for pid in all_pids() {
        let link = format!("/proc/{pid}/exe");
        let Some(id) = file_id(Path::new(&link)) else { continue };
        let entry = seen.entry(id).or_insert_with(|| {
            let interpreter = Interpreter::of_process(pid).ok()?;
            Some(PythonProgram { program: fs::read_link(&link).ok()?, pids: Vec::new(), interpreter })
        });
        entry.iter_mut().for_each(|found| found.pids.push(pid));
    }
    seen.into_iter().filter_map(|(id, found)| Some((id, found?))).collect()
}

/// The programs on the `PATH` and in the usual places that are named as Pythons are.
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    let folders = folders.chain(children(Path::new("/opt")).map(|folder| folder.join("bin")));
    let pyenv = children(&home.join(".pyenv/versions")).map(|folder| folder.join("bin"));
    let mut programs: Vec<PathBuf> = folders
        .chain(pyenv)
        .flat_map(|folder| children(&folder).collect::<Vec<_>>())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_python))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    programs.sort();
    programs.dedup();
    programs
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// `python3`, `python3.13`, `python3.13t`, but none of the scripts that are named after them.
fn is_python(name: &str) -> bool {
    let version = name.strip_prefix("python").map(|rest| rest.strip_suffix('t').unwrap_or(rest));
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_by_their_names() {
        for name in ["python", "python3", "python3.11", "python3.13t"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["python3-config", "pythonw.sh", "ipython3", "python3.11-gdb.py", "pypy3"] {
            assert!(!is_python(name), "{name}");
        }
    }
}
