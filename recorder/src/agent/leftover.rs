//! A session whose recorder was killed: what its rings still have is read as the recorder would have read it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};
use pyrec_schema::Positions;
use pyrec_wire::{ClockSource, PAGE, VERSION};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::attic::{Attic, DONE};
use super::process::Process;
use super::thread::{Texts, Thread};
use super::{is_definitions, is_ring};
use crate::clock::Clock;
use crate::rows::Rows;
use crate::session::PREFIX;
use crate::{Error, Result};

/// A session that nobody records into any more. Its lock is ours.
pub(crate) struct Leftover {
    directory: PathBuf,
    page: MmapRaw,
    _lock: File,
}

impl Leftover {
    /// Takes the session over; none where it is gone. A trace may come from anywhere, so what it names must look like a
    /// session of ours before anything in it is touched.
    pub fn take(directory: &Path) -> Result<Option<Leftover>> {
        let failed = |source| Error::Ring { path: directory.to_owned(), source };
        let metadata = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let is_private = metadata.is_dir() && metadata.mode() & 0o077 == 0 && name.starts_with(PREFIX);
        if !is_private {
            return Err(failed(io::Error::other("it is no session of pyrec")));
        }
        let open = |name: &str| {
            let mut options = File::options();
            let flags = OFlags::NOFOLLOW.bits() as i32;
            std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true).write(true), flags);
            options.open(directory.join(name))
        };
        let lock = open("lock").map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::StillRecording { directory: directory.to_owned() });
        }
        let page = open("session").map_err(failed)?;
        if page.metadata().map_err(failed)?.len() != PAGE as u64 {
            return Err(failed(io::ErrorKind::InvalidData.into()));
        }
        let page = MmapOptions::new().len(PAGE).map_raw(&page).map_err(failed)?;
        let leftover = Leftover { directory: directory.to_owned(), page, _lock: lock };
        if leftover.header().version != VERSION {
            return Err(Error::OtherVersion { directory: directory.to_owned() });
        }
        // Whoever still writes will stop.
        leftover.header().closed.store(1, Ordering::Release);
        Ok(Some(leftover))
    }

    fn header(&self) -> &pyrec_wire::Session {
        // SAFETY: the mapping is a page long and page-aligned, and lives as long as `self`. Every bit pattern is a Session,
        // and what others may still write is atomic.
        unsafe { &*self.page.as_ptr().cast::<pyrec_wire::Session>() }
    }

    /// Moves what is in the rings, from these positions on, into `rows`. Returns the number of events.
    pub fn drain(&self, positions: &Positions, rows: &mut Rows) -> Result<u64> {
        let clock = self.clock();
        let texts = Texts::new(rows.names());
        let (mut attic, mut buffer, mut events) = (Attic::default(), Vec::new(), 0);
        let mut processes = self.open(positions, rows, &clock)?;
        for process in &mut processes {
            // The heads first, the definitions after them, as always.
            process.look();
            process.define(rows, &clock)?;
            events += process.drain(rows, &clock, &texts, &mut buffer, &mut attic)?;
        }
        rows.count(events);
        processes.into_iter().try_for_each(|process| process.leave(rows, &clock))?;
        Ok(events)
    }

    /// The clock as the recorder last read it.
    fn clock(&self) -> Clock {
        let header = self.header();
        let anchor = &header.anchors[(header.anchor.load(Ordering::Acquire) & 1) as usize];
        let reading = (anchor.ticks.load(Ordering::Relaxed), anchor.ns.load(Ordering::Relaxed));
        let is_tsc = header.clock == ClockSource::Tsc as u32;
        Clock::since(if is_tsc { ClockSource::Tsc } else { ClockSource::Monotonic }, reading)
    }

    /// The processes, with their threads, of which not everything is in the trace.
    fn open(&self, positions: &Positions, rows: &mut Rows, clock: &Clock) -> Result<Vec<Process>> {
        let failed = |source| Error::Ring { path: self.directory.clone(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
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

    /// Removes the session: everything in it is in the trace.
    pub fn remove(self) -> Result<()> {
        let failed = |source| Error::Ring { path: self.directory.clone(), source };
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        fs::remove_dir(&self.directory).map_err(failed)
    }
}
