//! Calls that are looked up together: memory answers many questions in the time that it takes for one.
//!
//! ```text
//! fold ─▶ fold ─▶ fold ─▶ … ─▶ look up all of them ─▶ their numbers, to where they wait
//! ```
//!
//! A call's hash is made of those of its callees and not of their numbers, so it need not wait until these are found.

use super::hash::Hash;
use super::head::Head;
use super::shapes::{Known, ShapeId, Shapes};

/// How many are looked up together.
const TOGETHER: usize = 64;

/// With the place of a call among those that are sought, what stands for its number meanwhile.
const SOUGHT: ShapeId = 1 << 31;

/// Calls whose numbers are not known yet, in the order in which they ended.
#[derive(Debug, Default)]
pub struct Sought {
    calls: Vec<Call>,
    /// What each called, one after the other.
    callees: Vec<ShapeId>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    hash: Hash,
    head: Head,
    /// Where it waits.
    at: usize,
    /// Where its callees end; they begin where those of the one before end.
    end: usize,
}

impl Sought {
    /// A call has ended that made those which wait from a place on: it takes their place.
    #[inline]
    pub fn fold(&mut self, head: Head, waiting: &mut Vec<Known>, first: usize, shapes: &mut Shapes) {
        let callees = &waiting[first..];
        let hash = Hash::of(head, callees.iter().map(|callee| callee.hash));
        let id = SOUGHT | self.calls.len() as ShapeId;
        self.callees.extend(callees.iter().map(|callee| callee.id));
        self.calls.push(Call { hash, head, at: first, end: self.callees.len() });
        waiting.truncate(first);
        waiting.push(Known { hash, id });
        if self.calls.len() == TOGETHER {
            self.settle(waiting, shapes);
        }
    }

    /// Looks all of them up, and tells those that still wait.
    pub fn settle(&mut self, waiting: &mut [Known], shapes: &mut Shapes) {
        // Nothing here needs the answer to another question, so the processor asks all of them at once.
        self.calls.iter().for_each(|call| shapes.table().touch(call.hash));
        let mut found = [0; TOGETHER];
        let mut first = 0;
        for (number, call) in self.calls.iter().enumerate() {
            let callees = &mut self.callees[first..call.end];
            first = call.end;
            found[number] = shapes.table().get(call.hash).unwrap_or_else(|| {
                let sought = callees.iter_mut().filter(|callee| **callee >= SOUGHT);
                sought.for_each(|callee| *callee = found[(*callee - SOUGHT) as usize]);
                shapes.add(call.hash, call.head, callees)
            });
            if let Some(known) =
                waiting.get_mut(call.at).filter(|known| known.id == SOUGHT | number as ShapeId)
            {
                known.id = found[number];
            }
        }
        self.calls.clear();
        self.callees.clear();
    }
}
