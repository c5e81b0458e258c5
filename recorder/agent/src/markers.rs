//! Static markers of the agent's own, for bpftrace, SystemTap and whoever else listens to CPython's.
//!
//! CPython from 3.12 on has no `function__entry`, `function__return` and `line`, and most builds of any CPython have no
//! markers at all. Where the user asks for them, these stand in: the same provider, names and arguments.
//!
//! ```text
//! hook ──▶ record
//!      └─▶ semaphore ─ 0 ─▶ done
//!              └─ somebody listens ─▶ arguments ─▶ nop ◀── the kernel puts its trap here
//! ```
//!
//! A marker is a function that does nothing, with the arguments where the C calling convention has them. Its `nop` is
//! one byte long: where the kernel finds one of five bytes it makes it a call, which writes below the caller's stack.

use alloc::ffi::CString;
use core::arch::global_asm;
use core::ffi::{CStr, c_char, c_int, c_long};
use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

use pyrec_wire::{Record, RecordKind};

use crate::agent;
use crate::entrance;
use crate::python::{Object, Owned, Python, Raised};

/// One marker: its semaphore, its place, and the note by which tools find both (`sys/sdt.h` makes the same).
macro_rules! markers {
    ($($semaphore:ident $place:ident($($argument:ident: $type:ty),*) = $name:literal, $shapes:literal;)*) => {
        unsafe extern "C" {
            $(
                static $semaphore: AtomicU16;
                fn $place($($argument: $type),*);
            )*
        }
        $(global_asm!(
            ".pushsection .probes, \"aw\", @progbits",
            ".balign 2",
            concat!(".globl ", stringify!($semaphore)),
            concat!(".hidden ", stringify!($semaphore)),
            concat!(stringify!($semaphore), ": .2byte 0"),
            ".popsection",
            concat!(".pushsection .text.", stringify!($place), ", \"ax\", @progbits"),
            concat!(".globl ", stringify!($place)),
            concat!(".hidden ", stringify!($place)),
            concat!(stringify!($place), ": nop"),
            "ret",
            ".popsection",
            ".pushsection .note.stapsdt, \"\", @note",
            ".balign 4",
            ".4byte 992f - 991f, 994f - 993f, 3",
            "991: .asciz \"stapsdt\"",
            "992: .balign 4",
            concat!("993: .8byte ", stringify!($place), ", _.stapsdt.base, ", stringify!($semaphore)),
            concat!(".asciz \"python\", \"", $name, "\", \"", $shapes, "\""),
            "994: .balign 4",
            ".popsection",
        );)*
    };
}

// What tools hold against the note's copy of its address, to see whether the library was moved after it was linked.
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
    pyrec_audit_semaphore pyrec_audit(event: *const c_char, arguments: *mut Object) = "audit", "8@%rdi 8@%rsi";
}

/// Whether somebody listens.
#[inline(always)]
fn is_up(semaphore: &AtomicU16) -> bool {
    semaphore.load(Relaxed) != 0
}

/// A function is entered or left, or a line starts: `arg` is a record's.
///
/// # Safety
/// With the GIL, no exception pending, and a code object.
#[inline(always)]
pub unsafe fn function(kind: RecordKind, code: *mut Object, arg: u32) {
    // SAFETY: the semaphores are there as long as the library is; the rest is the caller's promise.
    unsafe {
        match kind {
            RecordKind::Call | RecordKind::Resume | RecordKind::Throw if is_up(&pyrec_entry_semaphore) => {
                fire(pyrec_entry, code, |python| line_at(python, code, arg));
            }
            RecordKind::Return | RecordKind::Yield | RecordKind::Unwind if is_up(&pyrec_return_semaphore) => {
                fire(pyrec_return, code, |python| line_at(python, code, arg));
            }
            RecordKind::Line if is_up(&pyrec_line_semaphore) => fire(pyrec_line, code, |_| arg as c_int),
            _ => {}
        }
    }
}

/// The line of a record's instruction; where it has none, as before the first one, the code's own first line.
fn line_at(python: &Python, code: *mut Object, arg: u32) -> c_int {
    const BEFORE_THE_FIRST: c_int = -1;
    let byte = if arg == Record::NO_INSTRUCTION { BEFORE_THE_FIRST } else { 2 * arg as c_int };
    // SAFETY: a code object; an instruction that it does not have gives no line.
    unsafe {
        match (python.code_line)(code, byte) {
            ..0 => (python.code_line)(code, BEFORE_THE_FIRST),
            line => line,
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn fire(
    place: unsafe extern "C" fn(*const c_char, *const c_char, c_int),
    code: *mut Object,
    line: impl FnOnce(&Python) -> c_int,
) {
    if !entrance::is_ready() {
        return;
    }
    let python = &agent::get().python;
    let text = |name| Text::new(python, python.attribute(code, name)?);
    if let (Ok(file), Ok(name)) = (text(c"co_filename"), text(c"co_name")) {
        // SAFETY: the texts live until the function has come back.
        unsafe { place(file.as_ptr(), name.as_ptr(), line(python)) };
    }
}

/// A collection starts or is done.
pub fn collection(kind: RecordKind, number: u64) {
    // SAFETY: the functions take numbers.
    unsafe {
        match kind {
            RecordKind::GcStart if is_up(&pyrec_gc_start_semaphore) => pyrec_gc_start(number as c_int),
            RecordKind::GcDone if is_up(&pyrec_gc_done_semaphore) => pyrec_gc_done(number as c_long),
            _ => {}
        }
    }
}

/// A module is looked for.
pub fn import_start(module: &str) {
    // SAFETY: the text lives until the function has come back.
    unsafe {
        if is_up(&pyrec_import_start_semaphore) {
            pyrec_import_start(in_c(module).as_ptr());
        }
    }
}

/// A module has been looked for.
pub fn import_done(module: &str, found: bool) {
    // SAFETY: the text lives until the function has come back.
    unsafe {
        if is_up(&pyrec_import_done_semaphore) {
            pyrec_import_done(in_c(module).as_ptr(), c_int::from(found));
        }
    }
}

/// Something was audited, with a tuple of arguments.
pub fn audit(event: &CStr, arguments: *mut Object) {
    // SAFETY: text and tuple live until the function has come back.
    unsafe {
        if is_up(&pyrec_audit_semaphore) {
            pyrec_audit(event.as_ptr(), arguments);
        }
    }
}

/// As C has it: up to the first zero byte.
fn in_c(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

/// A `str` as C has it.
enum Text<'py> {
    /// CPython keeps the bytes beside it.
    Lent { bytes: *const c_char, _owner: Owned<'py> },
    /// UTF-8 cannot hold it: as [`Python::to_text`] writes it. (CPython's own markers break the program.)
    Escaped(CString),
}

impl<'py> Text<'py> {
    fn new(python: &'py Python, text: Owned<'py>) -> Result<Text<'py>, Raised> {
        // SAFETY: any object may be asked.
        let bytes = unsafe { (python.text_utf8)(text.as_ptr()) };
        if bytes.is_null() {
            python.clear_error();
            return Ok(Text::Escaped(in_c(&python.to_text(text.as_ptr())?)));
        }
        Ok(Text::Lent { bytes, _owner: text })
    }

    fn as_ptr(&self) -> *const c_char {
        match self {
            Text::Lent { bytes, .. } => *bytes,
            Text::Escaped(text) => CStr::as_ptr(text),
        }
    }
}
