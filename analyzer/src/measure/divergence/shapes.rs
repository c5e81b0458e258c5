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

use super::head::Head;
use super::sought::Sought;

/// The number of a shape. What lies in it has lower ones.
pub type ShapeId = u32;

/// Calls with all that happened in them, each distinct one once.
#[derive(Debug)]
pub struct Shapes {
    shapes: Vec<Shape>,
    /// What each calls, in order, one shape after the other.
    children: Vec<ShapeId>,
    /// An open-addressing table, as many as a power of two, at most three of four taken.
    slots: Vec<Slot>,
    /// Calls in each, itself included, once they are counted.
    calls: Vec<u64>,
}

/// A place in the table. What is sought is known by its hash, of 96 bits: of ten million different calls two are taken for
/// one in less than one of 10^14 recordings, and memory is touched once instead of three times.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
pub struct Slot {
    hash: Hash,
    /// One more than the number of the shape, or 0.
    number: u32,
}

/// A shape, and what it is known by.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it is known by.
    pub hash: Hash,
    /// Its number.
    pub id: ShapeId,
}

/// What a call is known by: its head, and what its callees are known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash {
    /// Says where in the table, too.
    low: u32,
    high: [u32; 2],
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Where its children end; they begin where those of the shape before end.
    end: usize,
    head: Head,
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes {
            shapes: Vec::new(),
            children: Vec::new(),
            slots: vec![Slot::default(); 64],
            calls: Vec::new(),
        }
    }
}

impl Shapes {
    /// The shape of a call that called nothing.
    pub fn leaf(&mut self, head: Head) -> Known {
        let hash = Hash::of(head, std::iter::empty());
        Known { hash, id: self.fold(hash, head, &[]) }
    }

    /// The place in the table where a search for that hash begins.
    #[inline]
    pub fn slot(&self, hash: Hash) -> Slot {
        self.slots[hash.low as usize & (self.slots.len() - 1)]
    }

    /// The shape of that hash, if it is in that place.
    #[inline]
    pub fn known(&self, hash: Hash, slot: Slot) -> Option<ShapeId> {
        slot.number.checked_sub(1).filter(|_| slot.hash == hash)
    }

    /// The shape of that hash, which is that of a call that made those.
    pub fn fold(&mut self, hash: Hash, head: Head, children: &[ShapeId]) -> ShapeId {
        let mask = self.slots.len() - 1;
        let mut at = hash.low as usize & mask;
        loop {
            let slot = self.slots[at];
            match slot.number.checked_sub(1) {
                None => return self.add(head, children, hash, at),
                Some(id) if slot.hash == hash => return id,
                Some(_) => at = (at + 1) & mask,
            }
        }
    }

    #[cold]
    fn add(&mut self, head: Head, children: &[ShapeId], hash: Hash, at: usize) -> ShapeId {
        let id = ShapeId::try_from(self.shapes.len()).ok().filter(|&id| id < 1 << 31);
        let id = id.expect("2^31 different calls do not fit in memory");
        self.children.extend_from_slice(children);
        self.shapes.push(Shape { end: self.children.len(), head });
        self.slots[at] = Slot { hash, number: id + 1 };
        if self.shapes.len() / 3 >= self.slots.len() / 4 {
            self.grow();
        }
        id
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let mut slots = vec![Slot::default(); mask + 1];
        for slot in self.slots.iter().filter(|slot| slot.number != 0) {
            let mut at = slot.hash.low as usize & mask;
            while slots[at].number != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = *slot;
        }
        self.slots = slots;
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

    /// Counts the calls in each, when all are there: one after the other, so that memory answers ahead.
    pub fn count(&mut self) {
        for id in self.calls.len() as ShapeId..self.shapes.len() as ShapeId {
            let below = self.children(id).iter().map(|&child| self.calls[child as usize]);
            let calls = below.fold(1, u64::saturating_add);
            self.calls.push(calls);
        }
    }

    /// Calls in it, itself included. They have been counted.
    pub fn calls(&self, id: ShapeId) -> u64 {
        self.calls[id as usize]
    }

    /// Takes over the shapes of another run, whose heads are translated. Gives the number here of each number there.
    pub fn absorb(&mut self, other: &Shapes, head: impl Fn(Head) -> Head) -> Vec<ShapeId> {
        let mut here: Vec<Known> = Vec::with_capacity(other.shapes.len());
        let mut sought = Sought::default();
        for id in 0..other.shapes.len() as ShapeId {
            let children = other.children(id).iter().map(|&child| here[child as usize]);
            let known = sought.push(head(other.head(id)), here.len(), children);
            here.push(known);
            sought.settle_full(&mut here, self);
        }
        sought.settle(&mut here, self);
        here.into_iter().map(|known| known.id).collect()
    }
}

impl Hash {
    /// Two multiplications that know nothing of each other, each with its upper, better half.
    #[inline]
    pub fn of(head: Head, children: impl ExactSizeIterator<Item = Hash>) -> Hash {
        const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        let mix = |hashes: [u64; 2], numbers: [u64; 2]| {
            [0, 1].map(|at| (hashes[at].rotate_left(29) ^ numbers[at]).wrapping_mul(FACTORS[at]))
        };
        let begin = mix([children.len() as u64, !0], [head.number().into(); 2]);
        let [one, two] = children.fold(begin, |hashes, child| mix(hashes, child.words()));
        let (one, two) = (one ^ one >> 32, two ^ two >> 29);
        let [one, two] = mix([one, two], [!0, 0]);
        Hash { low: (one >> 32) as u32, high: [two as u32, (two >> 32) as u32] }
    }

    /// All of it, twice in part.
    #[inline]
    fn words(self) -> [u64; 2] {
        let [one, two, three] = [self.low, self.high[0], self.high[1]].map(u64::from);
        [one << 32 | two, three << 32 | one]
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
        Known { hash, id: shapes.fold(hash, head, &ids) }
    }

    #[test]
    fn calls_that_did_the_same_are_one() {
        let mut shapes = Shapes::default();
        let g = shapes.leaf(head(3));
        let f = fold(&mut shapes, head(2), &[g]);
        let main = fold(&mut shapes, head(1), &[f, f, g]).id;
        shapes.count();
        let again = (shapes.leaf(head(3)).id, fold(&mut shapes, head(2), &[g]).id);
        assert_eq!(again, (g.id, f.id));
        assert_ne!(fold(&mut shapes, head(1), &[f, g, f]).id, main);
        assert_ne!(shapes.leaf(Head::new(3, Start::Called, Finish::Raised)).id, g.id);
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

            let mut other = Shapes::default();
            other.leaf(head(4));
            let here = other.absorb(&shapes, |head| head);
            other.count();
            shapes.count();
            for id in ids {
                let there = here[id as usize];
                let children: Vec<ShapeId> = shapes.children(id).iter().map(|&child| here[child as usize]).collect();
                prop_assert_eq!((other.head(there), other.children(there)), (shapes.head(id), &children[..]));
                prop_assert_eq!(other.calls(there), shapes.calls(id));
            }
            prop_assert_eq!(here.iter().collect::<std::collections::HashSet<_>>().len(), here.len());
        }
    }
}
