//! How the agent gets in.
//!
//! ```text
//! constructor        in every program of the recording, before `main`: looks for a CPython
//!   └▶ init_posix    when that CPython makes its first modules: adds the audit hook
//!        └▶ hook     when CPython's `main` raises `cpython.run_…`: the user's code is the next thing to run
//!             └▶ install
//! ```
//!
//! A program that runs already is entered by [`crate::module`].
//!
//! The audit hook could be added by the constructor, but CPython would then take memory for it from one allocator
//! and give it back to another, and abort, wherever the debugging allocator is chosen (`-X dev`). In `posix`, which
//! is built into every CPython and among the first modules that it imports, that choice has been made.

use alloc::string::String;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use pyrec_wire::SESSION_VARIABLE;

use crate::agent::{self, AUDIT, Agent, CFUNCTION, FUNCTION, Failure, GC, IMPORT, INSTANCE, LINE};
use crate::functions::{self, Functions};
use crate::lock::Lock;
use crate::python::{Object, Raised};
use crate::{audit, collector, cost, definitions, importer, names, open, os, profile};

/// What the environment says, until the hooks are installed.
static DIRECTORY: Lock<Option<String>> = Lock::new(None);

/// Whether the hooks are being installed, or are.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether they are.
static READY: AtomicBool = AtomicBool::new(false);

/// Whether the user's code runs: what happens before that is ours.
pub fn is_ready() -> bool {
    READY.load(Ordering::Relaxed)
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    let Some(directory) = os::variable(SESSION_VARIABLE) else { return };
    let table = os::symbol(c"PyImport_Inittab").cast::<*mut BuiltinModule>();
    if table.is_null() || os::symbol(c"PySys_AddAuditHook").is_null() {
        return;
    }
    DIRECTORY.with(|place| *place = Some(directory));
    // SAFETY: the table ends in an entry without a name, and nobody uses it before `main`.
    unsafe {
        let mut module = *table;
        while !module.is_null() && !(*module).name.is_null() {
            if CStr::from_ptr((*module).name) == c"posix" {
                INIT_POSIX.with(|place| *place = (*module).init.replace(init_posix));
                return;
            }
            module = module.add(1);
        }
    }
}

/// `struct _inittab`.
#[repr(C)]
struct BuiltinModule {
    name: *const c_char,
    init: Option<Init>,
}

type Init = unsafe extern "C-unwind" fn() -> *mut Object;

/// CPython's own function.
static INIT_POSIX: Lock<Option<Init>> = Lock::new(None);

/// Whether the audit hook is there: a subinterpreter makes its modules once more.
static ADDED: AtomicBool = AtomicBool::new(false);

unsafe extern "C-unwind" fn init_posix() -> *mut Object {
    add_audit_hook();
    match INIT_POSIX.with(|init| *init) {
        // SAFETY: called as CPython calls it.
        Some(init) => unsafe { init() },
        None => ptr::null_mut(),
    }
}

fn add_audit_hook() {
    type AddAuditHook = unsafe extern "C-unwind" fn(AuditHook, *mut c_void) -> c_int;
    let add_audit_hook = os::symbol(c"PySys_AddAuditHook");
    if !add_audit_hook.is_null() && !ADDED.swap(true, Ordering::Relaxed) {
        // SAFETY: the type is the one in CPython's headers.
        unsafe { core::mem::transmute::<*mut c_void, AddAuditHook>(add_audit_hook)(hook, ptr::null_mut()) };
    }
}

type AuditHook = unsafe extern "C-unwind" fn(*const c_char, *mut Object, *mut c_void) -> c_int;

unsafe extern "C-unwind" fn hook(event: *const c_char, arguments: *mut Object, _: *mut c_void) -> c_int {
    if is_ready() {
        // SAFETY: an event's name ends in a zero byte.
        let (agent, event) = (agent::get(), unsafe { CStr::from_ptr(event) });
        if !profile::is_ours() {
            profile::hear(agent, event);
            audit::hear(agent, event, arguments);
        }
    // SAFETY: as above.
    } else if unsafe { is_start(event) } && !INSTALLED.swap(true, Ordering::Relaxed) {
        install();
    }
    0
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

/// Begins the recording of a program that is about to start.
fn install() {
    let Some(directory) = DIRECTORY.with(Option::take) else { return };
    // SAFETY: the audit hook is called with the GIL, and this runs once.
    if let Ok(agent) = unsafe { agent::start(directory) } {
        hook_in(agent, || {});
    }
}

/// Begins the recording of a program that runs already.
///
/// # Safety
/// With the GIL, between two instructions. Thread states hold their thread's number at the offset.
pub unsafe fn enter(directory: String, native_id_offset: isize) -> Result<(), Failure> {
    if let Some(agent) = agent::get_made() {
        if agent.directory() == directory && !agent::is_off() {
            // Another thread was the first to come by.
            return Ok(());
        }
        unhook(agent);
    }
    INSTALLED.store(true, Ordering::Relaxed);
    DIRECTORY.with(|place| *place = None);
    // SAFETY: there are no hooks any more.
    let agent = unsafe { agent::start(directory) }?;
    if agent.wants(AUDIT) {
        add_audit_hook();
    }
    // SAFETY: the caller's promise.
    hook_in(agent, || unsafe {
        // A thread that is named once more begins anew, so this comes before its stack.
        names::tell_all(agent);
        open::record(agent, native_id_offset);
    });
    agent.session().entered.store(1, Ordering::Release);
    Ok(())
}

/// Ends the recording of a program that runs on. Called with the GIL, between two instructions.
pub fn leave(directory: &str) {
    if let Some(agent) = agent::get_made()
        && agent.directory() == directory
        && !agent::is_off()
    {
        unhook(agent);
        agent::leave(agent);
    }
}

/// Takes every hook away. What cannot be taken away does nothing any more.
fn unhook(agent: &'static Agent) {
    functions::remove(agent);
    let _ = importer::remove(agent);
    let _ = collector::remove(agent);
    audit::switch_off();
}

/// Installs every hook. What fails is told in a notice, if there is a place for one; the program runs in any case.
/// `last` is done just before functions are recorded.
fn hook_in(agent: &'static Agent, last: impl FnOnce()) {
    // Prepared first and switched on last, so that nothing of this is recorded, nor taken for the first call's time.
    agent::enter(agent);
    let any = [FUNCTION, LINE, CFUNCTION, INSTANCE].iter().any(|group| agent.wants(*group));
    let functions = any.then(|| prepare_functions(agent));
    if agent.wants(GC) && collector::install(agent).is_err() {
        definitions::notice(agent, "Garbage collections are not recorded: gc.callbacks cannot be changed.");
    }
    if agent.wants(IMPORT) && importer::install(agent).is_err() {
        definitions::notice(
            agent,
            "Imports are not recorded: CPython's importer is not where it was expected.",
        );
    }
    if agent.wants(AUDIT) && audit::switch_on(agent).is_err() {
        definitions::notice(agent, "Audit events are not recorded: frames are not laid out as expected.");
    }
    last();
    if let Some(Err(failure)) = functions.map(|ready| ready.and_then(|functions| Ok(functions.switch_on()?)))
    {
        definitions::notice(agent, failure.notice());
    }
    READY.store(true, Ordering::Relaxed);
}

fn prepare_functions(agent: &'static Agent) -> Result<Functions, functions::Failure> {
    let functions = functions::prepare(agent)?;
    if let Err(Raised) = cost::measure(agent, &functions) {
        definitions::notice(agent, "The cost of an event could not be measured.");
    }
    Ok(functions)
}
