//! Where the checkpoints of a growing file lie, and in which order their parts are written, so that
//! the file is a complete Parquet file at every moment.
//!
//! ```text
//! closed up   settled │ checkpoint, tail
//!
//! apart       settled │ ······ │ checkpoint 1 ················ │ tail
//!             settled │ ······ │ checkpoint 1 │ checkpoint 2 · │ tail     follows the last one
//!             settled, more ·· │ checkpoint 3 │ checkpoint 2 · │ tail     wraps in a full region
//!                       gap    └─────────── region ───────────┘
//! ```
//!
//! A checkpoint consists of the live row groups and the metadata of a footer. While the file grows
//! it lies apart from the settled row groups, behind a gap, so that row groups that become settled
//! can be appended to them without overwriting the checkpoint that makes the file complete.
//! Successive checkpoints are placed in a circular region. A reader that has opened the file can
//! read its checkpoint until the region wraps, which takes longer in longer files. When the gap is
//! used up, the region moves on. At the end the last checkpoint closes up: it directly follows the
//! settled row groups, and the file is truncated there.
//!
//! The footer tail at the end of the file has the distance to the metadata of the live checkpoint.
//! Readers skip the bytes between metadata and tail, since Thrift's compact protocol delimits
//! itself.
//!
//! The kernel copies a write page by page, and the process may be killed in between. Therefore a
//! checkpoint becomes live by one write of eight bytes within a page, the footer tail, or by a
//! change of the file's length. Parts of the file that were never written take no space on disk.

use std::fs::File;
use std::io;

use crate::file::trace_file::write_all_at;
use crate::format::{FOOTER_TAIL_BYTES, footer_tail};

/// The minimum size of the gap and of the region, in checkpoints of the current length.
const MIN_REGION_CHECKPOINTS: u64 = 2;

/// The size of the gap and of the region in a longer file, in checkpoints of the current length.
const REGION_CHECKPOINTS: u64 = 8;

/// The gap and the region each take at most the settled bytes divided by this, so that a limit on
/// the file's length is not reached much sooner because of them.
const MAX_REGION_DIVISOR: u64 = 8;

/// In a very long file, which takes longer to read, they take at least the settled bytes divided by
/// this.
const MIN_REGION_DIVISOR: u64 = 64;

/// The maximum size of the gap and of the region, unless it is too small for two checkpoints.
/// Readers fetch the bytes between a footer and the end of the file.
const MAX_REGION_BYTES: u64 = 16 << 20;

/// The position of a checkpoint in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckpointPlacement {
    /// Where its live row groups begin.
    pub(crate) start: u64,
    /// Where its footer's metadata begins.
    pub(crate) footer: u64,
    /// Where it ends. Excludes the footer tail if it lies apart from that.
    pub(crate) end: u64,
    /// The length of the file with this checkpoint.
    pub(crate) file_len: u64,
    /// Where the region that contains it begins. 0 if the checkpoint is closed up.
    pub(crate) region_start: u64,
}

impl CheckpointPlacement {
    fn is_clear_of(&self, start: u64, len: u64) -> bool {
        self.end <= start || start + len <= self.start
    }
}

/// A system call that changes the file.
#[derive(Debug)]
enum FileWrite<'a> {
    /// Writes bytes at a position.
    Data(u64, &'a [u8]),
    /// Writes a footer tail at a position, a multiple of eight.
    Tail(u64, [u8; FOOTER_TAIL_BYTES as usize]),
    /// Sets the length of the file.
    SetLen(u64),
}

/// A trace file that is being written, and the positions of its last two checkpoints.
#[derive(Debug)]
pub(crate) struct GrowingFile {
    file: File,
    /// Where the settled bytes end. They are never written again.
    settled_end: u64,
    /// The checkpoint that the footer tail refers to.
    live: CheckpointPlacement,
    /// The checkpoint before, which readers may still be reading.
    previous: CheckpointPlacement,
}

