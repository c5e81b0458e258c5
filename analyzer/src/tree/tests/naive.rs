//! A second opinion: the rules in the plainest way, slow and without pieces.

use std::collections::BTreeMap;

use super::super::thread_piece::TimedOp;
use super::super::{Frame, Repairs, StackOp, Tally};
use super::Label;

/// A thread, rebuilt.
#[derive(Debug, Default, PartialEq)]
pub struct Naive {
    pub paths: BTreeMap<Vec<Label>, Tally>,
    pub repairs: Repairs,
}

struct Open {
    frame: Frame,
    path: Vec<Label>,
    measured_ns: u64,
    is_cut: bool,
    /// Whether its entry was seen.
    is_seen: bool,
}

pub fn rebuild(rows: &[TimedOp]) -> Naive {
    let mut naive = Naive::default();
    naive.at(&[]);
    let mut stack: Vec<Open> = Vec::new();
    let mut now_ns = rows.first().map_or(0, |row| row.time_ns);
    for row in rows {
        let until_ns = match row.op {
            StackOp::Lose { from_ns } if row.time_ns >= now_ns => from_ns.clamp(now_ns, row.time_ns),
            _ => row.time_ns,
        };
        naive.repairs.backwards += u64::from(row.time_ns < now_ns);
        let wait_ns = u64::try_from(until_ns - now_ns).unwrap_or(0);
        now_ns = row.time_ns;
        // Who was open while the time passed: everybody up to here measures it.
        stack.iter_mut().for_each(|open| open.measured_ns += wait_ns);
        let here = stack.last().map(|open| open.path.clone()).unwrap_or_default();
        match row.op {
            StackOp::Enter(frame) => {
                naive.at(&here).self_ns += wait_ns;
                naive.enter(&mut stack, here, frame, true);
            }
            StackOp::Open(frame) => {
                naive.at(&here).self_ns += wait_ns;
                naive.enter(&mut stack, here, frame, false);
            }
            StackOp::Leave(frame) => match stack.iter().rposition(|open| open.frame == frame) {
                Some(position) => naive.leave(&mut stack, position, wait_ns),
                None => {
                    naive.at(&here).self_ns += wait_ns;
                    naive.repairs.unmatched_returns += 1;
                }
            },
            StackOp::Lose { .. } => {
                naive.at(&here).self_ns += wait_ns;
                stack.iter_mut().for_each(|open| open.is_cut = true);
                let path = vec![Label::of(Frame::Lost)];
                naive.at(&path);
                stack.push(Open { frame: Frame::Lost, path, measured_ns: 0, is_cut: false, is_seen: true });
            }
            StackOp::Clear => {
                naive.at(&[]).self_ns += wait_ns;
                naive.end(&mut stack);
            }
            StackOp::Instant => {
                naive.at(&here).self_ns += wait_ns;
                naive.at(&here).points += 1;
            }
            StackOp::Ignore => unreachable!("not made here"),
        }
    }
    naive.end(&mut stack);
    naive
}

impl Naive {
    fn at(&mut self, path: &[Label]) -> &mut Tally {
        self.paths.entry(path.to_vec()).or_insert(Tally::NONE)
    }

    fn enter(&mut self, stack: &mut Vec<Open>, mut path: Vec<Label>, frame: Frame, is_seen: bool) {
        path.push(Label::of(frame));
        self.at(&path).entries += 1;
        stack.push(Open { frame, path, measured_ns: 0, is_cut: false, is_seen });
    }

    fn leave(&mut self, stack: &mut Vec<Open>, position: usize, wait_ns: u64) {
        for open in stack.split_off(position + 1) {
            match open {
                Open { frame: Frame::Lost, .. } => {}
                Open { is_cut: true, .. } => self.repairs.cut_by_loss += 1,
                Open { path, .. } => {
                    self.repairs.orphan_entries += 1;
                    self.at(&path).orphans += 1;
                }
            }
        }
        let open = stack.pop().expect("there is one at that position");
        let tally = self.at(&open.path);
        tally.self_ns += wait_ns;
        if !open.is_cut && open.is_seen {
            tally.measured += 1;
            tally.measured_ns += open.measured_ns;
            tally.min_ns = tally.min_ns.min(open.measured_ns);
            tally.max_ns = tally.max_ns.max(open.measured_ns);
        }
    }

    fn end(&mut self, stack: &mut Vec<Open>) {
        self.repairs.still_open += stack.drain(..).filter(|open| open.frame != Frame::Lost).count() as u64;
    }
}
