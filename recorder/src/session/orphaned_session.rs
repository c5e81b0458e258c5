//! A session whose recorder was killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};
use pyrec_wire::{ClockSource, PAGE_BYTES, VERSION};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::PREFIX;
use crate::{Error, Result};

/// A session that nobody records into any more. Its lock is ours.
pub(crate) struct OrphanedSession {
    directory: PathBuf,
    page: MmapRaw,
    _lock: File,
}

impl OrphanedSession {
    /// Takes the session over; none where it is gone. A trace may come from anywhere, so what it names must look like a
    /// session of ours before anything in it is touched.
    pub fn take(directory: &Path) -> Result<Option<OrphanedSession>> {
        let failed = |source| Error::SessionFile { path: directory.to_owned(), source };
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
        if page.metadata().map_err(failed)?.len() != PAGE_BYTES as u64 {
            return Err(failed(io::ErrorKind::InvalidData.into()));
        }
        let page = MmapOptions::new().len(PAGE_BYTES).map_raw(&page).map_err(failed)?;
        let leftover = OrphanedSession { directory: directory.to_owned(), page, _lock: lock };
        if leftover.header().version != VERSION {
            return Err(Error::OtherVersion { directory: directory.to_owned() });
        }
        // Whoever still writes will stop.
        leftover.header().closed.store(1, Ordering::Release);
        Ok(Some(leftover))
    }

    fn header(&self) -> &pyrec_wire::SessionPage {
        // SAFETY: the mapping is a page long and page-aligned, and lives as long as `self`. Every bit pattern is a Session,
        // and what others may still write is atomic.
        unsafe { &*self.page.as_ptr().cast::<pyrec_wire::SessionPage>() }
    }

    /// The clock of its time stamps, and both clocks as the recorder last read them: ticks and nanoseconds.
    pub fn clock(&self) -> (ClockSource, (u64, i64)) {
        let header = self.header();
        let anchor = &header.anchors[(header.anchor.load(Ordering::Acquire) & 1) as usize];
        let reading = (anchor.ticks.load(Ordering::Relaxed), anchor.ns.load(Ordering::Relaxed));
        let is_tsc = header.clock == ClockSource::Tsc as u32;
        (if is_tsc { ClockSource::Tsc } else { ClockSource::Monotonic }, reading)
    }

    /// What is in it.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let failed = |source| Error::SessionFile { path: self.directory.clone(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        Ok(paths)
    }

    /// Removes the session: everything in it is in the trace.
    pub fn remove(self) -> Result<()> {
        let failed = |source| Error::SessionFile { path: self.directory.clone(), source };
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        fs::remove_dir(&self.directory).map_err(failed)
    }
}
