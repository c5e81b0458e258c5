//! The process's log of definitions: what the numbers in records stand for.
//!
//! Each entry is one open, one write, one close, so a program that counts or closes descriptors meets none of ours.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use pyrec_wire::{Definition, LineTable};

use crate::agent::Agent;
use crate::lock::Lock;
use crate::os::{self, Errno, File};
use crate::python::{Object, Python, Raised};

/// Counts the processes from the recorded one down to this: numbers that a parent gave out mean nothing here.
static EPOCH: AtomicU32 = AtomicU32::new(1);

static LOG: Lock<Log> = Lock::new(Log::NONE);

struct Log {
    /// The N of `PID-N.defs`, once there is such a file.
    number: Option<u32>,
    last_ring: u32,
    last_code: u32,
    last_site: u32,
    texts: BTreeMap<String, u32>,
    /// By code object, then by the name of the event or class.
    sites: BTreeMap<u32, BTreeMap<String, u32>>,
}

impl Log {
    const NONE: Log = Log {
        number: None,
        last_ring: 0,
        last_code: 0,
        last_site: 0,
        texts: BTreeMap::new(),
        sites: BTreeMap::new(),
    };

    fn append(&self, agent: &Agent, definition: &Definition) -> Result<(), Errno> {
        let number = self.number.ok_or(Errno(libc::ENOENT))?;
        let name = os::path(agent.directory(), format_args!("{}-{number}.defs", os::pid()));
        let file = File::open(&name.ok_or(Errno(libc::EINVAL))?, libc::O_WRONLY | libc::O_APPEND)?;
        file.append(&definition.encode())
    }

