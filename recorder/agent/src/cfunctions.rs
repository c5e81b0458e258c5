//! Functions written in C, by their names.
//!
//! Two kinds of objects count as such, as for `sys.setprofile`: `builtin_function_or_method` (`len`, `[].append`) and
//! `method_descriptor` (`list.append`). Both hold the `PyMethodDef` of what is called, and that is what a name is kept
//! by: 4,096 of them in a table that is read without a lock, all in a map behind it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use pyrec_wire::{Record, RecordKind};

use crate::agent::{self, Agent};
use crate::class::{self, field, type_of};
use crate::lock::Lock;
use crate::os::{self, Errno};
use crate::python::{Method, Object, Owned, Python, Raised};
use crate::thread::Thread;
use crate::{clock, definitions};

/// Where the objects have their fields: behind what all have; those of a descriptor behind what all of these have.
const FUNCTION_METHOD: usize = 16;
const FUNCTION_OWNER: usize = 24;
const BOUND_FUNCTION: usize = 16;
const DESCRIPTOR_METHOD: usize = 40;

/// The types, as far as this CPython has them.
struct Types {
    function: AtomicPtr<c_void>,
    /// A function that knows its class, 3.9 and later.
    class_function: AtomicPtr<c_void>,
    descriptor: AtomicPtr<c_void>,
    class_descriptor: AtomicPtr<c_void>,
    /// A method, of any function.
    bound: AtomicPtr<c_void>,
}

static TYPES: Types = Types {
    function: AtomicPtr::new(ptr::null_mut()),
    class_function: AtomicPtr::new(ptr::null_mut()),
    descriptor: AtomicPtr::new(ptr::null_mut()),
    class_descriptor: AtomicPtr::new(ptr::null_mut()),
    bound: AtomicPtr::new(ptr::null_mut()),
};

const SLOTS: usize = 1 << 12;
const ID_BITS: u32 = 20;

/// The numbers of names: the upper bits of each slot are those of the method's address, the lower ones its number.
static NUMBERS: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];

/// In the place of a number: the method is not recorded.
const LEFT_OUT: u32 = 0;

/// The names of all methods seen.
static NAMES: Lock<BTreeMap<usize, String>> = Lock::new(BTreeMap::new());

/// Finds the types, and sees whether their objects are laid out as expected.
pub fn prepare(python: &Python) -> Result<(), Raised> {
    for (place, symbol) in [
        (&TYPES.function, c"PyCFunction_Type"),
        (&TYPES.class_function, c"PyCMethod_Type"),
        (&TYPES.descriptor, c"PyMethodDescr_Type"),
        (&TYPES.class_descriptor, c"PyClassMethodDescr_Type"),
        (&TYPES.bound, c"PyMethod_Type"),
    ] {
        place.store(os::symbol(symbol), Relaxed);
    }
    // SAFETY: it takes a number.
    let list = python.owned(unsafe { (python.list_new)(0) })?;
    let function = python.attribute(list.as_ptr(), c"append")?;
    let class = python.attribute(list.as_ptr(), c"__class__")?;
    let descriptor = python.attribute(class.as_ptr(), c"append")?;
    // SAFETY: the offsets lie within each of the objects, and what is compared is not followed before that.
    let as_expected = unsafe {
        let is =
            |object: &Owned<'_>, place: &AtomicPtr<c_void>| type_of(object.as_ptr()) == place.load(Relaxed);
        let method: *const Method = field(function.as_ptr(), FUNCTION_METHOD);
        is(&function, &TYPES.function)
            && is(&descriptor, &TYPES.descriptor)
            && method == field(descriptor.as_ptr(), DESCRIPTOR_METHOD)
            && CStr::from_ptr((*method).name) == c"append"
    };
    if as_expected { Ok(()) } else { Err(Raised) }
}

/// In the child of a fork, or in another session: the numbers are those of the one before.
pub fn begin_anew() {
    if !TYPES.function.load(Relaxed).is_null() {
        NUMBERS.iter().for_each(|slot| slot.store(0, Relaxed));
    }
}

/// Records a call of what may be a function in C, or its end.
///
/// # Safety
/// With the GIL, no exception pending, and an object.
#[inline(always)]
pub unsafe fn record(kind: RecordKind, callable: *mut Object) {
    let ticks = clock::ticks();
    // SAFETY: the caller's promise.
    let Some(method) = (unsafe { method(callable) }) else { return };
    let thread = Thread::current();
    let known = NUMBERS[slot(method)].load(Relaxed);
    if thread.is_recorded() && known >> ID_BITS == key(method) {
        let id = known as u32 & ((1 << ID_BITS) - 1);
        if id != LEFT_OUT {
            // SAFETY: the thread is the current one, and recorded.
            unsafe { thread.push(Record::new(ticks, kind, 0, id)) };
        }
    } else {
        // SAFETY: the caller's promise.
        agent::record_cfunction(kind, ticks, |agent| unsafe { number(agent, callable, method) });
    }
}

/// The bits of an address that tell methods apart.
#[inline(always)]
fn key(method: *const Method) -> u64 {
    method.addr() as u64 >> 3 & ((1 << (u64::BITS - ID_BITS)) - 1)
}

