//! The end of a file, which is written again and again, and at every moment is the end of a whole one.
//!
//! ```text
//! settled │ live                        between two checkpoints the file ends with the last one
//!
//! further on, where the next one is new:
//! settled │ live │ ···· │       L PAR1  1. the last eight bytes; L reaches back to the live footer
//! settled │ live │ ···· │ next  L PAR1  2. what lies before them
//! settled │ ···· · ···· │ live  l PAR1  3. its own length, which is four bytes within a page
//!
//! in the room before it, where there is enough:
//! settled │ next l PAR1 │ ···· live     1. all of it
//! settled │ live l PAR1                 2. the file ends there
//! ```
//!
//! The kernel copies a write page by page, and leaves it undone where the process is killed in between. So what makes a
//! footer the last one is a write that lies within a page, or a new length. For the moment between 1 and 3 a reader finds
//! a footer that is followed by other bytes: metadata says itself where it ends (Thrift's compact protocol), so readers
//! pass over what follows.

use std::fs::File;
use std::io;

use crate::file::write_all_at;
use crate::footer::{MAGIC, TAIL_BYTES};

/// Where a checkpoint lies in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of its row groups.
    pub(crate) start: u64,
    /// Of its footer's metadata.
    pub(crate) footer: u64,
    pub(crate) end: u64,
}

/// One call of the kernel.
#[derive(Debug)]
enum Step<'a> {
    Write(u64, &'a [u8]),
    /// The length of a footer, and the magic.
    WriteTail(u64, [u8; TAIL_BYTES as usize]),
    SetLen(u64),
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    /// Up to here nothing is ever written again.
    settled: u64,
    /// The checkpoint that makes the file whole. It ends where the file does.
    live: Place,
}

