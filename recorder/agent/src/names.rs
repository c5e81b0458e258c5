//! Threads' names.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyrec_wire::Definition;

use crate::agent::Agent;
use crate::python::{Object, Raised};
use crate::{definitions, os};

/// Whether the thread whose tid is the pid is the one that Python calls `MainThread`.
static FIRST_IS_MAIN: AtomicBool = AtomicBool::new(true);

/// The same of the child that is being forked: its first thread is the one that forks, and keeps its name.
static FORKS_FROM_MAIN: AtomicBool = AtomicBool::new(true);

/// In the parent, before a fork.
pub fn forks() {
    FORKS_FROM_MAIN.store(is_main(), Relaxed);
}

/// In the child of a fork.
pub fn forked() {
    FIRST_IS_MAIN.store(FORKS_FROM_MAIN.load(Relaxed), Relaxed);
}

fn is_main() -> bool {
    os::tid() == os::pid() && FIRST_IS_MAIN.load(Relaxed)
}

/// Defines the thread's name, if it is certain.
pub fn tell(agent: &Agent, code: Option<*mut Object>) {
    let tid = os::tid();
    let name = match code {
        _ if is_main() => Some("MainThread".into()),
        Some(code) => started_by_threading(agent, code).ok(),
        None => None,
    };
    if let Some(name) = name {
        definitions::tell(agent, &Definition::Thread { tid, name });
    }
}

/// Defines the names of all threads that `threading` knows.
pub fn tell_all(agent: &Agent) {
    // Where it is not imported, there is none but this.
    let names = all(agent).unwrap_or_else(|Raised| alloc::vec![(os::pid(), "MainThread".into())]);
    for (tid, name) in names {
        definitions::tell(agent, &Definition::Thread { tid, name });
    }
}

fn all(agent: &Agent) -> Result<Vec<(i32, String)>, Raised> {
    let python = &agent.python;
    // SAFETY: every pointer is checked, and each function takes any object.
    unsafe {
        let threading = python.lent((python.dict_get)((python.modules)(), c"threading".as_ptr()))?;
        let active = python.attribute(threading.as_ptr(), c"_active")?;
        let threads = python.owned((python.dict_values)(active.as_ptr()))?;
        let named = (0..(python.sequence_len)(threads.as_ptr())).filter_map(|at| {
            let thread = python.owned((python.sequence_get)(threads.as_ptr(), at)).ok()?;
            let fields = python.owned((python.get_dict)(thread.as_ptr(), core::ptr::null_mut())).ok()?;
            let field = |name: &CStr| python.lent((python.dict_get)(fields.as_ptr(), name.as_ptr())).ok();
            let tid = python.to_integer(field(c"_native_id")?.as_ptr()).ok()?;
            Some((tid as i32, python.to_text(field(c"_name")?.as_ptr()).ok()?))
        });
        Ok(named.collect())
    }
}

/// Whether this is the `_bootstrap` of `threading`, the first frame of its threads: there their names are found.
pub fn is_first(agent: &Agent, code: *mut Object) -> bool {
    let text = |name| agent.python.to_text(agent.python.attribute(code, name)?.as_ptr());
    text(c"co_name").is_ok_and(|name| name == "_bootstrap")
        && text(c"co_filename").is_ok_and(|file| file.ends_with("threading.py"))
}

/// The name of the `threading.Thread` whose `_bootstrap` is about to run.
fn started_by_threading(agent: &Agent, code: *mut Object) -> Result<String, Raised> {
    let python = &agent.python;
    if !is_first(agent, code) {
        return Err(Raised);
    }
    // SAFETY: the frame is lent by the interpreter as long as it runs; every pointer is checked.
    unsafe {
        let frame = python.lent((python.current_frame)())?;
        let locals = python.attribute(frame.as_ptr(), c"f_locals")?;
        let thread = python.owned((python.map_get)(locals.as_ptr(), c"self".as_ptr()))?;
        // From its dictionary, since a subclass could run code when it is asked for an attribute.
        let fields = python.owned((python.get_dict)(thread.as_ptr(), core::ptr::null_mut()))?;
        let name = python.lent((python.dict_get)(fields.as_ptr(), c"_name".as_ptr()))?;
        python.to_text(name.as_ptr())
    }
}
