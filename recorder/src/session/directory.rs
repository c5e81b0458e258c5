//! Creating the session directory, and the recorder's side of its shared page.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};
use pyrec_wire::{ClockSource, FunctionFilter, PAGE_BYTES, SessionPage, VERSION};
use tempfile::TempDir;

use super::agent_library;
use super::file_names::{DIRECTORY_PREFIX, FILTER, SESSION};
use super::lock::SessionLock;
use crate::os::fs_credentials::{FsCredentialsGuard, switch_to};
use crate::os::process_root::ProcessRoot;
use crate::os::user::User;
use crate::os::{private_dir, sigbus};
use crate::{Capture, Error, OnFull, Result};

/// The session of a recording. Dropping it ends the session and removes the directory.
#[derive(Debug)]
pub(crate) struct SessionDirectory {
    files: SessionFiles,
    /// The root directory of the target process.
    root: ProcessRoot,
    /// The user of the target process, if not the recorder's own.
    user: Option<User>,
}

#[derive(Debug)]
struct SessionFiles {
    /// Holds rings and definitions. In memory, if the system has a file system for that.
    directory: TempDir,
    library: PathBuf,
    /// Holds the library, if code cannot be loaded from `directory`.
    _library_directory: Option<TempDir>,
    page: MmapRaw,
    _lock: SessionLock,
}

