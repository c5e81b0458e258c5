//! The layout of frame objects in CPython 3.8 to 3.11.
//!
//! The functions of the C API that return a frame's code object and instruction cost more than the
//! record itself. So the fields are read at the offsets that each version's headers define, after
//! [`has_expected_layout`] has verified them.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use pyrec_wire::{Record, RecordKind};

use crate::python::api::{PYTRACE_CALL, PYTRACE_RETURN, PyObject, PythonApi, Raised};
use crate::python::call_loop::CallLoop;
use crate::python::class::field;

/// Access to a `PyFrameObject`. Each function needs a frame object of the implementing layout.
pub trait Frame {
    /// The code object.
    unsafe fn code(frame: *mut PyObject) -> *mut PyObject;

    /// The attribute `f_lasti`: the offset of the last instruction in bytes, negative before the
    /// first one.
    unsafe fn last_byte(frame: *mut PyObject) -> isize;

    /// How the frame is entered, at a profile function's call event.
    unsafe fn entry_kind(frame: *mut PyObject) -> RecordKind;

    /// The last instruction and its argument. The frame must have started.
    unsafe fn instruction(frame: *mut PyObject) -> [u8; 2];

    /// The index of the last instruction in code units of two bytes, or [`Record::NO_INSTRUCTION`].
    #[inline(always)]
    unsafe fn code_unit(frame: *mut PyObject) -> u32 {
        // SAFETY: the caller guarantees the frame.
        match unsafe { Self::last_byte(frame) } {
            ..0 => Record::NO_INSTRUCTION,
            last => last as u32 / 2,
        }
    }

    /// At a profile function's return event: whether the frame returns, and does not yield.
    #[inline(always)]
    unsafe fn is_at_return(frame: *mut PyObject) -> bool {
        const RETURN_VALUE: u8 = 83;
        // SAFETY: a frame that returns or yields has started.
        unsafe { Self::instruction(frame)[0] == RETURN_VALUE }
    }
}

/// CPython 3.8 to 3.10: `f_lasti` lies at the offset `F_LASTI` and counts units of `UNIT` bytes.
pub struct ObjectLayout<const F_LASTI: usize, const UNIT: isize>;

/// CPython 3.8 and 3.9.
pub type Layout38 = ObjectLayout<104, 1>;

/// CPython 3.10.
pub type Layout310 = ObjectLayout<96, 2>;

impl<const F_LASTI: usize, const UNIT: isize> Frame for ObjectLayout<F_LASTI, UNIT> {
    #[inline(always)]
    unsafe fn code(frame: *mut PyObject) -> *mut PyObject {
        const F_CODE: usize = 32;
        // SAFETY: the layout has this field.
        unsafe { field(frame, F_CODE) }
    }

    #[inline(always)]
    unsafe fn last_byte(frame: *mut PyObject) -> isize {
        // SAFETY: the layout has this field.
        match unsafe { field::<c_int>(frame, F_LASTI) } as isize {
            last @ ..0 => last,
            last => last * UNIT,
        }
    }

    #[inline(always)]
    unsafe fn entry_kind(frame: *mut PyObject) -> RecordKind {
        // SAFETY: the caller guarantees the frame.
        if unsafe { Self::last_byte(frame) } < 0 { RecordKind::Call } else { RecordKind::Resume }
    }

    #[inline(always)]
    unsafe fn instruction(frame: *mut PyObject) -> [u8; 2] {
        const CO_CODE: usize = 48;
        const OB_SVAL: usize = 32;
        // SAFETY: the layout has these fields, and the instruction lies within the code's bytes.
        unsafe {
            let bytes: *mut PyObject = field(Self::code(frame), CO_CODE);
            field(bytes.byte_offset(Self::last_byte(frame).max(0)), OB_SVAL)
        }
    }
}

/// CPython 3.11: the frame object points to a `_PyInterpreterFrame`, which has the fields.
pub struct Layout311;

impl Layout311 {
    #[inline(always)]
    unsafe fn interpreter_frame(frame: *mut PyObject) -> *mut PyObject {
        const F_FRAME: usize = 24;
        // SAFETY: the layout has this field.
        unsafe { field(frame, F_FRAME) }
    }

    #[inline(always)]
    unsafe fn previous_instruction(frame: *mut PyObject) -> *const [u8; 2] {
        const PREV_INSTR: usize = 56;
        // SAFETY: the layout has this field.
        unsafe { field(Layout311::interpreter_frame(frame), PREV_INSTR) }
    }
}

