//! The place in a code object where its number is kept: `co_extra`.
//!
//! CPython makes room there for all users at once, and when the code object goes it calls each user's free function for
//! that user's place, though only we ever set ours. A function that came by ctypes may be gone by then. So the room is
//! cut back to what we need; CPython makes it larger when somebody else asks.
//!
//! ```text
//! PyCodeObject ─ co_extra ─▶ size │ place 0 │ … │ ours │ of users who came after us
//!                                                      └──── cut off
//! ```

use alloc::vec::Vec;
use core::ptr;

use crate::python::{Object, Python, Raised};

/// Our place.
pub struct Extra {
    /// Its index.
    pub index: isize,
    /// Where a code object has its `co_extra`; none if that is not known.
    field: Option<usize>,
}

impl Extra {
    /// Asks CPython for a place.
    pub fn request(python: &Python) -> Extra {
        // SAFETY: a null function is not called when a code object is freed.
        let index = unsafe { (python.extra_index)(ptr::null_mut()) };
        Extra { index, field: find(python, index).ok().flatten() }
    }

    /// Sets what is kept in a code object.
    pub fn set(&self, python: &Python, code: *mut Object, value: u64) -> Result<(), Raised> {
        let had = self.room(code).map_or(0, |room| room.size());
        set(python, self.index, code, value)?;
        if let Some(room) = self.room(code)
            && had <= self.index
        {
            room.cut(self.index + 1);
        }
        Ok(())
    }

    fn room(&self, code: *mut Object) -> Option<Room> {
        // SAFETY: it is a code object if it took a value; before that, only as many bytes are read as `find` saw.
        let room = unsafe { code.byte_add(self.field?).cast::<*mut isize>().read() };
        (!room.is_null()).then_some(Room(room))
    }
}

/// `_PyCodeObjectExtra`, as `find` saw it: how many places there are, and the places.
struct Room(*mut isize);

impl Room {
    fn size(&self) -> isize {
        // SAFETY: it is there as long as the code object, and the GIL is ours.
        unsafe { self.0.read() }
    }

    fn cut(&self, size: isize) {
        // SAFETY: as above. The places beyond are CPython's own memory still, and nobody has set them.
        unsafe { self.0.write(self.size().min(size)) };
    }
}

fn set(python: &Python, index: isize, code: *mut Object, value: u64) -> Result<(), Raised> {
    let value = ptr::without_provenance_mut(value as usize);
    // SAFETY: any object may be asked; what is no code object raises.
    python.done(unsafe { (python.set_extra)(code, index, value) })
}

/// The field that changes in a code object when it gets its first extra.
fn find(python: &Python, index: isize) -> Result<Option<usize>, Raised> {
    const FILE_INPUT: i32 = 257;
    const MARK: u64 = 1;
    // SAFETY: the texts end in zero bytes.
    let code = unsafe { (python.compile)(c"".as_ptr(), c"<pyrec>".as_ptr(), FILE_INPUT) };
    let code = python.owned(code)?;
    let class = python.attribute(code.as_ptr(), c"__class__")?;
    let size = python.to_integer(python.attribute(class.as_ptr(), c"__basicsize__")?.as_ptr())? as usize;
    let words = || -> Vec<usize> {
        // SAFETY: the object is at least that large.
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
    let room = Room(ptr::with_exposed_provenance_mut(after[at]));
    // SAFETY: CPython has just put the pointer there: to a number of places, and as many places.
    let is_ours = room.size() > index && unsafe { room.0.add(1 + index as usize).read() } == MARK as isize;
    Ok(is_ours.then_some(8 * at))
}
