//! The memory-mapped counts of the BPF program (`bpf/tally.h`).
//!
//! ```text
//! tallies   number and counts of each function        ─┐
//! settled   tallies evicted from the map              ─┼▶ CountTotals
//! stacks    open calls of each thread: time up to now ─┘
//! ```

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use memmap2::{MmapOptions, MmapRaw};
use pyrec_schema::{CodeId, MarkerGroup};
use rustc_hash::FxHashMap;

use super::skeleton::types;
use crate::output::counts::{CountTotals, FunctionName, OpenCall, Tally, elapsed_tallies};

/// Number of buckets of tallies: `BUCKET_BITS` in `codes.h`.
pub const BUCKETS: u32 = 1 << 14;

/// Number of stacks: `STACK_BITS` in `tally.h`.
pub const STACKS: u32 = 1 << 11;

/// The mapped counts, and the functions that they belong to.
#[derive(Debug)]
pub struct KernelTallies {
    tallies: MmapRaw,
    stacks: MmapRaw,
    /// Functions by definition number, while their tally may be in the map. `None`: the filter
    /// excludes it.
    functions: FxHashMap<u64, (i32, Option<CodeId>)>,
    evicted: FxHashMap<(i32, CodeId), Tally>,
}

impl KernelTallies {
    /// Maps the two BPF arrays.
    pub fn map(tallies: impl AsFd, stacks: impl AsFd) -> io::Result<KernelTallies> {
        let map = |bytes: usize, file: &dyn AsFd| {
            MmapOptions::new().len(bytes).map_raw_read_only(file.as_fd().as_raw_fd())
        };
        Ok(KernelTallies {
            tallies: map(size_of::<types::tallies>() * BUCKETS as usize, &tallies)?,
            stacks: map(size_of::<types::stack>() * STACKS as usize, &stacks)?,
            functions: FxHashMap::default(),
            evicted: FxHashMap::default(),
        })
    }

    /// Assigns a definition number to a function.
    pub fn define(&mut self, number: u64, pid: i32, code: Option<CodeId>) {
        self.functions.insert(number, (pid, code));
    }

    /// Adds a tally that was evicted from the map.
    pub fn add_evicted(&mut self, number: u64, tally: Tally) {
        if let Some((pid, Some(code))) = self.functions.remove(&number) {
            self.evicted.entry((pid, code)).or_default().add(tally);
        }
    }

    /// Adds all counts up to `now_ns`. `code_at` maps a process and address to a code.
    pub fn add_to(&self, sums: &mut CountTotals, now_ns: i64, code_at: impl Fn(i32, u64) -> Option<CodeId>) {
        for (&(pid, code), &tally) in &self.evicted {
            sums.add(pid, FunctionName::Code(code), tally);
        }
        for bucket in 0..BUCKETS as usize {
            // SAFETY: the mapping has `BUCKETS` of these, of integers alone. The BPF program may
            // write concurrently, hence the volatile read.
            let bucket =
                unsafe { self.tallies.as_ptr().cast::<types::tallies>().add(bucket).read_volatile() };
            for tally in bucket.ways.iter().filter(|tally| tally.function != 0) {
                if let Some(&(pid, Some(code))) = self.functions.get(&tally.function) {
                    sums.add(pid, FunctionName::Code(code), tally_from_map(tally));
                }
            }
        }
        for stack in 0..STACKS as usize {
            self.add_open_calls(stack, sums, now_ns, &code_at);
        }
    }

    /// Adds the time of the open calls of a thread.
    fn add_open_calls(
        &self,
        stack: usize,
        sums: &mut CountTotals,
        now_ns: i64,
        code_at: &impl Fn(i32, u64) -> Option<CodeId>,
    ) {
        // SAFETY: the mapping has `STACKS` of these.
        let stack = unsafe { self.stacks.as_ptr().cast::<types::stack>().add(stack) };
        // SAFETY: as above. The BPF program may write concurrently, hence the volatile read of an
        // integer.
        let thread = unsafe { (&raw const (*stack).thread).read_volatile() };
        if thread == 0 {
            return;
        }
        // SAFETY: as above. A concurrent write makes times inaccurate until the next read.
        let stack = unsafe { stack.read_volatile() };
        let pid = (thread >> 32) as i32;
        let depth = (stack.depth as usize).min(stack.opens.len());
        let opens: Vec<OpenCall<u64>> = stack.opens[..depth]
            .iter()
            .map(|open| OpenCall {
                function: open.code,
                entered_ns: open.entered_ns as i64,
                called_ns: open.called_ns,
            })
            .collect();
        elapsed_tallies(&opens, now_ns, |address, tally| {
            if let Some(code) = code_at(pid, address) {
                sums.add(pid, FunctionName::Code(code), tally);
            }
        });
    }
}

