//! What there is once per process: the session, CPython, and the way from an event to a ring.

use alloc::boxed::Box;
use alloc::string::String;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use pyrec_wire::{FunctionFilter, Record, RecordKind, SessionPage, VERSION};

use crate::extra::Extra;
use crate::os::{self, Errno, File};
use crate::python::{Object, Owned, Python, Raised};
use crate::ring::Ring;
use crate::thread::{self, Thread};
use crate::{cfunctions, clock, definitions, functions, instances, names};

/// In the epoch of a code object: it is not recorded.
const UNRECORDED: u32 = 1 << 31;

/// The groups of markers, by their bits in `SessionPage::groups`.
pub const FUNCTION: u32 = 0;
pub const LINE: u32 = 1;
pub const GC: u32 = 2;
pub const IMPORT: u32 = 3;
pub const AUDIT: u32 = 4;
pub const CFUNCTION: u32 = 5;
pub const INSTANCE: u32 = 6;

/// Made once, before the first hook is installed.
pub struct Agent {
    pub python: Python,
    /// Where in a code object its number is kept.
    extra: Extra,
    /// Another one when the process is recorded once more. The old one stays: somebody may be about to look at it.
    terms: AtomicPtr<Terms>,
}

/// A session, as this process sees it.
struct Terms {
    directory: String,
    session: *const SessionPage,
    filter: FunctionFilter,
}

struct Place(UnsafeCell<MaybeUninit<Agent>>);

// SAFETY: written once, before anybody reads.
unsafe impl Sync for Place {}

static AGENT: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));

/// Whether there is one.
static MADE: AtomicBool = AtomicBool::new(false);

/// The recording is over for this process.
static OFF: AtomicBool = AtomicBool::new(false);

/// The process's agent.
#[inline(always)]
pub fn get() -> &'static Agent {
    // SAFETY: hooks call this, and they are installed after `start`.
    unsafe { (*AGENT.0.get()).assume_init_ref() }
}

/// Why there is no recording of this process.
pub enum Failure {
    /// CPython lacks a function.
    Missing,
    /// The session's directory cannot be used.
    System,
    /// The recorder is of another version.
    OtherVersion,
    /// The recording is over.
    Closed,
}

impl Failure {
    /// A part of a sentence.
    pub fn reason(&self) -> &'static CStr {
        match self {
            Failure::Missing => c"its CPython lacks functions that the agent needs",
            Failure::System => c"it cannot use the recording's directory",
            Failure::OtherVersion => c"another version of pyrec has been in it before",
            Failure::Closed => c"the recording is over",
        }
    }
}

impl From<Errno> for Failure {
    fn from(_: Errno) -> Failure {
        Failure::System
    }
}

/// Finds the session and CPython, and begins the process's log.
///
/// # Safety
/// Called with the GIL, while no hook is installed.
pub unsafe fn start(directory: String) -> Result<&'static Agent, Failure> {
    let terms = Terms::read(directory)?;
    if MADE.load(Ordering::Relaxed) {
        // What was said in the session before means nothing in this one.
        let agent = get();
        definitions::begin_anew();
        thread::begin_anew();
        cfunctions::begin_anew();
        instances::begin_anew();
        agent.terms.store(terms, Ordering::Relaxed);
        OFF.store(false, Ordering::Relaxed);
        definitions::begin(agent, clock::ticks())?;
        return Ok(agent);
    }
    let python = Python::find().ok_or(Failure::Missing)?;
    let extra = Extra::request(&python);
    let agent = Agent { python, extra, terms: AtomicPtr::new(terms) };
    // SAFETY: nobody reads yet.
    let agent = unsafe { (*AGENT.0.get()).write(agent) };
    MADE.store(true, Ordering::Relaxed);
    definitions::begin(agent, clock::ticks())?;
    // SAFETY: the functions may be called in a child of fork.
    unsafe { libc::pthread_atfork(Some(forks), None, Some(forked)) };
    Ok(agent)
}

/// The agent, if there has been a recording of this process.
pub fn get_made() -> Option<&'static Agent> {
    MADE.load(Ordering::Relaxed).then(get)
}

