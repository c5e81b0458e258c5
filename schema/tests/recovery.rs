//! What a killed recorder has left is put together again: its file, and its journal.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{batch, manifest, names, plain_rows, read};
use proptest::prelude::*;
use pyrec_schema::{
    JournalLocation, Manifest, RecordingEnd, RecoveredTrace, TraceReader, TraceWriter, WriterOptions,
};

/// What a recorder does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Write(usize),
    Commit,
    Checkpoint,
    CheckpointAndClose,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..400usize).prop_map(Act::Write),
        2 => Just(Act::Commit),
        3 => Just(Act::Checkpoint),
        1 => Just(Act::CheckpointAndClose),
    ]
}

/// Writes all rows, is killed, and gives how many of them are safe.
fn record(path: &Path, session: &Path, acts: &[Act], row_group_rows: usize) -> usize {
    let names = names();
    let session = Some(JournalLocation { directory: session.into(), checkpoint: 0 });
    let manifest = Manifest { session, ..manifest() };
    let options = WriterOptions { row_group_rows };
    let mut writer = TraceWriter::create(path, names.clone(), manifest, options).unwrap();
    let rows = plain_rows(acts.len() * 400);
    let (mut written, mut safe) = (0, 0);
    for act in acts {
        match act {
            Act::Write(count) => {
                writer.write(&batch(&rows[written..written + count], &names)).unwrap();
                written += count;
                writer.set_positions([(Arc::from("ring"), Some(written as u64))]);
            }
            Act::Commit => writer.commit().unwrap(),
            Act::Checkpoint => writer.checkpoint().unwrap(),
            Act::CheckpointAndClose => writer.checkpoint_and_close_row_group().unwrap(),
        }
        if !matches!(act, Act::Write(_)) {
            safe = written;
        }
    }
    safe
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn everything_that_was_committed_is_put_back_once(
        acts in proptest::collection::vec(act(), 1..60),
        row_group_rows in prop_oneof![Just(150usize), Just(1 << 20)],
        footers in 0..2usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (path, session) = (dir.path().join("t.parquet"), dir.path().join("session"));
        fs::create_dir(&session).unwrap();
        // So many checkpoints that footers have no more room, or few.
        let many = [Act::Write(1), Act::Checkpoint].repeat(60 * footers);
        let acts: Vec<Act> = many.into_iter().chain(acts).collect();
        let safe = record(&path, &session, &acts, row_group_rows);
        let in_file = read(&path).len();
        let RecoveredTrace { mut writer, positions, rows, torn_bytes } = TraceWriter::recover(&path, names()).unwrap();
        prop_assert_eq!(torn_bytes, 0);
        let put_back = in_file + rows as usize;
        prop_assert!(put_back >= safe, "{} of {}", put_back, safe);
        let position = positions.and_then(|positions| positions.get("ring").copied()).unwrap_or(0);
        prop_assert!(position <= put_back as u64);
        writer.manifest_mut().ended = RecordingEnd::Repaired;
        writer.finish().unwrap();
        let expected = plain_rows(acts.len() * 400);
        prop_assert!(read(&path) == expected[..put_back]);
        let reader = TraceReader::open(&path, names()).unwrap();
        prop_assert_eq!((reader.torn_bytes(), reader.manifest().live_row_groups), (0, 0));
        prop_assert_eq!(&reader.manifest().session, &None);
    }
}
