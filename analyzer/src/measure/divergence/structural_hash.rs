//! Structural (Merkle) hashes of call subtrees. They do not depend on the numbering of a run.

use super::call_key::CallKey;

/// The number of a subtree in [`Subtrees`](super::subtrees::Subtrees), valid in one run.
pub type SubtreeId = u32;

/// A 96-bit hash of a call: of its key, and of the hashes of its callees in order.
///
/// Subtrees with equal hashes are taken for equal. Among ten million distinct subtrees, the chance
/// that any two collide is below 10⁻¹⁴ (the birthday bound for a uniform 96-bit hash is 6.3 ·
/// 10⁻¹⁶).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StructuralHash {
    low: u32,
    high: [u32; 2],
}

impl StructuralHash {
    /// Hashes a call with two independent multiplicative hashes. 32 bits are the upper half of the
    /// first, whose high bits are mixed best, and 64 bits are the second.
    #[inline]
    pub fn of(key: CallKey, callees: impl ExactSizeIterator<Item = StructuralHash>) -> StructuralHash {
        const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        let mix = |hashes: [u64; 2], words: [u64; 2]| {
            [0, 1].map(|index| (hashes[index].rotate_left(29) ^ words[index]).wrapping_mul(FACTORS[index]))
        };
        let seed = mix([callees.len() as u64, !0], [key.bits().into(); 2]);
        let [one, two] = callees.fold(seed, |hashes, callee| mix(hashes, callee.words()));
        let (one, two) = (one ^ one >> 32, two ^ two >> 29);
        let [one, two] = mix([one, two], [!0, 0]);
        StructuralHash { low: (one >> 32) as u32, high: [two as u32, (two >> 32) as u32] }
    }

    /// The home bucket in a table of that many buckets, a power of two.
    #[inline]
    pub fn bucket(self, buckets: usize) -> usize {
        self.low as usize & (buckets - 1)
    }

    /// The 96 bits as two words that share 32 bits.
    #[inline]
    fn words(self) -> [u64; 2] {
        let [one, two, three] = [self.low, self.high[0], self.high[1]].map(u64::from);
        [one << 32 | two, three << 32 | one]
    }
}
