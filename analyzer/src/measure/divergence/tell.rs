//! Places where two runs part, into words.

use pyrec_schema::{TextId, Trace};
use rustc_hash::FxHashMap;

use super::compare::{Kind, Parting, Tally, Then};
use super::head::{Hows, Key};
use super::look::{Sight, look};
use super::outline::{Outline, outline};
use super::run::Run;
use super::shapes::ShapeId;
use super::{Alone, Divergence, Side, both};
use crate::measure::place::Spot;
use crate::measure::{Naming, Place};
use crate::tree::Frame;
use crate::{Filter, Result};

/// Rows in which the calls are told that only one run makes.
const ROWS: usize = 8;

/// What it takes to put a place into words.
pub struct Teller<'a> {
    /// The two runs.
    pub traces: [&'a Trace; 2],
    /// What each calls its functions.
    pub naming: [Naming<'a>; 2],
    /// What each did.
    pub runs: &'a [Run; 2],
    /// The frames of each function in both.
    pub frames: &'a [[Option<Frame>; 2]],
    /// What was asked for.
    pub filter: &'a Filter,
    /// How calls begin and end in each.
    pub hows: [Hows; 2],
}

impl Teller<'_> {
    /// Looks the places up and tells them in the order of their time. Of those that are alike the first stands for all.
    pub fn tell(
        &self,
        kinds: &[((usize, usize), &Kind)],
        tallies: &FxHashMap<u64, Tally>,
    ) -> Result<Vec<Divergence>> {
        let look = |side: usize| {
            let places: Vec<_> =
                kinds.iter().map(|(pair, kind)| ([pair.0, pair.1][side], kind.first.next[side])).collect();
            look(self.traces[side], self.filter, self.hows[side], &self.runs[side], &places)
        };
        let [old, new] = both(look)?;
        let mut told: Vec<_> = kinds.iter().zip(old.into_iter().zip(new)).collect();
        told.sort_by_key(|(_, (old, new))| (self.time_ns(0, old), self.time_ns(1, new)));
        let mut is_told = rustc_hash::FxHashSet::default();
        told.retain(|((_, kind), _)| is_told.insert(kind.signature));
        let places = |kind: &Kind| tallies.get(&kind.signature).map_or(0, |tally| tally.places);
        Ok(told
            .into_iter()
            .map(|((pair, kind), (old, new))| self.divergence(*pair, &kind.first, places(kind), [old, new]))
            .collect())
    }

    /// A thread for which there is none in the other run.
    pub fn alone(&self, side: usize, thread: usize) -> Alone {
        let run = &self.runs[side].threads[thread];
        let (calls, crate::order::ThreadId { pid, tid }) = (self.calls(side, thread), run.life.thread);
        Alone { pid, tid, thread: self.name(side, run.name), calls }
    }

    /// How many calls a thread made.
    pub fn calls(&self, side: usize, thread: usize) -> u64 {
        self.runs[side].shapes.calls(self.runs[side].threads[thread].shape) - 1
    }

    fn name(&self, side: usize, name: TextId) -> Option<String> {
        self.traces[side].names().text_str(name).map(|name| name.to_string())
    }

    /// When, since the first event of the trace.
    fn time_ns(&self, side: usize, sight: &Option<Sight>) -> Option<i64> {
        let first_ns = self.runs[side].seen.counts.first_ns;
        sight.as_ref().map(|sight| sight.time_ns.saturating_sub(first_ns))
    }

    fn divergence(
        &self,
        (old, new): (usize, usize),
        parting: &Parting,
        places: u64,
        sights: [Option<Sight>; 2],
    ) -> Divergence {
        let [old_sight, new_sight] = sights;
        let then = match parting.then {
            Then::Call(shape) | Then::Pair(shape) => self.outline(0, &[shape], 1).pop(),
            Then::End(_) => None,
        };
        Divergence {
            places,
            old: self.side(0, old, parting, old_sight),
            new: self.side(1, new, parting, new_sight),
            before: self
                .outline(0, &parting.before, ROWS)
                .into_iter()
                .filter(|call| call.depth == 0)
                .collect(),
            then,
        }
    }

    fn side(&self, side: usize, thread: usize, parting: &Parting, sight: Option<Sight>) -> Side {
        let naming = &self.naming[side];
        let time_ns = self.time_ns(side, &sight);
        let sight = sight.unwrap_or_default();
        let places = |spots: Vec<Spot>| spots.into_iter().map(|spot| Place::of(spot, naming)).collect();
        let run = &self.runs[side].threads[thread];
        let number = parting.number[side];
        Side {
            pid: run.life.thread.pid,
            tid: run.life.thread.tid,
            thread: self.name(side, run.name),
            number,
            time_ns,
            stack: places(sight.stack),
            lines: places(sight.lines),
            only: self.outline(side, &parting.only[side], ROWS),
            only_count: parting.only_calls[side].0,
            only_calls: parting.only_calls[side].1,
            ends: match parting.then {
                Then::End(finishes) => Some(finishes[side]),
                _ => None,
            },
            after_loss: run.lost_at.is_some_and(|lost_at| lost_at <= number),
        }
    }

    fn outline(&self, side: usize, calls: &[ShapeId], rows: usize) -> Vec<Outline> {
        let shapes = &self.runs[side].shapes;
        outline(shapes, calls, rows, &mut |shape| {
            let frame = self.frame(side, shapes.head(shape).key());
            Place::of(Spot { frame, line: 0 }, &self.naming[side])
        })
    }

    fn frame(&self, side: usize, key: Key) -> Frame {
        self.frames.get(key as usize).and_then(|frames| frames[side]).unwrap_or(Frame::Lost)
    }
}
