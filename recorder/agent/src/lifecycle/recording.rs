//! Begins and ends the recording of this process.

use alloc::string::String;
use core::sync::atomic::Ordering;

use crate::context::{self, Context, MarkerGroup, OpenSession, SessionError};
use crate::hooks::{self, FunctionHooks, HookError, audit, cfunctions, gc, importer, instances};
use crate::lifecycle::{cost, fork, open_frames};
use crate::os::clock;
use crate::python::{PythonApi, Raised};
use crate::record::{self, thread_names};
use crate::ring::{definitions, thread};

/// Begins the recording of a program that is about to start. If that fails, the program runs
/// unrecorded.
///
/// # Safety
/// Needs the GIL. To be called once.
pub unsafe fn begin_at_start(directory: String) {
    // SAFETY: the caller holds the GIL, and no hook is installed.
    if let Ok(context) = unsafe { open(directory) } {
        install_hooks(context, || {});
    }
}

/// Begins the recording of a program that is running. Does nothing if this session is recording
/// already. `add_audit_hook` is called if the session records audit events.
///
/// # Safety
/// Needs the GIL, and the thread must be between two instructions. `native_id_offset` is the offset
/// of the 64-bit native thread id in a thread state.
pub unsafe fn begin_attached(
    directory: String,
    native_id_offset: isize,
    add_audit_hook: fn(),
) -> Result<(), SessionError> {
    if let Some(context) = context::get_if_created() {
        if is_recording(context, &directory) {
            // Another thread ran the script first.
            return Ok(());
        }
        remove_hooks(context);
    }
    // SAFETY: the caller holds the GIL, and no hook is installed.
    let context = unsafe { open(directory) }?;
    if context.session().has_group(MarkerGroup::Audit) {
        add_audit_hook();
    }
    install_hooks(context, || {
        // The names come before the frames: a later definition would begin a new thread in the
        // trace.
        thread_names::define_all(context);
        // SAFETY: the caller guarantees the GIL and the offset.
        unsafe { open_frames::record(context, native_id_offset) };
    });
    context.session().header().entered.store(1, Ordering::Release);
    Ok(())
}

/// Ends the recording of a program that continues to run, if it belongs to this session. Needs the
/// GIL, and the thread must be between two instructions.
pub fn end_attached(directory: &str) {
    if let Some(context) = context::get_if_created()
        && is_recording(context, directory)
    {
        remove_hooks(context);
        context::set_off();
        thread::retire_rings();
        context.session().header().left.fetch_add(1, Ordering::Release);
    }
}

fn is_recording(context: &Context, directory: &str) -> bool {
    context.session().directory() == directory && !context::is_off()
}

/// Opens the session, looks up CPython if that has not happened before, and creates the process's
/// log of definitions.
///
/// # Safety
/// Needs the GIL, and no hook may be installed.
unsafe fn open(directory: String) -> Result<&'static Context, SessionError> {
    let session = OpenSession::open(directory)?;
    if let Some(context) = context::get_if_created() {
        // Ids of the previous session are not defined in this one.
        definitions::start_epoch();
        thread::retire_rings();
        cfunctions::clear_ids();
        instances::clear_ids();
        context.set_session(session);
        definitions::ensure_log(context, clock::ticks())?;
        return Ok(context);
    }
    let python = PythonApi::find().ok_or(SessionError::MissingFunction)?;
    // SAFETY: the caller holds the GIL; the check above ensures that this happens once.
    let context = unsafe { context::create(python, session, hooks::remove_function_hooks) };
    definitions::ensure_log(context, clock::ticks())?;
    fork::register_handlers();
    Ok(context)
}

/// Installs the hooks for what the session records. A hook that fails is reported by a notice; the
/// program runs in any case. `before_functions` is called just before the hooks for functions are
/// enabled.
fn install_hooks(context: &'static Context, before_functions: impl FnOnce()) {
    // The hooks for functions are prepared first and enabled last, so that none of this is
    // recorded, or charged to the program's first call.
    let session = context.session();
    let notice = |text: &str| definitions::notice(session, text);
    record::prepare_thread(context);
    let has_any = [MarkerGroup::Function, MarkerGroup::Line, MarkerGroup::Cfunction, MarkerGroup::Instance]
        .iter()
        .any(|group| session.has_group(*group));
    let functions = has_any.then(|| prepare_function_hooks(context));
    if session.has_group(MarkerGroup::Gc) && gc::install(context).is_err() {
        notice("Garbage collections are not recorded: gc.callbacks cannot be changed.");
    }
    if session.has_group(MarkerGroup::Import) && importer::install(context).is_err() {
        notice("Imports are not recorded: CPython's importer is not where it was expected.");
    }
    if session.has_group(MarkerGroup::Audit) && audit::enable(context).is_err() {
        notice("Audit events are not recorded: frames are not laid out as expected.");
    }
    before_functions();
    let enabled = functions.map(|prepared| prepared.and_then(|hooks| Ok(hooks.enable()?)));
    if let Some(Err(error)) = enabled {
        notice(error.notice());
    }
    context::set_ready();
}

fn prepare_function_hooks(context: &'static Context) -> Result<FunctionHooks, HookError> {
    let functions = hooks::prepare_function_hooks(context)?;
    if let Err(Raised) = cost::measure(context, &functions) {
        definitions::notice(context.session(), "The cost of an event could not be measured.");
    }
    Ok(functions)
}

/// Removes every hook. The audit hook cannot be removed, so it is disabled.
fn remove_hooks(context: &'static Context) {
    hooks::remove_function_hooks(context);
    let _ = importer::remove(context);
    let _ = gc::remove(context);
    audit::disable();
}
