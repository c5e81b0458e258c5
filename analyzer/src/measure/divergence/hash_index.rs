//! An open-addressing hash table from structural hashes to subtrees.

use super::structural_hash::{StructuralHash, SubtreeId};

/// A table of cache-line-sized buckets with linear probing, at most three quarters full.
///
/// Keys are hashes already, so a lookup reads one cache line in most cases. A general hash map
/// would hash the key again, and read a control group and an entry from different cache lines.
#[derive(Debug)]
pub struct HashIndex {
    /// The number of buckets is a power of two.
    buckets: Vec<Bucket>,
    len: usize,
}

/// The four slots of one cache line. They are filled in order; what does not fit is in the next
/// bucket.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket([Slot; 4]);

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
struct Slot {
    hash: StructuralHash,
    /// The subtree's number plus one; 0 in a free slot.
    id_plus_one: u32,
}

impl Bucket {
    /// The subtree with that hash, if it is in this bucket. Compares all slots without branches,
    /// because which one matches is unpredictable.
    #[inline]
    fn get(&self, hash: StructuralHash) -> Option<SubtreeId> {
        let id_plus_one = |slot: &Slot| if slot.hash == hash { slot.id_plus_one } else { 0 };
        let [one, two, three, four] = self.0.each_ref().map(id_plus_one);
        (one | two | three | four).checked_sub(1)
    }

    /// Whether probing continues with the next bucket.
    fn is_full(&self) -> bool {
        self.0[3].id_plus_one != 0
    }
}

impl Default for HashIndex {
    fn default() -> Self {
        HashIndex { buckets: vec![Bucket::default(); 16], len: 0 }
    }
}

impl HashIndex {
    /// Loads the home bucket of a hash into the cache.
    #[inline]
    pub fn prefetch(&self, hash: StructuralHash) {
        std::hint::black_box(self.buckets[hash.bucket(self.buckets.len())].0[0].id_plus_one);
    }

    /// The subtree with that hash.
    #[inline]
    pub fn get(&self, hash: StructuralHash) -> Option<SubtreeId> {
        let mut index = hash.bucket(self.buckets.len());
        loop {
            let bucket = &self.buckets[index];
            let found = bucket.get(hash);
            if found.is_some() || !bucket.is_full() {
                return found;
            }
            index = (index + 1) & (self.buckets.len() - 1);
        }
    }

    /// Adds a subtree whose hash is not in the table.
    pub fn insert(&mut self, hash: StructuralHash, id: SubtreeId) {
        if self.len >= self.buckets.len() * 3 {
            self.grow();
        }
        self.place(Slot { hash, id_plus_one: id + 1 });
        self.len += 1;
    }

    fn place(&mut self, slot: Slot) {
        let mut index = slot.hash.bucket(self.buckets.len());
        while self.buckets[index].is_full() {
            index = (index + 1) & (self.buckets.len() - 1);
        }
        if let Some(free) = self.buckets[index].0.iter_mut().find(|slot| slot.id_plus_one == 0) {
            *free = slot;
        }
    }

    fn grow(&mut self) {
        let count = self.buckets.len() * 2;
        let buckets = std::mem::replace(&mut self.buckets, vec![Bucket::default(); count]);
        let slots = buckets.iter().flat_map(|bucket| bucket.0).filter(|slot| slot.id_plus_one != 0);
        slots.for_each(|slot| self.place(slot));
    }
}

#[cfg(test)]
mod tests {
    //! Insertion and lookup across several growths.

    use super::super::call_key::{CallKey, CallOutcome, CallStart};
    use super::*;

    fn hash(function: u32) -> StructuralHash {
        StructuralHash::of(CallKey::new(function, CallStart::Called, CallOutcome::Returned), [].into_iter())
    }

    #[test]
    fn every_inserted_hash_is_found() {
        let mut index = HashIndex::default();
        for function in 0..50_000 {
            assert_eq!(index.get(hash(function)), None);
            index.insert(hash(function), function);
        }
        assert!((0..50_000).all(|function| index.get(hash(function)) == Some(function)));
    }
}
