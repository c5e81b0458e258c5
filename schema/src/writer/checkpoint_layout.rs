//! The end of a file that grows: at every moment it is the end of a whole one.
//!
//! ```text
//! settled │ live                                   a file that has grown by whole checkpoints
//!
//! settled │ ······ │ next          ······ L PAR1   the next one stands apart, so that what comes to stay has room
//! settled │ groups │ ·· │ before │ live · L PAR1   and is followed by those after it, one after the other, …
//! settled │ groups │ ·· │ live │ before · L PAR1   … round and round, until what is settled gets there
//!
//! settled │ last l PAR1                            at the end the last one closes up, and the rest is cut off
//! ```
//!
//! L is the distance of the live footer from the end. Metadata says itself where it ends (Thrift's compact protocol), so
//! readers pass over what lies between. The kernel copies a write page by page, and leaves it undone where the process is
//! killed in between; so what makes a footer the last one is a write of eight bytes that lie within a page, or a new length.
//!
//! Whoever has opened the file can read what it held then for as long as a round takes. (Rounds are longer in long files,
//! which take longer to read.) What nobody has written takes no room on the disk.

use std::fs::File;
use std::io;

use crate::file::trace_file::write_all_at;
use crate::format::{FOOTER_TAIL_BYTES, footer_tail};

/// Between what is settled and the checkpoints there is room for some more of what came last, and in a round, too: for so many
/// in any file, …
const LEAST_STEPS: u64 = 2;

/// … for so many in a longer one, …
const STEPS: u64 = 8;

/// … but for no more than this part of it, so that a limit on its length is not met much sooner, and at least for this part of
/// a very long one, …
const MOST_SHARE: u64 = 8;
const LEAST_SHARE: u64 = 64;

/// … up to so many bytes: readers fetch what lies between a footer and the end.
const MOST_BYTES: u64 = 16 << 20;

/// Where a checkpoint lies in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckpointPlacement {
    /// Of the row groups that are written with it, and anew with the next one.
    pub(crate) start: u64,
    /// Of its footer's metadata.
    pub(crate) footer: u64,
    /// Of whatever comes next.
    pub(crate) end: u64,
    /// How long the file is with it.
    pub(crate) file_len: u64,
    /// Where the round begins that it belongs to, if it stands apart.
    pub(crate) round: u64,
}

impl CheckpointPlacement {
    fn is_clear_of(&self, start: u64, len: u64) -> bool {
        self.end <= start || start + len <= self.start
    }
}

