//! The key by which calls of two runs are compared: the function, how the call began, and how it
//! ended. Callees are not part of the key.

use pyrec_schema::{Names, TextId};
use serde::Serialize;

/// The number of a function, less than 2^27. Each run has its own numbers at first. After the
/// alignment, equal numbers in the two runs mean the same function.
pub type FunctionKey = u32;

/// The key of the root of a thread, whose callees are the thread's outermost calls.
pub const THREAD_ROOT: FunctionKey = 0;

/// A function, the start of a call and its outcome, packed into 32 bits.
///
/// ```text
/// function (27 bits) │ start (2) │ outcome (3)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(u32);

/// How a call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStart {
    /// The function was called. Also stands for a start whose kind was not recorded.
    Called,
    /// A generator or coroutine was resumed.
    Resumed,
    /// An exception was thrown into a generator or coroutine.
    Thrown,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// It returned. Also stands for an end whose kind was not recorded.
    Returned,
    /// A generator or coroutine yielded and was suspended.
    Yielded,
    /// An exception propagated out of it.
    Raised,
    /// It was open when its thread or the recording ended.
    StillOpen,
    /// Its end was not recorded, because events were lost.
    CutByLoss,
}

const OUTCOMES: [CallOutcome; 5] = [
    CallOutcome::Returned,
    CallOutcome::Yielded,
    CallOutcome::Raised,
    CallOutcome::StillOpen,
    CallOutcome::CutByLoss,
];

impl CallKey {
    /// Packs the three parts.
    #[inline]
    pub fn new(function: FunctionKey, start: CallStart, outcome: CallOutcome) -> CallKey {
        CallKey(function << 5 | (start as u32) << 3 | outcome as u32)
    }

    /// The function.
    pub fn function(self) -> FunctionKey {
        self.0 >> 5
    }

    /// The function and the start of the call. Calls that differ in either are never paired.
    pub fn function_and_start(self) -> u32 {
        self.0 >> 3
    }

    /// How the call ended.
    pub fn outcome(self) -> CallOutcome {
        OUTCOMES.get((self.0 & 7) as usize).copied().unwrap_or(CallOutcome::Returned)
    }

    /// This key with another function. Start and outcome stay the same.
    pub fn with_function(self, function: FunctionKey) -> CallKey {
        CallKey(function << 5 | self.0 & 31)
    }

    /// All 32 bits.
    #[inline]
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// The ids of the four texts that mark special starts and outcomes. `resume` and `throw` are texts
/// of `function__entry` rows, `yield` and `unwind` of `function__return` rows.
#[derive(Clone, Copy, Debug)]
pub struct TransitionTexts {
    resume: TextId,
    throw: TextId,
    yields: TextId,
    unwind: TextId,
}

impl TransitionTexts {
    /// The ids of the four texts in the name table of a trace.
    pub fn of(names: &Names) -> TransitionTexts {
        let [resume, throw, yields, unwind] =
            ["resume", "throw", "yield", "unwind"].map(|text| names.text(text));
        TransitionTexts { resume, throw, yields, unwind }
    }

    /// Ids that occur in no row, for runs whose starts and outcomes cannot be compared. Every start
    /// is then [`CallStart::Called`], and every return row gives [`CallOutcome::Returned`].
    pub fn ignored() -> TransitionTexts {
        let unused = TextId(u32::MAX);
        TransitionTexts { resume: unused, throw: unused, yields: unused, unwind: unused }
    }

    /// The start of a call, from the text of its entry row.
    #[inline]
    pub fn start(&self, text: TextId) -> CallStart {
        match text {
            _ if text == self.resume => CallStart::Resumed,
            _ if text == self.throw => CallStart::Thrown,
            _ => CallStart::Called,
        }
    }

    /// The outcome of a call, from the text of its return row.
    #[inline]
    pub fn outcome(&self, text: TextId) -> CallOutcome {
        match text {
            _ if text == self.yields => CallOutcome::Yielded,
            _ if text == self.unwind => CallOutcome::Raised,
            _ => CallOutcome::Returned,
        }
    }
}
