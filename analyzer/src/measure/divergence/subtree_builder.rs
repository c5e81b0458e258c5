//! Builds the subtree of one thread while its calls end.
//!
//! ```text
//! rows        E main  E f  R f  E f  R f  R main
//! pending                  f        f f  main [f f]
//! ```
//!
//! A call that has ended is pending until its caller ends. Its id is looked up in a batch with
//! other calls, so that the cache misses of the lookups overlap. This is possible because a call's
//! hash is made of the hashes of its callees, not of their ids:
//!
//! ```text
//! call ends ─▶ call ends ─▶ … ─▶ look up the batch ─▶ replace placeholders by ids
//! ```

use super::call_key::{CallKey, CallOutcome, CallStart, THREAD_ROOT};
use super::replay::{CallObserver, FastPathObserver, OpenCall, ThreadReplay};
use super::structural_hash::{StructuralHash, SubtreeId};
use super::subtrees::{HashedSubtree, Subtrees};
use crate::tree::OpenFrame;

/// The number of lookups in a batch.
const BATCH: usize = 64;

/// Marks the id of a call that has not been looked up. The other bits are its position in the
/// batch.
const PLACEHOLDER: SubtreeId = 1 << 31;

/// Builds the subtree of one thread.
#[derive(Debug, Default)]
pub struct SubtreeBuilder {
    /// The calls that have ended, and whose callers have not.
    pending: Vec<HashedSubtree>,
    lookups: LookupBatch,
    /// The numbers of entries that never returned, and so were no calls.
    not_calls: Vec<u64>,
}

impl SubtreeBuilder {
    /// Ends the thread. Returns its subtree, and the numbers of entries that were no calls in
    /// ascending order.
    pub fn finish(&mut self, subtrees: &mut Subtrees) -> (SubtreeId, Vec<u64>) {
        let root = CallKey::new(THREAD_ROOT, CallStart::Called, CallOutcome::Returned);
        self.lookups.add(root, &mut self.pending, 0, subtrees);
        self.lookups.resolve(&mut self.pending, subtrees);
        let subtree = self.pending.pop().map_or(0, |thread| thread.id);
        let mut not_calls = std::mem::take(&mut self.not_calls);
        not_calls.sort_unstable();
        (subtree, not_calls)
    }
}

impl CallObserver for SubtreeBuilder {
    #[inline]
    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn enter(&mut self, _: &ThreadReplay, _: u64, _: i64) {}

    fn leave(
        &mut self,
        _: &ThreadReplay,
        open: &OpenFrame<OpenCall>,
        outcome: Option<CallOutcome>,
        subtrees: &mut Subtrees,
    ) {
        match outcome {
            Some(outcome) => self.end(&open.data, outcome, subtrees),
            None => self.not_calls.push(open.data.number),
        }
    }
}

impl FastPathObserver for SubtreeBuilder {
    #[inline]
    fn leaf(&mut self, leaf: HashedSubtree) {
        self.pending.push(leaf);
    }

    #[inline]
    fn end(&mut self, call: &OpenCall, outcome: CallOutcome, subtrees: &mut Subtrees) {
        let key = CallKey::new(call.function, call.start, outcome);
        self.lookups.add(key, &mut self.pending, call.first_callee, subtrees);
    }
}

/// Calls whose ids have not been looked up, in the order in which they ended.
#[derive(Debug, Default)]
struct LookupBatch {
    calls: Vec<Lookup>,
    /// The callees of all calls, one call after the other. Ids may be placeholders.
    callees: Vec<SubtreeId>,
}

#[derive(Clone, Copy, Debug)]
struct Lookup {
    hash: StructuralHash,
    key: CallKey,
    /// The position of the call among the pending ones.
    pending_index: usize,
    /// Where its callees end in [`LookupBatch::callees`]. They begin where those of the call before
    /// end.
    callees_end: usize,
}

impl LookupBatch {
    /// Adds a call that has ended. Its callees are the pending calls from `first_callee` on, which
    /// it replaces.
    #[inline]
    fn add(
        &mut self,
        key: CallKey,
        pending: &mut Vec<HashedSubtree>,
        first_callee: usize,
        subtrees: &mut Subtrees,
    ) {
        let callees = &pending[first_callee..];
        let hash = StructuralHash::of(key, callees.iter().map(|callee| callee.hash));
        let id = PLACEHOLDER | self.calls.len() as SubtreeId;
        self.callees.extend(callees.iter().map(|callee| callee.id));
        let callees_end = self.callees.len();
        self.calls.push(Lookup { hash, key, pending_index: first_callee, callees_end });
        pending.truncate(first_callee);
        pending.push(HashedSubtree { hash, id });
        if self.calls.len() == BATCH {
            self.resolve(pending, subtrees);
        }
    }

    /// Looks up all calls, and replaces their placeholders among the pending calls.
    fn resolve(&mut self, pending: &mut [HashedSubtree], subtrees: &mut Subtrees) {
        // The loads do not depend on each other, so the processor executes them in parallel.
        self.calls.iter().for_each(|call| subtrees.index().prefetch(call.hash));
        let mut ids = [0; BATCH];
        let mut first_callee = 0;
        for (position, call) in self.calls.iter().enumerate() {
            let callees = &mut self.callees[first_callee..call.callees_end];
            first_callee = call.callees_end;
            ids[position] = subtrees.index().get(call.hash).unwrap_or_else(|| {
                let placeholders = callees.iter_mut().filter(|callee| **callee >= PLACEHOLDER);
                placeholders.for_each(|callee| *callee = ids[(*callee - PLACEHOLDER) as usize]);
                subtrees.add(call.hash, call.key, callees)
            });
            if let Some(subtree) = pending
                .get_mut(call.pending_index)
                .filter(|subtree| subtree.id == PLACEHOLDER | position as SubtreeId)
            {
                subtree.id = ids[position];
            }
        }
        self.calls.clear();
        self.callees.clear();
    }
}
