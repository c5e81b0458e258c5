//! A reference implementation of the rebuild: simple, slow, and without pieces.

use std::collections::BTreeMap;

use super::super::thread_piece::TimedOp;
use super::super::{Frame, Repairs, StackOp, Tally};
use super::Label;

/// A rebuilt thread.
#[derive(Debug, Default, PartialEq)]
pub struct Rebuilt {
    pub paths: BTreeMap<Vec<Label>, Tally>,
    pub repairs: Repairs,
}

struct OpenCall {
    frame: Frame,
    path: Vec<Label>,
    measured_ns: u64,
    is_cut: bool,
    /// Whether its entry was recorded.
    is_entry_recorded: bool,
}

pub fn rebuild(rows: &[TimedOp]) -> Rebuilt {
    let mut rebuilt = Rebuilt::default();
    rebuilt.at(&[]);
    let mut stack: Vec<OpenCall> = Vec::new();
    let mut now_ns = rows.first().map_or(0, |row| row.time_ns);
    for row in rows {
        let until_ns = match row.op {
            StackOp::Lose { from_ns } if row.time_ns >= now_ns => from_ns.clamp(now_ns, row.time_ns),
            _ => row.time_ns,
        };
        rebuilt.repairs.backwards += u64::from(row.time_ns < now_ns);
        let wait_ns = u64::try_from(until_ns - now_ns).unwrap_or(0);
        now_ns = row.time_ns;
        // The time is part of every open call.
        stack.iter_mut().for_each(|open| open.measured_ns += wait_ns);
        let here = stack.last().map(|open| open.path.clone()).unwrap_or_default();
        match row.op {
            StackOp::Enter(frame) => {
                rebuilt.at(&here).self_ns += wait_ns;
                rebuilt.enter(&mut stack, here, frame, true);
            }
            StackOp::Open(frame) => {
                rebuilt.at(&here).self_ns += wait_ns;
                rebuilt.enter(&mut stack, here, frame, false);
            }
            StackOp::Leave(frame) => match stack.iter().rposition(|open| open.frame == frame) {
                Some(position) => rebuilt.leave(&mut stack, position, wait_ns),
                None => {
                    rebuilt.at(&here).self_ns += wait_ns;
                    rebuilt.repairs.unmatched_returns += 1;
                }
            },
            StackOp::Lose { .. } => {
                rebuilt.at(&here).self_ns += wait_ns;
                stack.iter_mut().for_each(|open| open.is_cut = true);
                let path = vec![Label::of(Frame::Lost)];
                rebuilt.at(&path);
                stack.push(OpenCall {
                    frame: Frame::Lost,
                    path,
                    measured_ns: 0,
                    is_cut: false,
                    is_entry_recorded: true,
                });
            }
            StackOp::Clear => {
                rebuilt.at(&[]).self_ns += wait_ns;
                rebuilt.end(&mut stack);
            }
            StackOp::Instant => {
                rebuilt.at(&here).self_ns += wait_ns;
                rebuilt.at(&here).points += 1;
            }
            StackOp::Ignore => unreachable!("the strategy makes no such rows"),
        }
    }
    rebuilt.end(&mut stack);
    rebuilt
}

impl Rebuilt {
    fn at(&mut self, path: &[Label]) -> &mut Tally {
        self.paths.entry(path.to_vec()).or_insert(Tally::NONE)
    }

    fn enter(
        &mut self,
        stack: &mut Vec<OpenCall>,
        mut path: Vec<Label>,
        frame: Frame,
        is_entry_recorded: bool,
    ) {
        path.push(Label::of(frame));
        self.at(&path).entries += 1;
        stack.push(OpenCall { frame, path, measured_ns: 0, is_cut: false, is_entry_recorded });
    }

    fn leave(&mut self, stack: &mut Vec<OpenCall>, position: usize, wait_ns: u64) {
        for open in stack.split_off(position + 1) {
            match open {
                OpenCall { frame: Frame::Lost, .. } => {}
                OpenCall { is_cut: true, .. } => self.repairs.cut_by_loss += 1,
                OpenCall { path, .. } => {
                    self.repairs.orphan_entries += 1;
                    self.at(&path).orphans += 1;
                }
            }
        }
        let open = stack.pop().expect("the position is on the stack");
        let tally = self.at(&open.path);
        tally.self_ns += wait_ns;
        if !open.is_cut && open.is_entry_recorded {
            tally.measured += 1;
            tally.measured_ns += open.measured_ns;
            tally.min_ns = tally.min_ns.min(open.measured_ns);
            tally.max_ns = tally.max_ns.max(open.measured_ns);
        }
    }

    fn end(&mut self, stack: &mut Vec<OpenCall>) {
        self.repairs.still_open += stack.drain(..).filter(|open| open.frame != Frame::Lost).count() as u64;
    }
}