/// Methods lie 32 bytes apart, in tables.
#[inline(always)]
fn slot(method: *const Method) -> usize {
    let address = method.addr() >> 5;
    (address ^ address >> 12) % SLOTS
}

/// What a function in C holds, none if the object is something else.
///
/// # Safety
/// An object.
#[inline(always)]
unsafe fn method(callable: *mut Object) -> Option<*const Method> {
    // SAFETY: each field is one of its type's.
    unsafe {
        let class = type_of(callable);
        if class == TYPES.function.load(Relaxed) {
            Some(field(callable, FUNCTION_METHOD))
        } else if class == TYPES.descriptor.load(Relaxed) {
            Some(field(callable, DESCRIPTOR_METHOD))
        } else if class == TYPES.class_function.load(Relaxed) {
            Some(field(callable, FUNCTION_METHOD))
        } else if class == TYPES.bound.load(Relaxed) {
            // CPython tells of such a call before it looks inside, and of its end after that.
            let function = field(callable, BOUND_FUNCTION);
            (type_of(function) == TYPES.function.load(Relaxed)).then(|| field(function, FUNCTION_METHOD))
        } else {
            None
        }
    }
}

/// The number of a method's name, which is kept; none where it is left out.
///
/// # Safety
/// With the GIL, no exception pending, and an object that holds the method.
#[cold]
unsafe fn number(agent: &Agent, callable: *mut Object, method: *const Method) -> Result<Option<u32>, Errno> {
    let known = NAMES.with(|names| names.get(&method.addr()).cloned());
    let name = known.unwrap_or_else(|| {
        // SAFETY: the caller's promise; a method's name is there as long as the method.
        let name = unsafe {
            let plain = CStr::from_ptr((*method).name).to_string_lossy();
            qualified(&agent.python, callable, method, &plain).unwrap_or_else(|Raised| plain.into())
        };
        NAMES.with(|names| names.insert(method.addr(), name.clone()));
        name
    });
    let id = if agent.filter().is_recorded("", &name) { definitions::text(agent, &name)? } else { LEFT_OUT };
    if id >> ID_BITS == 0 {
        NUMBERS[slot(method)].store(key(method) << ID_BITS | u64::from(id), Relaxed);
    }
    Ok((id != LEFT_OUT).then_some(id))
}

/// `len`, `time.sleep`, `list.append`, `collections.deque.append`: a method by the class that defines it.
///
/// # Safety
/// With the GIL, no exception pending, and an object that holds the method.
unsafe fn qualified(
    python: &Python,
    callable: *mut Object,
    method: *const Method,
    name: &str,
) -> Result<String, Raised> {
    // SAFETY: the caller's promise.
    let class = unsafe { type_of(callable) };
    if class == TYPES.bound.load(Relaxed) {
        return Err(Raised);
    }
    if class == TYPES.descriptor.load(Relaxed) {
        let class = python.attribute(callable, c"__objclass__")?;
        return of_class(python, class.as_ptr(), name);
    }
    // Not `__self__`, which static methods keep to themselves.
    // SAFETY: the field is one of its type's, and lives as long as the function; every object has a type.
    let (owner, class): (*mut Object, *mut Object) = unsafe {
        let owner = field(callable, FUNCTION_OWNER);
        (owner, if owner.is_null() { owner } else { type_of(owner).cast() })
    };
    if owner.is_null() || class == os::symbol(c"PyModule_Type").cast() {
        let module = python.to_text(python.attribute(callable, c"__module__")?.as_ptr())?;
        return Ok(class::in_module(&module, name));
    }
    let is_class = class::attribute(python, owner, c"__mro__").is_ok();
    let class = if is_class { owner } else { class };
    match defining(python, class, method, name) {
        Ok(defining) => of_class(python, defining.as_ptr(), name),
        Err(Raised) => of_class(python, class, name),
    }
}

fn of_class(python: &Python, class: *mut Object, name: &str) -> Result<String, Raised> {
    Ok(alloc::format!("{}.{name}", class::name(python, class)?))
}

/// The class that has the method in its own dictionary: a subclass's objects are not why it has another name.
fn defining<'py>(
    python: &'py Python,
    class: *mut Object,
    method: *const Method,
    name: &str,
) -> Result<Owned<'py>, Raised> {
    let name = alloc::ffi::CString::new(name).map_err(|_| Raised)?;
    let classes = class::attribute(python, class, c"__mro__")?;
    // SAFETY: a missing item raises, and each function takes any object; the field is one of its type's.
    unsafe {
        for at in 0..(python.tuple_len)(classes.as_ptr()) {
            let class = python.lent((python.tuple_get)(classes.as_ptr(), at))?;
            let own = class::attribute(python, class.as_ptr(), c"__dict__")?;
            let Ok(found) = python.owned((python.map_get)(own.as_ptr(), name.as_ptr())) else { continue };
            let found_type = type_of(found.as_ptr());
            let is_descriptor = [&TYPES.descriptor, &TYPES.class_descriptor]
                .iter()
                .any(|place| place.load(Relaxed) == found_type);
            if is_descriptor && method == field(found.as_ptr(), DESCRIPTOR_METHOD) {
                return Ok(class);
            }
        }
    }
    Err(Raised)
}
