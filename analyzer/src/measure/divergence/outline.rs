//! Calls in a few rows.

use serde::Serialize;

use super::head::Finish;
use super::shapes::{ShapeId, Shapes};
use crate::measure::Place;

/// A call, or several of them that did the same, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// How many of the calls told here it lies in.
    pub depth: usize,
    /// What was called.
    #[serde(flatten)]
    pub function: Place,
    /// How often.
    pub times: u64,
    /// How it ended.
    pub ended: Finish,
    /// Calls in all of them, themselves included.
    pub calls: u64,
}

/// The deepest calls that are told.
const DEEPEST: usize = 2;

/// Those calls and what they called, callers first, in no more than so many rows.
pub fn outline(
    shapes: &Shapes,
    calls: &[ShapeId],
    rows: usize,
    place: &mut impl FnMut(ShapeId) -> Place,
) -> Vec<Outline> {
    let mut outlines = Vec::new();
    // What is to be told yet, the next last.
    let mut stack: Vec<(usize, &[ShapeId])> = vec![(0, calls)];
    while let Some((depth, calls)) = stack.pop() {
        let Some(&first) = calls.first() else { continue };
        if outlines.len() == rows {
            break;
        }
        let did = shapes.hash(first);
        let times = calls.iter().take_while(|&&call| shapes.hash(call) == did).count();
        outlines.push(Outline {
            depth,
            function: place(first),
            times: times as u64,
            ended: shapes.head(first).finish(),
            calls: shapes.calls(first).saturating_mul(times as u64),
        });
        stack.push((depth, &calls[times..]));
        if depth < DEEPEST {
            stack.push((depth + 1, shapes.children(first)));
        }
    }
    outlines
}
