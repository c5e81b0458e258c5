//! Shapes by what they are known by.

use super::hash::Hash;
use super::shapes::ShapeId;

/// An open-addressing table of lines, as many as a power of two, of whose places at most three of four are taken.
#[derive(Debug)]
pub struct Table {
    lines: Vec<Line>,
    taken: usize,
}

/// Four places, as many as memory gives at once. They are taken in order, and then those of the next line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line([Slot; 4]);

/// A place in the table. What is sought is known by its hash, so memory is touched once instead of three times.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
struct Slot {
    hash: Hash,
    /// One more than the number of the shape, or 0.
    number: u32,
}

impl Line {
    /// The shape of that hash, if it is here. Nobody can foresee in which place, so all are compared at once.
    #[inline]
    fn get(&self, hash: Hash) -> Option<ShapeId> {
        let number = |slot: &Slot| if slot.hash == hash { slot.number } else { 0 };
        let [one, two, three, four] = self.0.each_ref().map(number);
        (one | two | three | four).checked_sub(1)
    }

    /// Whether what is not here can be in the next one.
    fn is_full(&self) -> bool {
        self.0[3].number != 0
    }
}

impl Default for Table {
    fn default() -> Self {
        Table { lines: vec![Line::default(); 16], taken: 0 }
    }
}

impl Table {
    /// Asks memory for where a search for that hash begins, and does not wait.
    #[inline]
    pub fn touch(&self, hash: Hash) {
        std::hint::black_box(self.lines[hash.place(self.lines.len())].0[0].number);
    }

    /// The shape of that hash.
    #[inline]
    pub fn get(&self, hash: Hash) -> Option<ShapeId> {
        let mut at = hash.place(self.lines.len());
        loop {
            let line = &self.lines[at];
            let found = line.get(hash);
            if found.is_some() || !line.is_full() {
                return found;
            }
            at = (at + 1) & (self.lines.len() - 1);
        }
    }

    /// Adds a shape whose hash is not there yet.
    pub fn insert(&mut self, hash: Hash, id: ShapeId) {
        if self.taken >= self.lines.len() * 3 {
            self.grow();
        }
        self.put(Slot { hash, number: id + 1 });
        self.taken += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut at = slot.hash.place(self.lines.len());
        while self.lines[at].is_full() {
            at = (at + 1) & (self.lines.len() - 1);
        }
        if let Some(free) = self.lines[at].0.iter_mut().find(|slot| slot.number == 0) {
            *free = slot;
        }
    }

    fn grow(&mut self) {
        let places = self.lines.len() * 2;
        let lines = std::mem::replace(&mut self.lines, vec![Line::default(); places]);
        let slots = lines.iter().flat_map(|line| line.0).filter(|slot| slot.number != 0);
        slots.for_each(|slot| self.put(slot));
    }
}

#[cfg(test)]
mod tests {
    //! As a hash map does.

    use super::super::head::{Finish, Head, Start};
    use super::*;

    fn hash(key: u32) -> Hash {
        Hash::of(Head::new(key, Start::Called, Finish::Returned), [].into_iter())
    }

    #[test]
    fn each_is_found_however_many_there_are() {
        let mut table = Table::default();
        for key in 0..50_000 {
            assert_eq!(table.get(hash(key)), None);
            table.insert(hash(key), key);
        }
        assert!((0..50_000).all(|key| table.get(hash(key)) == Some(key)));
    }
}
