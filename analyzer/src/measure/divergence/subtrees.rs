//! The distinct call subtrees of a run (hash consing).
//!
//! ```text
//! main                    id   key    callees
//! ├ f                     0    g
//! │ └ g                   1    f      [0]
//! ├ f                     2    main   [1 1 0]
//! │ └ g
//! └ g
//! ```
//!
//! Within a run, calls with equal ids did the same. Across runs, calls with equal hashes did the
//! same.

use super::call_key::CallKey;
use super::hash_index::HashIndex;
use super::structural_hash::{StructuralHash, SubtreeId};

/// The distinct call subtrees of a run. A subtree has a higher id than the subtrees in it.
#[derive(Debug, Default)]
pub struct Subtrees {
    subtrees: Vec<Subtree>,
    /// The callees of all subtrees, one subtree after the other.
    callees: Vec<SubtreeId>,
    hashes: Vec<StructuralHash>,
    /// Empty after [`Subtrees::finish`].
    index: HashIndex,
    /// The number of calls in each subtree. Empty before [`Subtrees::finish`].
    calls: Vec<u64>,
}

/// A subtree with its hash.
#[derive(Clone, Copy, Debug)]
pub struct HashedSubtree {
    /// The structural hash.
    pub hash: StructuralHash,
    /// The id in its run.
    pub id: SubtreeId,
}

#[derive(Clone, Copy, Debug)]
struct Subtree {
    /// Where its callees end in [`Subtrees::callees`]. They begin where those of the subtree before
    /// end.
    callees_end: usize,
    key: CallKey,
}

impl Subtrees {
    /// The subtree of a call without callees. Adds it if it is new.
    pub fn leaf(&mut self, key: CallKey) -> HashedSubtree {
        let hash = StructuralHash::of(key, std::iter::empty());
        let id = self.index.get(hash).unwrap_or_else(|| self.add(hash, key, &[]));
        HashedSubtree { hash, id }
    }

    /// The subtrees by hash.
    #[inline]
    pub fn index(&self) -> &HashIndex {
        &self.index
    }

    /// Adds a subtree whose hash is not in the index.
    #[cold]
    pub fn add(&mut self, hash: StructuralHash, key: CallKey, callees: &[SubtreeId]) -> SubtreeId {
        // The highest bit marks pending subtrees.
        let id = SubtreeId::try_from(self.subtrees.len()).ok().filter(|&id| id < 1 << 31);
        let id = id.expect("2^31 distinct subtrees exceed any memory");
        self.callees.extend_from_slice(callees);
        self.subtrees.push(Subtree { callees_end: self.callees.len(), key });
        self.hashes.push(hash);
        self.index.insert(hash, id);
        id
    }

    /// The key of a subtree's root call.
    pub fn key(&self, id: SubtreeId) -> CallKey {
        self.subtrees[id as usize].key
    }

    /// The callees of a subtree's root call, in order.
    #[inline]
    pub fn callees(&self, id: SubtreeId) -> &[SubtreeId] {
        let start = id.checked_sub(1).map_or(0, |before| self.subtrees[before as usize].callees_end);
        &self.callees[start..self.subtrees[id as usize].callees_end]
    }

    /// Drops the index and counts the calls in every subtree, in the order of ids so that memory is
    /// read sequentially.
    pub fn finish(&mut self) {
        self.index = HashIndex::default();
        self.calls.reserve_exact(self.subtrees.len());
        for id in 0..self.subtrees.len() as SubtreeId {
            let below = self.callees(id).iter().map(|&callee| self.calls[callee as usize]);
            let calls = below.fold(1, u64::saturating_add);
            self.calls.push(calls);
        }
    }

    /// The structural hash of a subtree.
    #[inline]
    pub fn hash(&self, id: SubtreeId) -> StructuralHash {
        self.hashes[id as usize]
    }

    /// The number of calls in a subtree, its root included. Valid after [`Subtrees::finish`].
    pub fn calls(&self, id: SubtreeId) -> u64 {
        self.calls[id as usize]
    }

