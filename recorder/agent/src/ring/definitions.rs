//! The process's log of definitions: it gives the ids in records their meaning.
//!
//! Each entry is one open, one write and one close, so the agent holds no descriptor that a program
//! might count or close.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use pyrec_wire::{Definition, LineTable};

use crate::context::{Context, OpenSession};
use crate::os::{self, Errno, File, Lock};
use crate::python::{PyObject, PythonApi, Raised};

/// The current epoch. It increases in the child of a fork and with each session, which invalidates
/// the ids in code objects.
static EPOCH: AtomicU32 = AtomicU32::new(1);

static LOG: Lock<Log> = Lock::new(Log::EMPTY);

struct Log {
    /// N of the file name `PID-N.defs`; `None` until the file is created.
    number: Option<u32>,
    last_ring: u32,
    last_code: u32,
    last_site: u32,
    texts: BTreeMap<String, u32>,
    /// Site ids by code id, then by the name of the event or class.
    sites: BTreeMap<u32, BTreeMap<String, u32>>,
}

impl Log {
    const EMPTY: Log = Log {
        number: None,
        last_ring: 0,
        last_code: 0,
        last_site: 0,
        texts: BTreeMap::new(),
        sites: BTreeMap::new(),
    };

    fn append(&self, session: &OpenSession, definition: &Definition) -> Result<(), Errno> {
        let number = self.number.ok_or(Errno(libc::ENOENT))?;
        let name = os::path(session.directory(), format_args!("{}-{number}.defs", os::pid()));
        let file = File::open(&name.ok_or(Errno(libc::EINVAL))?, libc::O_WRONLY | libc::O_APPEND)?;
        file.append(&definition.encode())
    }

    fn create(&mut self, session: &OpenSession, process: &Definition) -> Result<(), Errno> {
        for number in 0..u32::MAX {
            let name = os::path(session.directory(), format_args!("{}-{number}.defs", os::pid()));
            let name = name.ok_or(Errno(libc::EINVAL))?;
            let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL;
            match File::open(&name, flags) {
                // The system reuses process ids, and exec keeps them.
                Err(Errno(libc::EEXIST)) => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    if let Err(error) = file.append(&process.encode()) {
                        os::remove(&name);
                        return Err(error);
                    }
                    self.number = Some(number);
                    break;
                }
            }
        }
        session.header().generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// The current epoch, the upper half of the value in a code object.
#[inline(always)]
pub fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// Starts an epoch with a log of its own, in the child of a fork.
pub fn after_fork() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the child has only this thread.
    unsafe { LOG.replace(Log::EMPTY) };
}

/// Starts an epoch with a log of its own, in a new session.
pub fn start_epoch() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    LOG.with(|log| *log = Log::EMPTY);
}

/// Creates the process's log if it does not exist. `ticks` becomes the process's start time.
pub fn ensure_log(context: &Context, ticks: u64) -> Result<(), Errno> {
    if LOG.with(|log| log.number.is_some()) {
        return Ok(());
    }
    let process = process(&context.python, ticks);
    let session = context.session();
    LOG.with(|log| if log.number.is_none() { log.create(session, &process) } else { Ok(()) })
}

