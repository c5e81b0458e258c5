//! What the rings of a session whose recorder was killed still have, read as the recorder would have read it.

use std::path::Path;

use pyrec_schema::ProviderPositions;

use super::process::Process;
use super::retired_files::{DONE, RetiredFiles};
use super::thread::{Texts, Thread};
use super::tick_clock::Clock;
use crate::Result;
use crate::output::row_writer::RowWriter;
use crate::session::orphaned_session::OrphanedSession;
use crate::session::{is_definitions, is_ring};

/// Moves what is in the rings, from these positions on, into `rows`. Returns the number of events.
pub(crate) fn drain_orphaned(
    session: &OrphanedSession,
    positions: &ProviderPositions,
    rows: &mut RowWriter,
) -> Result<u64> {
    let (source, reading) = session.clock();
    let clock = Clock::since(source, reading);
    let texts = Texts::new(rows.names());
    let (mut attic, mut buffer, mut events) = (RetiredFiles::default(), Vec::new(), 0);
    let mut processes = open(session, positions, rows, &clock)?;
    for process in &mut processes {
        // The heads first, the definitions after them, as always.
        process.look();
        process.define(rows, &clock)?;
        events += process.drain(rows, &clock, &texts, &mut buffer, &mut attic)?;
    }
    rows.count_events(events);
    processes.into_iter().try_for_each(|process| process.leave(rows, &clock))?;
    Ok(events)
}

/// The processes, with their threads, of which not everything is in the trace.
fn open(
    session: &OrphanedSession,
    positions: &ProviderPositions,
    rows: &mut RowWriter,
    clock: &Clock,
) -> Result<Vec<Process>> {
    let paths = session.files()?;
    let position = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        positions.get(&*name).copied()
    };
    let names = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let mut processes: Vec<Process> = Vec::new();
    for path in paths.iter().filter(|path| is_definitions(&names(path))) {
        let mut process = Process::open(path.clone())?;
        process.skip_to(position(path).unwrap_or(0));
        // All of it: what came after the head of a ring harms nobody.
        process.define(rows, clock)?;
        processes.push(process);
    }
    for path in paths.iter().filter(|path| is_ring(&names(path))) {
        let known = position(path);
        let stem = names(path).to_string_lossy().split('.').next().unwrap_or_default().to_owned();
        let process = processes.iter_mut().find(|process| process.stem() == stem);
        let (Some(process), false) = (process, known == Some(DONE)) else { continue };
        let Some(mut thread) = Thread::open(path.clone())? else { continue };
        match known {
            Some(position) => {
                thread.skip_to(position);
                process.add_known(thread);
            }
            None => process.add(thread, rows, clock)?,
        }
    }
    Ok(processes)
}
