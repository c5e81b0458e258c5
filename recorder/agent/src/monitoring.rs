//! CPython 3.12 and later: `sys.monitoring`.
//!
//! CPython calls one callable per kind of event, as `callable(code, offset, …)` or `callable(code, line)`. Ours are
//! instances of a type whose vectorcall slot is the Rust function itself, so nothing stands between the interpreter
//! and the record.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::agent::{self, Agent, CFUNCTION, FUNCTION, INSTANCE, LINE};
use crate::functions::Failure;
use crate::python::{Member, Object, Owned, Python, Raised, Slot, TypeSpec};
use crate::{cfunctions, instances, markers, names};

type Callback = unsafe extern "C" fn(*mut Object, *const *mut Object, usize, *mut Object) -> *mut Object;

/// What frames do, by the event's name in `sys.monitoring.events`; `MARKED` where static markers are fired, too.
const fn of_frames<const MARKED: bool>() -> [(&'static CStr, RecordKind, Callback); 7] {
    [
        (c"PY_START", RecordKind::Call, on_offset::<{ RecordKind::Call as u8 }, MARKED>),
        (c"PY_RESUME", RecordKind::Resume, on_offset::<{ RecordKind::Resume as u8 }, MARKED>),
        (c"PY_THROW", RecordKind::Throw, on_offset::<{ RecordKind::Throw as u8 }, MARKED>),
        (c"PY_RETURN", RecordKind::Return, on_offset::<{ RecordKind::Return as u8 }, MARKED>),
        (c"PY_YIELD", RecordKind::Yield, on_offset::<{ RecordKind::Yield as u8 }, MARKED>),
        (c"PY_UNWIND", RecordKind::Unwind, on_offset::<{ RecordKind::Unwind as u8 }, MARKED>),
        (c"LINE", RecordKind::Line, on_offset::<{ RecordKind::Line as u8 }, MARKED>),
    ]
}

/// What happens to callables: which of it, for functions in C, for classes, or for both.
const fn of_callables<const CFUNCTIONS: bool, const CLASSES: bool>()
-> [(&'static CStr, RecordKind, Callback); 3] {
    [
        (
            c"CALL",
            RecordKind::InstanceStart,
            on_callable::<{ RecordKind::InstanceStart as u8 }, CFUNCTIONS, CLASSES>,
        ),
        (
            c"C_RETURN",
            RecordKind::InstanceDone,
            on_callable::<{ RecordKind::InstanceDone as u8 }, CFUNCTIONS, CLASSES>,
        ),
        (
            c"C_RAISE",
            RecordKind::InstanceFailed,
            on_callable::<{ RecordKind::InstanceFailed as u8 }, CFUNCTIONS, CLASSES>,
        ),
    ]
}

/// Tool numbers, the likeliest to be free first. 0 to 2 are a debugger's, coverage's and a profiler's by convention,
/// and the program may want to use one of those.
const TOOLS: [i64; 6] = [5, 4, 3, 2, 1, 0];
const NAME: &CStr = c"pyrec";

/// The number that we have, -1 if none.
static TOOL: AtomicI64 = AtomicI64::new(-1);

/// `sys.monitoring.DISABLE`.
static DISABLE: AtomicPtr<Object> = AtomicPtr::new(ptr::null_mut());

/// The type of CPython's `int` keeps a small number's value at this offset; 0 if that is not known.
static DIGIT_OFFSET: AtomicU64 = AtomicU64::new(0);

/// `sys.monitoring` as the rest of the agent needs it.
pub struct Monitoring<'py> {
    python: &'py Python,
    module: Owned<'py>,
    tool: i64,
    events: i64,
    /// Those of them that can be switched on for one code object.
    local_events: i64,
}

/// Registers the callbacks for the groups that the recorder asks for. They are not switched on yet.
pub fn prepare(agent: &'static Agent) -> Result<Monitoring<'static>, Failure> {
    let python = &agent.python;
    let module = python.sys(c"monitoring")?;
    let tool = take_tool(python, &module)?;
    let numbers = python.attribute(module.as_ptr(), c"events")?;
    let class = callback_type(python)?;
    DISABLE.store(python.attribute(module.as_ptr(), c"DISABLE")?.into_ptr(), Relaxed);
    let (mut events, mut local_events) = (0, 0);
    let of_frames = if agent.exposes_markers() { of_frames::<true>() } else { of_frames::<false>() };
    let is_wanted = |kind: RecordKind| agent.wants(if kind == RecordKind::Line { LINE } else { FUNCTION });
    let of_frames = of_frames.into_iter().filter(|(_, kind, _)| is_wanted(*kind));
    let of_callables = match (agent.wants(CFUNCTION), agent.wants(INSTANCE)) {
        (true, true) => Some(of_callables::<true, true>()),
        (true, false) => Some(of_callables::<true, false>()),
        (false, true) => Some(of_callables::<false, true>()),
        (false, false) => None,
    };
    for (name, kind, callback) in of_frames.chain(of_callables.into_iter().flatten()) {
        let event = python.to_integer(python.attribute(numbers.as_ptr(), name)?.as_ptr())?;
        let callback = new_callback(python, &class, callback)?;
        let (tool, number) = (python.new_integer(tool)?, python.new_integer(event)?);
        let arguments = [tool.as_ptr(), number.as_ptr(), callback.as_ptr()];
        python.method(&module, c"register_callback", &arguments)?;
        events |= event;
        if !matches!(kind, RecordKind::Throw | RecordKind::Unwind) {
            local_events |= event;
        }
    }
    Ok(Monitoring { python, module, tool, events, local_events })
}

impl Monitoring<'_> {
    /// Switches the events on, everywhere.
    pub fn switch_on(&self) -> Result<(), Raised> {
        TOOL.store(self.tool, Relaxed);
        self.set(c"set_events", &[], self.events)
    }

    /// Switches the events on or off for one code object.
    pub fn switch_local(&self, code: *mut Object, on: bool) -> Result<(), Raised> {
        self.set(c"set_local_events", &[code], if on { self.local_events } else { 0 })
    }

    fn set(&self, method: &CStr, code: &[*mut Object], events: i64) -> Result<(), Raised> {
        let (tool, events) = (self.python.new_integer(self.tool)?, self.python.new_integer(events)?);
        match code {
            [] => self.python.method(&self.module, method, &[tool.as_ptr(), events.as_ptr()])?,
            [code, ..] => {
                self.python.method(&self.module, method, &[tool.as_ptr(), *code, events.as_ptr()])?
            }
        };
        Ok(())
    }
}

/// Switches all events off, and gives the tool number back.
pub fn remove(agent: &'static Agent) {
    let python = &agent.python;
    let tool = TOOL.swap(-1, Relaxed);
    if tool < 0 {
        return;
    }
    if let Ok(module) = python.sys(c"monitoring") {
        let monitoring = Monitoring { python, module, tool, events: 0, local_events: 0 };
        let _ = monitoring.set(c"set_events", &[], 0);
        if !agent.filter().records_all() {
            // Another recording may ask for what was left out of this one.
            let _ = python.method(&monitoring.module, c"restart_events", &[]);
        }
        let _ = python.new_integer(tool).and_then(|tool| {
            python.method(&monitoring.module, c"free_tool_id", &[tool.as_ptr()])?;
            Ok(())
        });
    }
}

fn take_tool(python: &Python, module: &Owned<'_>) -> Result<i64, Failure> {
    let name = python.new_text(NAME)?;
    for tool in TOOLS {
        let number = python.new_integer(tool)?;
        if python.method(module, c"use_tool_id", &[number.as_ptr(), name.as_ptr()]).is_ok() {
            return Ok(tool);
        }
    }
    Err(Failure::NoTool)
}

/// Where the vectorcall slot lies in a callback: behind the `PyObject`.
fn slot_offset(python: &Python) -> Result<isize, Raised> {
    let object = python.lent(python.object_type)?;
    Ok(python.to_integer(python.attribute(object.as_ptr(), c"__basicsize__")?.as_ptr())? as isize)
}

fn callback_type(python: &Python) -> Result<Owned<'_>, Raised> {
    const READ_ONLY: c_int = 1;
    const T_PYSSIZET: c_int = 19;
    const TP_CALL: c_int = 50;
    const TP_MEMBERS: c_int = 72;
    const DISALLOW_INSTANTIATION: u32 = 1 << 7;
    const HAVE_VECTORCALL: u32 = 1 << 11;
    let end = Member { name: ptr::null(), kind: 0, offset: 0, flags: 0, doc: ptr::null() };
    let offset = slot_offset(python)?;
    let name = c"__vectorcalloffset__".as_ptr();
    let members = [Member { name, kind: T_PYSSIZET, offset, flags: READ_ONLY, doc: ptr::null() }, end];
    let slots = [
        Slot(TP_CALL, python.vectorcall_call as *const c_void),
        Slot(TP_MEMBERS, members.as_ptr().cast()),
        Slot(0, ptr::null()),
    ];
    let spec = TypeSpec {
        name: c"pyrec.callback".as_ptr(),
        size: offset as c_int + size_of::<Callback>() as c_int,
        item_size: 0,
        flags: DISALLOW_INSTANTIATION | HAVE_VECTORCALL,
        slots: slots.as_ptr(),
    };
    // SAFETY: CPython copies what it needs, but for the name, which is static.
    python.owned(unsafe { (python.type_new)(&spec) })
}

