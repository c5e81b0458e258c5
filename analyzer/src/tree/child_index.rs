//! A hash index of call paths: from a parent and a frame to the child.

use super::Frame;

/// Marks an empty slot. Node 0, the root, is not the child of any node.
const EMPTY: u32 = 0;

/// An open-addressing hash table of node ids.
///
/// A slot holds only the id, which takes four bytes. The key of an id is its node's parent and
/// frame, which the caller looks up in the nodes: it accesses the node next anyway.
///
/// The first slot that is probed depends on the parent's id, and a few bits of the frame spread the
/// children of one parent. Parents and children are mostly created one after another, so a walk
/// down a path probes neighbouring slots, which are in the cache however many paths there are. If
/// the first few slots are taken, since the parent has many children, probing goes on at a hash of
/// parent and frame.
///
/// ```text
/// slots   – │ 7 │ – │ 3 │ 9 │ –
///           ▲     ▲
///   2 × parent   + up to 63 by the frame, then on by 1, 2, 3 …
/// ```
#[derive(Clone, Debug)]
pub struct ChildIndex {
    /// A power of two of slots, of which at most half are taken.
    slots: Vec<u32>,
    taken: usize,
}

/// The initial number of slots.
const INITIAL_SLOTS: usize = 8;

/// The first probes for the children of one parent are spread over 2^6 slots.
const SPREAD_POWER: u32 = 6;

/// The number of probes near the parent's slot.
const NEAR_PROBES: usize = 8;

impl Default for ChildIndex {
    fn default() -> Self {
        ChildIndex { slots: vec![EMPTY; INITIAL_SLOTS], taken: 0 }
    }
}

impl ChildIndex {
    /// The child of `parent` with that frame, or the empty slot where its id belongs. `key_of`
    /// returns the parent and the frame of a node.
    #[inline]
    pub fn find(
        &self,
        parent: u32,
        frame: Frame,
        key_of: impl Fn(u32) -> (u32, Frame),
    ) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut at = (2 * parent as usize + spread(frame)) & mask;
        let mut step = 0;
        loop {
            let child = self.slots[at];
            if child == EMPTY {
                return Err(at);
            }
            if key_of(child) == (parent, frame) {
                return Ok(child);
            }
            step += 1;
            at = if step == NEAR_PROBES { far(parent, frame) } else { at + step } & mask;
        }
    }

    /// Puts a child into the empty slot that [`Self::find`] returned for it.
    pub fn insert(&mut self, child: u32, slot: usize, key_of: impl Fn(u32) -> (u32, Frame)) {
        self.slots[slot] = child;
        self.taken += 1;
        if self.taken * 2 > self.slots.len() {
            self.grow(key_of);
        }
    }

    fn grow(&mut self, key_of: impl Fn(u32) -> (u32, Frame)) {
        let children = std::mem::take(&mut self.slots);
        self.slots = vec![EMPTY; children.len() * 2];
        for child in children.into_iter().filter(|&child| child != EMPTY) {
            let (parent, frame) = key_of(child);
            if let Err(slot) = self.find(parent, frame, &key_of) {
                self.slots[slot] = child;
            }
        }
    }
}

/// A hash of a frame below 2^6 (Fibonacci hashing).
#[inline]
fn spread(frame: Frame) -> usize {
    (id(frame).wrapping_mul(0x9e37_79b9) >> (u32::BITS - SPREAD_POWER)) as usize
}

/// A hash of a parent and a frame.
fn far(parent: u32, frame: Frame) -> usize {
    let key = u64::from(parent) << 32 | u64::from(id(frame));
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

/// A number for a frame that differs from those of other frames, unless there are 2^29 of a kind.
#[inline]
fn id(frame: Frame) -> u32 {
    let (kind, id) = match frame {
        Frame::Function(code) => (0, code.0),
        Frame::Cfunction(text) => (1, text.0),
        Frame::Gc => (2, 0),
        Frame::Lost => (3, 0),
        Frame::Thread => (4, 0),
    };
    id ^ kind << 29
}
