//! CPython 3.8 to 3.11: a profile function in C, and a trace function where lines are asked for.
//!
//! CPython has one of each per thread. A program that sets its own (`sys.setprofile`, cProfile, coverage) displaces
//! ours; it wins, and a notice says so.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::agent::{self, Agent, CFUNCTION, FUNCTION, LINE};
use crate::cfunctions;
use crate::frame::{self, Frame};
use crate::functions::Failure;
use crate::python::{Hook, Object, Python, Raised};
use crate::thread::Thread;
use crate::{definitions, markers, os, proxy, starter};

/// What `PyTrace_…` says.
pub const CALL: c_int = 0;
const LINE_STARTS: c_int = 2;
pub const RETURN: c_int = 3;
const C_CALL: c_int = 4;
const C_EXCEPTION: c_int = 5;
const C_RETURN: c_int = 6;

/// The functions for this CPython, ready to be set in any thread.
#[derive(Clone, Copy)]
pub struct Profile {
    python: &'static Python,
    profile: Option<Hook>,
    trace: Option<Hook>,
}

/// The hooks are set or taken away by us, not by the program.
static OURS: AtomicBool = AtomicBool::new(false);

/// Whether threads are to have hooks.
static ON: AtomicBool = AtomicBool::new(false);

pub fn prepare(agent: &'static Agent) -> Result<Profile, Failure> {
    let profile = Profile::new(agent).ok_or(Failure::OtherFrames)?;
    if !frame::is_as_expected(agent) {
        return Err(Failure::OtherFrames);
    }
    starter::install(agent)?;
    proxy::install(agent)?;
    Ok(profile)
}

/// Takes the hooks away from this thread; others take them away themselves, at their next event.
pub fn remove(agent: &'static Agent) {
    ON.store(false, Relaxed);
    if let Some(profile) = Profile::new(agent) {
        profile.set(false);
    }
}

/// Sets the hooks in a thread that has just started.
pub fn enter_thread(agent: &'static Agent) {
    if let (true, Some(profile)) = (ON.load(Relaxed), Profile::new(agent)) {
        profile.set(true);
    }
}

impl Profile {
    fn new(agent: &'static Agent) -> Option<Profile> {
        if agent.exposes_markers() { Profile::of::<true>(agent) } else { Profile::of::<false>(agent) }
    }

    /// `MARKED` where static markers are fired, too.
    fn of<const MARKED: bool>(agent: &'static Agent) -> Option<Profile> {
        let python = &agent.python;
        let groups = (agent.wants(FUNCTION), agent.wants(CFUNCTION));
        let profile = match python.version {
            (3, 8 | 9) => profile_hook::<frame::Bytes, MARKED>(groups),
            (3, 10) => profile_hook::<frame::Units, MARKED>(groups),
            (3, 11) => profile_hook::<frame::Inner, MARKED>(groups),
            _ => return None,
        };
        Some(Profile { python, profile, trace: agent.wants(LINE).then_some(on_trace::<MARKED> as Hook) })
    }

    /// Sets the hooks in this thread, and from now on in those that start.
    pub fn switch_on(&self) -> Result<(), Raised> {
        ON.store(true, Relaxed);
        if self.set(true) { Ok(()) } else { Err(Raised) }
    }

    /// Runs `body` with the hooks on.
    pub fn during<R>(&self, body: impl FnOnce() -> R) -> R {
        self.set(true);
        let result = body();
        self.set(false);
        result
    }

    /// Sets the hooks in this thread, or takes them away; gives whether CPython let it.
    fn set(&self, on: bool) -> bool {
        OURS.store(true, Relaxed);
        let profile = self.profile.is_none_or(|hook| self.python.set_profile(on.then_some(hook)).is_ok());
        let trace = self.trace.is_none_or(|hook| self.python.set_trace(on.then_some(hook)).is_ok());
        OURS.store(false, Relaxed);
        profile && trace
    }
}

/// The profile function that records functions, functions in C, or both.
fn profile_hook<F: Frame, const MARKED: bool>(groups: (bool, bool)) -> Option<Hook> {
    match groups {
        (true, false) => Some(on_profile::<F, true, false, MARKED>),
        (false, true) => Some(on_profile::<F, false, true, MARKED>),
        (true, true) => Some(on_profile::<F, true, true, MARKED>),
        (false, false) => None,
    }
}

/// A frame is entered or left, or a function in C is.
unsafe extern "C" fn on_profile<
    F: Frame,
    const FUNCTIONS: bool,
    const CFUNCTIONS: bool,
    const MARKED: bool,
