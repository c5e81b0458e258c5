//! CPython's remote debugging interface in another process: where each thread state keeps the path
//! of a script to run.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSegment};

use super::Error;
use crate::os::process_root::ProcessRoot;
use crate::os::procfs;
use crate::os::stopped_process::StoppedProcess;

/// The version-dependent part of `_Py_DebugOffsets`, the structure at the start of the section
/// `.PyRuntime`: offsets of its fields, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DebugOffsets {
    minor: u64,
    native_thread_id: u64,
    debugger_support: u64,
}

/// The fields at the same offset in every version.
const COOKIE: &[u8; 8] = b"xdebugpy";
const VERSION: u64 = 8;
const FREE_THREADED: u64 = 16;
const INTERPRETERS_HEAD: u64 = 40;
const INTERPRETER_NEXT: u64 = 64;
const THREADS_HEAD: u64 = 72;
const THREAD_NEXT: u64 = 192;

/// By version, from CPython's `Include/internal/pycore_debug_offsets.h`.
const DEBUG_OFFSETS: [DebugOffsets; 2] = [
    DebugOffsets { minor: 14, native_thread_id: 224, debugger_support: 712 },
    DebugOffsets { minor: 15, native_thread_id: 248, debugger_support: 840 },
];

/// Fields of the member `debugger_support` of `_Py_DebugOffsets`, which are offsets themselves.
const EVAL_BREAKER: u64 = 0;
const SUPPORT: u64 = 8;
const ENABLED: u64 = 16;
const PENDING_CALL: u64 = 24;
const SCRIPT_PATH: u64 = 32;
const SCRIPT_PATH_SIZE: u64 = 40;

/// `_PY_EVAL_PLEASE_STOP_BIT`: the bit in a thread's eval breaker that makes it look for a script.
const PLEASE_STOP_BIT: u64 = 1 << 5;

/// The longest plausible list of threads. A longer one is corrupt, or circular.
const MAX_THREADS: usize = 1 << 16;

/// A process in which remote debugging is enabled.
#[derive(Debug)]
pub(crate) struct RemoteDebug {
    pid: i32,
    /// `/proc/PID/mem`.
    memory: File,
    /// The address of the section `.PyRuntime`.
    runtime: u64,
    offsets: DebugOffsets,
}

/// The addresses of a thread state that matter to scripts.
struct ScriptRequest {
    pending_call: u64,
    script_path: u64,
    eval_breaker: u64,
}