fn new_callback<'py>(
    python: &'py Python,
    class: &Owned<'py>,
    callback: Callback,
) -> Result<Owned<'py>, Raised> {
    // SAFETY: the type's instances have room for one pointer at the offset.
    unsafe {
        let object = python.owned((python.object_new)(class.as_ptr(), 0))?;
        object.as_ptr().byte_offset(slot_offset(python)?).cast::<Callback>().write(callback);
        Ok(object)
    }
}

/// The bit of a vectorcall's count that says that the slot before the arguments may be used.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

/// The callback of what a frame does: the first argument is the code object, the second the offset in bytes, or the
/// line.
unsafe extern "C" fn on_offset<const KIND: u8, const MARKED: bool>(
    _: *mut Object,
    arguments: *const *mut Object,
    count: usize,
    _: *mut Object,
) -> *mut Object {
    let none = agent::get().python.none;
    let Some(kind) = RecordKind::from_u8(KIND) else { return none };
    if count & !ARGUMENTS_OFFSET >= 2 {
        // SAFETY: there are two arguments.
        unsafe {
            let number = small_number(*arguments.add(1));
            let arg = if KIND == RecordKind::Line as u8 { number } else { number / 2 };
            if agent::record(kind, *arguments, arg) {
                return leave_out(kind, *arguments);
            }
            if MARKED {
                markers::function(kind, *arguments, arg);
            }
        }
    }
    // None is immortal in all of these versions.
    none
}

