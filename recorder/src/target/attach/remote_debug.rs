//! The door itself: where CPython looks for a script that somebody else wants run.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use object::{Object, ObjectSection, ObjectSegment};

use super::Error;
use crate::os::process_root::ProcessRoot;
use crate::os::procfs;
use crate::os::stopped_process::StoppedProcess;

/// `_Py_DebugOffsets`, the first thing in the section `.PyRuntime`: what of it is needed, as offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    minor: u64,
    native_thread_id: u64,
    debugger_support: u64,
}

const COOKIE: &[u8; 8] = b"xdebugpy";
const VERSION: u64 = 8;
const FREE_THREADED: u64 = 16;
const INTERPRETERS_HEAD: u64 = 40;
const INTERPRETER_NEXT: u64 = 64;
const THREADS_HEAD: u64 = 72;
const THREAD_NEXT: u64 = 192;

/// CPython's `Include/internal/pycore_debug_offsets.h`, by version.
const LAYOUTS: [Layout; 2] = [
    Layout { minor: 14, native_thread_id: 224, debugger_support: 712 },
    Layout { minor: 15, native_thread_id: 248, debugger_support: 840 },
];

/// Words of `debugger_support`.
const EVAL_BREAKER: u64 = 0;
const SUPPORT: u64 = 8;
const ENABLED: u64 = 16;
const PENDING_CALL: u64 = 24;
const SCRIPT_PATH: u64 = 32;
const SCRIPT_PATH_SIZE: u64 = 40;

/// The bit in a thread's eval breaker that has it look for a script.
const PLEASE_STOP: u64 = 1 << 5;

/// As many threads as any process has: a list that is longer is no list.
const MAX_THREADS: usize = 1 << 16;

/// A process's door.
#[derive(Debug)]
pub(crate) struct RemoteDebug {
    pid: i32,
    memory: File,
    runtime: u64,
    layout: Layout,
}

impl RemoteDebug {
    /// Finds it, and sees whether it is open.
    pub fn open(pid: i32, root: &ProcessRoot) -> Result<RemoteDebug, Error> {
        let failed = |source| Error::of(pid, source);
        let memory =
            File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).map_err(failed)?;
        let found = runtimes(pid, root).map_err(failed)?;
        let newest =
            found.iter().find(|found| word(&memory, found.address).ok() == Some(u64::from_le_bytes(*COOKIE)));
        let Some(found) = newest else {
            return Err(match found.into_iter().find_map(|found| version_in(&found.file_name)) {
                Some(version) => Error::TooOld { pid, version },
                None => Error::NoPython { pid },
            });
        };
        let runtime = found.address;
        let version = word(&memory, runtime + VERSION).map_err(failed)?;
        let (major, minor) = (version >> 24 & 0xff, version >> 16 & 0xff);
        let name = format!("{major}.{minor}");
        if (major, minor) < (3, 14) {
            return Err(Error::TooOld { pid, version: name });
        }
        let is_free_threaded = word(&memory, runtime + FREE_THREADED).map_err(failed)? != 0;
        let layout = LAYOUTS.into_iter().find(|layout| layout.minor == minor && !is_free_threaded);
        let layout = layout.ok_or_else(|| Error::Unknown { pid, version: name.clone() })?;
        let door = RemoteDebug { pid, memory, runtime, layout };
        if !door.is_as_expected().map_err(failed)? {
            return Err(Error::Unknown { pid, version: name });
        }
        if !door.is_open().map_err(failed)? {
            return Err(Error::Shut { pid });
        }
        Ok(door)
    }

    /// Has every thread run the script as soon as it can. The path is the process's own.
    pub fn call(&self, script: &str) -> Result<(), Error> {
        let write = || {
            let _still = StoppedProcess::stop(self.pid)?;
            let mut path = script.as_bytes().to_vec();
            path.push(0);
            if path.len() as u64 > self.told(self.layout.debugger_support + SCRIPT_PATH_SIZE)? {
                return Err(io::Error::other("the path of the recording's directory is too long"));
            }
            for state in self.thread_states()? {
                let (pending, place, breaker) = self.places(state)?;
                self.memory.write_all_at(&path, place)?;
                self.memory.write_all_at(&1u32.to_ne_bytes(), pending)?;
                let bits = word(&self.memory, breaker)? | PLEASE_STOP;
                self.memory.write_all_at(&bits.to_ne_bytes(), breaker)?;
            }
            Ok(())
        };
        write().map_err(|source| Error::of(self.pid, source))
    }

    /// Has those threads forget it that have not run it yet.
    pub fn call_off(&self) -> Result<(), Error> {
        let write = || {
            let _still = StoppedProcess::stop(self.pid)?;
            for state in self.thread_states()? {
                self.memory.write_all_at(&0u32.to_ne_bytes(), self.places(state)?.0)?;
            }
            Ok(())
        };
        write().map_err(|source| Error::of(self.pid, source))
    }

    /// Whether the process is there.
    pub fn is_there(&self) -> bool {
        word(&self.memory, self.runtime).is_ok()
    }

    /// Where in a thread state the number of its thread lies.
    pub fn native_id_offset(&self) -> Result<u64, Error> {
        self.told(self.layout.native_thread_id).map_err(|source| Error::of(self.pid, source))
    }

    /// What CPython tells at this place of its offsets.
    fn told(&self, at: u64) -> io::Result<u64> {
        word(&self.memory, self.runtime + at)
    }

    /// Whether what is read as the door's offsets looks like these: a flag, behind it a path.
    fn is_as_expected(&self) -> io::Result<bool> {
        let support = self.layout.debugger_support;
        let [pending, path, size] =
            [PENDING_CALL, SCRIPT_PATH, SCRIPT_PATH_SIZE].map(|field| self.told(support + field));
        Ok((pending?, path?) == (0, 4) && (64..=4096).contains(&size?))
    }

    fn is_open(&self) -> io::Result<bool> {
        let flag = self.interpreter()? + self.told(self.layout.debugger_support + ENABLED)?;
        let mut bytes = [0; 4];
        self.memory.read_exact_at(&mut bytes, flag)?;
        Ok(u32::from_ne_bytes(bytes) != 0)
    }

    /// The main interpreter: the oldest, and so the last of the list.
    fn interpreter(&self) -> io::Result<u64> {
        let head = word(&self.memory, self.runtime + self.told(INTERPRETERS_HEAD)?)?;
        self.list(head, self.told(INTERPRETER_NEXT)?)?.pop().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn thread_states(&self) -> io::Result<Vec<u64>> {
        let head = word(&self.memory, self.interpreter()? + self.told(THREADS_HEAD)?)?;
        self.list(head, self.told(THREAD_NEXT)?)
    }

    fn list(&self, head: u64, next: u64) -> io::Result<Vec<u64>> {
        let mut items = Vec::new();
        let mut item = head;
        while item != 0 {
            if items.len() == MAX_THREADS {
                return Err(io::ErrorKind::InvalidData.into());
            }
            items.push(item);
            item = word(&self.memory, item + next)?;
        }
        Ok(items)
    }

    /// Of a thread state: the flag, the script's path, the eval breaker.
    fn places(&self, state: u64) -> io::Result<(u64, u64, u64)> {
        let field = |field| self.told(self.layout.debugger_support + field);
        let support = state + field(SUPPORT)?;
        Ok((support + field(PENDING_CALL)?, support + field(SCRIPT_PATH)?, state + field(EVAL_BREAKER)?))
    }
}

