//! Draining the rings of an orphaned session, as its recorder would have done.

use std::collections::BTreeMap;

use pyrec_schema::ProviderPositions;

use super::process::RecordedProcess;
use super::retired_files::{END_POSITION, RetiredFiles};
use super::thread::{FunctionTexts, RecordedThread};
use super::tick_clock::TickClock;
use crate::Result;
use crate::output::row_writer::RowWriter;
use crate::session::file_names::{AgentFile, ProgramId};
use crate::session::orphaned_session::OrphanedSession;

/// Writes the events that follow these positions as rows. Returns their number.
pub(crate) fn drain_orphaned(
    session: &OrphanedSession,
    positions: &ProviderPositions,
    rows: &mut RowWriter,
) -> Result<u64> {
    let (source, reading) = session.clock();
    let clock = TickClock::since(source, reading);
    let texts = FunctionTexts::new(rows.names());
    let (mut retired, mut buffer, mut events) = (RetiredFiles::default(), Vec::new(), 0);
    let mut processes = open(session, positions, rows, &clock)?;
    for process in processes.values_mut() {
        // As in every drain, first the heads and then the definitions.
        process.observe();
        process.read_definitions(rows, &clock)?;
        events += process.drain(rows, &clock, &texts, &mut buffer, &mut retired)?;
    }
    rows.count_events(events);
    processes.into_values().try_for_each(|process| process.close(rows, &clock))?;
    Ok(events)
}

/// Opens the processes and threads that have events or definitions behind these positions.
fn open(
    session: &OrphanedSession,
    positions: &ProviderPositions,
    rows: &mut RowWriter,
    clock: &TickClock,
) -> Result<BTreeMap<ProgramId, RecordedProcess>> {
    let mut processes = BTreeMap::new();
    for (file, path) in session.agent_files()? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let position = positions.get(&*name).copied();
        match file {
            AgentFile::Definitions(program) => {
                let mut process = RecordedProcess::open(program, path)?;
                process.skip_to(position.unwrap_or(0));
                process.read_definitions(rows, clock)?;
                processes.insert(program, process);
            }
            AgentFile::Ring(program, _) => {
                let Some(process) = processes.get_mut(&program) else { continue };
                if position == Some(END_POSITION) {
                    continue;
                }
                let Some(mut thread) = RecordedThread::open(path)? else { continue };
                match position {
                    Some(position) => {
                        thread.skip_to(position);
                        process.add_started(thread);
                    }
                    None => process.add(thread, rows, clock)?,
                }
            }
        }
    }
    Ok(processes)
}
