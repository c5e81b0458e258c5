//! What a process has defined its numbers to stand for.

use pyrec_schema::{CodeId, TextId};

use super::line_table::Lines;

/// Ids that may be missing: threads write definitions in any order, but not by far.
/// So a log takes no more memory than its entries can mean, whatever numbers they bear.
const MAX_ID_GAP: usize = 1 << 16;

/// A code object, as rows need it.
#[derive(Debug, Default)]
pub(super) struct KnownCode {
    pub id: CodeId,
    pub lines: Lines,
}

/// An audit event, or the call of a class, in a code object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Site {
    pub name: TextId,
    /// The code object's number, 0 for none.
    pub code: u32,
}

/// What a process has said its numbers stand for.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub codes: Table<KnownCode>,
    pub texts: Table<TextId>,
    pub sites: Table<Site>,
}

/// What was defined, by its number.
#[derive(Debug)]
pub(super) struct Table<T> {
    places: Vec<T>,
    /// How often something was defined.
    count: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { places: Vec::new(), count: 0 }
    }
}

impl<T: Default> Table<T> {
    /// What that number stands for; none where nobody can have said it.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&T> {
        self.places.get(id as usize)
    }

    /// Defines a number. Returns whether it can be one: not if it leaves too many before it unsaid.
    #[must_use]
    pub fn define(&mut self, id: u32, value: T) -> bool {
        let id = id as usize;
        if id > self.count + MAX_ID_GAP {
            return false;
        }
        self.count += 1;
        if id >= self.places.len() {
            self.places.resize_with(id + 1, T::default);
        }
        self.places[id] = value;
        true
    }
}