fn word(memory: &File, at: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A file that may be a CPython, and the address of its section `.PyRuntime`, 0 if it has none.
struct Runtime {
    file_name: String,
    address: u64,
}

/// The program and its libpython, whichever are there.
fn runtimes(pid: i32, root: &ProcessRoot) -> io::Result<Vec<Runtime>> {
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    let mut found = Vec::new();
    for mapping in procfs::mappings(pid)?.iter().filter(|mapping| mapping.offset == 0) {
        let (Some(path), Some(file_name)) = (mapping.path(), mapping.file_name()) else { continue };
        let file = match program.as_os_str() == path {
            true => PathBuf::from(format!("/proc/{pid}/exe")),
            false if file_name.starts_with("libpython3.") => root.to_own_path(path.as_ref()),
            false => continue,
        };
        let address = section(&file).map_or(0, |section| mapping.start.wrapping_add(section));
        found.push(Runtime { file_name: file_name.to_owned(), address });
    }
    Ok(found)
}

/// Where the section lies, counted from the file's first byte in memory.
fn section(file: &std::path::Path) -> Option<u64> {
    let file = File::open(file).ok()?;
    // SAFETY: a program that runs is not written to; should it be, what is read is checked, and errors are no harm.
    let bytes = unsafe { memmap2::Mmap::map(&file) }.ok()?;
    let image = object::File::parse(&*bytes).ok()?;
    let first = image.segments().map(|segment| segment.address()).min()?;
    Some(image.section_by_name(".PyRuntime")?.address().wrapping_sub(first & !0xfff))
}

/// `3.13` of `python3.13` or `libpython3.13.so.1.0`.
fn version_in(file_name: &str) -> Option<String> {
    let (_, after) = file_name.split_once("python3.")?;
    let minor: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!minor.is_empty()).then(|| format!("3.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_names_of_files() {
        for (name, version) in [
            ("python3.13", Some("3.13")),
            ("libpython3.9.so.1.0", Some("3.9")),
            ("python3", None),
            ("sh", None),
            ("python3.", None),
        ] {
            assert_eq!(version_in(name).as_deref(), version, "{name}");
        }
    }

    #[test]
    fn a_process_without_python_has_no_door() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("it starts");
        let error = RemoteDebug::open(child.id() as i32, &ProcessRoot::own())
            .expect_err("there is no Python")
            .to_string();
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert!(error.contains("runs no CPython that can be entered"), "{error}");
    }
}