/// Adds the hits of markers without a code object, the lost calls and the calls without times.
pub fn add_marker_hits(sets: &[types::hits], sums: &mut CountTotals) {
    for set in sets {
        let groups = [
            (MarkerGroup::Line, set.lines),
            (MarkerGroup::Gc, set.collections),
            (MarkerGroup::Import, set.imports),
            (MarkerGroup::Audit, set.audits),
        ];
        groups.into_iter().for_each(|(group, count)| sums.groups.add(group, count));
        sums.lost += set.unknown + set.unsettled;
        sums.untimed += set.untimed;
    }
}

/// Converts a tally of the map.
pub fn tally_from_map(tally: &types::tally) -> Tally {
    Tally { calls: tally.calls, self_ns: tally.self_ns, total_ns: tally.total_ns }
}

#[cfg(test)]
mod tests {
    //! Arrays as the program would leave them.

    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use pyrec_schema::Names;

    use super::*;

    fn array(bytes: usize) -> File {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(bytes as u64).expect("room");
        file
    }

    fn put(file: &File, at: usize, numbers: &[u64]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        file.write_all_at(&bytes, at as u64).expect("room");
    }

    #[test]
    fn tallies_settled_ones_and_open_calls_add_up() {
        let tallies = array(size_of::<types::tallies>() * BUCKETS as usize);
        let stacks = array(size_of::<types::stack>() * STACKS as usize);
        // Number, calls, self, total, when a thread ended; the second way of the bucket, and the
        // last of all.
        put(&tallies, 3 * size_of::<types::tallies>() + size_of::<types::tally>(), &[5, 7, 100, 200, 0]);
        put(&tallies, (BUCKETS as usize * WAYS - 1) * size_of::<types::tally>(), &[6, 1, 10, 10, 0]);
        // A thread, its depth, and calls: the code at 64 has called that at 96 at 1500, and before
        // that for 300 ns.
        put(&stacks, 9 * size_of::<types::stack>(), &[7 << 32 | 8, 2, 64, 1000, 300, 96, 1500, 0]);
        let names = Names::new();
        let [f, g, h] = ["f.py:1:f", "f.py:2:g", "f.py:3:h"].map(|code| names.code(code));
        let mut mapped = KernelTallies::map(&tallies, &stacks).expect("they can be mapped");
        mapped.define(5, 7, Some(f));
        mapped.define(6, 7, None);
        mapped.define(4, 7, Some(h));
        mapped.add_evicted(4, Tally { calls: 2, self_ns: 20, total_ns: 30 });

        let mut sums = CountTotals::default();
        mapped.add_to(&mut sums, 2000, |pid, address| match (pid, address) {
            (7, 64) => Some(f),
            (7, 96) => Some(g),
            _ => None,
        });
        let mut functions = sums.into_counts(&names, Duration::ZERO).functions;
        functions.sort_by(|a, b| a.code.cmp(&b.code));
        let counts: Vec<_> = functions
            .iter()
            .map(|function| {
                (&*function.code, function.tally.calls, function.tally.self_ns, function.tally.total_ns)
            })
            .collect();
        // f has run from 1000 to 2000, of which others have had 300 and 500.
        assert_eq!(
            counts,
            [("f.py:1:f", 7, 100 + 200, 200 + 1000), ("f.py:2:g", 0, 500, 500), ("f.py:3:h", 2, 20, 30)]
        );
    }

    /// `WAYS` in `codes.h`.
    const WAYS: usize = 4;
}
