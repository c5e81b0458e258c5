//! Where two runs part, for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::measure::diff::Comparability;
use crate::measure::{Alone, Divergence, Divergences, Trust};
use crate::report::json;

#[derive(Serialize)]
struct Json<'a> {
    comparable: bool,
    #[serde(flatten)]
    comparability: &'a Comparability,
    divergences: &'a [Divergence],
    kinds: u64,
    places: u64,
    calls_old: u64,
    calls_new: u64,
    calls_only_old: u64,
    calls_only_new: u64,
    threads_only_old: &'a [Alone],
    threads_only_new: &'a [Alone],
    trust_old: &'a Trust,
    trust_new: &'a Trust,
}

/// Writes one object: the first place of each kind under `divergences`, and how many there are.
pub fn write_json(divergences: &Divergences, out: &mut impl Write) -> io::Result<()> {
    let Divergences { first, kinds, places, calls, only, alone, comparability, trust } = divergences;
    json::write(
        &Json {
            comparable: comparability.is_comparable(),
            comparability,
            divergences: first,
            kinds: *kinds,
            places: *places,
            calls_old: calls[0],
            calls_new: calls[1],
            calls_only_old: only[0],
            calls_only_new: only[1],
            threads_only_old: &alone[0],
            threads_only_new: &alone[1],
            trust_old: &trust[0],
            trust_new: &trust[1],
        },
        out,
    )
}
