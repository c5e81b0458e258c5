//! The private directory in which the recorder and the agents meet.

pub(crate) mod agent_library;
pub(crate) mod orphaned_session;
pub(crate) mod ring;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use memmap2::{MmapOptions, MmapRaw};
use pyrec_wire::{ClockSource, FunctionFilter, PAGE_BYTES, VERSION};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

use crate::os::fs_credentials::{FsCredentialsGuard, switch_to};
use crate::os::process_root::ProcessRoot;
use crate::os::user::User;
use crate::os::{private_dir, sigbus};
use crate::{Capture, Error, OnFull, Result};

/// What the names of session directories begin with.
pub(crate) const PREFIX: &str = "pyrec-";

/// A session, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    room: Room,
    /// Where the programs find it.
    root: ProcessRoot,
    /// Whose it is, if not ours.
    user: Option<User>,
}

/// The directory, and what is in it.
#[derive(Debug)]
struct Room {
    /// Where rings and definitions lie: in memory where there is such a place.
    directory: tempfile::TempDir,
    library: PathBuf,
    /// Where it lies, if code may not be loaded from there.
    _library_directory: Option<tempfile::TempDir>,
    page: MmapRaw,
    /// Locked for as long as we live: an agent that waits for us tries it.
    _lock: File,
}

impl Session {
    /// Makes the directory and all that an agent expects in it, for programs of this user that have this root: in the
    /// first place that has room for it.
    pub fn create(
        capture: &Capture,
        clock: ClockSource,
        user: Option<&User>,
        root: ProcessRoot,
    ) -> Result<Session> {
        let mut failure = None;
        for place in ring_places(&root) {
            match Room::furnish(&place, capture, clock, user, &root) {
                Ok(room) => return Ok(Session { room, root, user: user.cloned() }),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Error::CreateSession {
            path: "/dev/shm".into(),
            source: io::ErrorKind::NotFound.into(),
        }))
    }

    /// What lies in the directory is touched with the rights of its user, who may have put a link there.
    pub fn switch_credentials(&self) -> Result<Option<FsCredentialsGuard>> {
        switch_to(self.user.as_ref()).map_err(Error::credentials)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.room.directory.path()
    }

    /// The text of a file that a program left there.
    pub fn read(&self, name: &str) -> io::Result<String> {
        let _credentials = switch_to(self.user.as_ref())?;
        std::fs::read_to_string(self.path().join(name))
    }

    /// The library to load into programs.
    pub fn library(&self) -> &Path {
        &self.room.library
    }

    /// Where the programs find them.
    pub fn root(&self) -> &ProcessRoot {
        &self.root
    }

    /// Whether the agent has entered the process that it was sent to.
    pub fn is_entered(&self) -> bool {
        self.header().entered.load(Ordering::Acquire) != 0
    }

    /// How many processes the agent has been led out of.
    pub fn left(&self) -> u32 {
        self.header().left.load(Ordering::Acquire)
    }

    /// Counts up when an agent has made a file.
    pub fn generation(&self) -> u32 {
        self.header().generation.load(Ordering::Acquire)
    }

    /// Leaves a reading of both clocks to whoever will read the rings if we are killed.
    pub fn note_clocks(&self, (ticks, ns): (u64, i64)) {
        let header = self.header();
        let next = header.anchor.load(Ordering::Relaxed) ^ 1;
        let anchor = &header.anchors[(next & 1) as usize];
        anchor.ticks.store(ticks, Ordering::Relaxed);
        anchor.ns.store(ns, Ordering::Relaxed);
        header.anchor.store(next, Ordering::Release);
    }

    /// Tells every agent that the recording is over.
    pub fn close(&self) {
        self.header().closed.store(1, Ordering::Release);
    }

    fn header(&self) -> &pyrec_wire::SessionPage {
        // SAFETY: the mapping is a page long and page-aligned, lives as long as `self`, and agents only touch the
        // atomic fields.
        unsafe { &*self.room.page.as_ptr().cast::<pyrec_wire::SessionPage>() }
    }
}

