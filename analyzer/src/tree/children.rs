//! From a call path and a frame to the path that is one frame longer.

use super::Frame;
use super::nodes::{Node, NodeId, ROOT};

/// An open-addressing table of node numbers. What a number stands for is read in the nodes themselves, which a walk
/// touches next anyway, so the table is four bytes a slot and most of it stays in a processor's cache.
///
/// ```text
/// slots   – │ 7 │ – │ 3 │ 9 │ –        0, the root, is nobody's child: an empty slot
///               ▲
///         hash (parent, frame), then on to the right
/// ```
#[derive(Clone, Debug)]
pub struct Children {
    /// As many as a power of two, at most half of them taken.
    slots: Vec<NodeId>,
    taken: usize,
    /// What is left of a hash when it is shifted to the right by this is a place.
    shift: u32,
}

/// Slots in the beginning.
const FEW: usize = 64;

impl Default for Children {
    fn default() -> Self {
        Children { slots: vec![ROOT; FEW], taken: 0, shift: u64::BITS - FEW.ilog2() }
    }
}

impl Children {
    /// The child of `parent` with that frame, or the empty slot where its number belongs.
    #[inline]
    pub fn find(&self, nodes: &[Node], parent: NodeId, frame: Frame) -> Result<NodeId, usize> {
        let mut at = (hash(parent, frame) >> self.shift) as usize;
        loop {
            let child = self.slots[at];
            if child == ROOT {
                return Err(at);
            }
            let node = &nodes[child as usize];
            if node.parent == parent && node.frame == frame {
                return Ok(child);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Puts the last of the nodes into the empty slot that [`Self::find`] gave for it.
    pub fn insert(&mut self, nodes: &[Node], slot: usize) {
        self.slots[slot] = (nodes.len() - 1) as NodeId;
        self.taken += 1;
        if self.taken * 2 > self.slots.len() {
            self.grow(nodes);
        }
    }

    fn grow(&mut self, nodes: &[Node]) {
        let children = std::mem::take(&mut self.slots);
        self.slots = vec![ROOT; children.len() * 2];
        self.shift -= 1;
        for child in children.into_iter().filter(|&child| child != ROOT) {
            let Node { parent, frame, .. } = nodes[child as usize];
            if let Err(slot) = self.find(nodes, parent, frame) {
                self.slots[slot] = child;
            }
        }
    }
}

/// Spreads what differs in the low bits over the high ones (Fibonacci hashing).
#[inline]
fn hash(parent: NodeId, frame: Frame) -> u64 {
    let (kind, id) = match frame {
        Frame::Function(code) => (0, code.0),
        Frame::Cfunction(text) => (1, text.0),
        Frame::Gc => (2, 0),
        Frame::Lost => (3, 0),
        Frame::Thread => (4, 0),
    };
    let key = (u64::from(parent) << 32 | u64::from(id)) ^ kind << 29;
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
