//! The frames that are open in a thread.

use super::Frame;

/// The frames that are open in a thread, the outermost first, each with what its user keeps about it.
///
/// Which open frame a return belongs to is known at once, however deep it lies: every frame knows the next one below
/// it that is equal, and `innermost` knows where that chain begins.
///
/// ```text
/// position     0     1     2     3
/// frame        a     b     a     c        innermost: a → 2, b → 1, c → 3
/// below        –     –     0     –
/// ```
#[derive(Debug)]
pub struct Stack<T> {
    open: Vec<Open<T>>,
    innermost: Innermost,
    losses: u32,
}

/// An open frame.
#[derive(Clone, Copy, Debug)]
pub struct Open<T> {
    /// What is open.
    pub frame: Frame,
    /// How many losses there had been when it was entered.
    pub losses: u32,
    /// One more than the position of the equal frame below it, 0 if there is none.
    below: u32,
    /// What the stack's user keeps about it.
    pub data: T,
}

impl<T> Default for Stack<T> {
    fn default() -> Self {
        Stack { open: Vec::new(), innermost: Innermost::default(), losses: 0 }
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
        let innermost = self.innermost.slot(frame);
        let below = *innermost;
        *innermost = self.open.len() as u32 + 1;
        self.open.push(Open { frame, losses, below, data });
    }

    /// Leaves the innermost frame.
    #[inline]
    pub fn pop(&mut self) -> Option<Open<T>> {
        let open = self.open.pop()?;
        *self.innermost.slot(open.frame) = open.below;
        Some(open)
    }

    /// The innermost frame.
    #[inline]
    pub fn top(&self) -> Option<&Open<T>> {
        self.open.last()
    }

    /// How many frames lie above the innermost one that is equal to this; none if it is not open at all.
    pub fn above(&mut self, frame: Frame) -> Option<usize> {
        (*self.innermost.slot(frame) as usize).checked_sub(1).map(|position| self.open.len() - 1 - position)
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
        let open = std::mem::take(&mut self.open);
        open.iter().for_each(|open| *self.innermost.slot(open.frame) = 0);
        open
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
    pub fn is_cut(&self, open: &Open<T>) -> bool {
        open.losses != self.losses
    }
}

/// For every frame one more than the position of the innermost one that is open, 0 for none.
#[derive(Debug, Default)]
struct Innermost {
    functions: Vec<u32>,
    cfunctions: Vec<u32>,
    others: [u32; 3],
}

impl Innermost {
    #[inline]
    fn slot(&mut self, frame: Frame) -> &mut u32 {
        match frame {
            Frame::Function(code) => slot_of(&mut self.functions, code.0),
            Frame::Cfunction(text) => slot_of(&mut self.cfunctions, text.0),
            Frame::Gc => &mut self.others[0],
            Frame::Lost => &mut self.others[1],
            Frame::Thread => &mut self.others[2],
        }
    }
}

#[inline]
fn slot_of(slots: &mut Vec<u32>, id: u32) -> &mut u32 {
    let id = id as usize;
    if id >= slots.len() {
        grow(slots, id);
    }
    &mut slots[id]
}

/// Names are numbered as they come up, so a table that doubles is never much longer than it must be.
#[cold]
fn grow(slots: &mut Vec<u32>, id: usize) {
    slots.resize((id + 1).next_power_of_two(), 0);
}
