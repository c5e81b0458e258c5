//! Snapshots: copies of a trace while it is being recorded.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pyrec_schema::{Result, SnapshotParts};

use crate::os::private_dir;

/// Extension of a copy that is not complete.
const INCOMPLETE_EXTENSION: &str = "part";

/// A copy to make.
pub(crate) struct Snapshot {
    /// The trace.
    pub output: PathBuf,
    /// Number in the name of the copy, counted from 1.
    pub number: u32,
    /// Finished files of the trace.
    pub finished: Vec<PathBuf>,
    /// The current file, and the end that makes it a trace.
    pub current: SnapshotParts,
}

impl Snapshot {
    /// Copies on a thread of its own, so that the writing thread does not wait for the disk.
    /// Reports the result on standard error.
    pub fn start(self) {
        let copy = move || match self.copy() {
            Ok(path) => report(format_args!("snapshot in {}", path.display())),
            Err(error) => report(format_args!("the snapshot failed: {error}")),
        };
        if let Err(error) = std::thread::Builder::new().name("pyrec-snapshot".into()).spawn(copy) {
            report(format_args!("the snapshot failed: cannot start a thread: {error}"));
        }
    }

    /// Copies to a temporary name, then renames. Returns the path of the copy.
    fn copy(&self) -> Result<PathBuf> {
        let path = self.free_path();
        let io = |source| pyrec_schema::Error::Io { path: path.clone(), source };
        let incomplete = path.with_extension(INCOMPLETE_EXTENSION);
        let is_directory = self.output.is_dir();
        if is_directory {
            private_dir::create(&incomplete).map_err(io)?;
        }
        let destination = |file: &Path| match file.file_name() {
            Some(name) if is_directory => incomplete.join(name),
            _ => incomplete.clone(),
        };
        for file in &self.finished {
            // A file that rotation has removed since is not part of what is to be kept.
            match link_or_copy(file, &destination(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => copied.map_err(io)?,
            }
        }
        self.copy_current(&destination(&self.current.path)).map_err(io)?;
        fs::rename(&incomplete, &path).map_err(io)?;
        Ok(path)
    }

    fn copy_current(&self, destination: &Path) -> io::Result<()> {
        let SnapshotParts { path, prefix_len, suffix } = &self.current;
        let mut copy = new_private_file().open(destination)?;
        io::copy(&mut File::open(path)?.take(*prefix_len), &mut copy)?;
        copy.write_all(suffix)
    }

    /// The first path from [`Snapshot::number`] on that does not exist: `pyrec.snapshot-1.parquet`
    /// for `pyrec.parquet`.
    fn free_path(&self) -> PathBuf {
        let extension = self.output.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
        let prefix = name_prefix(&self.output);
        let name = |number| format!("{prefix}{number}{}", extension.as_deref().unwrap_or_default());
        let mut paths = (self.number..).map(|number| self.output.with_file_name(name(number)));
        paths.find(|path| path.symlink_metadata().is_err()).unwrap_or_default()
    }
}

/// The beginning of the names of a trace's snapshots.
fn name_prefix(trace: &Path) -> String {
    format!("{}.snapshot-", trace.file_stem().unwrap_or_default().to_string_lossy())
}

/// The complete snapshots of a trace.
pub fn snapshots(trace: &Path) -> Vec<PathBuf> {
    let parent = trace.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let prefix = name_prefix(trace);
    let complete = names.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with(&prefix) && !name.ends_with(&format!(".{INCOMPLETE_EXTENSION}"))
    });
    complete.map(|name| trace.with_file_name(name)).collect()
}

/// Writes a sentence to standard error, which may be closed.
fn report(sentence: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "pyrec: {sentence}");
}

/// Copies a finished file: as a hard link, or by content if the file system has no links.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)
        .or_else(|_| io::copy(&mut File::open(from)?, &mut new_private_file().open(to)?).map(drop))
}

/// Options for a new file that only its owner may read, as the trace itself.
fn new_private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options
}
