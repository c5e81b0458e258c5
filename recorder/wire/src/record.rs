//! Records: the 16 bytes that represent an event in a ring.

/// The kind of a record. The discriminants are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A frame starts. `id` is the code object, `arg` the index of the instruction in code units of
    /// two bytes.
    Call = 1,
    /// A generator continues. Fields as in [`RecordKind::Call`].
    Resume = 2,
    /// An exception is thrown into a generator. Fields as in [`RecordKind::Call`].
    Throw = 3,
    /// A frame returns. Fields as in [`RecordKind::Call`].
    Return = 4,
    /// A generator yields. Fields as in [`RecordKind::Call`].
    Yield = 5,
    /// An exception leaves a frame. Fields as in [`RecordKind::Call`].
    Unwind = 6,
    /// A line starts. `id` is the code object, `arg` the line.
    Line = 7,
    /// A garbage collection starts. The payload is the generation.
    GcStart = 8,
    /// A garbage collection ends. The payload is the number of collected and uncollectable objects.
    GcDone = 9,
    /// The search for a module starts. `id` is the text of its name.
    ImportStart = 10,
    /// The search for a module ends. `id` is the text of its name. `arg` is 1 if it was found, else
    /// 0.
    ImportDone = 11,
    /// Records were dropped between `ticks` and the next record. The payload is their number.
    Lost = 12,
    /// An audit event. `id` is its site, `arg` the line.
    Audit = 13,
    /// A C function is called. `id` is the text of its name.
    CfunctionCall = 14,
    /// A C function returns or raises. Fields as in [`RecordKind::CfunctionCall`].
    CfunctionReturn = 15,
    /// A frame is active when the recording begins. Fields as in [`RecordKind::Call`], with the
    /// current instruction.
    Open = 16,
    /// A class is called. `id` is the site, `arg` the instruction as in [`RecordKind::Call`].
    InstanceStart = 17,
    /// The call of a class returns an object. Fields as in [`RecordKind::InstanceStart`].
    InstanceDone = 18,
    /// The call of a class raises. Fields as in [`RecordKind::InstanceStart`].
    InstanceFailed = 19,
}

impl RecordKind {
    /// The kind with this discriminant.
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

/// A record: the time, and a word with the other fields.
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
    /// The time, on the clock of [`SessionPage::clock`](crate::SessionPage::clock).
    pub ticks: u64,
    /// The kind, the argument and the id.
    pub word: u64,
}

impl Record {
    /// The maximum of an argument. Larger ones are written as this.
    pub const MAX_ARG: u32 = (1 << 24) - 1;

    /// The argument of a frame before its first instruction, whose line is the first line of the
    /// code object. With CPython before 3.11 every call has it.
    pub const NO_INSTRUCTION: u32 = Record::MAX_ARG;

    /// Size in bytes.
    pub const SIZE: usize = size_of::<Record>();

    /// Creates a record with an id and an argument.
    #[inline(always)]
    pub const fn new(ticks: u64, kind: RecordKind, arg: u32, id: u32) -> Record {
        let arg = if arg > Record::MAX_ARG { Record::MAX_ARG } else { arg };
        Record { ticks, word: kind as u64 | (arg as u64) << 8 | (id as u64) << 32 }
    }

    /// Creates a record with a payload of 56 bits.
    #[inline(always)]
    pub const fn with_payload(ticks: u64, kind: RecordKind, payload: u64) -> Record {
        Record { ticks, word: kind as u64 | payload << 8 }
    }

    /// The kind. `None` if its discriminant is unknown.
    #[inline(always)]
    pub const fn kind(self) -> Option<RecordKind> {
        RecordKind::from_u8(self.word as u8)
    }

    /// The 24-bit argument.
    #[inline(always)]
    pub const fn arg(self) -> u32 {
        (self.word >> 8) as u32 & Record::MAX_ARG
    }

    /// The id of a code object, a text or a site.
    #[inline(always)]
    pub const fn id(self) -> u32 {
        (self.word >> 32) as u32
    }

    /// The payload of 56 bits.
    #[inline(always)]
    pub const fn payload(self) -> u64 {
        self.word >> 8
    }

    /// Decodes a record from the bytes of a ring.
    #[inline(always)]
    pub fn from_bytes(bytes: &[u8; Record::SIZE]) -> Record {
        let [ticks, word] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        });
        Record { ticks, word }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn fields_do_not_overlap() {
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
    fn every_kind_is_found_by_its_discriminant() {
        let known: Vec<u8> = (0..=u8::MAX).filter(|&n| RecordKind::from_u8(n).is_some()).collect();
        assert_eq!(known, (1..=19).collect::<Vec<u8>>());
        assert!(known.iter().all(|&n| RecordKind::from_u8(n).is_some_and(|kind| kind as u8 == n)));
    }
}
