//! libFuzzer entry point of the target `wire`.

#![no_main]

use pyrec_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(targets::wire, bytes));
