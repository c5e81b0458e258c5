//! Calls of C functions, recorded by name.
//!
//! Two types of objects count as C functions, as they do for `sys.setprofile`:
//! `builtin_function_or_method` (`len`, `[].append`) and `method_descriptor` (`list.append`). Both
//! hold a `PyMethodDef`, by which a function's name and id are cached: the id in a table that is
//! read without a lock, the name in a map.

use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use core::ffi::{CStr, c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use pyrec_wire::{Record, RecordKind};

use crate::context::Context;
use crate::os::{self, Errno, Lock, clock};
use crate::python::class::{self, field, type_of};
use crate::python::{Owned, PyMethodDef, PyObject, PythonApi, Raised};
use crate::record;
use crate::ring::definitions;
use crate::ring::thread::Thread;

// Offsets of fields, behind the headers `PyObject` and `PyDescr_COMMON`.
const FUNCTION_METHOD: usize = 16;
const FUNCTION_SELF: usize = 24;
const BOUND_FUNCTION: usize = 16;
const DESCRIPTOR_METHOD: usize = 40;

/// CPython's types; null if this version does not have one.
struct Types {
    /// `PyCFunction_Type`.
    function: AtomicPtr<c_void>,
    /// `PyCMethod_Type`, a function with its defining class. Since 3.9.
    class_function: AtomicPtr<c_void>,
    /// `PyMethodDescr_Type`.
    descriptor: AtomicPtr<c_void>,
    /// `PyClassMethodDescr_Type`.
    class_descriptor: AtomicPtr<c_void>,
    /// `PyMethod_Type`, a bound method of any function.
    bound: AtomicPtr<c_void>,
}

static TYPES: Types = Types {
    function: AtomicPtr::new(ptr::null_mut()),
    class_function: AtomicPtr::new(ptr::null_mut()),
    descriptor: AtomicPtr::new(ptr::null_mut()),
    class_descriptor: AtomicPtr::new(ptr::null_mut()),
    bound: AtomicPtr::new(ptr::null_mut()),
};

/// A cached id. Read and written with the GIL.
struct CachedId {
    method: AtomicPtr<PyMethodDef>,
    /// The method's name when it was cached. An extension may free a definition, and another one
    /// may take its address; the name's address tells the two apart.
    name: AtomicPtr<c_char>,
    /// The id of the name's text, or [`UNRECORDED`].
    id: AtomicU32,
}

const CACHE_SLOTS: usize = 1 << 12;

/// The ids of methods. A method has one slot, by its address; a later one replaces it.
static IDS: [CachedId; CACHE_SLOTS] = [const {
    CachedId {
        method: AtomicPtr::new(ptr::null_mut()),
        name: AtomicPtr::new(ptr::null_mut()),
        id: AtomicU32::new(0),
    }
}; CACHE_SLOTS];

/// In place of an id: the filter excludes the function.
const UNRECORDED: u32 = 0;

/// Qualified names by the address of the method, with the address of the plain name.
static NAMES: Lock<BTreeMap<usize, (usize, String)>> = Lock::new(BTreeMap::new());

/// Looks up the types, and verifies the layout of their objects.
pub fn prepare(python: &PythonApi) -> Result<(), Raised> {
    for (class, symbol) in [
        (&TYPES.function, c"PyCFunction_Type"),
        (&TYPES.class_function, c"PyCMethod_Type"),
        (&TYPES.descriptor, c"PyMethodDescr_Type"),
        (&TYPES.class_descriptor, c"PyClassMethodDescr_Type"),
        (&TYPES.bound, c"PyMethod_Type"),
    ] {
        class.store(os::symbol(symbol), Relaxed);
    }
    // SAFETY: the function accepts any size.
    let list = python.owned(unsafe { (python.list_new)(0) })?;
    let function = python.attribute(list.as_ptr(), c"append")?;
    let class = python.attribute(list.as_ptr(), c"__class__")?;
    let descriptor = python.attribute(class.as_ptr(), c"append")?;
    // SAFETY: the offsets lie within the objects, and the pointer is followed only after the
    // comparisons before it.
    let is_expected = unsafe {
        let has_type =
            |object: &Owned<'_>, class: &AtomicPtr<c_void>| type_of(object.as_ptr()) == class.load(Relaxed);
        let method: *const PyMethodDef = field(function.as_ptr(), FUNCTION_METHOD);
        has_type(&function, &TYPES.function)
            && has_type(&descriptor, &TYPES.descriptor)
            && method == field(descriptor.as_ptr(), DESCRIPTOR_METHOD)
            && CStr::from_ptr((*method).name) == c"append"
    };
    if is_expected { Ok(()) } else { Err(Raised) }
}

/// Clears the cached ids, which are invalid in the child of a fork and in another session.
pub fn clear_ids() {
    if !TYPES.function.load(Relaxed).is_null() {
        IDS.iter().for_each(|cached| cached.method.store(ptr::null_mut(), Relaxed));
    }
}

/// Records the call of a C function, or its end. Does nothing if the object is not a C function.
///
/// # Safety
/// Needs the GIL, no exception pending, and an object.
#[inline(always)]
pub unsafe fn record(kind: RecordKind, callable: *mut PyObject) {
    let ticks = clock::ticks();
    // SAFETY: the caller guarantees an object.
    let Some(method) = (unsafe { method(callable) }) else { return };
    let thread = Thread::current();
    let cached = &IDS[slot(method)];
    // SAFETY: a callable's method definition exists as long as it can be called.
    let name = unsafe { (*method).name };
    if thread.is_recorded()
        && cached.method.load(Relaxed).cast_const() == method
        && cached.name.load(Relaxed).cast_const() == name
    {
        let id = cached.id.load(Relaxed);
        if id != UNRECORDED {
            // SAFETY: the thread is the current one, and recorded.
            unsafe { thread.push(Record::new(ticks, kind, 0, id)) };
        }
    } else {
        // SAFETY: the caller's guarantees are the same.
        record::cfunction_event(kind, ticks, |context| unsafe { id(context, callable, method) });
    }
}

/// The method's slot in the cache. Definitions lie 32 bytes apart, in arrays.
#[inline(always)]
fn slot(method: *const PyMethodDef) -> usize {
    let address = method.addr() >> 5;
    (address ^ address >> 12) % CACHE_SLOTS
}

/// The method definition of a C function; `None` if the object is something else.
///
/// # Safety
/// `callable` must point to an object.
#[inline(always)]
unsafe fn method(callable: *mut PyObject) -> Option<*const PyMethodDef> {
    // SAFETY: each field belongs to the type that was compared before.
    unsafe {
        let class = type_of(callable);
        if class == TYPES.function.load(Relaxed) {
            Some(field(callable, FUNCTION_METHOD))
        } else if class == TYPES.descriptor.load(Relaxed) {
            Some(field(callable, DESCRIPTOR_METHOD))
        } else if class == TYPES.class_function.load(Relaxed) {
            Some(field(callable, FUNCTION_METHOD))
        } else if class == TYPES.bound.load(Relaxed) {
            // CPython reports the call with the bound method, and its end with the function.
            let function = field(callable, BOUND_FUNCTION);
            (type_of(function) == TYPES.function.load(Relaxed)).then(|| field(function, FUNCTION_METHOD))
        } else {
            None
        }
    }
}

/// Returns the id of a method's name and caches it. Returns `None` if the filter excludes the
/// function.
///
/// # Safety
/// Needs the GIL, no exception pending, and an object with this method.
#[cold]
unsafe fn id(
    context: &Context,
    callable: *mut PyObject,
    method: *const PyMethodDef,
) -> Result<Option<u32>, Errno> {
    // SAFETY: the method exists as long as the callable.
    let plain = unsafe { (*method).name };
    let known = NAMES.with(|names| names.get(&method.addr()).cloned());
    let name = match known {
        Some((address, name)) if address == plain.addr() => name,
        _ => {
            // SAFETY: the caller's guarantees are the same; a method's name exists as long as the
            // method.
            let name = unsafe {
                let plain = CStr::from_ptr(plain).to_string_lossy();
                qualified_name(&context.python, callable, method, &plain)
                    .unwrap_or_else(|Raised| plain.into())
            };
            NAMES.with(|names| names.insert(method.addr(), (plain.addr(), name.clone())));
            name
        }
    };
    let session = context.session();
    let id = if session.filter().is_recorded("", &name) {
        definitions::text_id(session, &name)?
    } else {
        UNRECORDED
    };
    let cached = &IDS[slot(method)];
    cached.method.store(method.cast_mut(), Relaxed);
    cached.name.store(plain.cast_mut(), Relaxed);
    cached.id.store(id, Relaxed);
    Ok((id != UNRECORDED).then_some(id))
}

/// The name with the module or the defining class: `len`, `time.sleep`, `list.append`,
/// `collections.deque.append`.
///
/// # Safety
/// Needs the GIL, no exception pending, and an object with this method.
unsafe fn qualified_name(
    python: &PythonApi,
    callable: *mut PyObject,
    method: *const PyMethodDef,
    name: &str,
) -> Result<String, Raised> {
    // SAFETY: the caller guarantees an object.
    let class = unsafe { type_of(callable) };
    if class == TYPES.bound.load(Relaxed) {
        return Err(Raised);
    }
    if class == TYPES.descriptor.load(Relaxed) {
        let class = python.attribute(callable, c"__objclass__")?;
        return name_in_class(python, class.as_ptr(), name);
    }
    // The field, because the attribute `__self__` of a static method is None.
    // SAFETY: the field belongs to the type and exists as long as the function; every object has a
    // type.
    let (owner, class): (*mut PyObject, *mut PyObject) = unsafe {
        let owner = field(callable, FUNCTION_SELF);
        (owner, if owner.is_null() { owner } else { type_of(owner).cast() })
    };
    if owner.is_null() || class == os::symbol(c"PyModule_Type").cast() {
        let module = python.str_value(python.attribute(callable, c"__module__")?.as_ptr())?;
        return Ok(class::qualify(&module, name));
    }
    let is_class = class::attribute(python, owner, c"__mro__").is_ok();
    let class = if is_class { owner } else { class };
    match defining_class(python, class, method, name) {
        Ok(defining) => name_in_class(python, defining.as_ptr(), name),
        Err(Raised) => name_in_class(python, class, name),
    }
}

fn name_in_class(python: &PythonApi, class: *mut PyObject, name: &str) -> Result<String, Raised> {
    Ok(format!("{}.{name}", class::name(python, class)?))
}

/// The class among `class` and its bases whose own dictionary has the method, so that a method is
/// named the same in all subclasses.
fn defining_class<'py>(
    python: &'py PythonApi,
    class: *mut PyObject,
    method: *const PyMethodDef,
    name: &str,
) -> Result<Owned<'py>, Raised> {
    let name = CString::new(name).map_err(|_| Raised)?;
    let classes = class::attribute(python, class, c"__mro__")?;
    // SAFETY: a missing item or an object of an unexpected type raises; the field belongs to the
    // type that was compared before.
    unsafe {
        for at in 0..(python.tuple_size)(classes.as_ptr()) {
            let class = python.borrowed((python.tuple_get_item)(classes.as_ptr(), at))?;
            let own = class::attribute(python, class.as_ptr(), c"__dict__")?;
            let Ok(found) = python.owned((python.mapping_get_item_string)(own.as_ptr(), name.as_ptr()))
            else {
                continue;
            };
            let found_type = type_of(found.as_ptr());
            let is_descriptor = [&TYPES.descriptor, &TYPES.class_descriptor]
                .iter()
                .any(|class| class.load(Relaxed) == found_type);
            if is_descriptor && method == field(found.as_ptr(), DESCRIPTOR_METHOD) {
                return Ok(class);
            }
        }
    }
    Err(Raised)
}