impl Terms {
    /// Finds the session, for good.
    fn read(directory: String) -> Result<*mut Terms, Failure> {
        let path = os::path(&directory, format_args!("session")).ok_or(Errno(libc::EINVAL))?;
        let session: *const SessionPage =
            File::open(&path, libc::O_RDWR)?.map(size_of::<SessionPage>())?.cast_const().cast();
        // SAFETY: the recorder wrote it before it told anybody of the directory, and it stays mapped.
        let terms = unsafe { &*session };
        if terms.version != VERSION {
            return Err(Failure::OtherVersion);
        }
        if terms.closed.load(Ordering::Relaxed) != 0 {
            return Err(Failure::Closed);
        }
        clock::choose(terms.clock);
        let filter = read_filter(&directory, terms.filter_bytes as usize)?;
        Ok(Box::into_raw(Box::new(Terms { directory, session, filter })))
    }
}

/// Reads which functions to record.
fn read_filter(directory: &str, len: usize) -> Result<FunctionFilter, Failure> {
    if len == 0 {
        return Ok(FunctionFilter::default());
    }
    let path = os::path(directory, format_args!("filter")).ok_or(Errno(libc::EINVAL))?;
    let memory = File::open(&path, libc::O_RDWR)?.map(len)?;
    // SAFETY: the recorder wrote the file before it told anybody of the directory; nobody uses it after that.
    unsafe {
        let filter = FunctionFilter::decode(core::slice::from_raw_parts(memory.cast(), len));
        os::unmap(memory, len);
        filter.ok_or(Failure::OtherVersion)
    }
}

impl Agent {
    fn terms(&self) -> &Terms {
        // SAFETY: terms stay.
        unsafe { &*self.terms.load(Ordering::Relaxed) }
    }

    /// The session's directory.
    pub fn directory(&self) -> &str {
        &self.terms().directory
    }

    /// What the recorder says.
    pub fn session(&self) -> &SessionPage {
        // SAFETY: it stays mapped.
        unsafe { &*self.terms().session }
    }

    /// Which functions the recorder asks for.
    pub fn filter(&self) -> &FunctionFilter {
        &self.terms().filter
    }

    /// Whether the recorder asks for a group of markers.
    pub fn wants(&self, group: u32) -> bool {
        self.session().groups & 1 << group != 0
    }

    /// Whether other tools are to hear of what is recorded.
    pub fn exposes_markers(&self) -> bool {
        self.session().expose_markers != 0
    }

    /// Whether nobody will read what is written. What cannot be found out is taken for life.
    pub fn recorder_is_dead(&self) -> bool {
        let Some(path) = os::path(self.directory(), format_args!("lock")) else { return true };
        match File::open(&path, libc::O_RDONLY) {
            Ok(file) => file.is_unlocked(),
            Err(Errno(error)) => error == libc::ENOENT,
        }
    }

    /// Writes a code object's number into it.
    pub fn set_code_id(&self, code: *mut Object, id: u32) -> Result<(), Raised> {
        self.set_extra(code, definitions::epoch(), id)
    }

    /// The epoch and the number in a code object.
    ///
    /// # Safety
    /// With the GIL, and a code object.
    unsafe fn extra(&self, code: *mut Object) -> (u32, u32) {
        let mut extra = ptr::null_mut();
        // SAFETY: the caller's promise.
        unsafe { (self.python.get_extra)(code, self.extra.index, &mut extra) };
        let extra = extra.addr() as u64;
        ((extra >> 32) as u32, extra as u32)
    }

    fn set_extra(&self, code: *mut Object, epoch: u32, id: u32) -> Result<(), Raised> {
        self.extra.set(&self.python, code, u64::from(epoch) << 32 | u64::from(id))
    }
}

/// Records what a code object does. Says whether that is left out, for good.
///
/// # Safety
/// With the GIL, and no exception pending.
#[inline(always)]
pub unsafe fn record(kind: RecordKind, code: *mut Object, arg: u32) -> bool {
    let ticks = clock::ticks();
    let agent = get();
    let thread = Thread::current();
    let mut extra = ptr::null_mut();
    // SAFETY: any object may be asked.
    let result = unsafe { (agent.python.get_extra)(code, agent.extra.index, &mut extra) };
    let extra = extra.addr() as u64;
    let epoch = (extra >> 32) as u32;
    if thread.is_recorded() && epoch == definitions::epoch() {
        // SAFETY: the thread is the current one, and recorded.
        unsafe { thread.push(Record::new(ticks, kind, arg, extra as u32)) };
        false
    } else if thread.is_recorded() && epoch == definitions::epoch() | UNRECORDED {
        true
    } else {
        // SAFETY: the caller's promise.
        unsafe { meet(result, kind, code, arg, ticks) }
    }
}