impl SessionDirectory {
    /// Creates the directory with the files that an agent expects, for processes of this user that
    /// have this root. Tries several parent directories.
    ///
    /// # Errors
    ///
    /// The error is that of the last parent directory.
    pub fn create(
        capture: &Capture,
        clock: ClockSource,
        user: Option<&User>,
        root: ProcessRoot,
    ) -> Result<SessionDirectory> {
        let mut last_error =
            Error::CreateSession { path: "/dev/shm".into(), source: io::ErrorKind::NotFound.into() };
        for parent in parent_directories(&root) {
            match SessionFiles::create(&parent, capture, clock, user, &root) {
                Ok(files) => return Ok(SessionDirectory { files, root, user: user.cloned() }),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// Switches to the filesystem credentials of the session's user. Needed for every access to a
    /// file by its path, because the user may have replaced it by a link.
    pub fn switch_credentials(&self) -> Result<Option<FsCredentialsGuard>> {
        switch_to(self.user.as_ref()).map_err(Error::credentials)
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.files.directory.path()
    }

    /// The text of a file in the directory.
    pub fn read_text(&self, name: &str) -> io::Result<String> {
        let _credentials = switch_to(self.user.as_ref())?;
        std::fs::read_to_string(self.path().join(name))
    }

    /// The path of the agent's library.
    pub fn library(&self) -> &Path {
        &self.files.library
    }

    /// The root directory of the target process.
    pub fn root(&self) -> &ProcessRoot {
        &self.root
    }

    /// Whether the agent has been loaded into the process that the recorder attaches to.
    pub fn is_entered(&self) -> bool {
        self.page().entered.load(Ordering::Acquire) != 0
    }

    /// How many processes have removed the agent's hooks.
    pub fn detached_processes(&self) -> u32 {
        self.page().left.load(Ordering::Acquire)
    }

    /// A counter that increases after an agent has created a file.
    pub fn generation(&self) -> u32 {
        self.page().generation.load(Ordering::Acquire)
    }

    /// Stores a reading of both clocks, ticks and nanoseconds. If the recorder is killed, repair
    /// converts the ticks in the rings with it.
    pub fn store_clock_anchor(&self, (ticks, ns): (u64, i64)) {
        let page = self.page();
        let next = page.anchor.load(Ordering::Relaxed) ^ 1;
        let anchor = &page.anchors[(next & 1) as usize];
        anchor.ticks.store(ticks, Ordering::Relaxed);
        anchor.ns.store(ns, Ordering::Relaxed);
        page.anchor.store(next, Ordering::Release);
    }

    /// Ends the session: every agent stops writing.
    pub fn close(&self) {
        self.page().closed.store(1, Ordering::Release);
    }

    fn page(&self) -> &SessionPage {
        // SAFETY: the mapping is a page long, page-aligned, and lives as long as `self`. Agents
        // write to the atomic fields only.
        unsafe { &*self.files.page.as_ptr().cast::<SessionPage>() }
    }
}

impl Drop for SessionDirectory {
    fn drop(&mut self) {
        self.close();
    }
}

impl SessionFiles {
    fn create(
        parent: &Path,
        capture: &Capture,
        clock: ClockSource,
        user: Option<&User>,
        root: &ProcessRoot,
    ) -> Result<SessionFiles> {
        let _credentials = switch_to(user).map_err(Error::credentials)?;
        let directory = create_private_directory(parent, user, root)?;
        let failed = |source| Error::CreateSession { path: directory.path().to_owned(), source };
        let filter_bytes = write_filter(directory.path(), capture).map_err(failed)?;
        let page = create_page(directory.path(), capture, clock, filter_bytes).map_err(failed)?;
        let lock = SessionLock::create(directory.path()).map_err(failed)?;
        let (library, library_directory) = match capture.expose_markers {
            true => (expose_library(user)?, None),
            false => unpack_library(directory.path(), user, root)?,
        };
        Ok(SessionFiles { directory, library, _library_directory: library_directory, page, _lock: lock })
    }
}

/// The directories in which a session can be created, the best first. On a disk, the kernel would
/// write the rings back every 30 seconds or so.
fn parent_directories(root: &ProcessRoot) -> Vec<PathBuf> {
    if !root.is_own() {
        return ["/dev/shm", "/tmp"].map(|path| root.to_own_path(Path::new(path))).into();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    [Some(PathBuf::from("/dev/shm")), runtime, Some(std::env::temp_dir())].into_iter().flatten().collect()
}

/// Creates a directory that no other user can enter or replace. The ancestors are not checked in
/// another root: there the ids in the container's file system have a meaning of their own.
fn create_private_directory(parent: &Path, user: Option<&User>, root: &ProcessRoot) -> Result<TempDir> {
    let uid = user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    let checked = if root.is_own() { private_dir::check_ancestors(parent, uid) } else { Ok(()) };
    let created = checked.and_then(|()| {
        let mut directory = tempfile::Builder::new();
        directory.prefix(DIRECTORY_PREFIX).permissions(PermissionsExt::from_mode(0o700));
        directory.tempdir_in(parent)
    });
    created.map_err(|source| Error::CreateSession { path: parent.to_owned(), source })
}

/// Writes the globs, if there are any. Returns the file's length, or 0 if there is no file.
fn write_filter(directory: &Path, capture: &Capture) -> io::Result<u32> {
    if capture.include.is_empty() && capture.exclude.is_empty() {
        return Ok(0);
    }
    let bytes = FunctionFilter::encode(&capture.include, &capture.exclude);
    create_file(&directory.join(FILTER))?.write_all(&bytes)?;
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

fn create_page(
    directory: &Path,
    capture: &Capture,
    clock: ClockSource,
    filter_bytes: u32,
) -> io::Result<MmapRaw> {
    let mut file = create_file(&directory.join(SESSION))?;
    // Written rather than extended: if the file system is full, this fails now, and no access to
    // the mapping raises SIGBUS later.
    file.write_all(&[0; PAGE_BYTES])?;
    sigbus::install_handler();
    let page = MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?;
    let on_full = match capture.on_full {
        OnFull::Wait => pyrec_wire::OnFull::Wait,
        OnFull::Drop => pyrec_wire::OnFull::Drop,
    };
    // SAFETY: no other process has mapped the page yet, and all zeros is a valid SessionPage.
    let session = unsafe { &mut *page.as_mut_ptr().cast::<SessionPage>() };
    session.version = VERSION;
    session.groups = capture.groups.iter().fold(0, |bits, &group| bits | 1 << group as u32);
    session.clock = clock as u32;
    session.on_full = on_full as u32;
    session.expose_markers = u32::from(capture.expose_markers);
    session.filter_bytes = filter_bytes;
    Ok(page)
}

/// Unpacks the agent's library into the session directory, or into one of its own if code cannot be
/// loaded from there.
fn unpack_library(
    directory: &Path,
    user: Option<&User>,
    root: &ProcessRoot,
) -> Result<(PathBuf, Option<TempDir>)> {
    let unpack = |directory: &Path| {
        agent_library::unpack(directory)
            .map_err(|source| Error::CreateSession { path: directory.to_owned(), source })
    };
    if let (path, true) = unpack(directory)? {
        return Ok((path, None));
    }
    let parent = if root.is_own() { std::env::temp_dir() } else { root.to_own_path(Path::new("/tmp")) };
    let library_directory = create_private_directory(&parent, user, root)?;
    if let (path, true) = unpack(library_directory.path())? {
        return Ok((path, Some(library_directory)));
    }
    let source = io::Error::other("code cannot be loaded from there (it is mounted noexec)");
    Err(Error::CreateSession { path: parent, source })
}

fn expose_library(user: Option<&User>) -> Result<PathBuf> {
    let failed = |source| Error::CreateSession { path: agent_library::exposed_path(user), source };
    agent_library::expose(user).map_err(failed)
}

fn create_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}
