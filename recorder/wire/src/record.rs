//! One event, 16 bytes.

/// What happened. The numbers are part of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A frame starts: `id` is the code, `arg` the instruction, counted in code units of two bytes.
    Call = 1,
    /// A generator goes on: as [`RecordKind::Call`].
    Resume = 2,
    /// An exception is thrown into a generator: as [`RecordKind::Call`].
    Throw = 3,
    /// A frame returns: as [`RecordKind::Call`].
    Return = 4,
    /// A generator yields: as [`RecordKind::Call`].
    Yield = 5,
    /// An exception leaves a frame: as [`RecordKind::Call`].
    Unwind = 6,
    /// A line starts: `id` is the code, `arg` the line.
    Line = 7,
    /// A collection starts: the payload is the generation.
    GcStart = 8,
    /// A collection is done: the payload is the number of objects collected and uncollectable.
    GcDone = 9,
    /// A module is looked for: `id` is its name's text.
    ImportStart = 10,
    /// A module has been looked for: `id` is its name's text, `arg` 1 if it was found.
    ImportDone = 11,
    /// Records were dropped since `ticks`, and before the next record: the payload is their number.
    Lost = 12,
    /// An audit event: `id` is its site, `arg` the line.
    Audit = 13,
    /// A function in C is called: `id` is its name's text.
    CfunctionCall = 14,
    /// A function in C is done, or has raised: as [`RecordKind::CfunctionCall`].
    CfunctionReturn = 15,
    /// A frame that runs already when the recording begins: as [`RecordKind::Call`], the instruction being the present one.
    Open = 16,
    /// A class is called: `id` is the site, `arg` the instruction, as of [`RecordKind::Call`].
    InstanceStart = 17,
    /// A class has been called, and gave an object: as [`RecordKind::InstanceStart`].
    InstanceDone = 18,
    /// A class has been called, and raised: as [`RecordKind::InstanceStart`].
    InstanceFailed = 19,
}

impl RecordKind {
    /// The kind of that number.
    pub const fn from_u8(number: u8) -> Option<RecordKind> {
        Some(match number {
            1 => RecordKind::Call,
            2 => RecordKind::Resume,
            3 => RecordKind::Throw,
            4 => RecordKind::Return,
            5 => RecordKind::Yield,
            6 => RecordKind::Unwind,
            7 => RecordKind::Line,
            8 => RecordKind::GcStart,
            9 => RecordKind::GcDone,
            10 => RecordKind::ImportStart,
            11 => RecordKind::ImportDone,
            12 => RecordKind::Lost,
            13 => RecordKind::Audit,
            14 => RecordKind::CfunctionCall,
            15 => RecordKind::CfunctionReturn,
            16 => RecordKind::Open,
            17 => RecordKind::InstanceStart,
            18 => RecordKind::InstanceDone,
            19 => RecordKind::InstanceFailed,
            _ => return None,
        })
    }
}

/// One slot of a ring: the time, and a word that holds the rest.
///
/// ```text
/// 63          32 31        8 7      0
/// ┌─────────────┬───────────┬────────┐
/// │ id          │ arg       │ kind   │
/// └─────────────┴───────────┴────────┘
///  ◀──────── payload ──────▶
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// The clock of [`crate::SessionPage::clock`].
    pub ticks: u64,
    /// The kind, the argument and the id.
    pub word: u64,
}

impl Record {
    /// The largest argument; what is larger is written as this.
    pub const MAX_ARG: u32 = (1 << 24) - 1;

    /// The argument of a frame that has not begun: its line is the code's first. (CPython before 3.11 says so of
    /// every call.)
    pub const NO_INSTRUCTION: u32 = Record::MAX_ARG;

    /// Size in bytes.
    pub const SIZE: usize = size_of::<Record>();

    /// A record about the code or text `id`.
    #[inline(always)]
    pub const fn new(ticks: u64, kind: RecordKind, arg: u32, id: u32) -> Record {
        let arg = if arg > Record::MAX_ARG { Record::MAX_ARG } else { arg };
        Record { ticks, word: kind as u64 | (arg as u64) << 8 | (id as u64) << 32 }
    }

    /// A record about a number.
    #[inline(always)]
    pub const fn with_payload(ticks: u64, kind: RecordKind, payload: u64) -> Record {
        Record { ticks, word: kind as u64 | payload << 8 }
    }

    /// What happened, none for a number that this version does not know.
    #[inline(always)]
    pub const fn kind(self) -> Option<RecordKind> {
        RecordKind::from_u8(self.word as u8)
    }

    /// The 24-bit argument.
    #[inline(always)]
    pub const fn arg(self) -> u32 {
        (self.word >> 8) as u32 & Record::MAX_ARG
    }

    /// The number of a code or a text.
    #[inline(always)]
    pub const fn id(self) -> u32 {
        (self.word >> 32) as u32
    }

    /// The 56-bit number.
    #[inline(always)]
    pub const fn payload(self) -> u64 {
        self.word >> 8
    }

    /// The record in these bytes, as a ring file holds it.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Record::SIZE]) -> Record {
        let [a, b] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        });
        Record { ticks: a, word: b }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn fields_do_not_touch_each_other() {
        let record = Record::new(u64::MAX, RecordKind::Yield, Record::MAX_ARG, u32::MAX);
        assert_eq!(
            (record.kind(), record.arg(), record.id(), record.ticks),
            (Some(RecordKind::Yield), Record::MAX_ARG, u32::MAX, u64::MAX)
        );
        let record = Record::new(0, RecordKind::Line, u32::MAX, 7);
        assert_eq!((record.kind(), record.arg(), record.id()), (Some(RecordKind::Line), Record::MAX_ARG, 7));
        assert_eq!(Record::with_payload(0, RecordKind::GcDone, 1 << 55).payload(), 1 << 55);
    }

    #[test]
    fn every_kind_is_found_by_its_number() {
        let known: Vec<u8> = (0..=u8::MAX).filter(|&n| RecordKind::from_u8(n).is_some()).collect();
        assert_eq!(known, (1..=19).collect::<Vec<u8>>());
        assert!(known.iter().all(|&n| RecordKind::from_u8(n).is_some_and(|kind| kind as u8 == n)));
    }
}