/// Calls `create` with the file name of the next ring.
pub fn with_ring_name<R>(create: impl FnOnce(fmt::Arguments<'_>) -> R) -> R {
    let (number, ring) = LOG.with(|log| {
        log.last_ring += 1;
        (log.number.unwrap_or(0), log.last_ring)
    });
    create(format_args!("{}-{number}.{ring}.ring", os::pid()))
}

/// Defines a code object and returns its id, or `None` if it is not recorded.
pub fn define_code(context: &Context, code: *mut PyObject) -> Result<Option<u32>, Errno> {
    let info = CodeInfo::read(&context.python, code).map_err(|Raised| Errno(libc::EINVAL))?;
    let session = context.session();
    if info.is_attach_script(context, code) || !session.filter().is_recorded(&info.file, &info.qualname) {
        return Ok(None);
    }
    info.define(session).map(Some)
}

/// Defines a code object that is not recorded and returns its id; 0 for the script that loads or
/// removes the agent.
pub fn define_unrecorded_code(context: &Context, code: *mut PyObject) -> Result<u32, Errno> {
    let info = CodeInfo::read(&context.python, code).map_err(|Raised| Errno(libc::EINVAL))?;
    if info.is_attach_script(context, code) { Ok(0) } else { info.define(context.session()) }
}

/// The file name of a script that CPython runs for a remote process.
const REMOTE_SCRIPT_FILE: &str = "<string>";

/// Returns the id of a text. Defines it if it is new.
pub fn text_id(session: &OpenSession, text: &str) -> Result<u32, Errno> {
    LOG.with(|log| {
        if let Some(id) = log.texts.get(text) {
            return Ok(*id);
        }
        let id = log.texts.len() as u32 + 1;
        log.append(session, &Definition::Text { id, text: text.into() })?;
        log.texts.insert(text.into(), id);
        Ok(id)
    })
}

/// Returns the id of a site: the audit event or class called `name`, in the code object with the id
/// `code`. Defines it if it is new.
pub fn site_id(session: &OpenSession, code: u32, name: &str) -> Result<u32, Errno> {
    LOG.with(|log| {
        if let Some(id) = log.sites.get(&code).and_then(|sites| sites.get(name)) {
            return Ok(*id);
        }
        let id = log.last_site + 1;
        log.append(session, &Definition::Site { id, code, name: name.into() })?;
        log.last_site = id;
        log.sites.entry(code).or_default().insert(name.into(), id);
        Ok(id)
    })
}

/// Appends a definition without an id. No record depends on it, so an error is ignored.
pub fn append(session: &OpenSession, definition: &Definition) {
    let _ = LOG.with(|log| log.append(session, definition));
}

/// Appends a notice to the user, one sentence.
pub fn notice(session: &OpenSession, text: impl Into<String>) {
    append(session, &Definition::Notice { text: text.into() });
}

/// The definition of this process.
fn process(python: &PythonApi, start_ticks: u64) -> Definition {
    let text = |name| {
        python.sys_attribute(name).and_then(|text| python.str_value(text.as_ptr())).unwrap_or_default()
    };
    let texts = |name| python.sys_attribute(name).and_then(|texts| python.str_values(texts.as_ptr()));
    let build = text(c"version");
    Definition::Process {
        pid: os::pid(),
        ppid: os::parent_pid(),
        start_ticks,
        version: build.split(' ').next().unwrap_or_default().into(),
        build,
        executable: text(c"executable"),
        arguments: texts(c"orig_argv").or_else(|Raised| texts(c"argv")).unwrap_or_default(),
        path: texts(c"path").unwrap_or_default(),
    }
}

/// The fields of a code object's definition, without its id.
struct CodeInfo {
    file: String,
    qualname: String,
    first_line: u32,
    line_table: LineTable,
    lines: Vec<u8>,
}

impl CodeInfo {
    fn read(python: &PythonApi, code: *mut PyObject) -> Result<CodeInfo, Raised> {
        let text = |name| python.str_value(python.attribute(code, name)?.as_ptr());
        let bytes = |name| python.bytes_value(python.attribute(code, name)?.as_ptr());
        let file = text(c"co_filename")?;
        let qualname = text(if python.version >= (3, 11) { c"co_qualname" } else { c"co_name" })?;
        let first_line = python.int_value(python.attribute(code, c"co_firstlineno")?.as_ptr())?;
        let (line_table, lines) = match python.version {
            (3, ..=9) => (LineTable::Lnotab, bytes(c"co_lnotab")?),
            (3, 10) => (LineTable::Pep626, bytes(c"co_linetable")?),
            _ => (LineTable::Locations, bytes(c"co_linetable")?),
        };
        let first_line = u32::try_from(first_line).unwrap_or(0);
        Ok(CodeInfo { file, qualname, first_line, line_table, lines })
    }

    /// Whether the code object is the script that loads or removes the agent: one of its constants
    /// is the path of the session directory.
    fn is_attach_script(&self, context: &Context, code: *mut PyObject) -> bool {
        if self.file != REMOTE_SCRIPT_FILE {
            return false;
        }
        let python = &context.python;
        let constants = python.attribute(code, c"co_consts");
        let texts = constants.and_then(|constants| python.str_values(constants.as_ptr()));
        texts.is_ok_and(|texts| texts.iter().any(|text| text == context.session().directory()))
    }

    /// Assigns an id and appends the definition.
    fn define(self, session: &OpenSession) -> Result<u32, Errno> {
        let CodeInfo { file, qualname, first_line, line_table, lines } = self;
        LOG.with(|log| {
            let id = log.last_code + 1;
            log.append(session, &Definition::Code { id, first_line, file, qualname, line_table, lines })?;
            log.last_code = id;
            Ok(id)
        })
    }
}
