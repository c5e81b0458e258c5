//! The hooks of CPython 3.8 to 3.11: a profile function in C, and a trace function in C if lines
//! are recorded.
//!
//! CPython has one of each per thread. A program that sets its own (`sys.setprofile`, cProfile,
//! coverage) replaces the agent's, which is reported by a notice.

use alloc::format;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::context::{self, Context, MarkerGroup};
use crate::hooks::error::HookError;
use crate::hooks::{cfunctions, static_markers};
use crate::os;
use crate::python::frame::{self, Frame, Layout38, Layout310, Layout311};
use crate::python::{
    PYTRACE_C_CALL, PYTRACE_C_EXCEPTION, PYTRACE_C_RETURN, PYTRACE_CALL, PYTRACE_LINE, PYTRACE_RETURN,
    PyObject, PythonApi, Raised, TraceFunction,
};
use crate::record;
use crate::ring::definitions;
use crate::ring::thread::Thread;

/// The profile and trace functions for this CPython and session.
#[derive(Clone, Copy)]
pub struct ProfileHooks {
    python: &'static PythonApi,
    profile: Option<TraceFunction>,
    trace: Option<TraceFunction>,
}

/// Whether the agent, and not the program, is setting a profile or trace function.
static IS_SETTING: AtomicBool = AtomicBool::new(false);

/// Whether the hooks are enabled. Threads that start later set them, too.
static IS_ENABLED: AtomicBool = AtomicBool::new(false);

/// Chooses the functions and verifies the layout of frames.
pub fn prepare(context: &'static Context) -> Result<ProfileHooks, HookError> {
    let hooks = ProfileHooks::choose(context).ok_or(HookError::FrameLayout)?;
    if !frame::has_expected_layout(&context.python) {
        return Err(HookError::FrameLayout);
    }
    Ok(hooks)
}

/// Removes the hooks of the current thread. The other threads remove theirs at their next event.
pub fn remove(context: &'static Context) {
    IS_ENABLED.store(false, Relaxed);
    if let Some(hooks) = ProfileHooks::choose(context) {
        hooks.set_in_thread(false);
    }
}

/// Sets the hooks in a thread that has just started.
pub fn on_thread_start(context: &'static Context) {
    if let (true, Some(hooks)) = (IS_ENABLED.load(Relaxed), ProfileHooks::choose(context)) {
        hooks.set_in_thread(true);
    }
}

impl ProfileHooks {
    fn choose(context: &'static Context) -> Option<ProfileHooks> {
        if context.session().exposes_markers() {
            ProfileHooks::with_markers::<true>(context)
        } else {
            ProfileHooks::with_markers::<false>(context)
        }
    }

    /// `EXPOSES_MARKERS`: whether the functions fire static markers, too.
    fn with_markers<const EXPOSES_MARKERS: bool>(context: &'static Context) -> Option<ProfileHooks> {
        let (python, session) = (&context.python, context.session());
        let groups = [MarkerGroup::Function, MarkerGroup::Cfunction];
        let groups = groups.map(|group| session.has_group(group));
        let profile = match python.version {
            (3, 8 | 9) => profile_function::<Layout38, EXPOSES_MARKERS>(groups),
            (3, 10) => profile_function::<Layout310, EXPOSES_MARKERS>(groups),
            (3, 11) => profile_function::<Layout311, EXPOSES_MARKERS>(groups),
            _ => return None,
        };
        let trace =
            session.has_group(MarkerGroup::Line).then_some(on_trace::<EXPOSES_MARKERS> as TraceFunction);
        Some(ProfileHooks { python, profile, trace })
    }

    /// Sets the hooks in the current thread, and from now on in each thread that starts.
    pub fn enable(&self) -> Result<(), Raised> {
        IS_ENABLED.store(true, Relaxed);
        if self.set_in_thread(true) { Ok(()) } else { Err(Raised) }
    }