impl Tail {
    /// A file that ends with a checkpoint, or one without a byte.
    pub(crate) fn of(file: File, settled: u64, live: Place) -> Tail {
        Tail { file, settled, live }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Up to here nothing is ever written again.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// Settles what lies before `end`.
    pub(crate) fn settle(&mut self, end: u64) {
        self.settled = end;
    }

    /// How long the file is.
    pub(crate) fn len(&self) -> u64 {
        self.live.end
    }

    /// Whether so many bytes have room right behind what is settled.
    pub(crate) fn has_room(&self, len: u64) -> bool {
        self.live.end <= self.settled || self.settled + len <= self.live.start
    }

    /// Where so many bytes go that have no room there: so far behind that their successor has, even if it is twice as long.
    pub(crate) fn behind(&self, len: u64) -> u64 {
        self.live.end.max(self.settled + 2 * len)
    }

    /// Makes these row groups and the footer after them, without its tail, the live checkpoint.
    pub(crate) fn put(&mut self, place: Place, groups: &[u8], footer: &[u8]) -> io::Result<()> {
        for step in self.steps(place, groups, footer) {
            if let Err(error) = self.take(&step) {
                // If even that fails the file is whole all the same, and a little longer.
                let _ = self.file.set_len(self.live.end);
                return Err(error);
            }
        }
        self.live = place;
        Ok(())
    }

    fn steps<'a>(&self, next: Place, groups: &'a [u8], footer: &'a [u8]) -> Vec<Step<'a>> {
        let tail_at = next.end - TAIL_BYTES;
        let becomes_last = Step::WriteTail(tail_at, tail(tail_at - next.footer));
        let mut steps = vec![Step::Write(next.start, groups), Step::Write(next.footer, footer), becomes_last];
        if next.end <= self.live.start {
            steps.push(Step::SetLen(next.end));
        } else if self.live.end > 0 {
            steps.insert(0, Step::WriteTail(tail_at, tail(tail_at - self.live.footer)));
        }
        steps
    }

    fn take(&self, step: &Step<'_>) -> io::Result<()> {
        match step {
            Step::Write(at, bytes) => write_all_at(&self.file, bytes, *at),
            Step::WriteTail(at, bytes) => write_all_at(&self.file, bytes, *at),
            Step::SetLen(len) => self.file.set_len(*len),
        }
    }
}

/// Where a checkpoint that begins there has its footer, so that its last eight bytes lie within a page.
pub(crate) fn place(start: u64, groups_len: usize, footer_len: usize) -> Place {
    let end = start + groups_len as u64 + footer_len as u64 + TAIL_BYTES;
    let end = end.next_multiple_of(TAIL_BYTES);
    Place { start, footer: end - TAIL_BYTES - footer_len as u64, end }
}

/// What a file ends with whose metadata is so long.
pub(crate) fn tail(len: u64) -> [u8; TAIL_BYTES as usize] {
    let mut tail = [0; TAIL_BYTES as usize];
    tail[..4].copy_from_slice(&(len as u32).to_le_bytes());
    tail[4..].copy_from_slice(MAGIC);
    tail
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    //! A file is whole after each page that the kernel copies.

    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 4096;

    /// What becomes of a checkpoint: it stays as it is, without its footer, or not even all of its row groups do.
    #[derive(Clone, Copy, Debug)]
    enum Settled {
        All,
        Groups,
        Some,
    }

    #[derive(Clone, Debug)]
    struct Checkpoint {
        groups: Vec<u8>,
        footer: Vec<u8>,
        settled: Settled,
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let settled = prop_oneof![Just(Settled::All), Just(Settled::Groups), Just(Settled::Some)];
        (0..3 * PAGE, 1..2 * PAGE, 1..=255u8, settled).prop_map(|(groups, footer, byte, settled)| {
            Checkpoint { groups: vec![byte; groups], footer: vec![byte; footer], settled }
        })
    }

    /// The states that a step goes through, each on top of the one before.
    fn copied(file: &mut Vec<u8>, step: &Step<'_>, mut look: impl FnMut(&[u8])) {
        let (mut at, bytes) = match step {
            Step::Write(at, bytes) => (*at as usize, *bytes),
            Step::WriteTail(at, bytes) => (*at as usize, bytes.as_slice()),
            Step::SetLen(len) => {
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

    /// Whether a reader finds that checkpoint at the file's end.
    fn is_whole(file: &[u8], place: Place, groups: &[u8], footer: &[u8]) -> bool {
        let (rest, tail) = file.split_at(file.len() - TAIL_BYTES as usize);
        let len = u32::from_le_bytes(tail[..4].try_into().unwrap()) as usize;
        let starts = |at: usize, bytes: &[u8]| file.get(at..).is_some_and(|file| file.starts_with(bytes));
        tail.ends_with(MAGIC)
            && rest.len().checked_sub(len) == Some(place.footer as usize)
            && starts(place.footer as usize, footer)
            && starts(place.start as usize, groups)
    }

    /// Where a checkpoint goes, as the writer chooses.
    fn next(tail: &Tail, checkpoint: &Checkpoint) -> Place {
        let at = |start| place(start, checkpoint.groups.len(), checkpoint.footer.len());
        let near = at(tail.settled());
        let len = near.end - near.start;
        if tail.has_room(len) { near } else { at(tail.behind(len)) }
    }

    proptest! {
        #[test]
        fn whoever_is_killed_leaves_the_last_checkpoint_or_the_one_before(
            checkpoints in proptest::collection::vec(checkpoint(), 1..12)
        ) {
            let named = tempfile::NamedTempFile::new().unwrap();
            let mut tail = Tail::of(named.reopen().unwrap(), 0, Place::default());
            let mut before: Option<(Place, &Checkpoint)> = None;
            for checkpoint in &checkpoints {
                let place = next(&tail, checkpoint);
                let mut file = std::fs::read(named.path()).unwrap();
                let settled = file[..file.len().min(tail.settled() as usize)].to_vec();
                for step in tail.steps(place, &checkpoint.groups, &checkpoint.footer) {
                    copied(&mut file, &step, |file| {
                        let is = |(place, checkpoint): (Place, &Checkpoint)| {
                            is_whole(file, place, &checkpoint.groups, &checkpoint.footer)
                        };
                        assert!(before.is_none_or(is) || is((place, checkpoint)));
                        assert!(file.starts_with(&settled));
                    });
                }
                tail.put(place, &checkpoint.groups, &checkpoint.footer).unwrap();
                prop_assert!(std::fs::read(named.path()).unwrap() == file);
                prop_assert!(is_whole(&file, place, &checkpoint.groups, &checkpoint.footer));
                prop_assert_eq!(tail.len(), file.len() as u64);
                if place.start == tail.settled() {
                    let groups_len = checkpoint.groups.len() as u64;
                    match checkpoint.settled {
                        Settled::All => tail.settle(place.end),
                        Settled::Groups => tail.settle(place.start + groups_len),
                        Settled::Some => tail.settle(place.start + groups_len / 2),
                    }
                }
                before = Some((place, checkpoint));
            }
            // The last one comes to lie right behind what is settled, in two tries at the most.
            let last = checkpoints.last().unwrap();
            for _ in 0..2 {
                let place = next(&tail, last);
                tail.put(place, &last.groups, &last.footer).unwrap();
                if place.start == tail.settled() {
                    break;
                }
            }
            prop_assert_eq!(tail.live.start, tail.settled());
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_last_checkpoint() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::of(named.reopen().unwrap(), 0, Place::default());
        tail.put(place(0, 3, 4), b"abc", b"meta").unwrap();
        let file = std::fs::read(named.path()).unwrap();
        tail.settle(tail.len());
        // A file that was opened for reading can be neither written nor cut.
        tail.file = File::open(named.path()).unwrap();
        assert!(tail.put(place(tail.len(), 3, 4), b"def", b"next").is_err());
        assert_eq!(std::fs::read(named.path()).unwrap(), file);
        assert_eq!(tail.len(), file.len() as u64);
    }
}