/// One call of the kernel.
#[derive(Debug)]
enum FileWrite<'a> {
    Write(u64, &'a [u8]),
    /// The distance of a footer, and the magic.
    WriteTail(u64, [u8; FOOTER_TAIL_BYTES as usize]),
    SetLen(u64),
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct GrowingFile {
    file: File,
    /// Up to here nothing is ever written again.
    settled: u64,
    /// The checkpoint that makes the file whole.
    live: CheckpointPlacement,
    /// The one before.
    before: CheckpointPlacement,
}

impl GrowingFile {
    /// A file that ends with a checkpoint, or one without a byte.
    pub(crate) fn of(file: File, settled: u64, live: CheckpointPlacement) -> GrowingFile {
        GrowingFile { file, settled, live, before: CheckpointPlacement::default() }
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Up to here nothing is ever written again.
    pub(crate) fn settled_end(&self) -> u64 {
        self.settled
    }

    /// Settles what lies before `end`.
    pub(crate) fn settle(&mut self, end: u64) {
        self.settled = end;
    }

    /// How long the file is.
    pub(crate) fn len(&self) -> u64 {
        self.live.file_len
    }

    /// Whether so many bytes can come to stay right behind what is settled: neither the live checkpoint is there nor, for the
    /// sake of those who read it, the one before.
    pub(crate) fn has_room(&self, len: u64) -> bool {
        self.is_free(self.settled, len)
    }

    fn is_free(&self, start: u64, len: u64) -> bool {
        self.live.is_clear_of(start, len) && self.before.is_clear_of(start, len)
    }

    /// Whether the live checkpoint is the last thing that was settled.
    pub(crate) fn is_closed_up(&self) -> bool {
        self.settled == self.live.file_len
    }

    /// The place of a checkpoint whose footer comes right behind what is settled and `groups_len` bytes more: there the file
    /// ends, with eight bytes that lie within a page.
    pub(crate) fn place_closed_up(&self, groups_len: usize, footer_len: usize) -> CheckpointPlacement {
        let start = self.settled + groups_len as u64;
        let end = (start + footer_len as u64 + FOOTER_TAIL_BYTES).next_multiple_of(FOOTER_TAIL_BYTES);
        CheckpointPlacement {
            start,
            footer: end - FOOTER_TAIL_BYTES - footer_len as u64,
            end,
            file_len: end,
            round: 0,
        }
    }

    /// Whether the file can be closed up there: the live checkpoint is not in the way.
    pub(crate) fn can_close(&self, place: CheckpointPlacement) -> bool {
        self.live.is_clear_of(self.settled, place.end - self.settled)
    }

    /// The place of a checkpoint apart, with row groups and a footer of so many bytes, where what is settled will end at
    /// `settled_end`, and all may take `step` more bytes with the next one.
    pub(crate) fn place_apart(
        &self,
        settled_end: u64,
        step: u64,
        groups_len: usize,
        footer_len: usize,
    ) -> CheckpointPlacement {
        // What closes up ends with eight bytes more, at a multiple of eight.
        let step = step + 2 * FOOTER_TAIL_BYTES;
        let most = (STEPS * step).max(settled_end / LEAST_SHARE).min(MOST_BYTES);
        let room = (settled_end / MOST_SHARE).min(most).max(LEAST_STEPS * step);
        let is_reached = self.live.round < settled_end + LEAST_STEPS * step;
        let round = if is_reached { settled_end + room } else { self.live.round };
        let len = (groups_len + footer_len) as u64;
        // Behind the live one, or where the next round begins; or at the end, where they grow too fast for that.
        let behind = self.live.end.max(round);
        let first = if behind > round + room { round } else { behind };
        let end = behind.max(self.before.end);
        let start = [first, behind].into_iter().find(|&at| self.is_free(at, len)).unwrap_or(end);
        let (footer, end) = (start + groups_len as u64, start + len);
        let file_len = self.len().max(end + FOOTER_TAIL_BYTES).next_multiple_of(FOOTER_TAIL_BYTES);
        CheckpointPlacement { start, footer, end, file_len, round }
    }

    /// Writes row groups that come to stay, those that do not, and a footer, and makes that the live checkpoint.
    pub(crate) fn write(
        &mut self,
        next: CheckpointPlacement,
        stay: &[u8],
        move_on: &[u8],
        footer: &[u8],
    ) -> io::Result<()> {
        for step in self.steps(next, stay, move_on, footer) {
            if let Err(error) = self.take(&step) {
                // If even that fails the file is whole all the same, and a little longer.
                let _ = self.file.set_len(self.len());
                return Err(error);
            }
        }
        self.before = std::mem::replace(&mut self.live, next);
        Ok(())
    }

    fn steps<'a>(
        &self,
        next: CheckpointPlacement,
        stay: &'a [u8],
        move_on: &'a [u8],
        footer: &'a [u8],
    ) -> Vec<FileWrite<'a>> {
        let tail_at = next.file_len - FOOTER_TAIL_BYTES;
        let mut steps = Vec::new();
        if next.file_len > self.len() && self.len() > 0 {
            steps.push(FileWrite::WriteTail(tail_at, footer_tail(tail_at - self.live.footer)));
        }
        let writes = [(self.settled, stay), (next.start, move_on), (next.footer, footer)];
        let writes = writes.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        steps.extend(writes.map(|(at, bytes)| FileWrite::Write(at, bytes)));
        steps.push(FileWrite::WriteTail(tail_at, footer_tail(tail_at - next.footer)));
        if next.file_len < self.len() {
            steps.push(FileWrite::SetLen(next.file_len));
        }
        steps
    }

    fn take(&self, step: &FileWrite<'_>) -> io::Result<()> {
        match step {
            FileWrite::Write(at, bytes) => write_all_at(&self.file, bytes, *at),
            FileWrite::WriteTail(at, bytes) => write_all_at(&self.file, bytes, *at),
            FileWrite::SetLen(len) => self.file.set_len(*len),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    //! A file is whole after each page that the kernel copies.

    use proptest::prelude::*;

    use super::*;
    use crate::format::MAGIC;

    const PAGE: usize = 4096;

    /// What is written with a checkpoint.
    #[derive(Clone, Debug)]
    struct Checkpoint {
        done: Vec<u8>,
        open: Vec<u8>,
        footer: Vec<u8>,
        closes: bool,
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let lens = (prop_oneof![Just(0), 0..5 * PAGE], prop_oneof![Just(0), 0..3 * PAGE], 1..2 * PAGE);
        (lens, 1..=255u8, any::<bool>()).prop_map(|((done, open, footer), byte, closes)| Checkpoint {
            done: vec![byte; done],
            open: vec![byte; open],
            footer: vec![byte; footer],
            closes,
        })
    }

    /// A file as its writer goes about it.
    struct Writer {
        named: tempfile::NamedTempFile,
        growing: GrowingFile,
        pending: Vec<u8>,
    }

    /// A checkpoint that is in the file, or on its way.
    #[derive(Clone, Debug)]
    struct Put {
        place: CheckpointPlacement,
        settled: u64,
        stay: Vec<u8>,
        move_on: Vec<u8>,
        footer: Vec<u8>,
    }

    impl Writer {
        fn new() -> Writer {
            let named = tempfile::NamedTempFile::new().unwrap();
            let growing = GrowingFile::of(named.reopen().unwrap(), 0, CheckpointPlacement::default());
            Writer { named, growing, pending: Vec::new() }
        }

        fn file(&self) -> Vec<u8> {
            std::fs::read(self.named.path()).unwrap()
        }

        fn next(&mut self, checkpoint: &Checkpoint) -> Put {
            self.pending.extend_from_slice(&checkpoint.done);
            let (growing, footer) = (&self.growing, checkpoint.footer.clone());
            let (settled, pending_len) = (growing.settled_end(), self.pending.len());
            let closed = growing.place_closed_up(pending_len, footer.len());
            if checkpoint.closes && checkpoint.open.is_empty() && growing.can_close(closed) {
                return Put { place: closed, settled, stay: self.pending.clone(), move_on: vec![], footer };
            }
            let stay_len = if growing.has_room(pending_len as u64) { pending_len } else { 0 };
            let (stay, rest) = self.pending.split_at(stay_len);
            let move_on = [rest, &checkpoint.open].concat();
            let (settled_end, step) =
                (settled + pending_len as u64, self.pending.len() + checkpoint.open.len());
            let step = (step + footer.len()) as u64;
            let place = growing.place_apart(settled_end, step, move_on.len(), footer.len());
            Put { place, settled, stay: stay.to_vec(), move_on, footer }
        }

        fn put(&mut self, put: &Put) {
            self.growing.write(put.place, &put.stay, &put.move_on, &put.footer).unwrap();
            self.settle(put);
        }

        fn settle(&mut self, put: &Put) {
            if put.stay.len() == self.pending.len() {
                let end = put.settled + put.stay.len() as u64;
                self.growing.settle(if put.place.end == put.place.file_len { put.place.end } else { end });
                self.pending.clear();
            }
        }
    }

    impl Put {
        /// Whether everything is still in a file that was put there.
        fn is_in(&self, file: &[u8]) -> bool {
            let starts = |at: u64, bytes: &[u8]| {
                bytes.is_empty() || file.get(at as usize..).is_some_and(|file| file.starts_with(bytes))
            };
            starts(self.settled, &self.stay)
                && starts(self.place.start, &self.move_on)
                && starts(self.place.footer, &self.footer)
        }

        /// Whether a reader finds it from the file's end.
        fn is_live(&self, file: &[u8]) -> bool {
            let (rest, tail) = file.split_at(file.len() - FOOTER_TAIL_BYTES as usize);
            let distance = u32::from_le_bytes(tail[..4].try_into().unwrap()) as usize;
            let found = rest.len().checked_sub(distance) == Some(self.place.footer as usize);
            tail.ends_with(MAGIC) && found && self.is_in(file)
        }
    }

    /// The states that a step goes through, each on top of the one before.
    fn copied(file: &mut Vec<u8>, step: &FileWrite<'_>, mut look: impl FnMut(&[u8])) {
        let (mut at, bytes) = match step {
            FileWrite::Write(at, bytes) => (*at as usize, *bytes),
            FileWrite::WriteTail(at, bytes) => (*at as usize, bytes.as_slice()),
            FileWrite::SetLen(len) => {
                file.resize(*len as usize, 0);
                return look(file);
            }
        };
        let mut left = bytes;
        while !left.is_empty() {
            let (now, rest) = left.split_at(left.len().min(PAGE - at % PAGE));
            file.resize(file.len().max(at + now.len()), 0);
            file[at..at + now.len()].copy_from_slice(now);
            (at, left) = (at + now.len(), rest);
            look(file);
        }
    }

    proptest! {
        #[test]
        fn whoever_is_killed_leaves_the_last_checkpoint_or_the_one_before(
            checkpoints in proptest::collection::vec(checkpoint(), 1..20)
        ) {
            let mut writer = Writer::new();
            let mut puts: Vec<Put> = Vec::new();
            for checkpoint in checkpoints {
                let closes = checkpoint.closes && writer.growing.is_closed_up();
                let next = writer.next(&Checkpoint { closes, ..checkpoint });
                let before = puts.last();
                let mut file = writer.file();
                let settled = file[..file.len().min(writer.growing.settled_end() as usize)].to_vec();
                for step in writer.growing.steps(next.place, &next.stay, &next.move_on, &next.footer) {
                    copied(&mut file, &step, |file| {
                        assert!(before.is_none_or(|before| before.is_live(file)) || next.is_live(file));
                        assert!(file.starts_with(&settled));
                    });
                }
                writer.put(&next);
                prop_assert!(writer.file() == file && next.is_live(&file));
                prop_assert_eq!(writer.growing.len(), file.len() as u64);
                puts.push(next);
                // Whoever has opened the file has time to read it.
                prop_assert!(puts.iter().rev().take(3).all(|put| put.is_in(&file)));
            }
            // The last one closes up, in two tries at the most.
            let last = Checkpoint { done: vec![], open: vec![], footer: vec![7; PAGE], closes: true };
            for _ in 0..2 {
                let next = writer.next(&last);
                writer.put(&next);
                if writer.growing.is_closed_up() {
                    break;
                }
            }
            prop_assert!(writer.growing.is_closed_up() && writer.pending.is_empty());
        }
    }

    #[test]
    fn in_a_longer_file_a_checkpoint_stays_for_a_round() {
        let mut writer = Writer::new();
        let first = Checkpoint { done: vec![1; 1 << 20], open: vec![], footer: vec![1; 100], closes: true };
        let first = writer.next(&first);
        writer.put(&first);
        let mut puts = Vec::new();
        for number in 0..100u8 {
            // Now and then what was open is done.
            let done = vec![number; if number % 10 == 9 { 5_000 } else { 0 }];
            let (open, footer) = (vec![number; 5_000], vec![number; 500]);
            let next = writer.next(&Checkpoint { done, open, footer, closes: false });
            writer.put(&next);
            let file = writer.file();
            puts.push(next);
            assert!(puts.iter().rev().take(STEPS as usize).all(|put| put.is_in(&file)), "after {number}");
            let most = writer.growing.settled_end() + 3 * STEPS * 10_500;
            assert!(file.len() as u64 <= most, "{} bytes after {number}", file.len());
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_last_checkpoint() {
        let mut writer = Writer::new();
        let checkpoint = |byte: u8| Checkpoint {
            done: vec![byte; 3],
            open: vec![byte; 3],
            footer: vec![byte; 4],
            closes: false,
        };
        let first = writer.next(&checkpoint(1));
        writer.put(&first);
        let file = writer.file();
        // A file that was opened for reading can be neither written nor cut.
        writer.growing.file = File::open(writer.named.path()).unwrap();
        let next = writer.next(&checkpoint(2));
        assert!(writer.growing.write(next.place, &next.stay, &next.move_on, &next.footer).is_err());
        assert_eq!(writer.file(), file);
        assert_eq!(writer.growing.len(), file.len() as u64);
    }
}