    /// Runs `body` with the hooks set in the current thread.
    pub fn with_enabled<R>(&self, body: impl FnOnce() -> R) -> R {
        self.set_in_thread(true);
        let result = body();
        self.set_in_thread(false);
        result
    }

    /// Sets or removes the hooks in the current thread. Returns whether CPython accepted that.
    fn set_in_thread(&self, enabled: bool) -> bool {
        IS_SETTING.store(true, Relaxed);
        let profile =
            self.profile.is_none_or(|hook| self.python.set_profile(enabled.then_some(hook)).is_ok());
        let trace = self.trace.is_none_or(|hook| self.python.set_trace(enabled.then_some(hook)).is_ok());
        IS_SETTING.store(false, Relaxed);
        profile && trace
    }
}

/// The profile function that records functions, C functions, or both.
fn profile_function<F: Frame, const EXPOSES_MARKERS: bool>(
    [functions, cfunctions]: [bool; 2],
) -> Option<TraceFunction> {
    match (functions, cfunctions) {
        (true, false) => Some(on_profile::<F, true, false, EXPOSES_MARKERS>),
        (false, true) => Some(on_profile::<F, false, true, EXPOSES_MARKERS>),
        (true, true) => Some(on_profile::<F, true, true, EXPOSES_MARKERS>),
        (false, false) => None,
    }
}

/// The profile function: called at the entry and exit of frames, and of C functions.
unsafe extern "C" fn on_profile<
    F: Frame,
    const FUNCTIONS: bool,
    const CFUNCTIONS: bool,
    const EXPOSES_MARKERS: bool,
>(
    _: *mut PyObject,
    frame: *mut PyObject,
    event: c_int,
    argument: *mut PyObject,
) -> c_int {
    // SAFETY: CPython calls with the GIL and a frame whose layout was verified; the argument of the
    // events of C functions is the function.
    unsafe {
        match event {
            PYTRACE_CALL if FUNCTIONS => record::<F, EXPOSES_MARKERS>(F::entry_kind(frame), frame),
            PYTRACE_RETURN if !FUNCTIONS => {}
            PYTRACE_RETURN if argument.is_null() => record::<F, EXPOSES_MARKERS>(RecordKind::Unwind, frame),
            PYTRACE_RETURN if F::is_at_return(frame) => {
                record::<F, EXPOSES_MARKERS>(RecordKind::Return, frame)
            }
            PYTRACE_RETURN => record::<F, EXPOSES_MARKERS>(RecordKind::Yield, frame),
            PYTRACE_C_CALL if CFUNCTIONS => record_cfunction(RecordKind::CfunctionCall, argument),
            PYTRACE_C_RETURN | PYTRACE_C_EXCEPTION if CFUNCTIONS => {
                record_cfunction(RecordKind::CfunctionReturn, argument);
            }
            _ => {}
        }
    }
    0
}

/// # Safety
/// Needs the GIL, and a frame of this layout.
#[inline(always)]
unsafe fn record<F: Frame, const EXPOSES_MARKERS: bool>(kind: RecordKind, frame: *mut PyObject) {
    // SAFETY: the caller guarantees the frame; CPython puts a pending exception aside.
    unsafe {
        let (code, arg) = (F::code(frame), F::code_unit(frame));
        let is_unrecorded = record::code_event(kind, code, arg);
        if EXPOSES_MARKERS && !is_unrecorded {
            static_markers::code_event(kind, code, arg);
        }
    }
    remove_if_off();
}

/// # Safety
/// Needs the GIL, and an object.
#[inline(always)]
unsafe fn record_cfunction(kind: RecordKind, function: *mut PyObject) {
    // SAFETY: the caller guarantees the object; CPython puts a pending exception aside.
    unsafe { cfunctions::record(kind, function) };
    remove_if_off();
}

