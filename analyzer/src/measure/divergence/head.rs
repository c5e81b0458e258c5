//! What two calls have in common before anything in them is looked at.

use pyrec_schema::{Names, TextId};
use serde::Serialize;

/// The number of a function.
pub type Key = u32;

/// The key of a thread itself, below its first call.
pub const THREAD: Key = 0;

/// A function, how the call began and how it ended, in one number.
///
/// ```text
/// key (27 bits) │ start (2) │ finish (3)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head(u32);

/// How a call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It was called, or nobody can tell.
    Called,
    /// A generator went on.
    Resumed,
    /// Something was thrown into a generator.
    Thrown,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It returned, or nobody can tell.
    Returned,
    /// A generator gave a value and waits.
    Yielded,
    /// An exception left it.
    Raised,
    /// It had not ended when its thread or the recording did.
    StillOpen,
    /// Its end was lost.
    CutByLoss,
}

const FINISHES: [Finish; 5] =
    [Finish::Returned, Finish::Yielded, Finish::Raised, Finish::StillOpen, Finish::CutByLoss];

impl Head {
    /// Puts it together.
    #[inline]
    pub fn new(key: Key, start: Start, finish: Finish) -> Head {
        Head(key << 5 | (start as u32) << 3 | finish as u32)
    }

    /// The function.
    pub fn key(self) -> Key {
        self.0 >> 5
    }

    /// The function and how the call began: calls that differ in it are different calls.
    pub fn call(self) -> u32 {
        self.0 >> 3
    }

    /// How the call ended.
    pub fn finish(self) -> Finish {
        FINISHES.get((self.0 & 7) as usize).copied().unwrap_or(Finish::Returned)
    }

    /// The same of another function.
    pub fn with_key(self, key: Key) -> Head {
        Head(key << 5 | self.0 & 31)
    }

    /// The number.
    #[inline]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// The texts that tell how calls begin and end, as numbers.
#[derive(Clone, Copy, Debug)]
pub struct Hows {
    resume: TextId,
    throw: TextId,
    giving: TextId,
    unwind: TextId,
}

impl Hows {
    /// Their numbers among those names.
    pub fn of(names: &Names) -> Hows {
        let [resume, throw, giving, unwind] =
            ["resume", "throw", "yield", "unwind"].map(|text| names.text(text));
        Hows { resume, throw, giving, unwind }
    }

    /// Nobody tells: each call was called and returned.
    pub fn unknown() -> Hows {
        let nothing = TextId(u32::MAX);
        Hows { resume: nothing, throw: nothing, giving: nothing, unwind: nothing }
    }

    /// How a call began whose entry has that text.
    #[inline]
    pub fn start(&self, text: TextId) -> Start {
        match text {
            _ if text == self.resume => Start::Resumed,
            _ if text == self.throw => Start::Thrown,
            _ => Start::Called,
        }
    }

    /// How a call ended whose return has that text.
    #[inline]
    pub fn finish(&self, text: TextId) -> Finish {
        match text {
            _ if text == self.giving => Finish::Yielded,
            _ if text == self.unwind => Finish::Raised,
            _ => Finish::Returned,
        }
    }
}