/// What a callback gives that needs not be called again for this place in a code object that is left out.
#[cold]
#[inline(never)]
unsafe fn leave_out(kind: RecordKind, code: *mut Object) -> *mut Object {
    let agent = agent::get();
    let disable = DISABLE.load(Relaxed);
    // The others cannot be switched off place by place.
    let is_local = !matches!(kind, RecordKind::Throw | RecordKind::Unwind);
    if disable.is_null() || !is_local || names::is_first(agent, code) {
        return agent.python.none;
    }
    // SAFETY: an object that lives as long as CPython.
    unsafe { (agent.python.increase)(disable) };
    disable
}

/// The callback of a call: code object, offset, what is called, its first argument. CPython tells of every call, and
/// of the ends of those that were no Python functions.
unsafe extern "C" fn on_callable<const KIND: u8, const CFUNCTIONS: bool, const CLASSES: bool>(
    _: *mut Object,
    arguments: *const *mut Object,
    count: usize,
    _: *mut Object,
) -> *mut Object {
    let none = agent::get().python.none;
    let Some(kind) = RecordKind::from_u8(KIND) else { return none };
    if count & !ARGUMENTS_OFFSET < 3 {
        return none;
    }
    let is_call = KIND == RecordKind::InstanceStart as u8;
    // SAFETY: CPython calls with the GIL, puts exceptions aside, and there are three arguments.
    unsafe {
        let (code, callable) = (*arguments, *arguments.add(2));
        if CLASSES && instances::is_class(callable) {
            let unit = small_number(*arguments.add(1)) / 2;
            let is_left_out = instances::record(kind, code, unit, callable);
            // Functions in C are recorded in that code, too, and only calls can be switched off.
            return if is_left_out && is_call && !CFUNCTIONS { leave_out(kind, code) } else { none };
        }
        if CFUNCTIONS {
            let kind = if is_call { RecordKind::CfunctionCall } else { RecordKind::CfunctionReturn };
            cfunctions::record(kind, callable);
        }
    }
    none
}

/// The value of an `int`.
#[inline(always)]
unsafe fn small_number(object: *mut Object) -> u32 {
    let _ = &DIGIT_OFFSET;
    // SAFETY: any object may be asked.
    unsafe { (agent::get().python.integer)(object) as u32 }
}
