//! The agent's 64 bits in each code object: an entry of `co_extra`.
//!
//! CPython allocates the entries of all users of `co_extra` at once. When it frees a code object,
//! it calls the free function of each user for that user's entry, even if only the agent has set
//! one. A free function that was registered by `ctypes` may no longer exist by then. Therefore the
//! agent reduces the array's size to the entries up to its own; CPython enlarges it when a later
//! user sets one.
//!
//! ```text
//! PyCodeObject ─ co_extra ─▶ size │ entry 0 │ … │ the agent's │ entries of later users
//!                                                             └───── cut off
//! ```

use alloc::vec::Vec;
use core::ffi::c_int;
use core::ptr;

use crate::python::api::{PyObject, PythonApi, Raised};

/// The agent's entry.
pub struct CodeExtra {
    /// Index of the entry, as `_PyCode_GetExtra` takes it.
    pub index: isize,
    /// Offset of `co_extra` in a code object; `None` if it was not found.
    offset: Option<usize>,
}

impl CodeExtra {
    /// Requests an index from CPython.
    pub fn request(python: &PythonApi) -> CodeExtra {
        // SAFETY: CPython does not call a free function that is null.
        let index = unsafe { (python.request_code_extra_index)(ptr::null_mut()) };
        CodeExtra { index, offset: find_offset(python, index).ok().flatten() }
    }

    /// Sets the value of a code object's entry.
    pub fn set(&self, python: &PythonApi, code: *mut PyObject, value: u64) -> Result<(), Raised> {
        let size_before = self.entries(code).map_or(0, |entries| entries.size());
        set(python, self.index, code, value)?;
        if let Some(entries) = self.entries(code)
            && size_before <= self.index
        {
            entries.truncate(self.index + 1);
        }
        Ok(())
    }

    fn entries(&self, code: *mut PyObject) -> Option<Entries> {
        // SAFETY: the offset lies within the `__basicsize__` of every code object.
        let entries = unsafe { code.byte_add(self.offset?).cast::<*mut isize>().read() };
        (!entries.is_null()).then_some(Entries(entries))
    }
}

/// `_PyCodeObjectExtra`, with the layout that [`find_offset`] checked: the size, then the entries.
struct Entries(*mut isize);

impl Entries {
    fn size(&self) -> isize {
        // SAFETY: the array exists as long as the code object, and this thread holds the GIL.
        unsafe { self.0.read() }
    }

    fn truncate(&self, size: isize) {
        // SAFETY: as in `size`. CPython keeps the memory of the entries beyond, and none of them is
        // set.
        unsafe { self.0.write(self.size().min(size)) };
    }
}

fn set(python: &PythonApi, index: isize, code: *mut PyObject, value: u64) -> Result<(), Raised> {
    let value = ptr::without_provenance_mut(value as usize);
    // SAFETY: CPython accepts any value; an object that is not a code object raises.
    python.check_status(unsafe { (python.code_set_extra)(code, index, value) })
}

/// Finds the field of a code object that changes when its first entry is set. Returns `None` if it
/// is not exactly one, or does not point to what [`Entries`] expects.
fn find_offset(python: &PythonApi, index: isize) -> Result<Option<usize>, Raised> {
    /// `Py_file_input`.
    const FILE_INPUT: c_int = 257;
    const MARK: u64 = 1;
    // SAFETY: the strings end in zero bytes.
    let code = unsafe { (python.compile_string)(c"".as_ptr(), c"<pyrec>".as_ptr(), FILE_INPUT) };
    let code = python.owned(code)?;
    let class = python.attribute(code.as_ptr(), c"__class__")?;
    let size = python.int_value(python.attribute(class.as_ptr(), c"__basicsize__")?.as_ptr())? as usize;
    let words = || -> Vec<usize> {
        // SAFETY: the object is at least `__basicsize__` bytes long.
        let word = |at| unsafe { code.as_ptr().cast::<usize>().add(at).read() };
        (0..size / 8).map(word).collect()
    };
    let before = words();
    set(python, index, code.as_ptr(), MARK)?;
    let after = words();
    let mut changed = (0..after.len()).filter(|at| before[*at] != after[*at]);
    let (Some(at), None) = (changed.next(), changed.next()) else { return Ok(None) };
    if before[at] != 0 {
        return Ok(None);
    }
    let entries = Entries(ptr::with_exposed_provenance_mut(after[at]));
    // SAFETY: CPython has just written the pointer; it points to a size and that many entries.
    let is_expected =
        entries.size() > index && unsafe { entries.0.add(1 + index as usize).read() } == MARK as isize;
    Ok(is_expected.then_some(8 * at))
}