/// A thread or a code object is seen for the first time, or the thread is not recorded.
#[cold]
#[inline(never)]
unsafe fn meet(result: c_int, kind: RecordKind, code: *mut Object, arg: u32, ticks: u64) -> bool {
    let agent = get();
    if agent.python.done(result).is_err() {
        return false;
    }
    let Some(thread) = current_thread(agent, Some(code), ticks) else { return false };
    // SAFETY: a code object, as it has just been found.
    match unsafe { number(agent, code) } {
        Ok(None) => return true,
        Ok(Some(id)) => thread.push_or_lose(ticks, Ok(Record::new(ticks, kind, arg, id))),
        Err(error) => thread.push_or_lose(ticks, Err(error)),
    }
    false
}

/// A code object's number, given now if it has none; none for one that is not recorded.
///
/// # Safety
/// With the GIL, no exception pending, and a code object.
unsafe fn number(agent: &Agent, code: *mut Object) -> Result<Option<u32>, Errno> {
    // SAFETY: the caller's promise.
    let (epoch, id) = unsafe { agent.extra(code) };
    if epoch == definitions::epoch() {
        return Ok(Some(id));
    }
    if epoch == definitions::epoch() | UNRECORDED {
        return Ok(None);
    }
    let id = definitions::code(agent, code)?;
    let set = match id {
        Some(id) => agent.set_code_id(code, id),
        None => agent.set_extra(code, definitions::epoch() | UNRECORDED, 0),
    };
    set.map(|()| id).map_err(|Raised| Errno(libc::ENOMEM))
}

/// The number of a code object that is named by what is recorded in any case, left out or not.
///
/// # Safety
/// With the GIL, no exception pending, and a code object.
unsafe fn number_of_any(agent: &Agent, code: *mut Object) -> Result<u32, Errno> {
    // SAFETY: the caller's promise.
    if let Some(id) = unsafe { number(agent, code) }? {
        return Ok(id);
    }
    // SAFETY: the caller's promise.
    if let (_, id @ 1..) = unsafe { agent.extra(code) } {
        return Ok(id);
    }
    let id = definitions::code_left_out(agent, code)?;
    let set = agent.set_extra(code, definitions::epoch() | UNRECORDED, id);
    set.map(|()| id).map_err(|Raised| Errno(libc::ENOMEM))
}

/// Records a frame that runs already.
///
/// # Safety
/// With the GIL, no exception pending, and a code object.
pub unsafe fn record_open(ring: &mut Ring, code: *mut Object, ticks: u64, arg: u32) {
    // SAFETY: the caller's promise.
    match unsafe { number(get(), code) } {
        // A ring has just been made, or there is nobody who reads it.
        Ok(Some(id)) => drop(ring.push(Record::new(ticks, RecordKind::Open, arg, id))),
        Ok(None) => {}
        Err(_) => ring.lose(ticks),
    }
}

/// Records what concerns a text.
pub fn record_text(agent: &Agent, kind: RecordKind, text: &str, arg: u32) {
    let ticks = clock::ticks();
    if let Some(thread) = current_thread(agent, None, ticks) {
        let id = definitions::text(agent, text);
        thread.push_or_lose(ticks, id.map(|id| Record::new(ticks, kind, arg, id)));
    }
}