/// The trace function: called at each line, and at events that the profile function records.
unsafe extern "C" fn on_trace<const EXPOSES_MARKERS: bool>(
    _: *mut PyObject,
    frame: *mut PyObject,
    event: c_int,
    _: *mut PyObject,
) -> c_int {
    if event == PYTRACE_LINE {
        let python = &context::get().python;
        // SAFETY: CPython calls with the GIL and a frame, which keeps its code object alive, and
        // puts a pending exception aside.
        unsafe {
            let line = (python.frame_get_line_number)(frame);
            let (code, arg) = (frame::code(python, frame), line.max(0) as u32);
            let is_unrecorded = record::code_event(RecordKind::Line, code, arg);
            if EXPOSES_MARKERS && !is_unrecorded {
                static_markers::code_event(RecordKind::Line, code, arg);
            }
        }
        remove_if_off();
    }
    0
}

/// Removes the current thread's hooks if its recording has ended.
#[inline(always)]
fn remove_if_off() {
    if !Thread::current().is_recorded() {
        remove_from_thread_if_off();
    }
}

#[cold]
#[inline(never)]
fn remove_from_thread_if_off() {
    if context::is_off()
        && let Some(hooks) = ProfileHooks::choose(context::get())
    {
        hooks.set_in_thread(false);
    }
}

/// Whether the current audit event is raised by the agent as it sets a hook.
pub fn is_setting_hooks() -> bool {
    IS_SETTING.load(Relaxed)
}

/// Handles an audit event: reports that the program sets a profile or trace function of its own.
pub fn on_audit_event(context: &'static Context, event: &CStr) {
    if !IS_ENABLED.load(Relaxed) {
        return;
    }
    static IS_REPORTED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    let session = context.session();
    let has_functions = session.has_group(MarkerGroup::Function) || session.has_group(MarkerGroup::Cfunction);
    let (is_reported, what, hook) = match event.to_bytes() {
        b"sys.setprofile" if has_functions => {
            (&IS_REPORTED[0], "Functions", "profile function (sys.setprofile)")
        }
        b"sys.settrace" if session.has_group(MarkerGroup::Line) => {
            (&IS_REPORTED[1], "Lines", "trace function (sys.settrace)")
        }
        _ => return,
    };
    if !is_reported.swap(true, Relaxed) {
        let tid = os::tid();
        let text = format!("{what} of thread {tid} are not recorded while the program's own {hook} is set.");
        definitions::notice(session, text);
    }
    // The event precedes the change. If the program removes its function, the agent's is set again;
    // this works in the main thread only, which runs pending calls.
    RESTORE_ATTEMPTS.store(1000, Relaxed);
    // SAFETY: CPython calls the function in the main thread, with the GIL.
    unsafe { (context.python.add_pending_call)(restore_hooks, ptr::null_mut()) };
}

/// How often [`restore_hooks`] may still schedule itself again.
static RESTORE_ATTEMPTS: AtomicI32 = AtomicI32::new(0);

/// Sets those of the agent's hooks whose place is free.
extern "C" fn restore_hooks(_: *mut c_void) -> c_int {
    let context = context::get();
    let python = &context.python;
    let is_free = |getter| {
        let hook = python.sys_attribute(getter).and_then(|getter| python.call(getter.as_ptr(), &[]));
        hook.is_ok_and(|hook| hook.as_ptr() == python.none)
    };
    if let (true, Some(mut hooks)) = (IS_ENABLED.load(Relaxed), ProfileHooks::choose(context)) {
        hooks.profile = hooks.profile.filter(|_| is_free(c"getprofile"));
        hooks.trace = hooks.trace.filter(|_| is_free(c"gettrace"));
        if !hooks.set_in_thread(true) && RESTORE_ATTEMPTS.fetch_sub(1, Relaxed) > 0 {
            // The program's audit hook, in Python, is running inside its `sys.setprofile`: try
            // later.
            // SAFETY: as in `on_audit_event`.
            unsafe { (python.add_pending_call)(restore_hooks, ptr::null_mut()) };
        }
    }
    0
}
