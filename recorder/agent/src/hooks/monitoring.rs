//! The hooks of CPython 3.12 and later: callbacks of `sys.monitoring`.
//!
//! CPython calls one callable per kind of event, as `callable(code, offset, …)` or `callable(code,
//! line)`. The agent's callables are instances of a type whose vectorcall slot is the Rust function
//! itself, so the interpreter calls the recording function directly.

use core::ffi::{CStr, c_int};
use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicPtr, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::context::{self, Context, MarkerGroup};
use crate::hooks::error::HookError;
use crate::hooks::{cfunctions, instances, static_markers};
use crate::python::{Owned, PyMemberDef, PyObject, PyTypeSlot, PyTypeSpec, PythonApi, Raised};
use crate::record::{self, thread_names};

/// `vectorcallfunc`: callable, arguments, their number and a flag, names of keywords.
type Callback =
    unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, usize, *mut PyObject) -> *mut PyObject;

/// An event's name in `sys.monitoring.events`, the kind of its records, and its callback.
type Event = (&'static CStr, RecordKind, Callback);

/// The events of frames: starts, ends and lines. With `EXPOSES_MARKERS`, the callbacks also fire
/// static markers.
const fn frame_events<const EXPOSES_MARKERS: bool>() -> [Event; 7] {
    [
        (c"PY_START", RecordKind::Call, on_frame::<{ RecordKind::Call as u8 }, EXPOSES_MARKERS>),
        (c"PY_RESUME", RecordKind::Resume, on_frame::<{ RecordKind::Resume as u8 }, EXPOSES_MARKERS>),
        (c"PY_THROW", RecordKind::Throw, on_frame::<{ RecordKind::Throw as u8 }, EXPOSES_MARKERS>),
        (c"PY_RETURN", RecordKind::Return, on_frame::<{ RecordKind::Return as u8 }, EXPOSES_MARKERS>),
        (c"PY_YIELD", RecordKind::Yield, on_frame::<{ RecordKind::Yield as u8 }, EXPOSES_MARKERS>),
        (c"PY_UNWIND", RecordKind::Unwind, on_frame::<{ RecordKind::Unwind as u8 }, EXPOSES_MARKERS>),
        (c"LINE", RecordKind::Line, on_frame::<{ RecordKind::Line as u8 }, EXPOSES_MARKERS>),
    ]
}

/// The events of calls. `CFUNCTIONS` and `CLASSES` select whether calls of C functions, of classes,
/// or of both are recorded. The record kinds in the list are those for classes; [`on_call`]
/// replaces them for C functions.
const fn call_events<const CFUNCTIONS: bool, const CLASSES: bool>() -> [Event; 3] {
    [
        (
            c"CALL",
            RecordKind::InstanceStart,
            on_call::<{ RecordKind::InstanceStart as u8 }, CFUNCTIONS, CLASSES>,
        ),
        (
            c"C_RETURN",
            RecordKind::InstanceDone,
            on_call::<{ RecordKind::InstanceDone as u8 }, CFUNCTIONS, CLASSES>,
        ),
        (
            c"C_RAISE",
            RecordKind::InstanceFailed,
            on_call::<{ RecordKind::InstanceFailed as u8 }, CFUNCTIONS, CLASSES>,
        ),
    ]
}

/// Tool ids in the order in which the agent tries them. By convention, a debugger uses 0, a
/// coverage tool 1, and a profiler 2. These come last, so that the program can still use such
/// tools.
const TOOL_IDS: [i64; 6] = [5, 4, 3, 2, 1, 0];
const TOOL_NAME: &CStr = c"pyrec";

/// The agent's tool id, or -1 while the hooks are not enabled.
static TOOL_ID: AtomicI64 = AtomicI64::new(-1);

/// `sys.monitoring.DISABLE`.
static DISABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// `sys.monitoring`, with the agent's tool id.
pub struct Monitoring<'py> {
    python: &'py PythonApi,
    module: Owned<'py>,
    tool_id: i64,
    events: i64,
    /// The subset of `events` that can be enabled for a single code object.
    local_events: i64,
}

