//! The calls of one thread into its shape.

use super::head::{Finish, Head, Start, THREAD};
use super::shapes::{Known, ShapeId, Shapes};
use super::sought::Sought;
use super::walk::{Running, Tell, Walk};
use crate::tree::OpenFrame;

/// The calls of one thread into its shape: those that have ended wait until their caller does.
///
/// ```text
/// E main  E f  R f  E f  R f  R main
///                             main [f f]
///              f         f f  main             waiting
/// ```
#[derive(Debug, Default)]
pub struct Folder {
    waiting: Vec<Known>,
    sought: Sought,
    /// The numbers of calls that turned out to be none.
    none: Vec<u64>,
}

impl Folder {
    /// A call that called nothing.
    #[inline]
    pub fn leaf(&mut self, leaf: Known) {
        self.waiting.push(leaf);
    }

    /// A call has ended.
    #[inline]
    pub fn fold(&mut self, running: &Running, finish: Finish, shapes: &mut Shapes) {
        let head = Head::new(running.key, running.start, finish);
        self.sought.fold(head, &mut self.waiting, running.first, shapes);
    }

    /// The thread has ended: its shape, and the numbers of calls that turned out to be none, in order.
    pub fn end(&mut self, shapes: &mut Shapes) -> (ShapeId, Vec<u64>) {
        self.sought.fold(Head::new(THREAD, Start::Called, Finish::Returned), &mut self.waiting, 0, shapes);
        self.sought.settle(&mut self.waiting, shapes);
        let shape = self.waiting.pop().map_or(0, |thread| thread.id);
        let mut none = std::mem::take(&mut self.none);
        none.sort_unstable();
        (shape, none)
    }
}

impl Tell for Folder {
    #[inline]
    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn enter(&mut self, _: &Walk, _: u64, _: i64) {}

    fn leave(&mut self, _: &Walk, open: &OpenFrame<Running>, finish: Option<Finish>, shapes: &mut Shapes) {
        match finish {
            Some(finish) => self.fold(&open.data, finish, shapes),
            None => self.none.push(open.data.number),
        }
    }
}
