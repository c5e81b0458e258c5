//! Calls with all that happened in them, each distinct one once.
//!
//! ```text
//! main                    shapes
//! ├ f                     0  g
//! │ └ g                   1  f [0]
//! ├ f                     2  main [1 1 0]
//! │ └ g
//! └ g                     Two calls did the same where they are the same number.
//! ```
//!
//! Numbers are those of one run. Calls of two runs did the same where they are known by the same hash.

use super::hash::Hash;
use super::head::Head;
use super::table::Table;

/// The number of a shape. What lies in it has lower ones.
pub type ShapeId = u32;

/// Calls with all that happened in them, each distinct one once.
#[derive(Debug, Default)]
pub struct Shapes {
    shapes: Vec<Shape>,
    /// What each calls, in order, one shape after the other.
    children: Vec<ShapeId>,
    /// What each is known by.
    hashes: Vec<Hash>,
    /// Their numbers by that, for as long as not all are there.
    table: Table,
    /// Calls in each, itself included, once they are counted.
    calls: Vec<u64>,
}

/// A shape, and what it is known by.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it is known by.
    pub hash: Hash,
    /// Its number.
    pub id: ShapeId,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Where its children end; they begin where those of the shape before end.
    end: usize,
    head: Head,
}

impl Shapes {
    /// The shape of a call that called nothing.
    pub fn leaf(&mut self, head: Head) -> Known {
        let hash = Hash::of(head, std::iter::empty());
        let id = self.table.get(hash).unwrap_or_else(|| self.add(hash, head, &[]));
        Known { hash, id }
    }

    /// Where they are known by their hashes.
    #[inline]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// A call that made those, whose hash is not there yet.
    #[cold]
    pub fn add(&mut self, hash: Hash, head: Head, children: &[ShapeId]) -> ShapeId {
        let id = ShapeId::try_from(self.shapes.len()).ok().filter(|&id| id < 1 << 31);
        let id = id.expect("2^31 different calls do not fit in memory");
        self.children.extend_from_slice(children);
        self.shapes.push(Shape { end: self.children.len(), head });
        self.hashes.push(hash);
        self.table.insert(hash, id);
        id
    }

    /// Which function, and how it began and ended.
    pub fn head(&self, id: ShapeId) -> Head {
        self.shapes[id as usize].head
    }

    /// What it called, in order.
    #[inline]
    pub fn children(&self, id: ShapeId) -> &[ShapeId] {
        let from = id.checked_sub(1).map_or(0, |before| self.shapes[before as usize].end);
        &self.children[from..self.shapes[id as usize].end]
    }

    /// All are there. Their calls are counted one after the other, so that memory answers ahead.
    pub fn close(&mut self) {
        self.table = Table::default();
        self.calls.reserve_exact(self.shapes.len());
        for id in 0..self.shapes.len() as ShapeId {
            let below = self.children(id).iter().map(|&child| self.calls[child as usize]);
            let calls = below.fold(1, u64::saturating_add);
            self.calls.push(calls);
        }
    }

    /// What it is known by, in both runs.
    #[inline]
    pub fn hash(&self, id: ShapeId) -> Hash {
        self.hashes[id as usize]
    }

    /// Calls in it, itself included. They have been counted.
    pub fn calls(&self, id: ShapeId) -> u64 {
        self.calls[id as usize]
    }

    /// Takes other heads instead of its own. What is the same then keeps its numbers, and is known by the same.
    pub fn translate(&mut self, head: impl Fn(Head) -> Head) {
        let is_changed = |shape: &Shape| head(shape.head) != shape.head;
        let Some(first) = self.shapes.iter().position(is_changed) else { return };
        // Most are as before where the runs call their functions in the same order at first.
        let mut is_other = vec![false; self.shapes.len()];
        for id in first..self.shapes.len() {
            let (before, children) = (self.shapes[id].head, self.children(id as ShapeId));
            let head = head(before);
            if head != before || children.iter().any(|&child| is_other[child as usize]) {
                let children = children.iter().map(|&child| self.hashes[child as usize]);
                self.hashes[id] = Hash::of(head, children);
                self.shapes[id].head = head;
                is_other[id] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Equal calls are one shape.

    use proptest::prelude::*;

    use super::super::head::{Finish, Start};
    use super::*;

    fn head(key: u32) -> Head {
        Head::new(key, Start::Called, Finish::Returned)
    }

    /// The shape of a call that made those.
    fn fold(shapes: &mut Shapes, head: Head, children: &[Known]) -> Known {
        let hash = Hash::of(head, children.iter().map(|child| child.hash));
        let ids: Vec<ShapeId> = children.iter().map(|child| child.id).collect();
        let id = shapes.table.get(hash).unwrap_or_else(|| shapes.add(hash, head, &ids));
        Known { hash, id }
    }

    #[test]
    fn calls_that_did_the_same_are_one() {
        let mut shapes = Shapes::default();
        let g = shapes.leaf(head(3));
        let f = fold(&mut shapes, head(2), &[g]);
        let main = fold(&mut shapes, head(1), &[f, f, g]).id;
        let again = (shapes.leaf(head(3)).id, fold(&mut shapes, head(2), &[g]).id);
        assert_eq!(again, (g.id, f.id));
        assert_ne!(fold(&mut shapes, head(1), &[f, g, f]).id, main);
        assert_ne!(shapes.leaf(Head::new(3, Start::Called, Finish::Raised)).id, g.id);
        shapes.close();
        assert_eq!(
            (shapes.calls(main), shapes.children(main), shapes.head(f.id)),
            (6, &[f.id, f.id, g.id][..], head(2))
        );
    }

    proptest! {
        #[test]
        fn each_is_found_again(calls in prop::collection::vec((0..5u32, prop::collection::vec(0..40usize, 0..4)), 1..200)) {
            let (mut shapes, mut numbers) = (Shapes::default(), std::collections::HashMap::new());
            let mut all: Vec<Known> = vec![];
            for (key, callees) in calls {
                let callees: Vec<Known> = callees.iter().filter_map(|&at| all.get(at).copied()).collect();
                let Known { hash, id } = fold(&mut shapes, head(key), &callees);
                let callees: Vec<ShapeId> = callees.iter().map(|callee| callee.id).collect();
                prop_assert_eq!(*numbers.entry((key, callees.clone())).or_insert(id), id);
                prop_assert_eq!((shapes.head(id), shapes.children(id)), (head(key), &callees[..]));
                all.push(Known { hash, id });
            }
            let ids: std::collections::HashSet<ShapeId> = all.iter().map(|known| known.id).collect();
            prop_assert_eq!(numbers.len(), ids.len());

            // Two functions change places: calls are known by what they would be known by if they had been made so.
            let other = |head: Head| head.with_key(match head.key() { 3 => 4, 4 => 3, key => key });
            let mut made: Vec<Known> = vec![];
            let mut others = Shapes::default();
            for id in 0..shapes.shapes.len() as ShapeId {
                let callees: Vec<Known> = shapes.children(id).iter().map(|&child| made[child as usize]).collect();
                made.push(fold(&mut others, other(shapes.head(id)), &callees));
            }
            for shapes in [&mut shapes, &mut others] {
                shapes.close();
            }
            shapes.translate(other);
            for (id, made) in (0..).zip(&made) {
                prop_assert_eq!((shapes.hash(id), shapes.head(id)), (made.hash, others.head(made.id)));
                prop_assert_eq!((made.hash, shapes.calls(id)), (others.hash(made.id), others.calls(made.id)));
            }
        }
    }
}