    /// Replaces the keys, and recomputes the hashes that depend on them. Ids stay as they are.
    pub fn translate(&mut self, translate: impl Fn(CallKey) -> CallKey) {
        let is_changed = |subtree: &Subtree| translate(subtree.key) != subtree.key;
        // Both runs often number their first functions alike, so no hash changes before this
        // subtree.
        let Some(first) = self.subtrees.iter().position(is_changed) else { return };
        let mut has_changed = vec![false; self.subtrees.len()];
        for id in first..self.subtrees.len() {
            let (old_key, callees) = (self.subtrees[id].key, self.callees(id as SubtreeId));
            let key = translate(old_key);
            if key != old_key || callees.iter().any(|&callee| has_changed[callee as usize]) {
                let callees = callees.iter().map(|&callee| self.hashes[callee as usize]);
                self.hashes[id] = StructuralHash::of(key, callees);
                self.subtrees[id].key = key;
                has_changed[id] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Equal calls are one subtree.

    use proptest::prelude::*;

    use super::super::call_key::{CallOutcome, CallStart};
    use super::*;

    fn returned(function: u32) -> CallKey {
        CallKey::new(function, CallStart::Called, CallOutcome::Returned)
    }

    /// The subtree of a call with these callees.
    fn intern(subtrees: &mut Subtrees, key: CallKey, callees: &[HashedSubtree]) -> HashedSubtree {
        let hash = StructuralHash::of(key, callees.iter().map(|callee| callee.hash));
        let ids: Vec<SubtreeId> = callees.iter().map(|callee| callee.id).collect();
        let id = subtrees.index.get(hash).unwrap_or_else(|| subtrees.add(hash, key, &ids));
        HashedSubtree { hash, id }
    }

    #[test]
    fn equal_calls_are_one_subtree() {
        let mut subtrees = Subtrees::default();
        let g = subtrees.leaf(returned(3));
        let f = intern(&mut subtrees, returned(2), &[g]);
        let main = intern(&mut subtrees, returned(1), &[f, f, g]).id;
        let again = (subtrees.leaf(returned(3)).id, intern(&mut subtrees, returned(2), &[g]).id);
        assert_eq!(again, (g.id, f.id));
        assert_ne!(intern(&mut subtrees, returned(1), &[f, g, f]).id, main);
        assert_ne!(subtrees.leaf(CallKey::new(3, CallStart::Called, CallOutcome::Raised)).id, g.id);
        subtrees.finish();
        assert_eq!(
            (subtrees.calls(main), subtrees.callees(main), subtrees.key(f.id)),
            (6, &[f.id, f.id, g.id][..], returned(2))
        );
    }

    proptest! {
        #[test]
        fn interning_is_consistent_and_translation_preserves_it(calls in prop::collection::vec((0..5u32, prop::collection::vec(0..40usize, 0..4)), 1..200)) {
            let (mut subtrees, mut numbers) = (Subtrees::default(), std::collections::HashMap::new());
            let mut all: Vec<HashedSubtree> = vec![];
            for (function, callees) in calls {
                let callees: Vec<HashedSubtree> = callees.iter().filter_map(|&at| all.get(at).copied()).collect();
                let HashedSubtree { hash, id } = intern(&mut subtrees, returned(function), &callees);
                let callees: Vec<SubtreeId> = callees.iter().map(|callee| callee.id).collect();
                prop_assert_eq!(*numbers.entry((function, callees.clone())).or_insert(id), id);
                prop_assert_eq!((subtrees.key(id), subtrees.callees(id)), (returned(function), &callees[..]));
                all.push(HashedSubtree { hash, id });
            }
            let ids: std::collections::HashSet<SubtreeId> = all.iter().map(|subtree| subtree.id).collect();
            prop_assert_eq!(numbers.len(), ids.len());

            // Two functions swap keys: hashes are those of calls that had been made with the
            // swapped keys.
            let swap = |key: CallKey| key.with_function(match key.function() { 3 => 4, 4 => 3, other => other });
            let mut made: Vec<HashedSubtree> = vec![];
            let mut others = Subtrees::default();
            for id in 0..subtrees.subtrees.len() as SubtreeId {
                let callees: Vec<HashedSubtree> = subtrees.callees(id).iter().map(|&child| made[child as usize]).collect();
                made.push(intern(&mut others, swap(subtrees.key(id)), &callees));
            }
            for subtrees in [&mut subtrees, &mut others] {
                subtrees.finish();
            }
            subtrees.translate(swap);
            for (id, made) in (0..).zip(&made) {
                prop_assert_eq!((subtrees.hash(id), subtrees.key(id)), (made.hash, others.key(made.id)));
                prop_assert_eq!((made.hash, subtrees.calls(id)), (others.hash(made.id), others.calls(made.id)));
            }
        }
    }
}