impl Frame for Layout311 {
    #[inline(always)]
    unsafe fn code(frame: *mut PyObject) -> *mut PyObject {
        const F_CODE: usize = 32;
        // SAFETY: the layout has this field.
        unsafe { field(Layout311::interpreter_frame(frame), F_CODE) }
    }

    #[inline(always)]
    unsafe fn last_byte(frame: *mut PyObject) -> isize {
        const CO_CODE_ADAPTIVE: usize = 184;
        // SAFETY: the instructions lie in the code object, behind its other fields.
        unsafe {
            let start = Layout311::code(frame).byte_add(CO_CODE_ADAPTIVE);
            Layout311::previous_instruction(frame).addr() as isize - start.addr() as isize
        }
    }

    #[inline(always)]
    unsafe fn entry_kind(frame: *mut PyObject) -> RecordKind {
        const RETURN_GENERATOR: u8 = 75;
        const YIELD_VALUE: u8 = 86;
        // A call or resume enters the frame at RESUME, whose argument tells the two apart. A thrown
        // exception enters it at the instruction where it was suspended.
        // SAFETY: the caller guarantees the frame, which is at an instruction.
        match unsafe { Layout311::instruction(frame) } {
            [RETURN_GENERATOR | YIELD_VALUE, _] => RecordKind::Throw,
            [_, argument] if argument & 3 == 0 => RecordKind::Call,
            _ => RecordKind::Resume,
        }
    }

    #[inline(always)]
    unsafe fn instruction(frame: *mut PyObject) -> [u8; 2] {
        // SAFETY: the caller guarantees the frame.
        unsafe { Layout311::previous_instruction(frame).read() }
    }
}

/// The frame's code object.
///
/// # Safety
/// Needs the GIL, and a frame whose layout [`has_expected_layout`] has verified.
pub unsafe fn code(python: &PythonApi, frame: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller guarantees the frame. 3.8 to 3.10 have the field at the same offset.
    unsafe {
        match python.version {
            (3, 11) => Layout311::code(frame),
            _ => Layout38::code(frame),
        }
    }
}

/// The API, for the profile function that checks the layout.
static PYTHON: AtomicPtr<PythonApi> = AtomicPtr::new(ptr::null_mut());

/// Whether the last frame that was checked had the expected layout.
static IS_EXPECTED: AtomicBool = AtomicBool::new(false);

/// Runs a Python function and compares the fields of its frames with the frames' Python attributes.
pub fn has_expected_layout(python: &'static PythonApi) -> bool {
    let check = match python.version {
        (3, 8 | 9) => check::<Layout38>,
        (3, 10) => check::<Layout310>,
        _ => check::<Layout311>,
    };
    let Ok(calls) = CallLoop::new(python) else { return false };
    PYTHON.store(ptr::from_ref(python).cast_mut(), Relaxed);
    let ran = python.set_profile(Some(check)).and_then(|()| calls.run());
    python.set_profile(None).is_ok() && ran.is_ok() && IS_EXPECTED.load(Relaxed)
}

unsafe extern "C" fn check<F: Frame>(
    _: *mut PyObject,
    frame: *mut PyObject,
    event: c_int,
    _: *mut PyObject,
) -> c_int {
    if event == PYTRACE_CALL || event == PYTRACE_RETURN {
        // SAFETY: the pointer was stored from a static reference; CPython calls with the GIL, and
        // the offsets lie within every frame object.
        let is_expected = unsafe { compare::<F>(&*PYTHON.load(Relaxed), frame) };
        IS_EXPECTED.store(is_expected.is_ok_and(|is_expected| is_expected), Relaxed);
        // An error ends the function that runs, so one unexpected frame is enough.
        return if IS_EXPECTED.load(Relaxed) { 0 } else { -1 };
    }
    0
}

/// # Safety
/// Needs the GIL, and a frame object.
unsafe fn compare<F: Frame>(python: &PythonApi, frame: *mut PyObject) -> Result<bool, Raised> {
    let code = python.attribute(frame, c"f_code")?;
    let last = python.int_value(python.attribute(frame, c"f_lasti")?.as_ptr())?;
    // SAFETY: the offsets lie within the frame object, and the pointers read are only compared.
    Ok(unsafe { F::code(frame) == code.as_ptr() && F::last_byte(frame) as i64 == last })
}
