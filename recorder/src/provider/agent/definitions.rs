//! Tables of a process's definitions: what the ids in its records mean.

use pyrec_schema::{CodeId, TextId};

use super::line_table::LineMap;

/// How far an id may be ahead of the number of definitions. Threads append definitions in any
/// order, but the gaps are small. So a table takes no more memory than its entries justify,
/// whatever ids a log contains.
const MAX_ID_GAP: usize = 1 << 16;

/// A code object.
#[derive(Debug, Default)]
pub(super) struct CodeEntry {
    pub id: CodeId,
    pub lines: LineMap,
}

/// A place of an audit event or of a call of a class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Site {
    /// The name of the event or class.
    pub name: TextId,
    /// The id of the code object, 0 for none.
    pub code: u32,
}

/// The definitions of a process.
#[derive(Debug, Default)]
pub(super) struct DefinitionTables {
    pub codes: Table<CodeEntry>,
    pub texts: Table<TextId>,
    pub sites: Table<Site>,
}

/// Definitions of one kind, by id.
#[derive(Debug)]
pub(super) struct Table<T> {
    entries: Vec<T>,
    /// How many definitions there were.
    count: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { entries: Vec::new(), count: 0 }
    }
}

impl<T: Default> Table<T> {
    /// The entry of an id; none if no id as large was defined.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id as usize)
    }

    /// Defines an id. Returns false if it is too far ahead of the number of definitions.
    #[must_use]
    pub fn define(&mut self, id: u32, entry: T) -> bool {
        let id = id as usize;
        if id > self.count + MAX_ID_GAP {
            return false;
        }
        self.count += 1;
        if id >= self.entries.len() {
            self.entries.resize_with(id + 1, T::default);
        }
        self.entries[id] = entry;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_be_defined_in_any_order_but_not_with_large_gaps() {
        let mut table = Table::<u8>::default();
        assert!(table.define(2, 20) && table.define(1, 10));
        assert_eq!([0, 1, 2, 3].map(|id| table.get(id).copied()), [Some(0), Some(10), Some(20), None]);
        assert!(!table.define(MAX_ID_GAP as u32 + 3, 30));
        assert!(table.define(MAX_ID_GAP as u32 + 2, 30));
    }
}
