//! Recovery of a trace from the file and the journal of a killed recorder.

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

/// An action of the recorder.
#[derive(Clone, Copy, Debug)]
enum Action {
    Write(usize),
    Commit,
    Checkpoint,
    CheckpointAndClose,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1..400usize).prop_map(Action::Write),
        2 => Just(Action::Commit),
        3 => Just(Action::Checkpoint),
        1 => Just(Action::CheckpointAndClose),
    ]
}

/// Performs all actions, without finishing the trace. Returns the number of rows that are safe.
fn record(path: &Path, session: &Path, actions: &[Action], row_group_rows: usize) -> usize {
    let names = names();
    let session = Some(JournalLocation { directory: session.into(), checkpoint: 0 });
    let manifest = Manifest { session, ..manifest() };
    let options = WriterOptions { row_group_rows };
    let mut writer = TraceWriter::create(path, names.clone(), manifest, options).unwrap();
    let rows = plain_rows(actions.len() * 400);
    let (mut written, mut safe) = (0, 0);
    for action in actions {
        match action {
            Action::Write(count) => {
                writer.write(&batch(&rows[written..written + count], &names)).unwrap();
                written += count;
                writer.set_positions([(Arc::from("ring"), Some(written as u64))]);
            }
            Action::Commit => writer.commit().unwrap(),
            Action::Checkpoint => writer.checkpoint().unwrap(),
            Action::CheckpointAndClose => writer.checkpoint_and_close_row_group().unwrap(),
        }
        if !matches!(action, Action::Write(_)) {
            safe = written;
        }
    }
    safe
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn committed_rows_are_restored_exactly_once(
        actions in proptest::collection::vec(action(), 1..60),
        row_group_rows in prop_oneof![Just(150usize), Just(1 << 20)],
        footers in 0..2usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (path, session) = (dir.path().join("t.parquet"), dir.path().join("session"));
        fs::create_dir(&session).unwrap();
        // With many checkpoints footers exceed their budget, and checkpoints are written apart.
        let checkpoints = [Action::Write(1), Action::Checkpoint].repeat(60 * footers);
        let actions: Vec<Action> = checkpoints.into_iter().chain(actions).collect();
        let safe = record(&path, &session, &actions, row_group_rows);
        let in_file = read(&path).len();
        let RecoveredTrace { mut writer, positions, rows, torn_bytes } = TraceWriter::recover(&path, names()).unwrap();
        prop_assert_eq!(torn_bytes, 0);
        let restored = in_file + rows as usize;
        prop_assert!(restored >= safe, "{} of {}", restored, safe);
        let position = positions.and_then(|positions| positions.get("ring").copied()).unwrap_or(0);
        prop_assert!(position <= restored as u64);
        writer.manifest_mut().ended = RecordingEnd::Repaired;
        writer.finish().unwrap();
        let expected = plain_rows(actions.len() * 400);
        prop_assert!(read(&path) == expected[..restored]);
        let reader = TraceReader::open(&path, names()).unwrap();
        prop_assert_eq!((reader.torn_bytes(), reader.manifest().live_row_groups), (0, 0));
        prop_assert_eq!(&reader.manifest().session, &None);
    }
}