/// Takes a tool id and registers the callbacks. No event is enabled yet.
pub fn prepare(context: &'static Context) -> Result<Monitoring<'static>, HookError> {
    let python = &context.python;
    let module = python.sys_attribute(c"monitoring")?;
    let tool_id = take_tool_id(python, &module)?;
    let mut monitoring = Monitoring { python, module, tool_id, events: 0, local_events: 0 };
    if let Err(error) = monitoring.register_callbacks(context) {
        monitoring.free_tool_id();
        return Err(error.into());
    }
    Ok(monitoring)
}

/// Disables all events and frees the tool id.
pub fn remove(context: &'static Context) {
    let python = &context.python;
    let tool_id = TOOL_ID.swap(-1, Relaxed);
    if tool_id < 0 {
        return;
    }
    if let Ok(module) = python.sys_attribute(c"monitoring") {
        let monitoring = Monitoring { python, module, tool_id, events: 0, local_events: 0 };
        let _ = monitoring.set_events(0);
        if !context.session().filter().records_all() {
            // Enables the events again that callbacks disabled by returning DISABLE. The next
            // recording can have another filter.
            let _ = python.call_method(&monitoring.module, c"restart_events", &[]);
        }
        monitoring.free_tool_id();
    }
}

fn take_tool_id(python: &PythonApi, module: &Owned<'_>) -> Result<i64, HookError> {
    let name = python.new_str(TOOL_NAME)?;
    for tool_id in TOOL_IDS {
        let number = python.new_int(tool_id)?;
        if python.call_method(module, c"use_tool_id", &[number.as_ptr(), name.as_ptr()]).is_ok() {
            return Ok(tool_id);
        }
    }
    Err(HookError::NoToolId)
}

impl Monitoring<'_> {
    /// Registers a callback for each event that the session records, and sets the events' bits in
    /// `events` and `local_events`.
    fn register_callbacks(&mut self, context: &Context) -> Result<(), Raised> {
        let session = context.session();
        let numbers = self.python.attribute(self.module.as_ptr(), c"events")?;
        let class = callback_type(self.python)?;
        DISABLE.store(self.python.attribute(self.module.as_ptr(), c"DISABLE")?.into_ptr(), Relaxed);
        let frame_events =
            if session.exposes_markers() { frame_events::<true>() } else { frame_events::<false>() };
        let frame_events = frame_events.into_iter().filter(|(_, kind, _)| {
            session.has_group(if *kind == RecordKind::Line {
                MarkerGroup::Line
            } else {
                MarkerGroup::Function
            })
        });
        let groups = [MarkerGroup::Cfunction, MarkerGroup::Instance];
        let call_events = match groups.map(|group| session.has_group(group)) {
            [true, true] => Some(call_events::<true, true>()),
            [true, false] => Some(call_events::<true, false>()),
            [false, true] => Some(call_events::<false, true>()),
            [false, false] => None,
        };
        for (name, kind, callback) in frame_events.chain(call_events.into_iter().flatten()) {
            let event = self.python.int_value(self.python.attribute(numbers.as_ptr(), name)?.as_ptr())?;
            let callback = new_callback(self.python, &class, callback)?;
            let (tool_id, number) = (self.python.new_int(self.tool_id)?, self.python.new_int(event)?);
            let arguments = [tool_id.as_ptr(), number.as_ptr(), callback.as_ptr()];
            self.python.call_method(&self.module, c"register_callback", &arguments)?;
            self.events |= event;
            if is_local(kind) {
                self.local_events |= event;
            }
        }
        Ok(())
    }

    /// Enables the events for all code objects.
    pub fn enable(&self) -> Result<(), Raised> {
        TOOL_ID.store(self.tool_id, Relaxed);
        self.set_events(self.events)
    }

    /// Enables or disables the local events for one code object.
    pub fn set_enabled_for(&self, code: *mut PyObject, enabled: bool) -> Result<(), Raised> {
        let tool_id = self.python.new_int(self.tool_id)?;
        let events = self.python.new_int(if enabled { self.local_events } else { 0 })?;
        let arguments = [tool_id.as_ptr(), code, events.as_ptr()];
        self.python.call_method(&self.module, c"set_local_events", &arguments).map(drop)
    }

    fn set_events(&self, events: i64) -> Result<(), Raised> {
        let (tool_id, events) = (self.python.new_int(self.tool_id)?, self.python.new_int(events)?);
        let arguments = [tool_id.as_ptr(), events.as_ptr()];
        self.python.call_method(&self.module, c"set_events", &arguments).map(drop)
    }

    fn free_tool_id(&self) {
        let _ = self.python.new_int(self.tool_id).and_then(|tool_id| {
            self.python.call_method(&self.module, c"free_tool_id", &[tool_id.as_ptr()]).map(drop)
        });
    }
}

/// Whether events of this kind can be enabled for a single code object, and disabled at a single
/// instruction.
fn is_local(kind: RecordKind) -> bool {
    !matches!(kind, RecordKind::Throw | RecordKind::Unwind)
}

/// Offset in bytes of the function pointer in a callback object. It follows the `PyObject` header.
fn function_offset(python: &PythonApi) -> Result<isize, Raised> {
    let object = python.borrowed(python.object_type)?;
    Ok(python.int_value(python.attribute(object.as_ptr(), c"__basicsize__")?.as_ptr())? as isize)
}

/// Creates the type of the callbacks.
fn callback_type(python: &PythonApi) -> Result<Owned<'_>, Raised> {
    const READONLY: c_int = 1;
    const T_PYSSIZET: c_int = 19;
    const TP_CALL: c_int = 50;
    const TP_MEMBERS: c_int = 72;
    const DISALLOW_INSTANTIATION: u32 = 1 << 7;
    const HAVE_VECTORCALL: u32 = 1 << 11;
    let end = PyMemberDef { name: ptr::null(), kind: 0, offset: 0, flags: 0, doc: ptr::null() };
    let offset = function_offset(python)?;
    let name = c"__vectorcalloffset__".as_ptr();
    let members = [PyMemberDef { name, kind: T_PYSSIZET, offset, flags: READONLY, doc: ptr::null() }, end];
    let slots = [
        PyTypeSlot(TP_CALL, python.vectorcall_call),
        PyTypeSlot(TP_MEMBERS, members.as_ptr().cast()),
        PyTypeSlot(0, ptr::null()),
    ];
    let spec = PyTypeSpec {
        name: c"pyrec.callback".as_ptr(),
        size: offset as c_int + size_of::<Callback>() as c_int,
        item_size: 0,
        flags: DISALLOW_INSTANTIATION | HAVE_VECTORCALL,
        slots: slots.as_ptr(),
    };
    // SAFETY: CPython copies the specification, except for the name, which is static.
    python.owned(unsafe { (python.type_from_spec)(&spec) })
}

