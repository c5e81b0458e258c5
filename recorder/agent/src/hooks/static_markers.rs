//! Static markers (USDT) of the agent's own, for bpftrace, SystemTap and other tracers.
//!
//! CPython since 3.12 lacks `function__entry`, `function__return` and `line`, and most builds of
//! any version have no static markers. On request the agent provides them, with the same provider,
//! names and arguments.
//!
//! ```text
//! hook ──▶ record
//!      └─▶ semaphore ─ 0 ─▶ done
//!              └─ a tracer is attached ─▶ arguments ─▶ nop, where the kernel puts a breakpoint
//! ```
//!
//! A marker is a function that does nothing; its arguments are in the registers of the C calling
//! convention. Its `nop` is one byte long: the kernel replaces a five-byte `nop` by a call, which
//! overwrites the caller's stack below the stack pointer.

use alloc::ffi::CString;
use core::arch::global_asm;
use core::ffi::{CStr, c_char, c_int, c_long};
use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

use pyrec_wire::{Record, RecordKind};

use crate::context;
use crate::python::{Owned, PyObject, PythonApi, Raised};

/// Defines a marker as `sys/sdt.h` does: a semaphore, a probe function, and an ELF note by which
/// tools find both.
macro_rules! markers {
    ($($semaphore:ident $probe:ident($($parameter:ident: $type:ty),*) = $name:literal, $arguments:literal;)*) => {
        unsafe extern "C" {
            $(
                static $semaphore: AtomicU16;
                fn $probe($($parameter: $type),*);
            )*
        }
        $(global_asm!(
            ".pushsection .probes, \"aw\", @progbits",
            ".balign 2",
            concat!(".globl ", stringify!($semaphore)),
            concat!(".hidden ", stringify!($semaphore)),
            concat!(stringify!($semaphore), ": .2byte 0"),
            ".popsection",
            concat!(".pushsection .text.", stringify!($probe), ", \"ax\", @progbits"),
            concat!(".globl ", stringify!($probe)),
            concat!(".hidden ", stringify!($probe)),
            concat!(stringify!($probe), ": nop"),
            "ret",
            ".popsection",
            ".pushsection .note.stapsdt, \"\", @note",
            ".balign 4",
            ".4byte 992f - 991f, 994f - 993f, 3",
            "991: .asciz \"stapsdt\"",
            "992: .balign 4",
            concat!("993: .8byte ", stringify!($probe), ", _.stapsdt.base, ", stringify!($semaphore)),
            concat!(".asciz \"python\", \"", $name, "\", \"", $arguments, "\""),
            "994: .balign 4",
            ".popsection",
        );)*
    };
}

// Tools compare this section's address with the copy in each note, to adjust the note's addresses
// if the library was prelinked.
global_asm!(
    ".pushsection .stapsdt.base, \"aR\", @progbits",
    ".hidden _.stapsdt.base",
    "_.stapsdt.base: .byte 0",
    ".popsection",
);

markers! {
    pyrec_entry_semaphore pyrec_entry(file: *const c_char, name: *const c_char, line: c_int)
        = "function__entry", "8@%rdi 8@%rsi -4@%edx";
    pyrec_return_semaphore pyrec_return(file: *const c_char, name: *const c_char, line: c_int)
        = "function__return", "8@%rdi 8@%rsi -4@%edx";
    pyrec_line_semaphore pyrec_line(file: *const c_char, name: *const c_char, line: c_int)
        = "line", "8@%rdi 8@%rsi -4@%edx";
    pyrec_gc_start_semaphore pyrec_gc_start(generation: c_int) = "gc__start", "-4@%edi";
    pyrec_gc_done_semaphore pyrec_gc_done(objects: c_long) = "gc__done", "-8@%rdi";
    pyrec_import_start_semaphore pyrec_import_start(module: *const c_char)
        = "import__find__load__start", "8@%rdi";
    pyrec_import_done_semaphore pyrec_import_done(module: *const c_char, found: c_int)
        = "import__find__load__done", "8@%rdi -4@%esi";
    pyrec_audit_semaphore pyrec_audit(event: *const c_char, arguments: *mut PyObject) = "audit", "8@%rdi 8@%rsi";
}

/// Whether a tracer is attached to the marker.
#[inline(always)]
fn is_enabled(semaphore: &AtomicU16) -> bool {
    semaphore.load(Relaxed) != 0
}

