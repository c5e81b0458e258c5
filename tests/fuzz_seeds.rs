//! The fuzz targets with their seeds and random mutations: a short, deterministic version of `make
//! fuzz`, without coverage guidance.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/targets.rs"]
mod targets;

/// Mutations of each seed.
const MUTATIONS: u64 = 150;

#[test]
fn no_target_panics_on_a_seed_or_a_mutated_seed() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fuzz");
    for (name, target) in targets::ALL {
        let files = fs::read_dir(seeds.join(name)).expect("the directory is readable");
        let files: Vec<_> = files.map(|file| file.expect("the directory is readable").path()).collect();
        assert!(!files.is_empty(), "{name} has no seed");
        for file in &files {
            let seed = fs::read(file).expect("the file is readable");
            target(&seed);
            let mut random = Random(seed.len() as u64 + 1);
            (0..MUTATIONS).for_each(|_| target(&mutated(&seed, &mut random)));
        }
    }
}

/// A seed with a few bytes changed, removed or duplicated.
fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
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

/// The generator xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}
