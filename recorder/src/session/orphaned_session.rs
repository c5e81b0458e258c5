//! Orphaned sessions: those whose recorder was killed. Their rings hold events that are not in the
//! trace.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};
use pyrec_wire::{ClockSource, PAGE_BYTES, SessionPage, VERSION};
use rustix::fs::OFlags;

use super::file_names::{AgentFile, DIRECTORY_PREFIX, SESSION};
use super::lock::SessionLock;
use crate::{Error, Result};

/// An orphaned session that this process has locked.
pub(crate) struct OrphanedSession {
    directory: PathBuf,
    page: MmapRaw,
    _lock: SessionLock,
}

impl OrphanedSession {
    /// Takes a session over, and ends it, so that agents stop writing. None if the directory is
    /// gone.
    ///
    /// The path comes from a trace, which may come from anywhere. So nothing is touched unless it
    /// looks like a session directory.
    ///
    /// # Errors
    ///
    /// Fails if the recorder is alive, or the directory is no session of this version.
    pub fn take_over(directory: &Path) -> Result<Option<OrphanedSession>> {
        let failed = |source| Error::SessionFile { path: directory.to_owned(), source };
        let metadata = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let is_private = metadata.is_dir() && metadata.mode() & 0o077 == 0;
        if !is_private || !name.starts_with(DIRECTORY_PREFIX) {
            return Err(failed(io::Error::other("it is not a session directory of pyrec")));
        }
        let Some(lock) = SessionLock::take_over(directory).map_err(failed)? else {
            return Err(Error::StillRecording { directory: directory.to_owned() });
        };
        let flags = OFlags::NOFOLLOW.bits() as i32;
        let page = File::options().read(true).write(true).custom_flags(flags).open(directory.join(SESSION));
        let page = page.map_err(failed)?;
        if page.metadata().map_err(failed)?.len() != PAGE_BYTES as u64 {
            return Err(failed(io::ErrorKind::InvalidData.into()));
        }
        let page = MmapOptions::new().len(PAGE_BYTES).map_raw(&page).map_err(failed)?;
        let session = OrphanedSession { directory: directory.to_owned(), page, _lock: lock };
        if session.page().version != VERSION {
            return Err(Error::OtherVersion { directory: directory.to_owned() });
        }
        session.page().closed.store(1, Ordering::Release);
        Ok(Some(session))
    }

    fn page(&self) -> &SessionPage {
        // SAFETY: the mapping is a page long, page-aligned, and lives as long as `self`. Every bit
        // pattern is a valid SessionPage. Agents write to the atomic fields only.
        unsafe { &*self.page.as_ptr().cast::<SessionPage>() }
    }

    /// The clock of the records, and the recorder's last reading of both clocks: ticks and
    /// nanoseconds.
    pub fn clock(&self) -> (ClockSource, (u64, i64)) {
        let page = self.page();
        let anchor = &page.anchors[(page.anchor.load(Ordering::Acquire) & 1) as usize];
        let reading = (anchor.ticks.load(Ordering::Relaxed), anchor.ns.load(Ordering::Relaxed));
        let is_tsc = page.clock == ClockSource::Tsc as u32;
        (if is_tsc { ClockSource::Tsc } else { ClockSource::Monotonic }, reading)
    }

    /// The files of the agents, in the order in which to open them.
    pub fn agent_files(&self) -> Result<Vec<(AgentFile, PathBuf)>> {
        let failed = |source| Error::SessionFile { path: self.directory.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            files.extend(AgentFile::parse(&entry.file_name()).map(|file| (file, entry.path())));
        }
        files.sort();
        Ok(files)
    }

    /// Removes the session directory.
    pub fn remove(self) -> Result<()> {
        let removed = fs::read_dir(&self.directory).and_then(|entries| {
            for entry in entries {
                fs::remove_file(entry?.path())?;
            }
            fs::remove_dir(&self.directory)
        });
        removed.map_err(|source| Error::SessionFile { path: self.directory.clone(), source })
    }
}
