//! What calls are known by, in whichever run they are made.

use super::head::Head;

/// What a call is known by: its head, and what its callees are known by. Of ten million different calls two are taken for
/// one in less than one of 10^14 recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hash {
    low: u32,
    high: [u32; 2],
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

    /// One of so many places, a power of two.
    #[inline]
    pub fn place(self, places: usize) -> usize {
        self.low as usize & (places - 1)
    }

    /// All of it, twice in part.
    #[inline]
    fn words(self) -> [u64; 2] {
        let [one, two, three] = [self.low, self.high[0], self.high[1]].map(u64::from);
        [one << 32 | two, three << 32 | one]
    }
}