>(
    _: *mut Object,
    frame: *mut Object,
    what: c_int,
    value: *mut Object,
) -> c_int {
    // SAFETY: CPython calls with the GIL and a frame of the layout that was checked.
    unsafe {
        match what {
            CALL if FUNCTIONS => record::<F, MARKED>(F::entry_kind(frame), frame),
            RETURN if !FUNCTIONS => {}
            RETURN if value.is_null() => record::<F, MARKED>(RecordKind::Unwind, frame),
            RETURN if F::is_at_return(frame) => record::<F, MARKED>(RecordKind::Return, frame),
            RETURN => record::<F, MARKED>(RecordKind::Yield, frame),
            C_CALL if CFUNCTIONS => record_cfunction(RecordKind::CfunctionCall, value),
            C_RETURN | C_EXCEPTION if CFUNCTIONS => record_cfunction(RecordKind::CfunctionReturn, value),
            _ => {}
        }
    }
    0
}

/// # Safety
/// With the GIL and a frame of this layout.
#[inline(always)]
unsafe fn record<F: Frame, const MARKED: bool>(kind: RecordKind, frame: *mut Object) {
    // SAFETY: the caller's promise.
    unsafe {
        let (code, arg) = (F::code(frame), F::unit(frame));
        let is_left_out = agent::record(kind, code, arg);
        if MARKED && !is_left_out {
            markers::function(kind, code, arg);
        }
    }
    leave_if_over();
}

/// # Safety
/// With the GIL, and an object.
#[inline(always)]
unsafe fn record_cfunction(kind: RecordKind, function: *mut Object) {
    // SAFETY: the caller's promise; CPython puts exceptions aside.
    unsafe { cfunctions::record(kind, function) };
    leave_if_over();
}

/// A line starts, or something else of which the profile function hears, too.
unsafe extern "C" fn on_trace<const MARKED: bool>(
    _: *mut Object,
    frame: *mut Object,
    what: c_int,
    _: *mut Object,
) -> c_int {
    if what == LINE_STARTS {
        let python = &agent::get().python;
        // SAFETY: CPython calls with the GIL and a frame; the frame keeps its code alive.
        unsafe {
            let line = (python.frame_line)(frame);
            let (code, arg) = (frame::code(python, frame), line.max(0) as u32);
            let is_left_out = agent::record(RecordKind::Line, code, arg);
            if MARKED && !is_left_out {
                markers::function(RecordKind::Line, code, arg);
            }
        }
        leave_if_over();
    }
    0
}

/// A thread whose recording is over goes on without hooks.
#[inline(always)]
fn leave_if_over() {
    if !Thread::current().is_recorded() {
        leave();
    }
}

#[cold]
#[inline(never)]
fn leave() {
    if agent::is_off()
        && let Some(profile) = Profile::new(agent::get())
    {
        profile.set(false);
    }
}

/// Whether what happens just now is of our doing.
pub fn is_ours() -> bool {
    OURS.load(Relaxed)
}

/// An audit event, from which is heard that the program sets a hook of its own.
pub fn hear(agent: &'static Agent, event: &CStr) {
    if !ON.load(Relaxed) {
        return;
    }
    static TOLD: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    let functions = agent.wants(FUNCTION) || agent.wants(CFUNCTION);
    let (told, what, whose) = match event.to_bytes() {
        b"sys.setprofile" if functions => (&TOLD[0], "Functions", "profile function (sys.setprofile)"),
        b"sys.settrace" if agent.wants(LINE) => (&TOLD[1], "Lines", "trace function (sys.settrace)"),
        _ => return,
    };
    if !told.swap(true, Relaxed) {
        let tid = os::tid();
        let text =
            alloc::format!("{what} of thread {tid} are not recorded where the program set its own {whose}.");
        definitions::notice(agent, text);
    }
    // The event comes before the change. If the program takes its hook away, ours comes back: in the main thread.
    TRIES.store(1000, Relaxed);
    // SAFETY: the function is called by that thread, with the GIL.
    unsafe { (agent.python.add_pending_call)(come_back, ptr::null_mut()) };
}

/// How often it is tried again to come back.
static TRIES: AtomicI32 = AtomicI32::new(0);

extern "C" fn come_back(_: *mut c_void) -> c_int {
    let agent = agent::get();
    let python = &agent.python;
    let is_free = |name| {
        let hook = python.sys(name).and_then(|function| python.call(function.as_ptr(), &[]));
        hook.is_ok_and(|hook| hook.as_ptr() == python.none)
    };
    if let (true, Some(mut profile)) = (ON.load(Relaxed), Profile::new(agent)) {
        profile.profile = profile.profile.filter(|_| is_free(c"getprofile"));
        profile.trace = profile.trace.filter(|_| is_free(c"gettrace"));
        if !profile.set(true) && TRIES.fetch_sub(1, Relaxed) > 0 {
            // An audit hook of the program's, in Python, runs amid the program's change: later, then.
            // SAFETY: as in `hear`.
            unsafe { (python.add_pending_call)(come_back, ptr::null_mut()) };
        }
    }
    0
}