/// Records an audit event, with the code object and the line that raise it where they are known.
///
/// # Safety
/// With the GIL, and no exception pending.
pub unsafe fn record_audit(agent: &Agent, event: &str, at: Option<(Owned<'_>, u32)>) {
    let ticks = clock::ticks();
    let Some(thread) = current_thread(agent, None, ticks) else { return };
    let (code, line) = at.map_or((Ok(0), 0), |(code, line)| {
        // SAFETY: the caller's promise.
        (unsafe { number_of_any(agent, code.as_ptr()) }, line)
    });
    let site = code.and_then(|code| definitions::site(agent, code, event));
    thread.push_or_lose(ticks, site.map(|id| Record::new(ticks, RecordKind::Audit, line, id)));
}

/// Records the call of a function in C, or its end, by the number of its name's text; nothing where it is left out.
pub fn record_cfunction(kind: RecordKind, ticks: u64, id: impl FnOnce(&Agent) -> Result<Option<u32>, Errno>) {
    let agent = get();
    if let Some(thread) = current_thread(agent, None, ticks)
        && let Some(id) = id(agent).transpose()
    {
        thread.push_or_lose(ticks, id.map(|id| Record::new(ticks, kind, 0, id)));
    }
}

/// Records what happens in a code object at an instruction, by the number of its site. Says whether the code object is
/// left out, for good.
///
/// # Safety
/// With the GIL, no exception pending, and a code object.
pub unsafe fn record_site(
    kind: RecordKind,
    code: *mut Object,
    arg: u32,
    ticks: u64,
    site: impl FnOnce(&Agent, u32) -> Result<u32, Errno>,
) -> bool {
    let agent = get();
    let Some(thread) = current_thread(agent, Some(code), ticks) else { return false };
    // SAFETY: the caller's promise.
    let Some(code) = (unsafe { number(agent, code) }).transpose() else { return true };
    let site = code.and_then(|code| site(agent, code));
    thread.push_or_lose(ticks, site.map(|id| Record::new(ticks, kind, arg, id)));
    false
}

/// Records what concerns a number.
pub fn record_number(agent: &Agent, kind: RecordKind, number: u64) {
    let ticks = clock::ticks();
    if let Some(thread) = current_thread(agent, None, ticks) {
        // SAFETY: the thread is the current one, and recorded.
        unsafe { thread.push(Record::with_payload(ticks, kind, number)) };
    }
}

/// Gives this thread a ring ahead of its first event.
pub fn enter(agent: &Agent) {
    current_thread(agent, None, clock::ticks());
}

/// This thread, if it is recorded; with a ring, and the process with a log, if they had none.
fn current_thread(agent: &Agent, code: Option<*mut Object>, ticks: u64) -> Option<Thread> {
    let thread = thread::of_this_session();
    if thread.is_recorded() {
        return Some(thread);
    }
    if thread.is_unrecorded() || is_off() {
        return None;
    }
    if definitions::begin(agent, ticks).is_err() {
        switch_off();
        return None;
    }
    match thread::enter(agent, ticks) {
        Ok((thread, is_known)) => {
            // A thread that is named once more begins anew.
            if !is_known {
                names::tell(agent, code);
            }
            Some(thread)
        }
        Err(error) => {
            let tid = os::tid();
            definitions::notice(
                agent,
                alloc::format!("Thread {tid} is not recorded: its ring cannot be made, {error}."),
            );
            None
        }
    }
}

/// Whether the recording of this process is over.
pub fn is_off() -> bool {
    OFF.load(Ordering::Relaxed)
}

/// Ends the recording of this process: the program goes on as if nobody had watched.
pub fn switch_off() {
    if OFF.swap(true, Ordering::Relaxed) {
        return;
    }
    extern "C" fn unhook(_: *mut c_void) -> c_int {
        // It may be recorded once more by now.
        if is_off() {
            functions::remove(get());
        }
        0
    }
    // SAFETY: the function is called by the main thread, between two instructions. Should there be no room for it,
    // the hooks stay and do nothing.
    unsafe { (get().python.add_pending_call)(unhook, ptr::null_mut()) };
}

/// Ends the recording of this process at once. Called with the GIL, when no hook is left.
pub fn leave(agent: &Agent) {
    OFF.store(true, Ordering::Relaxed);
    thread::begin_anew();
    agent.session().left.fetch_add(1, Ordering::Release);
}

extern "C" fn forks() {
    names::forks();
}

extern "C" fn forked() {
    definitions::forked();
    thread::forked();
    names::forked();
    cfunctions::begin_anew();
    instances::begin_anew();
}
