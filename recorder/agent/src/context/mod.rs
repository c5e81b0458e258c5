//! The state of the agent that exists once per process: CPython's API, the agent's entry in code
//! objects, the session, and whether the process is being recorded.

mod session;

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use crate::python::{CodeExtra, PythonApi};

pub use session::{MarkerGroup, OpenSession, SessionError};

/// Created once, before the first hook is installed, and never dropped.
pub struct Context {
    pub python: PythonApi,
    pub code_extra: CodeExtra,
    /// The current session. A recording that begins later replaces it; the old one is not freed,
    /// because a thread may still read it.
    session: AtomicPtr<OpenSession>,
    /// Removes the hooks for functions and lines.
    remove_hooks: fn(&'static Context),
}

struct ContextCell(UnsafeCell<MaybeUninit<Context>>);

// SAFETY: `create` writes the value before any thread reads it.
unsafe impl Sync for ContextCell {}

static CONTEXT: ContextCell = ContextCell(UnsafeCell::new(MaybeUninit::uninit()));

/// Whether [`CONTEXT`] is initialized.
static IS_CREATED: AtomicBool = AtomicBool::new(false);

/// Whether the recording of this process has ended.
static IS_OFF: AtomicBool = AtomicBool::new(false);

/// Whether hooks have been installed, in this session or an earlier one. Until then, all events come
/// from the interpreter's start-up or the agent itself.
static IS_READY: AtomicBool = AtomicBool::new(false);

/// The process's context. To be called by hooks only, and by what they call.
#[inline(always)]
pub fn get() -> &'static Context {
    // SAFETY: hooks are installed after `create`.
    unsafe { (*CONTEXT.0.get()).assume_init_ref() }
}

/// The context, if a recording of this process has begun before.
pub fn get_if_created() -> Option<&'static Context> {
    IS_CREATED.load(Relaxed).then(get)
}

/// Creates the context, for this session.
///
/// # Safety
/// Needs the GIL. To be called once.
pub unsafe fn create(
    python: PythonApi,
    session: &'static OpenSession,
    remove_hooks: fn(&'static Context),
) -> &'static Context {
    let code_extra = CodeExtra::request(&python);
    let session = AtomicPtr::new(ptr::from_ref(session).cast_mut());
    // SAFETY: no thread reads the value before `IS_CREATED` is set or a hook is installed.
    let context = unsafe { (*CONTEXT.0.get()).write(Context { python, code_extra, session, remove_hooks }) };
    IS_CREATED.store(true, Relaxed);
    context
}

impl Context {
    /// The current session.
    pub fn session(&self) -> &'static OpenSession {
        // SAFETY: the pointer comes from a static reference.
        unsafe { &*self.session.load(Relaxed) }
    }

    /// Makes this the current session, and resumes recording.
    pub fn set_session(&self, session: &'static OpenSession) {
        self.session.store(ptr::from_ref(session).cast_mut(), Relaxed);
        IS_OFF.store(false, Relaxed);
    }

    /// Ends the recording of this process. The main thread removes the hooks for functions and
    /// lines when it next handles pending calls; until then they do nothing.
    pub fn switch_off(&self) {
        extern "C" fn remove_hooks(_: *mut c_void) -> c_int {
            // A new recording may have begun since.
            if is_off() {
                let context = get();
                (context.remove_hooks)(context);
            }
            0
        }
        if !set_off() {
            // SAFETY: CPython calls the function in the main thread, between two instructions. If
            // its queue is full, the hooks stay installed and do nothing.
            unsafe { (self.python.add_pending_call)(remove_hooks, ptr::null_mut()) };
        }
    }
}

/// Whether the recording of this process has ended.
pub fn is_off() -> bool {
    IS_OFF.load(Relaxed)
}

/// Ends the recording of this process without removing hooks. Returns whether it had ended before.
pub fn set_off() -> bool {
    IS_OFF.swap(true, Relaxed)
}

/// Whether hooks have been installed, in this session or an earlier one.
pub fn is_ready() -> bool {
    IS_READY.load(Relaxed)
}

/// Declares that hooks have been installed.
pub fn set_ready() {
    IS_READY.store(true, Relaxed);
}
