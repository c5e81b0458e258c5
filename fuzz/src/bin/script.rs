//! libFuzzer entry point of the target `script`.

#![no_main]

use pyrec_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(targets::text, bytes));
