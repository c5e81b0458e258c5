//! From a call path and a frame to the path that is one frame longer.

use super::Frame;
use super::nodes::{Node, NodeId, ROOT};

/// An open-addressing table of node numbers. What a number stands for is read in the nodes themselves, which a walk
/// touches next anyway, so the table is four bytes a slot.
///
/// A walk goes from a node to its children and on to theirs, and those have been numbered one after the other. So a
/// child's place is near one that its parent's number gives, and a walk stays where the table is in the cache, however
/// many paths there are. Frames spread the children of one parent. Where a parent has so many that these places are
/// taken, a hash of both says where to go on.
///
/// ```text
/// slots   – │ 7 │ – │ 3 │ 9 │ –        0, the root, is nobody's child: an empty slot
///           ▲     ▲
///   2 × parent   + a few by the frame, then on by 1, 2, 3 …
/// ```
#[derive(Clone, Debug)]
pub struct Children {
    /// As many as a power of two, at most half of them taken.
    slots: Vec<NodeId>,
    taken: usize,
}

/// Slots in the beginning.
const FEW: usize = 8;

/// The children of one parent begin in 2^6 slots.
const SPREAD_POWER: u32 = 6;

/// How many slots are tried near the parent's.
const NEAR: usize = 8;

impl Default for Children {
    fn default() -> Self {
        Children { slots: vec![ROOT; FEW], taken: 0 }
    }
}

impl Children {
    /// The child of `parent` with that frame, or the empty slot where its number belongs.
    #[inline]
    pub fn find(&self, nodes: &[Node], parent: NodeId, frame: Frame) -> Result<NodeId, usize> {
        let mask = self.slots.len() - 1;
        let mut at = (2 * parent as usize + spread(frame)) & mask;
        let mut step = 0;
        loop {
            let child = self.slots[at];
            if child == ROOT {
                return Err(at);
            }
            let node = &nodes[child as usize];
            if node.parent == parent && node.frame == frame {
                return Ok(child);
            }
            step += 1;
            at = if step == NEAR { far(parent, frame) } else { at + step } & mask;
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
        for child in children.into_iter().filter(|&child| child != ROOT) {
            let Node { parent, frame, .. } = nodes[child as usize];
            if let Err(slot) = self.find(nodes, parent, frame) {
                self.slots[slot] = child;
            }
        }
    }
}

/// A number below 2^6 that differs between most frames (Fibonacci hashing).
#[inline]
fn spread(frame: Frame) -> usize {
    (id(frame).wrapping_mul(0x9e37_79b9) >> (u32::BITS - SPREAD_POWER)) as usize
}

/// A number that differs between most parents and frames.
fn far(parent: NodeId, frame: Frame) -> usize {
    let key = u64::from(parent) << 32 | u64::from(id(frame));
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

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

#[cfg(test)]
mod tests {
    //! Children of one parent and of many.

    use pyrec_schema::{CodeId, TextId};

    use super::super::{Frame, Nodes, ROOT};

    /// With as many steps to each as it has siblings this would take minutes.
    #[test]
    fn a_parent_of_a_hundred_thousand() {
        let mut nodes = Nodes::default();
        let frame = |number: u32| match number % 2 {
            0 => Frame::Function(CodeId(number)),
            _ => Frame::Cfunction(TextId(number)),
        };
        let children: Vec<_> = (0..100_000).map(|number| nodes.child(ROOT, frame(number))).collect();
        let again: Vec<_> = (0..100_000).map(|number| nodes.child(ROOT, frame(number))).collect();
        assert_eq!(children, again);
        assert_eq!(nodes.len(), 100_001);
    }

    #[test]
    fn a_frame_below_each_of_many_parents() {
        let mut nodes = Nodes::default();
        let down = |nodes: &mut Nodes| (0..1_000).fold(ROOT, |parent, _| nodes.child(parent, Frame::Gc));
        assert_eq!(down(&mut nodes), 1_000);
        assert_eq!(down(&mut nodes), 1_000);
    }
}
