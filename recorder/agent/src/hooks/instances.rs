//! Instance events: the start and the end of each call of a class. CPython 3.12 and later report
//! them by the same events of `sys.monitoring` as other calls.
//!
//! A record carries the id of a *site*, which is the calling code object and the class's name. Site
//! ids are cached by the code object's id, the class's address and the class's version tag. CPython
//! assigns a new tag when a class is changed and never reuses a tag. A new class at the address of
//! a freed class therefore does not match the cached entry.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::context::Context;
use crate::os::{self, Errno, clock};
use crate::python::class::{self, field, type_of};
use crate::python::{PyObject, PythonApi, Raised};
use crate::record;
use crate::ring::definitions;

// Offsets of `tp_flags` and `tp_version_tag` in a class.
const TP_FLAGS: usize = 168;
const TP_VERSION_TAG: usize = 384;

/// `Py_TPFLAGS_TYPE_SUBCLASS`: the class is a metaclass.
const TYPE_SUBCLASS: u64 = 1 << 31;

/// The class `type`. Calls of it are not recorded, because most of them are `type(object)`, which
/// creates no instance.
static TYPE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// A cached site id. Accessed only with the GIL held.
struct CachedSite {
    /// The address of the class; 0 in an empty slot.
    class: AtomicUsize,
    /// The id of the code object in the upper half, the version tag of the class in the lower.
    key: AtomicU64,
    /// The id of the site.
    id: AtomicU32,
}

const CACHE_SLOTS: usize = 1 << 12;

static SITES: [CachedSite; CACHE_SLOTS] =
    [const { CachedSite { class: AtomicUsize::new(0), key: AtomicU64::new(0), id: AtomicU32::new(0) } };
        CACHE_SLOTS];

/// Looks up `type`, and verifies the offsets of `tp_flags` and `tp_version_tag` with a class made
/// for this purpose.
///
/// # Errors
/// If CPython raises an exception or the layout is not the expected one.
pub fn prepare(python: &PythonApi) -> Result<(), Raised> {
    let type_type: *mut PyObject = os::symbol(c"PyType_Type").cast();
    if type_type.is_null() {
        return Err(Raised);
    }
    TYPE.store(type_type.cast(), Relaxed);
    // SAFETY: `PyTuple_New` accepts any size, and `PyDict_New` has no arguments.
    let (bases, names) =
        unsafe { (python.owned((python.tuple_new)(0))?, python.owned((python.dict_new)())?) };
    let name = python.new_str(c"pyrec")?;
    let class = python.call(type_type, &[name.as_ptr(), bases.as_ptr(), names.as_ptr()])?;
    let class = class.as_ptr();
    // The lookup of an attribute assigns a version tag, except for a data descriptor of `type`,
    // such as `__doc__`, which CPython finds without a search of the class.
    let tag_after_lookup = || python.attribute(class, c"__init__").map(|_| version_tag(class));
    let before = tag_after_lookup()?;
    // SAFETY: the name ends in a zero byte, and `class` is an object.
    python.check_status(unsafe { (python.set_attr_string)(class, c"changed".as_ptr(), python.none) })?;
    let after = tag_after_lookup()?;
    // SAFETY: the offset lies within every class.
    let (flags_of_type, flags_of_class) =
        unsafe { (field::<u64>(type_type, TP_FLAGS), field::<u64>(class, TP_FLAGS)) };
    let flags =
        |class| python.attribute(class, c"__flags__").and_then(|flags| python.int_value(flags.as_ptr()));
    let is_expected = flags_of_type as i64 == flags(type_type)?
        && flags_of_class as i64 == flags(class)?
        && flags_of_type & !flags_of_class & TYPE_SUBCLASS != 0
        && before != 0
        && after != 0
        && before != after;
    if is_expected { Ok(()) } else { Err(Raised) }
}

/// Clears the cached ids. Ids are valid in one process and one session only, so this is called
/// after a fork and at the start of another session.
pub fn clear_ids() {
    if !TYPE.load(Relaxed).is_null() {
        SITES.iter().for_each(|cached| cached.class.store(0, Relaxed));
    }
}

/// Whether the object is a class other than `type`.
///
/// # Safety
/// `callable` must point to an object.
#[inline(always)]
pub unsafe fn is_class(callable: *mut PyObject) -> bool {
    let type_type = TYPE.load(Relaxed);
    // SAFETY: every object has a type, and every type has flags.
    unsafe {
        let class = type_of(callable);
        let is_class = class == type_type || field::<u64>(class.cast(), TP_FLAGS) & TYPE_SUBCLASS != 0;
        is_class && callable.cast() != type_type
    }
}

/// Records the start or the end of a call of `class` from the code object `code`. `arg` is the
/// offset of the calling instruction in code units. Returns whether the code object is excluded
/// from the recording.
///
/// # Safety
/// The caller must hold the GIL, and no exception may be pending. `code` must be a code object, and
/// `class` a class.
pub unsafe fn record(kind: RecordKind, code: *mut PyObject, arg: u32, class: *mut PyObject) -> bool {
    let ticks = clock::ticks();
    // SAFETY: the caller guarantees what `site_event` requires.
    unsafe { record::site_event(kind, code, arg, ticks, |context, code| site_id(context, code, class)) }
}

/// Returns the id of the site: the code object with the id `code`, and the name of `class`. Defines
/// the site if it is new, and caches the id.
fn site_id(context: &Context, code: u32, class: *mut PyObject) -> Result<u32, Errno> {
    let (address, tag) = (class.addr(), version_tag(class));
    let key = u64::from(code) << 32 | u64::from(tag);
    let slot = (address >> 4 ^ address >> 16 ^ (code as usize).wrapping_mul(31)) % CACHE_SLOTS;
    let cached = &SITES[slot];
    if cached.class.load(Relaxed) == address && cached.key.load(Relaxed) == key {
        return Ok(cached.id.load(Relaxed));
    }
    let name = class::name(&context.python, class);
    let id = definitions::site_id(context.session(), code, name.as_deref().unwrap_or("?"))?;
    // A tag of 0 identifies no version of a class. CPython assigns no further tag to a class that
    // has changed too often.
    if tag != 0 {
        cached.class.store(address, Relaxed);
        cached.key.store(key, Relaxed);
        cached.id.store(id, Relaxed);
    }
    Ok(id)
}

fn version_tag(class: *mut PyObject) -> u32 {
    // SAFETY: the offset lies within every class.
    unsafe { field(class, TP_VERSION_TAG) }
}
