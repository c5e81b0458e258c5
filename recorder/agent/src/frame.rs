//! What a frame of CPython 3.8 to 3.11 looks like.
//!
//! The functions of the C API that tell a frame's code and instruction cost more than the record that they are for,
//! so the fields are read where the headers of each version have them, once it has been seen that they are there.

use core::ffi::c_int;

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyrec_wire::{Record, RecordKind};

use crate::agent::{self, Agent};
use crate::cost::Program;
use crate::profile;
use crate::python::{Object, Python, Raised};

/// Reads a frame. Every function needs a `PyFrameObject` of that layout.
pub trait Frame {
    /// Its code object.
    unsafe fn code(frame: *mut Object) -> *mut Object;

    /// `f_lasti`, as Python tells it: in bytes, negative in a frame that has not begun.
    unsafe fn last_byte(frame: *mut Object) -> isize;

    /// How it is entered.
    unsafe fn entry_kind(frame: *mut Object) -> RecordKind;

    /// The instruction that runs, and its argument. The frame has begun.
    unsafe fn instruction(frame: *mut Object) -> [u8; 2];

    /// Where that instruction is, as a record tells it.
    #[inline(always)]
    unsafe fn unit(frame: *mut Object) -> u32 {
        // SAFETY: the caller's promise.
        match unsafe { Self::last_byte(frame) } {
            ..0 => Record::NO_INSTRUCTION,
            last => last as u32 / 2,
        }
    }

    /// Whether the frame is left for good, by an instruction.
    #[inline(always)]
    unsafe fn is_at_return(frame: *mut Object) -> bool {
        const RETURN_VALUE: u8 = 83;
        // SAFETY: a frame that is left has begun.
        unsafe { Self::instruction(frame)[0] == RETURN_VALUE }
    }
}

/// # Safety
/// There is a `T` at that offset.
#[inline(always)]
unsafe fn field<T: Copy>(object: *mut Object, offset: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe { object.byte_add(offset).cast::<T>().read() }
}

/// CPython 3.8 to 3.10, `f_lasti` being at an offset and counting so many bytes.
pub struct Outer<const F_LASTI: usize, const UNIT: isize>;

/// CPython 3.8 and 3.9.
pub type Bytes = Outer<104, 1>;

/// CPython 3.10.
pub type Units = Outer<96, 2>;

impl<const F_LASTI: usize, const UNIT: isize> Frame for Outer<F_LASTI, UNIT> {
    #[inline(always)]
    unsafe fn code(frame: *mut Object) -> *mut Object {
        const F_CODE: usize = 32;
        // SAFETY: the field is there.
        unsafe { field(frame, F_CODE) }
    }

    #[inline(always)]
    unsafe fn last_byte(frame: *mut Object) -> isize {
        // SAFETY: the field is there.
        match unsafe { field::<c_int>(frame, F_LASTI) } as isize {
            last @ ..0 => last,
            last => last * UNIT,
        }
    }

    #[inline(always)]
    unsafe fn entry_kind(frame: *mut Object) -> RecordKind {
        // SAFETY: the caller's promise.
        if unsafe { Self::last_byte(frame) } < 0 { RecordKind::Call } else { RecordKind::Resume }
    }

    #[inline(always)]
    unsafe fn instruction(frame: *mut Object) -> [u8; 2] {
        const CO_CODE: usize = 48;
        const OB_SVAL: usize = 32;
        // SAFETY: the fields are there, and the instruction is one of the code's.
        unsafe {
            let bytes: *mut Object = field(Self::code(frame), CO_CODE);
            field(bytes.byte_offset(Self::last_byte(frame).max(0)), OB_SVAL)
        }
    }
}

/// CPython 3.11: a frame object is a view of an inner frame.
pub struct Inner;

impl Inner {
    #[inline(always)]
    unsafe fn inner(frame: *mut Object) -> *mut Object {
        const F_FRAME: usize = 24;
        // SAFETY: the field is there.
        unsafe { field(frame, F_FRAME) }
    }

