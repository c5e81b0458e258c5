//! The frames that are open in a thread.

use rustc_hash::FxHashMap;

use super::Frame;

/// The frames that are open in a thread, the outermost first, each with what its user keeps about it.
///
/// Nearly every return is from the innermost frame. Which frame any other belongs to is known at once, too, however
/// deep it lies: every frame knows the next one below it that is equal, and `innermost` knows where that chain begins.
/// Only the frames that such a return has seen are linked, so that the others cost nothing.
///
/// ```text
/// position     0     1     2     3   │   4
/// frame        a     b     a     c   │   b        innermost: a → 2, b → 1, c → 3
/// below        –     –     0     –   │
///              linked                  entered since
/// ```
#[derive(Clone, Debug)]
pub struct Stack<T> {
    open: Vec<Open<T>>,
    /// For every linked frame one more than the position of the equal frame below it, 0 if there is none.
    below: Vec<u32>,
    /// One more than the position of the innermost linked frame that is equal, 0 or nothing if there is none.
    innermost: FxHashMap<Frame, u32>,
    losses: u32,
}

/// An open frame.
#[derive(Clone, Copy, Debug)]
pub struct Open<T> {
    /// What is open.
    pub frame: Frame,
    /// How many losses there had been when it was entered.
    pub losses: u32,
    /// What the stack's user keeps about it.
    pub data: T,
}

impl<T> Default for Stack<T> {
    fn default() -> Self {
        Stack { open: Vec::new(), below: Vec::new(), innermost: FxHashMap::default(), losses: 0 }
    }
}

impl<T> Stack<T> {
    /// Enters a frame.
    #[inline]
    pub fn push(&mut self, frame: Frame, data: T) {
        self.push_since(frame, self.losses, data);
    }

    /// Enters a frame that was entered when there had been that many losses.
    #[inline]
    pub fn push_since(&mut self, frame: Frame, losses: u32, data: T) {
        self.open.push(Open { frame, losses, data });
    }

    /// Leaves the innermost frame.
    #[inline]
    pub fn pop(&mut self) -> Option<Open<T>> {
        let open = self.open.pop()?;
        if self.below.len() > self.open.len() {
            self.unlink(open.frame);
        }
        Some(open)
    }

    /// Leaves the innermost frame if it is equal to this.
    #[inline]
    pub fn pop_if(&mut self, frame: Frame) -> Option<Open<T>> {
        if self.top()?.frame == frame { self.pop() } else { None }
    }

    /// The innermost frame.
    #[inline]
    pub fn top(&self) -> Option<&Open<T>> {
        self.open.last()
    }

    /// How many frames lie above the innermost one that is equal to this; none if it is not open at all.
    pub fn above(&mut self, frame: Frame) -> Option<usize> {
        self.link();
        let position = self.innermost.get(&frame)?.checked_sub(1)?;
        Some(self.open.len() - 1 - position as usize)
    }

    /// Links the frames that were entered since the last time.
    fn link(&mut self) {
        for (position, open) in self.open.iter().enumerate().skip(self.below.len()) {
            let innermost = self.innermost.entry(open.frame).or_default();
            self.below.push(std::mem::replace(innermost, position as u32 + 1));
        }
    }

    #[cold]
    fn unlink(&mut self, frame: Frame) {
        if let Some(below) = self.below.pop() {
            self.innermost.insert(frame, below);
        }
    }

    /// The frames, the outermost first.
    pub fn frames(&self) -> &[Open<T>] {
        &self.open
    }

    /// What is kept about the frame at that position.
    #[inline]
    pub fn data_mut(&mut self, position: usize) -> &mut T {
        &mut self.open[position].data
    }

    /// Takes every frame off, the outermost first.
    pub fn take(&mut self) -> Vec<Open<T>> {
        self.below.clear();
        self.innermost.clear();
        std::mem::take(&mut self.open)
    }

    /// Notes a loss: of no frame that is open now can the end be trusted any more.
    pub fn lose(&mut self) {
        self.losses += 1;
    }

    /// How many losses there have been.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    /// Sets how many losses there have been.
    pub fn set_losses(&mut self, losses: u32) {
        self.losses = losses;
    }

    /// Whether there was a loss while that frame was open.
    #[inline]
    pub fn is_cut(&self, open: &Open<T>) -> bool {
        open.losses != self.losses
    }
}