/// Fires the marker for the entry or exit of a function, or for a line. `arg` is a record's
/// argument.
///
/// # Safety
/// Needs the GIL, no exception pending, and a code object.
#[inline(always)]
pub unsafe fn code_event(kind: RecordKind, code: *mut PyObject, arg: u32) {
    // SAFETY: the semaphores are static; the caller guarantees the rest.
    unsafe {
        match kind {
            RecordKind::Call | RecordKind::Resume | RecordKind::Throw
                if is_enabled(&pyrec_entry_semaphore) =>
            {
                fire(pyrec_entry, code, |python| line_at(python, code, arg));
            }
            RecordKind::Return | RecordKind::Yield | RecordKind::Unwind
                if is_enabled(&pyrec_return_semaphore) =>
            {
                fire(pyrec_return, code, |python| line_at(python, code, arg));
            }
            RecordKind::Line if is_enabled(&pyrec_line_semaphore) => fire(pyrec_line, code, |_| arg as c_int),
            _ => {}
        }
    }
}

/// The line of a record's instruction, or the code object's first line if the instruction has none.
fn line_at(python: &PythonApi, code: *mut PyObject, arg: u32) -> c_int {
    const BEFORE_FIRST_INSTRUCTION: c_int = -1;
    let byte = if arg == Record::NO_INSTRUCTION { BEFORE_FIRST_INSTRUCTION } else { 2 * arg as c_int };
    // SAFETY: this is a code object; an offset outside of it gives a negative line.
    unsafe {
        match (python.code_addr2line)(code, byte) {
            ..0 => (python.code_addr2line)(code, BEFORE_FIRST_INSTRUCTION),
            line => line,
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn fire(
    probe: unsafe extern "C" fn(*const c_char, *const c_char, c_int),
    code: *mut PyObject,
    line: impl FnOnce(&PythonApi) -> c_int,
) {
    if !context::is_ready() {
        return;
    }
    let python = &context::get().python;
    let text = |name| CText::new(python, python.attribute(code, name)?);
    if let (Ok(file), Ok(name)) = (text(c"co_filename"), text(c"co_name")) {
        // SAFETY: the texts live until the call returns.
        unsafe { probe(file.as_ptr(), name.as_ptr(), line(python)) };
    }
}

/// Fires the marker for the start or end of a garbage collection.
pub fn collection(kind: RecordKind, number: u64) {
    // SAFETY: the probe functions accept any number.
    unsafe {
        match kind {
            RecordKind::GcStart if is_enabled(&pyrec_gc_start_semaphore) => pyrec_gc_start(number as c_int),
            RecordKind::GcDone if is_enabled(&pyrec_gc_done_semaphore) => pyrec_gc_done(number as c_long),
            _ => {}
        }
    }
}

/// Fires the marker for the start of an import.
pub fn import_start(module: &str) {
    // SAFETY: the text lives until the call returns.
    unsafe {
        if is_enabled(&pyrec_import_start_semaphore) {
            pyrec_import_start(to_c_string(module).as_ptr());
        }
    }
}

/// Fires the marker for the end of an import.
pub fn import_done(module: &str, found: bool) {
    // SAFETY: the text lives until the call returns.
    unsafe {
        if is_enabled(&pyrec_import_done_semaphore) {
            pyrec_import_done(to_c_string(module).as_ptr(), c_int::from(found));
        }
    }
}

/// Fires the marker for an audit event. `arguments` is a tuple.
pub fn audit(event: &CStr, arguments: *mut PyObject) {
    // SAFETY: the text and the tuple live until the call returns.
    unsafe {
        if is_enabled(&pyrec_audit_semaphore) {
            pyrec_audit(event.as_ptr(), arguments);
        }
    }
}

/// The text as a C string, up to its first zero byte.
fn to_c_string(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

/// A `str` as a C string.
enum CText<'py> {
    /// The UTF-8 that CPython caches in the object.
    Borrowed { bytes: *const c_char, _owner: Owned<'py> },
    /// An escaped copy as of [`PythonApi::str_value`], for surrogates that UTF-8 cannot encode.
    /// (CPython's own markers pass NULL.)
    Escaped(CString),
}

impl<'py> CText<'py> {
    fn new(python: &'py PythonApi, text: Owned<'py>) -> Result<CText<'py>, Raised> {
        // SAFETY: an object of another type raises.
        let bytes = unsafe { (python.unicode_as_utf8)(text.as_ptr()) };
        if bytes.is_null() {
            python.clear_error();
            return Ok(CText::Escaped(to_c_string(&python.str_value(text.as_ptr())?)));
        }
        Ok(CText::Borrowed { bytes, _owner: text })
    }

    fn as_ptr(&self) -> *const c_char {
        match self {
            CText::Borrowed { bytes, .. } => *bytes,
            CText::Escaped(text) => CStr::as_ptr(text),
        }
    }
}