    #[inline(always)]
    unsafe fn previous_instruction(frame: *mut Object) -> *const [u8; 2] {
        const PREV_INSTR: usize = 56;
        // SAFETY: the field is there.
        unsafe { field(Inner::inner(frame), PREV_INSTR) }
    }
}

impl Frame for Inner {
    #[inline(always)]
    unsafe fn code(frame: *mut Object) -> *mut Object {
        const F_CODE: usize = 32;
        // SAFETY: the field is there.
        unsafe { field(Inner::inner(frame), F_CODE) }
    }

    #[inline(always)]
    unsafe fn last_byte(frame: *mut Object) -> isize {
        const CO_CODE_ADAPTIVE: usize = 184;
        // SAFETY: the instructions lie in the code object; before the first one is another of its fields.
        unsafe {
            let start = Inner::code(frame).byte_add(CO_CODE_ADAPTIVE);
            Inner::previous_instruction(frame).addr() as isize - start.addr() as isize
        }
    }

    #[inline(always)]
    unsafe fn entry_kind(frame: *mut Object) -> RecordKind {
        const RETURN_GENERATOR: u8 = 75;
        const YIELD_VALUE: u8 = 86;
        // A frame is entered at RESUME, whose argument says from where; by an exception, where it was left.
        // SAFETY: the caller's promise; the frame is at an instruction.
        match unsafe { Inner::instruction(frame) } {
            [RETURN_GENERATOR | YIELD_VALUE, _] => RecordKind::Throw,
            [_, argument] if argument & 3 == 0 => RecordKind::Call,
            _ => RecordKind::Resume,
        }
    }

    #[inline(always)]
    unsafe fn instruction(frame: *mut Object) -> [u8; 2] {
        // SAFETY: the caller's promise.
        unsafe { Inner::previous_instruction(frame).read() }
    }
}

/// The frame's code object.
///
/// # Safety
/// With the GIL, and a frame of the layout that was checked.
pub unsafe fn code(python: &Python, frame: *mut Object) -> *mut Object {
    // SAFETY: the caller's promise. 3.8 to 3.10 keep it in the same place.
    unsafe {
        match python.version {
            (3, 11) => Inner::code(frame),
            _ => Bytes::code(frame),
        }
    }
}

/// Set by the check below: every frame was as expected, and there was one.
static SEEN: AtomicBool = AtomicBool::new(false);

/// Runs a function and compares what is read from its frame with what Python says.
pub fn is_as_expected(agent: &'static Agent) -> bool {
    let python = &agent.python;
    let check = match python.version {
        (3, 8 | 9) => check::<Bytes>,
        (3, 10) => check::<Units>,
        _ => check::<Inner>,
    };
    let Ok(program) = Program::new(python) else { return false };
    let ran = python.set_profile(Some(check)).and_then(|()| program.run());
    python.set_profile(None).is_ok() && ran.is_ok() && SEEN.load(Relaxed)
}

unsafe extern "C" fn check<F: Frame>(
    _: *mut Object,
    frame: *mut Object,
    what: c_int,
    _: *mut Object,
) -> c_int {
    if what == profile::CALL || what == profile::RETURN {
        // SAFETY: CPython calls with the GIL; the offsets lie within every frame object.
        let same = unsafe { is_same::<F>(&agent::get().python, frame) };
        SEEN.store(same.is_ok_and(|same| same), Relaxed);
        // A frame that is not as expected ends the program that is run.
        return if SEEN.load(Relaxed) { 0 } else { -1 };
    }
    0
}

/// # Safety
/// With the GIL, and a frame object.
unsafe fn is_same<F: Frame>(python: &Python, frame: *mut Object) -> Result<bool, Raised> {
    let code = python.attribute(frame, c"f_code")?;
    let last = python.to_integer(python.attribute(frame, c"f_lasti")?.as_ptr())?;
    // SAFETY: what is compared is not followed.
    Ok(unsafe { F::code(frame) == code.as_ptr() && F::last_byte(frame) as i64 == last })
}
