//! How the agent gets in.
//!
//! The constructor runs in every program of the recording, before `main`; the audit hook runs in those that have a
//! CPython, from then on. CPython's `main` raises `cpython.run_…` when everything is ready and the user's code is
//! the next thing to run: there the hooks are installed.

use alloc::string::String;
use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use pyrec_wire::SESSION_VARIABLE;

use crate::agent::{self, Agent, FUNCTION, GC, IMPORT, LINE};
use crate::lock::Lock;
use crate::monitoring::Monitoring;
use crate::python::{Object, Raised};
use crate::{collector, cost, definitions, importer, monitoring, os};

/// What the environment says, until the hooks are installed.
static DIRECTORY: Lock<Option<String>> = Lock::new(None);

static INSTALLED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    type AuditHook = unsafe extern "C-unwind" fn(*const c_char, *mut Object, *mut c_void) -> c_int;
    type AddAuditHook = unsafe extern "C" fn(AuditHook, *mut c_void) -> c_int;
    let Some(directory) = os::variable(SESSION_VARIABLE) else { return };
    let add_audit_hook = os::symbol(c"PySys_AddAuditHook");
    if add_audit_hook.is_null() {
        return;
    }
    DIRECTORY.with(|place| *place = Some(directory));
    unsafe extern "C-unwind" fn hook(event: *const c_char, _: *mut Object, _: *mut c_void) -> c_int {
        // SAFETY: an event's name ends in a zero byte.
        if unsafe { is_start(event) } && !INSTALLED.swap(true, Ordering::Relaxed) {
            install();
        }
        0
    }
    // SAFETY: the type is the one in CPython's headers, and the function may be called before everything else.
    unsafe { core::mem::transmute::<*mut c_void, AddAuditHook>(add_audit_hook)(hook, ptr::null_mut()) };
}

/// Whether the event says that user code is the next thing to run.
///
/// # Safety
/// The name must end in a zero byte.
unsafe fn is_start(event: *const c_char) -> bool {
    const PREFIX: &[u8] = b"cpython.run_";
    // SAFETY: the comparison ends at the first difference, so at the zero byte at the latest.
    PREFIX.iter().enumerate().all(|(at, byte)| unsafe { *event.add(at) } as u8 == *byte)
}

/// Installs every hook. What fails is told in a notice, if there is a place for one; the program runs in any case.
fn install() {
    let Some(directory) = DIRECTORY.with(Option::take) else { return };
    // SAFETY: the audit hook is called with the GIL, and this runs once.
    let Ok(agent) = (unsafe { agent::start(directory) }) else { return };
    // Prepared first and switched on last, so that nothing of this is recorded.
    let functions = (agent.wants(FUNCTION) || agent.wants(LINE)).then(|| prepare_functions(agent));
    if agent.wants(GC) && collector::install(agent).is_err() {
        definitions::notice(agent, "Garbage collections are not recorded: gc.callbacks cannot be changed.");
    }
    if agent.wants(IMPORT) && importer::install(agent).is_err() {
        definitions::notice(
            agent,
            "Imports are not recorded: CPython's importer is not where it was expected.",
        );
    }
    let functions = functions.map(|prepared| prepared.and_then(|monitoring| Ok(monitoring.switch_on()?)));
    match functions {
        None | Some(Ok(())) => {}
        Some(Err(monitoring::Failure::NoTool)) => definitions::notice(
            agent,
            "Functions are not recorded: the program has taken all six tool numbers of sys.monitoring.",
        ),
        Some(Err(monitoring::Failure::Raised)) => definitions::notice(
            agent,
            "Functions are not recorded: sys.monitoring refused the agent's callbacks.",
        ),
    }
}

fn prepare_functions(agent: &'static Agent) -> Result<Monitoring<'static>, monitoring::Failure> {
    let monitoring = monitoring::prepare(agent)?;
    if let Err(Raised) = cost::measure(agent, &monitoring) {
        definitions::notice(agent, "The cost of an event could not be measured.");
    }
    Ok(monitoring)
}