fn new_callback<'py>(
    python: &'py PythonApi,
    class: &Owned<'py>,
    callback: Callback,
) -> Result<Owned<'py>, Raised> {
    // SAFETY: instances of the type have space for one pointer at the offset.
    unsafe {
        let object = python.owned((python.type_generic_alloc)(class.as_ptr(), 0))?;
        object.as_ptr().byte_offset(function_offset(python)?).cast::<Callback>().write(callback);
        Ok(object)
    }
}

/// `PY_VECTORCALL_ARGUMENTS_OFFSET`, a flag in the number of arguments.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

/// The callback for an event of a frame. The first argument is the code object. The second is the
/// line for `LINE` events, otherwise the instruction's offset in bytes.
unsafe extern "C" fn on_frame<const KIND: u8, const EXPOSES_MARKERS: bool>(
    _: *mut PyObject,
    arguments: *const *mut PyObject,
    count: usize,
    _: *mut PyObject,
) -> *mut PyObject {
    let none = context::get().python.none;
    let Some(kind) = RecordKind::from_u8(KIND) else { return none };
    if count & !ARGUMENTS_OFFSET >= 2 {
        // SAFETY: CPython calls this with the GIL held and has saved and cleared a pending
        // exception. There are at least two arguments.
        unsafe {
            let number = int_argument(*arguments.add(1));
            let arg = if KIND == RecordKind::Line as u8 { number } else { number / 2 };
            if record::code_event(kind, *arguments, arg) {
                return disable(kind, *arguments);
            }
            if EXPOSES_MARKERS {
                static_markers::code_event(kind, *arguments, arg);
            }
        }
    }
    // None is immortal since 3.12.
    none
}

/// The result of a callback for a code object that is not recorded. `DISABLE` stops CPython from
/// reporting this event at this instruction. The result is None if the event must stay enabled.
#[cold]
#[inline(never)]
unsafe fn disable(kind: RecordKind, code: *mut PyObject) -> *mut PyObject {
    let context = context::get();
    let disable = DISABLE.load(Relaxed);
    // Events of `threading.Thread._bootstrap` stay enabled. It is the first frame of a thread that
    // `threading` starts, and the agent reads the thread's name from it.
    if disable.is_null() || !is_local(kind) || thread_names::is_bootstrap(context, code) {
        return context.python.none;
    }
    // SAFETY: the agent holds a reference to the object.
    unsafe { (context.python.inc_ref)(disable) };
    disable
}

/// The callback for a call or its end. The arguments are the code object of the caller, the
/// instruction's offset in bytes, the callable, and the callable's first argument. CPython reports
/// `CALL` for every call, but `C_RETURN` and `C_RAISE` only if the callable is not a Python
/// function.
unsafe extern "C" fn on_call<const KIND: u8, const CFUNCTIONS: bool, const CLASSES: bool>(
    _: *mut PyObject,
    arguments: *const *mut PyObject,
    count: usize,
    _: *mut PyObject,
) -> *mut PyObject {
    let none = context::get().python.none;
    let Some(kind) = RecordKind::from_u8(KIND) else { return none };
    if count & !ARGUMENTS_OFFSET < 3 {
        return none;
    }
    let is_start = KIND == RecordKind::InstanceStart as u8;
    // SAFETY: CPython calls this with the GIL held and has saved and cleared a pending exception.
    // There are at least three arguments.
    unsafe {
        let (code, callable) = (*arguments, *arguments.add(2));
        if CLASSES && instances::is_class(callable) {
            let code_unit = int_argument(*arguments.add(1)) / 2;
            let is_unrecorded = instances::record(kind, code, code_unit, callable);
            // CPython accepts `DISABLE` only from `CALL`, not from the end of a call. While C
            // functions are recorded, `CALL` stays enabled, because calls of C functions are
            // recorded even from excluded code objects.
            return if is_unrecorded && is_start && !CFUNCTIONS { disable(kind, code) } else { none };
        }
        if CFUNCTIONS {
            let kind = if is_start { RecordKind::CfunctionCall } else { RecordKind::CfunctionReturn };
            cfunctions::record(kind, callable);
        }
    }
    none
}

/// The value of an `int` argument.
#[inline(always)]
unsafe fn int_argument(object: *mut PyObject) -> u32 {
    // SAFETY: CPython passes an `int`.
    unsafe { (context::get().python.long_as_long)(object) as u32 }
}
