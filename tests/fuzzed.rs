//! The fuzzers' targets, with their seeds and what a few random changes make of them: what `make fuzz` does in minutes
//! and with an eye on the code that is reached.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/targets.rs"]
mod targets;

/// Changes of each seed.
const CHANGES: u64 = 150;

#[test]
fn no_seed_and_no_change_of_one_is_a_reason_to_panic() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fuzz");
    for (name, target) in targets::ALL {
        let files = fs::read_dir(seeds.join(name)).expect("every target has seeds");
        let files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
        assert!(!files.is_empty(), "{name} has no seed");
        for file in &files {
            let seed = fs::read(file).expect("it is a file");
            target(&seed);
            let mut random = Random(seed.len() as u64 + 1);
            (0..CHANGES).for_each(|_| target(&changed(&seed, &mut random)));
        }
    }
}

/// A seed with a few bytes changed, cut out or put in twice.
fn changed(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let (from, len) = (random.below(bytes.len()), random.below(16));
        let to = bytes.len().min(from + len);
        match random.below(4) {
            0 => drop(bytes.drain(from..to)),
            1 => drop(bytes.splice(from..from, bytes[from..to].to_vec())),
            2 => bytes[from..to].fill([0, 1, 0x7f, 0x80, 0xff][random.below(5)]),
            _ => bytes[from..to].iter_mut().for_each(|byte| *byte ^= 1 << random.below(8)),
        }
    }
    bytes
}

/// xorshift64: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}
