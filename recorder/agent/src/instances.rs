//! Calls of classes, from CPython 3.12 on: CPython tells of them as of any call, and of their ends.
//!
//! A call is known by its *site*: the code object that calls, and the class's name. Sites are found in a table by the code
//! object's number, the class's address and its version. The latter is CPython's own: it changes with the class, and no
//! two classes ever have the same, so that an address that is used again is not taken for the class that was there.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use pyrec_wire::RecordKind;

use crate::agent::{self, Agent};
use crate::class::{self, field, type_of};
use crate::os::{self, Errno};
use crate::python::{Object, Python, Raised};
use crate::{clock, definitions};

/// Where a class has its flags and its version.
const FLAGS: usize = 168;
const VERSION: usize = 384;

/// `Py_TPFLAGS_TYPE_SUBCLASS`: of a metaclass.
const IS_METACLASS: u64 = 1 << 31;

/// `type`, whose calls mostly ask for an object's class.
static TYPE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// A site that has a number. Read and written with the GIL.
struct Known {
    class: AtomicUsize,
    /// The code object's number, and the class's version.
    key: AtomicU64,
    id: AtomicU32,
}

const SLOTS: usize = 1 << 12;

static KNOWN: [Known; SLOTS] =
    [const { Known { class: AtomicUsize::new(0), key: AtomicU64::new(0), id: AtomicU32::new(0) } }; SLOTS];

/// Sees whether classes are laid out as expected.
pub fn prepare(python: &Python) -> Result<(), Raised> {
    let type_type: *mut Object = os::symbol(c"PyType_Type").cast();
    if type_type.is_null() {
        return Err(Raised);
    }
    TYPE.store(type_type.cast(), Relaxed);
    // SAFETY: the function takes a size.
    let nothing = unsafe { python.owned((python.tuple_new)(0)) }?;
    let (name, names) = (python.new_text(c"pyrec")?, dictionary(python)?);
    let class = python.call(type_type, &[name.as_ptr(), nothing.as_ptr(), names.as_ptr()])?;
    let class = class.as_ptr();
    // Looking up gives a class its version. (`type` itself answers for what it has of its own, as `__doc__`.)
    let looked_up = || python.attribute(class, c"__init__").map(|_| version(class));
    let before = looked_up()?;
    // SAFETY: the name ends in a zero byte; what is no class raises.
    python.done(unsafe { (python.set_attribute)(class, c"changed".as_ptr(), python.none) })?;
    let after = looked_up()?;
    // SAFETY: every class is larger than that.
    let (of_type, of_class) = unsafe { (field::<u64>(type_type, FLAGS), field::<u64>(class, FLAGS)) };
    let flags =
        |class| python.attribute(class, c"__flags__").and_then(|flags| python.to_integer(flags.as_ptr()));
    let as_expected = of_type as i64 == flags(type_type)?
        && of_class as i64 == flags(class)?
        && of_type & !of_class & IS_METACLASS != 0
        && before != 0
        && after != 0
        && before != after;
    if as_expected { Ok(()) } else { Err(Raised) }
}

fn dictionary(python: &Python) -> Result<crate::python::Owned<'_>, Raised> {
    // SAFETY: it takes nothing.
    python.owned(unsafe { (python.dict_new)() })
}

/// In the child of a fork, or in another session: the numbers are those of the one before.
pub fn begin_anew() {
    if !TYPE.load(Relaxed).is_null() {
        KNOWN.iter().for_each(|known| known.class.store(0, Relaxed));
    }
}

/// Whether a class is called, and not only asked for an object's class.
///
/// # Safety
/// An object.
#[inline(always)]
pub unsafe fn is_class(callable: *mut Object) -> bool {
    let type_type = TYPE.load(Relaxed);
    // SAFETY: every object has a type, and every type has flags.
    unsafe {
        let class = type_of(callable);
        let is_class = class == type_type || field::<u64>(class.cast(), FLAGS) & IS_METACLASS != 0;
        is_class && callable.cast() != type_type
    }
}

/// Records a call of a class, or its end. Says whether the code object is left out, for good.
///
/// # Safety
/// With the GIL, no exception pending, a code object, and a class.
pub unsafe fn record(kind: RecordKind, code: *mut Object, arg: u32, class: *mut Object) -> bool {
    let ticks = clock::ticks();
    // SAFETY: the caller's promise.
    unsafe { agent::record_site(kind, code, arg, ticks, |agent, code| site(agent, code, class)) }
}

/// The number of a site.
fn site(agent: &Agent, code: u32, class: *mut Object) -> Result<u32, Errno> {
    let (address, version) = (class.addr(), version(class));
    let key = u64::from(code) << 32 | u64::from(version);
    let known = &KNOWN[(address >> 4 ^ address >> 16 ^ (code as usize).wrapping_mul(31)) % SLOTS];
    if known.class.load(Relaxed) == address && known.key.load(Relaxed) == key {
        return Ok(known.id.load(Relaxed));
    }
    let name = class::name(&agent.python, class);
    let id = definitions::site(agent, code, name.as_deref().unwrap_or("?"))?;
    // CPython gives none to a class that is changed again and again.
    if version != 0 {
        known.class.store(address, Relaxed);
        known.key.store(key, Relaxed);
        known.id.store(id, Relaxed);
    }
    Ok(id)
}

fn version(class: *mut Object) -> u32 {
    // SAFETY: every class has one.
    unsafe { field(class, VERSION) }
}