    fn create(&mut self, agent: &Agent, process: &Definition) -> Result<(), Errno> {
        for number in 0..u32::MAX {
            let name = os::path(agent.directory(), format_args!("{}-{number}.defs", os::pid()));
            let name = name.ok_or(Errno(libc::EINVAL))?;
            let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL;
            match File::open(&name, flags) {
                // Process ids are used again, and exec keeps them.
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
        agent.session().generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// The epoch, the upper half of what a code object carries.
#[inline(always)]
pub fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// In the child of a fork: everything is to be defined anew, in a log of its own.
pub fn forked() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the child has one thread, this one.
    unsafe { LOG.replace(Log::NONE) };
}

/// In another session: everything is to be defined anew, in a log of its own.
pub fn begin_anew() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    LOG.with(|log| *log = Log::NONE);
}

/// Makes the process's log if it has none yet. The process was first seen at that time.
pub fn begin(agent: &Agent, ticks: u64) -> Result<(), Errno> {
    if LOG.with(|log| log.number.is_some()) {
        return Ok(());
    }
    let process = process(&agent.python, ticks);
    LOG.with(|log| if log.number.is_none() { log.create(agent, &process) } else { Ok(()) })
}

/// Gives the next ring's name to `create`.
pub fn with_ring_name<R>(create: impl FnOnce(fmt::Arguments<'_>) -> R) -> R {
    let (number, ring) = LOG.with(|log| {
        log.last_ring += 1;
        (log.number.unwrap_or(0), log.last_ring)
    });
    create(format_args!("{}-{number}.{ring}.ring", os::pid()))
}

/// Gives the code object a number; none if it is not to be recorded.
pub fn code(agent: &Agent, code: *mut Object) -> Result<Option<u32>, Errno> {
    let about = About::of(&agent.python, code).map_err(|Raised| Errno(libc::EINVAL))?;
    if about.is_visit(agent, code) || !agent.filter().is_recorded(&about.file, &about.qualname) {
        return Ok(None);
    }
    about.define(agent).map(Some)
}

/// Gives a number to a code object that is not to be recorded; 0 to the script that brings the agent in.
pub fn code_left_out(agent: &Agent, code: *mut Object) -> Result<u32, Errno> {
    let about = About::of(&agent.python, code).map_err(|Raised| Errno(libc::EINVAL))?;
    if about.is_visit(agent, code) { Ok(0) } else { about.define(agent) }
}

/// The file of a script that CPython runs on behalf of another process.
const VISIT_FILE: &str = "<string>";

/// The number of a text.
pub fn text(agent: &Agent, text: &str) -> Result<u32, Errno> {
    LOG.with(|log| {
        if let Some(id) = log.texts.get(text) {
            return Ok(*id);
        }
        let id = log.texts.len() as u32 + 1;
        log.append(agent, &Definition::Text { id, text: text.into() })?;
        log.texts.insert(text.into(), id);
        Ok(id)
    })
}

/// The number of an audit event, or of a class's call, in the code object of that number.
pub fn site(agent: &Agent, code: u32, name: &str) -> Result<u32, Errno> {
    LOG.with(|log| {
        if let Some(id) = log.sites.get(&code).and_then(|sites| sites.get(name)) {
            return Ok(*id);
        }
        let id = log.last_site + 1;
        log.append(agent, &Definition::Site { id, code, name: name.into() })?;
        log.last_site = id;
        log.sites.entry(code).or_default().insert(name.into(), id);
        Ok(id)
    })
}

/// Appends a definition that has no number. Nothing depends on it, so nothing is said when it fails.
pub fn tell(agent: &Agent, definition: &Definition) {
    let _ = LOG.with(|log| log.append(agent, definition));
}

/// Tells the user something.
pub fn notice(agent: &Agent, text: impl Into<String>) {
    tell(agent, &Definition::Notice { text: text.into() });
}

fn process(python: &Python, start_ticks: u64) -> Definition {
    let text = |name| python.sys(name).and_then(|text| python.to_text(text.as_ptr())).unwrap_or_default();
    let texts = |name| python.sys(name).and_then(|texts| python.to_texts(texts.as_ptr()));
    let build = text(c"version");
    Definition::Process {
        pid: os::pid(),
        ppid: os::parent(),
        start_ticks,
        version: build.split(' ').next().unwrap_or_default().into(),
        build,
        executable: text(c"executable"),
        arguments: texts(c"orig_argv").or_else(|Raised| texts(c"argv")).unwrap_or_default(),
        path: texts(c"path").unwrap_or_default(),
    }
}

/// What there is to say about a code object, but for its number.
struct About {
    file: String,
    qualname: String,
    first_line: u32,
    line_table: LineTable,
    lines: Vec<u8>,
}

impl About {
    fn of(python: &Python, code: *mut Object) -> Result<About, Raised> {
        let text = |name| python.to_text(python.attribute(code, name)?.as_ptr());
        let bytes = |name| python.to_bytes(python.attribute(code, name)?.as_ptr());
        let file = text(c"co_filename")?;
        let qualname = text(if python.version >= (3, 11) { c"co_qualname" } else { c"co_name" })?;
        let first_line = python.to_integer(python.attribute(code, c"co_firstlineno")?.as_ptr())?;
        let (line_table, lines) = match python.version {
            (3, ..=9) => (LineTable::Lnotab, bytes(c"co_lnotab")?),
            (3, 10) => (LineTable::Pep626, bytes(c"co_linetable")?),
            _ => (LineTable::Locations, bytes(c"co_linetable")?),
        };
        let first_line = u32::try_from(first_line).unwrap_or(0);
        Ok(About { file, qualname, first_line, line_table, lines })
    }

    /// Whether the code object is the script that brings the agent in or takes it out: one of its constants is the
    /// session's directory.
    fn is_visit(&self, agent: &Agent, code: *mut Object) -> bool {
        if self.file != VISIT_FILE {
            return false;
        }
        let python = &agent.python;
        let constants = python.attribute(code, c"co_consts");
        let texts = constants.and_then(|constants| python.to_texts(constants.as_ptr()));
        texts.is_ok_and(|texts| texts.iter().any(|text| text == agent.directory()))
    }

    /// Gives it a number.
    fn define(self, agent: &Agent) -> Result<u32, Errno> {
        let About { file, qualname, first_line, line_table, lines } = self;
        LOG.with(|log| {
            let id = log.last_code + 1;
            log.append(agent, &Definition::Code { id, first_line, file, qualname, line_table, lines })?;
            log.last_code = id;
            Ok(id)
        })
    }
}
