//! The distinct values of a column within one row group, numbered as they come.

use rustc_hash::FxHashMap;

/// Keys below this are found in a table, others (a strange line number) in a map.
const TABLE_KEYS: u32 = 1 << 20;

/// From a key to its place among the keys of a row group.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    /// The distinct keys in the order of their numbers.
    keys: Vec<u32>,
    /// By key, its number plus one; 0 for a key that is not there.
    table: Vec<u32>,
    map: FxHashMap<u32, u32>,
    /// How many of the keys are in the journal.
    saved: usize,
}

impl Dictionary {
    /// The number of `key`, given now if it is new.
    #[inline]
    pub(crate) fn number(&mut self, key: u32) -> u32 {
        match self.table.get(key as usize) {
            Some(&next) if next != 0 => next - 1,
            _ => self.number_rare(key),
        }
    }

    #[cold]
    fn number_rare(&mut self, key: u32) -> u32 {
        let number = self.keys.len() as u32;
        if key >= TABLE_KEYS {
            let known = *self.map.entry(key).or_insert(number);
            if known != number {
                return known;
            }
        } else {
            if self.table.len() <= key as usize {
                self.table.resize((key as usize + 1).next_power_of_two(), 0);
            }
            self.table[key as usize] = number + 1;
        }
        self.keys.push(key);
        number
    }

    /// The distinct keys in the order of their numbers.
    pub(crate) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// The keys that came since this was last called.
    pub(crate) fn unsaved(&mut self) -> &[u32] {
        let from = std::mem::replace(&mut self.saved, self.keys.len());
        &self.keys[from..]
    }

    /// Makes all keys unsaved.
    pub(crate) fn mark_unsaved(&mut self) {
        self.saved = 0;
    }

    /// Forgets every key and keeps the room.
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