impl RemoteDebug {
    /// Locates the interface in a process.
    ///
    /// # Errors
    ///
    /// Fails if the process cannot be accessed, or remote debugging is disabled or not supported.
    pub fn open(pid: i32, root: &ProcessRoot) -> Result<RemoteDebug, Error> {
        let failed = |source| Error::of(pid, source);
        let memory =
            File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).map_err(failed)?;
        let runtimes = runtimes(pid, root).map_err(failed)?;
        let has_cookie = |address| read_word(&memory, address).ok() == Some(u64::from_le_bytes(*COOKIE));
        let Some(runtime) = runtimes.iter().find(|runtime| has_cookie(runtime.address)) else {
            let mut versions = runtimes.iter().filter_map(|runtime| version_in(&runtime.file_name));
            return Err(match versions.next() {
                Some(version) => Error::TooOld { pid, version },
                None => Error::NoPython { pid },
            });
        };
        let runtime = runtime.address;
        let version = read_word(&memory, runtime + VERSION).map_err(failed)?;
        let (major, minor) = (version >> 24 & 0xff, version >> 16 & 0xff);
        let version = format!("{major}.{minor}");
        if (major, minor) < (3, 14) {
            return Err(Error::TooOld { pid, version });
        }
        let is_free_threaded = read_word(&memory, runtime + FREE_THREADED).map_err(failed)? != 0;
        let offsets = DEBUG_OFFSETS.into_iter().find(|known| known.minor == minor && !is_free_threaded);
        let offsets = offsets.ok_or_else(|| Error::UnknownVersion { pid, version: version.clone() })?;
        let process = RemoteDebug { pid, memory, runtime, offsets };
        if !process.has_plausible_offsets().map_err(failed)? {
            return Err(Error::UnknownVersion { pid, version });
        }
        if !process.is_enabled().map_err(failed)? {
            return Err(Error::Disabled { pid });
        }
        Ok(process)
    }

    /// Requests every thread to run a script at its next safe point. The path is one of the
    /// process.
    pub fn request_script(&self, path: &str) -> Result<(), Error> {
        let write = || {
            let _stopped = StoppedProcess::stop(self.pid)?;
            let mut path = path.as_bytes().to_vec();
            path.push(0);
            if path.len() as u64 > self.read_offset(self.offsets.debugger_support + SCRIPT_PATH_SIZE)? {
                return Err(io::Error::other("the path of the session directory is too long"));
            }
            for state in self.thread_states()? {
                let request = self.script_request(state)?;
                self.memory.write_all_at(&path, request.script_path)?;
                self.memory.write_all_at(&1u32.to_ne_bytes(), request.pending_call)?;
                let bits = read_word(&self.memory, request.eval_breaker)? | PLEASE_STOP_BIT;
                self.memory.write_all_at(&bits.to_ne_bytes(), request.eval_breaker)?;
            }
            Ok(())
        };
        write().map_err(|source| Error::of(self.pid, source))
    }

    /// Cancels the request in the threads that have not run the script.
    pub fn cancel_script(&self) -> Result<(), Error> {
        let write = || {
            let _stopped = StoppedProcess::stop(self.pid)?;
            for state in self.thread_states()? {
                self.memory.write_all_at(&0u32.to_ne_bytes(), self.script_request(state)?.pending_call)?;
            }
            Ok(())
        };
        write().map_err(|source| Error::of(self.pid, source))
    }

    /// Whether the process still exists.
    pub fn exists(&self) -> bool {
        read_word(&self.memory, self.runtime).is_ok()
    }

    /// The offset of the native thread id in a thread state, in bytes.
    pub fn native_id_offset(&self) -> Result<u64, Error> {
        self.read_offset(self.offsets.native_thread_id).map_err(|source| Error::of(self.pid, source))
    }

    /// Reads the field of `_Py_DebugOffsets` at this offset.
    fn read_offset(&self, field: u64) -> io::Result<u64> {
        read_word(&self.memory, self.runtime + field)
    }

    /// Whether the offsets of `debugger_support` look like those of a flag and a path behind it. If
    /// not, this build of CPython has another structure.
    fn has_plausible_offsets(&self) -> io::Result<bool> {
        let support = self.offsets.debugger_support;
        let [pending, path, size] =
            [PENDING_CALL, SCRIPT_PATH, SCRIPT_PATH_SIZE].map(|field| self.read_offset(support + field));
        Ok((pending?, path?) == (0, 4) && (64..=4096).contains(&size?))
    }

    fn is_enabled(&self) -> io::Result<bool> {
        let flag = self.main_interpreter()? + self.read_offset(self.offsets.debugger_support + ENABLED)?;
        let mut bytes = [0; 4];
        self.memory.read_exact_at(&mut bytes, flag)?;
        Ok(u32::from_ne_bytes(bytes) != 0)
    }

    /// The address of the main interpreter: the oldest one, and so the last one in the list.
    fn main_interpreter(&self) -> io::Result<u64> {
        let head = read_word(&self.memory, self.runtime + self.read_offset(INTERPRETERS_HEAD)?)?;
        let interpreters = self.list(head, self.read_offset(INTERPRETER_NEXT)?)?;
        interpreters.last().copied().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The addresses of the thread states of the main interpreter.
    fn thread_states(&self) -> io::Result<Vec<u64>> {
        let head = read_word(&self.memory, self.main_interpreter()? + self.read_offset(THREADS_HEAD)?)?;
        self.list(head, self.read_offset(THREAD_NEXT)?)
    }

    /// The addresses in a linked list, whose items have the address of the next one at an offset.
    fn list(&self, head: u64, next_offset: u64) -> io::Result<Vec<u64>> {
        let mut items = Vec::new();
        let mut item = head;
        while item != 0 {
            if items.len() == MAX_THREADS {
                return Err(io::ErrorKind::InvalidData.into());
            }
            items.push(item);
            item = read_word(&self.memory, item + next_offset)?;
        }
        Ok(items)
    }

    fn script_request(&self, thread_state: u64) -> io::Result<ScriptRequest> {
        let offset = |field| self.read_offset(self.offsets.debugger_support + field);
        let support = thread_state + offset(SUPPORT)?;
        Ok(ScriptRequest {
            pending_call: support + offset(PENDING_CALL)?,
            script_path: support + offset(SCRIPT_PATH)?,
            eval_breaker: thread_state + offset(EVAL_BREAKER)?,
        })
    }
}

fn read_word(memory: &File, address: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, address)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A mapped file that may contain CPython.
struct Runtime {
    file_name: String,
    /// The address of its section `.PyRuntime`, or 0 if it has none.
    address: u64,
}

/// The program and its libpython, if mapped.
fn runtimes(pid: i32, root: &ProcessRoot) -> io::Result<Vec<Runtime>> {
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    let mut runtimes = Vec::new();
    for mapping in procfs::mappings(pid)?.iter().filter(|mapping| mapping.offset == 0) {
        let (Some(path), Some(file_name)) = (mapping.path(), mapping.file_name()) else { continue };
        let file = match program.as_os_str() == path {
            true => PathBuf::from(format!("/proc/{pid}/exe")),
            false if file_name.starts_with("libpython3.") => root.to_own_path(path.as_ref()),
            false => continue,
        };
        let address = runtime_section(&file).map_or(0, |offset| mapping.start.wrapping_add(offset));
        runtimes.push(Runtime { file_name: file_name.to_owned(), address });
    }
    Ok(runtimes)
}

/// The address of the section `.PyRuntime`, relative to the start of the first mapping of the file.
fn runtime_section(file: &Path) -> Option<u64> {
    let file = File::open(file).ok()?;
    // SAFETY: a program or library that is being executed is not modified. If it were, the values
    // that are read would still be checked before use.
    let bytes = unsafe { memmap2::Mmap::map(&file) }.ok()?;
    let image = object::File::parse(&*bytes).ok()?;
    let first = image.segments().map(|segment| segment.address()).min()?;
    Some(image.section_by_name(".PyRuntime")?.address().wrapping_sub(first & !0xfff))
}

/// `3.13` for `python3.13` and `libpython3.13.so.1.0`.
fn version_in(file_name: &str) -> Option<String> {
    let (_, after) = file_name.split_once("python3.")?;
    let minor: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!minor.is_empty()).then(|| format!("3.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_from_file_names() {
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
    fn a_process_without_python_is_refused() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("sleep starts");
        let opened = RemoteDebug::open(child.id() as i32, &ProcessRoot::own());
        child.kill().and_then(|()| child.wait()).expect("sleep is killed");
        let error = opened.expect_err("sleep is no Python").to_string();
        assert!(error.contains("it runs no CPython"), "{error}");
    }
}
