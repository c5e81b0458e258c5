//! libFuzzer entry point of the target `profile`.

#![no_main]

use pyrec_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(targets::profile, bytes));