impl Room {
    fn furnish(
        place: &Path,
        capture: &Capture,
        clock: ClockSource,
        user: Option<&User>,
        root: &ProcessRoot,
    ) -> Result<Room> {
        let _credentials = switch_to(user).map_err(Error::credentials)?;
        let directory = make_directory(place, user, root)?;
        let failed = |source| Error::CreateSession { path: directory.path().to_owned(), source };
        let filter_bytes = write_filter(directory.path(), capture).map_err(failed)?;
        let page = write_page(directory.path(), capture, clock, filter_bytes).map_err(failed)?;
        let mut lock = create(&directory.path().join("lock"), 0o600).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
        lock.write_all(std::process::id().to_string().as_bytes()).map_err(failed)?;
        let (library, library_directory) = match capture.expose_markers {
            true => (expose(user)?, None),
            false => place_library(directory.path(), user, root)?,
        };
        Ok(Room { directory, library, _library_directory: library_directory, page, _lock: lock })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// The recorder that holds a session, if it lives.
pub(crate) fn recorder_of(directory: &Path) -> Option<Pid> {
    let lock = File::open(directory.join("lock")).ok()?;
    let is_held = flock(&lock, FlockOperation::NonBlockingLockShared).is_err();
    let mut text = String::new();
    (&lock).take(20).read_to_string(&mut text).ok()?;
    text.parse().ok().and_then(Pid::from_raw).filter(|_| is_held)
}

/// Asks the recorder of a trace for a snapshot.
pub fn request_snapshot(trace: &Path) -> Result<()> {
    let trace_of = pyrec_schema::Trace::open(&[trace])?;
    let silent = || Error::NotRecording { path: trace.to_owned() };
    let session = trace_of.manifest().session.clone().ok_or_else(silent)?;
    let pid = recorder_of(&session.directory).ok_or_else(silent)?;
    let sent = rustix::process::kill_process(pid, rustix::process::Signal::USR2);
    sent.map_err(Error::system("ask the recorder"))
}

/// Whether a file of that name holds a process's definitions.
pub(crate) fn is_definitions(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".defs")
}

/// Whether a file of that name is a thread's ring.
pub(crate) fn is_ring(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".ring")
}

/// Where rings may lie, the best place first: a ring on a disk would be written to it every half a minute.
fn ring_places(root: &ProcessRoot) -> Vec<PathBuf> {
    if !root.is_own() {
        return ["/dev/shm", "/tmp"].map(|place| root.to_own_path(Path::new(place))).into();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    [Some(PathBuf::from("/dev/shm")), runtime, Some(std::env::temp_dir())].into_iter().flatten().collect()
}

/// Makes a directory where nobody else can put another in its place. What is in another root is another's to keep safe.
fn make_directory(place: &Path, user: Option<&User>, root: &ProcessRoot) -> Result<tempfile::TempDir> {
    let uid = user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    let is_safe = if root.is_own() { private_dir::check_ancestors(place, uid) } else { Ok(()) };
    let made = is_safe.and_then(|()| {
        let mut directory = tempfile::Builder::new();
        directory.prefix(PREFIX).permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        directory.tempdir_in(place)
    });
    made.map_err(|source| Error::CreateSession { path: place.to_owned(), source })
}

/// Writes which functions to record, if not all. Returns the file's length.
fn write_filter(directory: &Path, capture: &Capture) -> io::Result<u32> {
    if capture.include.is_empty() && capture.exclude.is_empty() {
        return Ok(0);
    }
    let path = directory.join("filter");
    let bytes = FunctionFilter::encode(&capture.include, &capture.exclude);
    create(&path, 0o600)?.write_all(&bytes)?;
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

fn write_page(
    directory: &Path,
    capture: &Capture,
    clock: ClockSource,
    filter_bytes: u32,
) -> io::Result<MmapRaw> {
    let mut file = create(&directory.join("session"), 0o600)?;
    // Written and not only made long: what there is no room for must not show when it is touched.
    file.write_all(&[0; PAGE_BYTES])?;
    sigbus::install_handler();
    let page = MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?;
    let on_full = match capture.on_full {
        OnFull::Wait => pyrec_wire::OnFull::Wait,
        OnFull::Drop => pyrec_wire::OnFull::Drop,
    };
    // SAFETY: a fresh page of zeros that nobody else has mapped yet; zeros are a valid Session.
    let session = unsafe { &mut *page.as_mut_ptr().cast::<pyrec_wire::SessionPage>() };
    session.version = VERSION;
    session.groups = capture.groups.iter().fold(0, |bits, &group| bits | 1 << group as u32);
    session.clock = clock as u32;
    session.on_full = on_full as u32;
    session.expose_markers = u32::from(capture.expose_markers);
    session.filter_bytes = filter_bytes;
    Ok(page)
}

/// Unpacks the library, into a directory of its own where the first one does not allow loading code.
fn place_library(
    directory: &Path,
    user: Option<&User>,
    root: &ProcessRoot,
) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| Error::CreateSession { path, source }
    };
    if let (path, true) = agent_library::unpack(directory).map_err(failed(directory))? {
        return Ok((path, None));
    }
    let place = if root.is_own() { std::env::temp_dir() } else { root.to_own_path(Path::new("/tmp")) };
    let elsewhere = make_directory(&place, user, root)?;
    if let (path, true) = agent_library::unpack(elsewhere.path()).map_err(failed(elsewhere.path()))? {
        return Ok((path, Some(elsewhere)));
    }
    let source = io::Error::other("code may not be loaded from there (it is mounted noexec)");
    Err(Error::CreateSession { path: place, source })
}

/// The library at the place that other tools know.
fn expose(user: Option<&User>) -> Result<PathBuf> {
    agent_library::expose(user)
        .map_err(|source| Error::CreateSession { path: agent_library::exposed_path(user), source })
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
}
