//! The open calls of a thread, and their self and total times.
//!
//! ```text
//! rows   E a       E b       R b       R a
//! a      ├── self ─┤         ├── self ─┤      total of a: from its entry to its return
//! b                ├─ self ──┤
//! ```
//!
//! A return ends the innermost call of its function, and with it those above, whose returns were
//! not seen: their time is that call's. A return of a function that is not open changes nothing.
//! The BPF program keeps the same rules (`bpf/tally.h`).

use std::hash::Hash;

use rustc_hash::FxHashSet;

use super::Tally;

/// An open call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenCall<F> {
    /// The function.
    pub function: F,
    /// The time of its entry, in nanoseconds.
    pub entered_ns: i64,
    /// Total time of its completed callees, in nanoseconds.
    pub called_ns: u64,
}

/// The open calls of a thread, outermost first. A function is an index into a list.
#[derive(Debug, Default)]
pub(super) struct CallStack {
    opens: Vec<OpenCall<usize>>,
    /// Number of open calls of each function.
    times: Vec<u32>,
}

impl CallStack {
    /// Opens a call.
    pub fn enter(&mut self, function: usize, now_ns: i64) {
        if function >= self.times.len() {
            self.times.resize(function + 1, 0);
        }
        self.times[function] += 1;
        self.opens.push(OpenCall { function, entered_ns: now_ns, called_ns: 0 });
    }

    /// Closes a call. Returns the times to add to its function.
    pub fn leave(&mut self, function: usize, now_ns: i64) -> Tally {
        if self.times.get(function).is_none_or(|&times| times == 0) {
            return Tally::default();
        }
        let mut called_ns = 0_u64;
        while let Some(open) = self.opens.pop() {
            self.times[open.function] -= 1;
            called_ns = called_ns.saturating_add(open.called_ns);
            if open.function == function {
                let took_ns = between_ns(open.entered_ns, now_ns);
                if let Some(caller) = self.opens.last_mut() {
                    caller.called_ns = caller.called_ns.saturating_add(took_ns);
                }
                let total_ns = if self.times[function] == 0 { took_ns } else { 0 };
                return Tally { calls: 0, self_ns: took_ns.saturating_sub(called_ns), total_ns };
            }
        }
        Tally::default()
    }

    /// The open calls, the outermost first.
    pub fn opens(&self) -> &[OpenCall<usize>] {
        &self.opens
    }

    /// Discards all open calls, after a loss of events.
    pub fn clear(&mut self) {
        self.opens.clear();
        self.times.clear();
    }
}

/// Computes the times of open calls, outermost first, up to `now_ns`.
pub(crate) fn elapsed_tallies<F: Copy + Eq + Hash>(
    opens: &[OpenCall<F>],
    now_ns: i64,
    mut add: impl FnMut(F, Tally),
) {
    let mut inner_ns = 0;
    for open in opens.iter().rev() {
        let took_ns = between_ns(open.entered_ns, now_ns);
        let self_ns = took_ns.saturating_sub(inner_ns).saturating_sub(open.called_ns);
        inner_ns = took_ns;
        add(open.function, Tally { self_ns, ..Tally::default() });
    }
    let mut seen = FxHashSet::default();
    for open in opens.iter().filter(|open| seen.insert(open.function)) {
        let total_ns = between_ns(open.entered_ns, now_ns);
        add(open.function, Tally { total_ns, ..Tally::default() });
    }
}

fn between_ns(from_ns: i64, to_ns: i64) -> u64 {
    u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    //! Who gets which time, worked out by hand.

    use super::*;

    /// Calls of functions 0, 1 and 2: `E1@10` enters number 1 at 10 ns, `R1@20` leaves it. Returns
    /// self and total times.
    fn times(script: &str, until_ns: i64) -> [(u64, u64); 3] {
        let (mut stack, mut tallies) = (CallStack::default(), [Tally::default(); 3]);
        for word in script.split_whitespace() {
            let (step, time_ns) = word.split_once('@').expect("a step and a time");
            let (kind, function) = step.split_at(1);
            let (function, time_ns) =
                (function.parse().expect("a number"), time_ns.parse().expect("a number"));
            match kind {
                "E" => stack.enter(function, time_ns),
                _ => tallies[function].add(stack.leave(function, time_ns)),
            }
        }
        elapsed_tallies(stack.opens(), until_ns, |function, tally| tallies[function].add(tally));
        tallies.map(|tally| (tally.self_ns, tally.total_ns))
    }

    #[test]
    fn each_call_gets_its_own_time() {
        let table = [
            ("a calls b", "E0@0 E1@10 R1@15 R0@20", 99, [(15, 20), (5, 5), (0, 0)]),
            ("open calls have taken what they took", "E0@0 E1@10", 30, [(10, 30), (20, 20), (0, 0)]),
            (
                "recursion counts once in total",
                "E0@0 E0@10 E0@20 R0@30 R0@40 R0@50",
                99,
                [(50, 50), (0, 0), (0, 0)],
            ),
            ("the same while it goes on", "E0@0 E1@10 E0@20 R0@25", 40, [(15, 40), (25, 30), (0, 0)]),
            ("a missing return", "E0@0 E1@10 E2@12 R2@14 R0@20", 99, [(18, 20), (0, 0), (2, 2)]),
            ("a missing entry", "E0@0 R1@10 R0@20", 99, [(20, 20), (0, 0), (0, 0)]),
            (
                "two calls one after the other",
                "E0@0 E1@1 R1@3 E1@5 R1@9 R0@10",
                99,
                [(4, 10), (6, 6), (0, 0)],
            ),
            ("time that runs backwards", "E0@20 E1@10 R1@5 R0@30", 99, [(10, 10), (0, 0), (0, 0)]),
        ];
        for (what, script, until_ns, expected) in table {
            assert_eq!(times(script, until_ns), expected, "{what}");
        }
    }
}
