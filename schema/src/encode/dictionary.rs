//! The dictionary of a column in one row group.

use rustc_hash::FxHashMap;

/// Keys below this are looked up in a table, the others in a hash map.
const TABLE_KEYS: u32 = 1 << 20;

/// Maps keys to dictionary indices, in the order of first occurrence. A key is a `u32` that stands
/// for the value: an integer itself, or an index into [`Names`](crate::model::Names) or
/// [`Marker::ALL`](crate::model::Marker::ALL).
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    /// The keys by index.
    keys: Vec<u32>,
    /// For each small key its index plus one, or 0 if the dictionary does not contain it.
    table: Vec<u32>,
    /// The indices of large keys.
    map: FxHashMap<u32, u32>,
    /// The number of keys that are in the journal.
    saved: usize,
}

impl Dictionary {
    /// The index of `key`. Adds the key if it is new.
    #[inline]
    pub(crate) fn index(&mut self, key: u32) -> u32 {
        match self.table.get(key as usize) {
            Some(&next) if next != 0 => next - 1,
            _ => self.index_slow(key),
        }
    }

    #[cold]
    fn index_slow(&mut self, key: u32) -> u32 {
        let index = self.keys.len() as u32;
        if key >= TABLE_KEYS {
            let known = *self.map.entry(key).or_insert(index);
            if known != index {
                return known;
            }
        } else {
            if self.table.len() <= key as usize {
                self.table.resize((key as usize + 1).next_power_of_two(), 0);
            }
            self.table[key as usize] = index + 1;
        }
        self.keys.push(key);
        index
    }

    /// The keys, in the order of their indices.
    pub(crate) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// The keys that were added since the last call.
    pub(crate) fn take_unsaved(&mut self) -> &[u32] {
        let from = std::mem::replace(&mut self.saved, self.keys.len());
        &self.keys[from..]
    }

    /// Makes [`Dictionary::take_unsaved`] return all keys again, for another journal.
    pub(crate) fn mark_unsaved(&mut self) {
        self.saved = 0;
    }

    /// Removes all keys and keeps the capacity.
    pub(crate) fn clear(&mut self) {
        for &key in &self.keys {
            if let Some(next) = self.table.get_mut(key as usize) {
                *next = 0;
            }
        }
        self.keys.clear();
        self.map.clear();
        self.saved = 0;
    }
}