impl GrowingFile {
    /// Wraps a file that ends with the checkpoint `live`, or an empty file.
    pub(crate) fn new(file: File, settled_end: u64, live: CheckpointPlacement) -> GrowingFile {
        GrowingFile { file, settled_end, live, previous: CheckpointPlacement::default() }
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    /// Where the settled bytes end.
    pub(crate) fn settled_end(&self) -> u64 {
        self.settled_end
    }

    /// Makes the bytes before `end` settled.
    pub(crate) fn settle(&mut self, end: u64) {
        self.settled_end = end;
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.live.file_len
    }

    /// Whether `len` bytes can be appended to the settled bytes without overwriting the live
    /// checkpoint or, for the sake of its readers, the previous one.
    pub(crate) fn has_room(&self, len: u64) -> bool {
        self.is_free(self.settled_end, len)
    }

    fn is_free(&self, start: u64, len: u64) -> bool {
        self.live.is_clear_of(start, len) && self.previous.is_clear_of(start, len)
    }

    /// Whether the settled bytes include the live checkpoint and end the file.
    pub(crate) fn is_closed_up(&self) -> bool {
        self.settled_end == self.live.file_len
    }

    /// The placement of a checkpoint whose footer directly follows the settled bytes and
    /// `groups_len` more. The file ends there, at a multiple of eight, so that the footer tail lies
    /// within a page.
    pub(crate) fn place_closed_up(&self, groups_len: usize, footer_len: usize) -> CheckpointPlacement {
        let start = self.settled_end + groups_len as u64;
        let end = (start + footer_len as u64 + FOOTER_TAIL_BYTES).next_multiple_of(FOOTER_TAIL_BYTES);
        CheckpointPlacement {
            start,
            footer: end - FOOTER_TAIL_BYTES - footer_len as u64,
            end,
            file_len: end,
            region_start: 0,
        }
    }

    /// Whether the live checkpoint allows the next one to close up.
    pub(crate) fn can_close_up(&self, placement: CheckpointPlacement) -> bool {
        self.live.is_clear_of(self.settled_end, placement.end - self.settled_end)
    }

    /// The placement of a checkpoint apart from the settled bytes, which will end at `settled_end`.
    /// `checkpoint_len` is the number of bytes that are written in all, an estimate for the next
    /// checkpoints.
    pub(crate) fn place_apart(
        &self,
        settled_end: u64,
        checkpoint_len: u64,
        groups_len: usize,
        footer_len: usize,
    ) -> CheckpointPlacement {
        // A closed-up checkpoint has a footer tail and padding, too.
        let checkpoint_len = checkpoint_len + 2 * FOOTER_TAIL_BYTES;
        let max_len =
            (REGION_CHECKPOINTS * checkpoint_len).max(settled_end / MIN_REGION_DIVISOR).min(MAX_REGION_BYTES);
        let min_len = MIN_REGION_CHECKPOINTS * checkpoint_len;
        let region_len = (settled_end / MAX_REGION_DIVISOR).min(max_len).max(min_len);
        let is_gap_used_up = self.live.region_start < settled_end + min_len;
        let region_start = if is_gap_used_up { settled_end + region_len } else { self.live.region_start };
        let len = (groups_len + footer_len) as u64;
        // Follows the live checkpoint, or wraps to the beginning of the region. If neither place is
        // free, because the checkpoints grow fast, it follows both checkpoints.
        let next = self.live.end.max(region_start);
        let wrapped = if next > region_start + region_len { region_start } else { next };
        let last = next.max(self.previous.end);
        let start = [wrapped, next].into_iter().find(|&at| self.is_free(at, len)).unwrap_or(last);
        let (footer, end) = (start + groups_len as u64, start + len);
        let file_len = self.len().max(end + FOOTER_TAIL_BYTES).next_multiple_of(FOOTER_TAIL_BYTES);
        CheckpointPlacement { start, footer, end, file_len, region_start }
    }

    /// Writes a checkpoint and makes it live. `settled` is appended to the settled bytes. `live`
    /// holds the live row groups, and `footer` the metadata.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails. The previous checkpoint then stays live.
    pub(crate) fn write(
        &mut self,
        next: CheckpointPlacement,
        settled: &[u8],
        live: &[u8],
        footer: &[u8],
    ) -> io::Result<()> {
        for write in self.writes(next, settled, live, footer) {
            if let Err(error) = self.execute(&write) {
                // If this fails, too, the file is longer but still complete.
                let _ = self.file.set_len(self.len());
                return Err(error);
            }
        }
        self.previous = std::mem::replace(&mut self.live, next);
        Ok(())
    }

    /// The system calls that write a checkpoint, in order. The file is complete after each page of
    /// each.
    fn writes<'a>(
        &self,
        next: CheckpointPlacement,
        settled: &'a [u8],
        live: &'a [u8],
        footer: &'a [u8],
    ) -> Vec<FileWrite<'a>> {
        let tail_at = next.file_len - FOOTER_TAIL_BYTES;
        let mut writes = Vec::new();
        if next.file_len > self.len() && self.len() > 0 {
            // The file grows, and still refers to the live checkpoint.
            writes.push(FileWrite::Tail(tail_at, footer_tail(tail_at - self.live.footer)));
        }
        let data = [(self.settled_end, settled), (next.start, live), (next.footer, footer)];
        let data = data.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        writes.extend(data.map(|(at, bytes)| FileWrite::Data(at, bytes)));
        writes.push(FileWrite::Tail(tail_at, footer_tail(tail_at - next.footer)));
        if next.file_len < self.len() {
            writes.push(FileWrite::SetLen(next.file_len));
        }
        writes
    }

    fn execute(&self, write: &FileWrite<'_>) -> io::Result<()> {
        match write {
            FileWrite::Data(at, bytes) => write_all_at(&self.file, bytes, *at),
            FileWrite::Tail(at, bytes) => write_all_at(&self.file, bytes, *at),
            FileWrite::SetLen(len) => self.file.set_len(*len),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    //! Checks that a reader finds a complete checkpoint after each page that the kernel copies.

    use proptest::prelude::*;

    use super::*;
    use crate::format::MAGIC;

    const PAGE: usize = 4096;

    /// The contents of a checkpoint.
    #[derive(Clone, Debug)]
    struct Checkpoint {
        closed_groups: Vec<u8>,
        open_group: Vec<u8>,
        footer: Vec<u8>,
        may_close_up: bool,
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let lens = (prop_oneof![Just(0), 0..5 * PAGE], prop_oneof![Just(0), 0..3 * PAGE], 1..2 * PAGE);
        (lens, 1..=255u8, any::<bool>()).prop_map(
            |((closed_len, open_len, footer_len), byte, may_close_up)| Checkpoint {
                closed_groups: vec![byte; closed_len],
                open_group: vec![byte; open_len],
                footer: vec![byte; footer_len],
                may_close_up,
            },
        )
    }

    /// A model of the trace writer.
    struct Writer {
        named_file: tempfile::NamedTempFile,
        growing: GrowingFile,
        pending: Vec<u8>,
    }

    /// A checkpoint with its placement.
    #[derive(Clone, Debug)]
    struct PlacedCheckpoint {
        placement: CheckpointPlacement,
        settled_end: u64,
        settled: Vec<u8>,
        live: Vec<u8>,
        footer: Vec<u8>,
    }

    impl Writer {
        fn new() -> Writer {
            let named_file = tempfile::NamedTempFile::new().unwrap();
            let growing = GrowingFile::new(named_file.reopen().unwrap(), 0, CheckpointPlacement::default());
            Writer { named_file, growing, pending: Vec::new() }
        }

        fn file(&self) -> Vec<u8> {
            std::fs::read(self.named_file.path()).unwrap()
        }

        fn next(&mut self, checkpoint: &Checkpoint) -> PlacedCheckpoint {
            self.pending.extend_from_slice(&checkpoint.closed_groups);
            let (growing, footer) = (&self.growing, checkpoint.footer.clone());
            let (settled_end, pending_len) = (growing.settled_end(), self.pending.len());
            let placement = growing.place_closed_up(pending_len, footer.len());
            let has_open_group = !checkpoint.open_group.is_empty();
            if checkpoint.may_close_up && !has_open_group && growing.can_close_up(placement) {
                let settled = self.pending.clone();
                return PlacedCheckpoint { placement, settled_end, settled, live: vec![], footer };
            }
            let settled_len = if growing.has_room(pending_len as u64) { pending_len } else { 0 };
            let (settled, rest) = self.pending.split_at(settled_len);
            let live = [rest, &checkpoint.open_group].concat();
            let next_settled_end = settled_end + pending_len as u64;
            let checkpoint_len = (pending_len + checkpoint.open_group.len() + footer.len()) as u64;
            let placement = growing.place_apart(next_settled_end, checkpoint_len, live.len(), footer.len());
            PlacedCheckpoint { placement, settled_end, settled: settled.to_vec(), live, footer }
        }

        fn write(&mut self, next: &PlacedCheckpoint) {
            self.growing.write(next.placement, &next.settled, &next.live, &next.footer).unwrap();
            if next.settled.len() == self.pending.len() {
                let is_closed_up = next.placement.end == next.placement.file_len;
                let settled_end = next.settled_end + next.settled.len() as u64;
                self.growing.settle(if is_closed_up { next.placement.end } else { settled_end });
                self.pending.clear();
            }
        }
    }

    impl PlacedCheckpoint {
        /// Whether the file still contains all of the checkpoint.
        fn is_in(&self, file: &[u8]) -> bool {
            let contains = |at: u64, bytes: &[u8]| {
                bytes.is_empty() || file.get(at as usize..).is_some_and(|file| file.starts_with(bytes))
            };
            contains(self.settled_end, &self.settled)
                && contains(self.placement.start, &self.live)
                && contains(self.placement.footer, &self.footer)
        }

        /// Whether the file is complete and ends with this checkpoint.
        fn is_live(&self, file: &[u8]) -> bool {
            let (rest, tail) = file.split_at(file.len() - FOOTER_TAIL_BYTES as usize);
            let distance = u32::from_le_bytes(tail[..4].try_into().unwrap()) as usize;
            let found = rest.len().checked_sub(distance) == Some(self.placement.footer as usize);
            tail.ends_with(MAGIC) && found && self.is_in(file)
        }
    }

    /// Applies a system call to a copy of the file. Calls `check` for the state after each page.
    fn apply(file: &mut Vec<u8>, write: &FileWrite<'_>, mut check: impl FnMut(&[u8])) {
        let (mut at, bytes) = match write {
            FileWrite::Data(at, bytes) => (*at as usize, *bytes),
            FileWrite::Tail(at, bytes) => (*at as usize, bytes.as_slice()),
            FileWrite::SetLen(len) => {
                file.resize(*len as usize, 0);
                return check(file);
            }
        };
        let mut left = bytes;
        while !left.is_empty() {
            let (now, rest) = left.split_at(left.len().min(PAGE - at % PAGE));
            file.resize(file.len().max(at + now.len()), 0);
            file[at..at + now.len()].copy_from_slice(now);
            (at, left) = (at + now.len(), rest);
            check(file);
        }
    }

    proptest! {
        #[test]
        fn a_killed_writer_leaves_the_last_checkpoint_or_the_one_before(
            checkpoints in proptest::collection::vec(checkpoint(), 1..20)
        ) {
            let mut writer = Writer::new();
            let mut written: Vec<PlacedCheckpoint> = Vec::new();
            for checkpoint in checkpoints {
                let may_close_up = checkpoint.may_close_up && writer.growing.is_closed_up();
                let next = writer.next(&Checkpoint { may_close_up, ..checkpoint });
                let previous = written.last();
                let mut file = writer.file();
                let settled = file[..file.len().min(writer.growing.settled_end() as usize)].to_vec();
                for write in writer.growing.writes(next.placement, &next.settled, &next.live, &next.footer) {
                    apply(&mut file, &write, |file| {
                        assert!(previous.is_none_or(|previous| previous.is_live(file)) || next.is_live(file));
                        assert!(file.starts_with(&settled));
                    });
                }
                writer.write(&next);
                prop_assert!(writer.file() == file && next.is_live(&file));
                prop_assert_eq!(writer.growing.len(), file.len() as u64);
                written.push(next);
                // A reader that has opened an earlier checkpoint can still read it.
                prop_assert!(written.iter().rev().take(3).all(|checkpoint| checkpoint.is_in(&file)));
            }
            // The last checkpoint closes up after at most two attempts.
            let last = Checkpoint {
                closed_groups: vec![],
                open_group: vec![],
                footer: vec![7; PAGE],
                may_close_up: true,
            };
            for _ in 0..2 {
                let next = writer.next(&last);
                writer.write(&next);
                if writer.growing.is_closed_up() {
                    break;
                }
            }
            prop_assert!(writer.growing.is_closed_up() && writer.pending.is_empty());
        }
    }

    #[test]
    fn in_a_longer_file_eight_checkpoints_stay_readable() {
        let mut writer = Writer::new();
        let first = Checkpoint {
            closed_groups: vec![1; 1 << 20],
            open_group: vec![],
            footer: vec![1; 100],
            may_close_up: true,
        };
        let first = writer.next(&first);
        writer.write(&first);
        let mut written = Vec::new();
        for number in 0..100u8 {
            // Sometimes the open row group is closed.
            let closed_groups = vec![number; if number % 10 == 9 { 5_000 } else { 0 }];
            let (open_group, footer) = (vec![number; 5_000], vec![number; 500]);
            let next = writer.next(&Checkpoint { closed_groups, open_group, footer, may_close_up: false });
            writer.write(&next);
            let file = writer.file();
            written.push(next);
            assert!(
                written
                    .iter()
                    .rev()
                    .take(REGION_CHECKPOINTS as usize)
                    .all(|checkpoint| checkpoint.is_in(&file)),
                "after {number}"
            );
            let max_len = writer.growing.settled_end() + 3 * REGION_CHECKPOINTS * 10_500;
            assert!(file.len() as u64 <= max_len, "{} bytes after {number}", file.len());
        }
    }

    #[test]
    fn a_failed_write_leaves_the_last_checkpoint() {
        let mut writer = Writer::new();
        let checkpoint = |byte: u8| Checkpoint {
            closed_groups: vec![byte; 3],
            open_group: vec![byte; 3],
            footer: vec![byte; 4],
            may_close_up: false,
        };
        let first = writer.next(&checkpoint(1));
        writer.write(&first);
        let file = writer.file();
        // A file that is open for reading can be neither written nor truncated.
        writer.growing.file = File::open(writer.named_file.path()).unwrap();
        let next = writer.next(&checkpoint(2));
        assert!(writer.growing.write(next.placement, &next.settled, &next.live, &next.footer).is_err());
        assert_eq!(writer.file(), file);
        assert_eq!(writer.growing.len(), file.len() as u64);
    }
}
