//! A copy of a recording that goes on.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pyrec_schema::{Result, SnapshotParts};

use crate::os::private_dir;

/// The extension of one that is not whole yet.
const UNFINISHED: &str = "part";

/// What is to be copied, and from where.
pub(crate) struct Snapshot {
    /// The recording.
    pub output: PathBuf,
    /// Counted from 1.
    pub number: u32,
    /// Its files that are done.
    pub past: Vec<PathBuf>,
    /// The one that is being written.
    pub present: SnapshotParts,
}

impl Snapshot {
    /// Copies, on a thread of its own: rows need not wait for a disk.
    pub fn take(self) {
        let copy = move || match self.copy() {
            Ok(path) => say(format_args!("snapshot in {}", path.display())),
            Err(error) => say(format_args!("there is no snapshot: {error}")),
        };
        if let Err(error) = std::thread::Builder::new().name("pyrec-snapshot".into()).spawn(copy) {
            say(format_args!("there is no snapshot: {error}"));
        }
    }

    /// It gets its name when it is whole.
    fn copy(&self) -> Result<PathBuf> {
        let path = self.path();
        let io = |source| pyrec_schema::Error::Io { path: path.clone(), source };
        let hidden = path.with_extension(UNFINISHED);
        let is_directory = self.output.is_dir();
        if is_directory {
            private_dir::create(&hidden).map_err(io)?;
        }
        let to = |file: &Path| match file.file_name() {
            Some(name) if is_directory => hidden.join(name),
            _ => hidden.clone(),
        };
        for file in &self.past {
            // What was thrown away meanwhile was too old to be asked for.
            match link_or_copy(file, &to(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => copied.map_err(io)?,
            }
        }
        self.complete(&to(&self.present.path)).map_err(io)?;
        fs::rename(&hidden, &path).map_err(io)?;
        Ok(path)
    }

    /// Copies what there is of the present file, and what it lacks.
    fn complete(&self, to: &Path) -> io::Result<()> {
        let SnapshotParts { path, prefix_len, suffix } = &self.present;
        let mut copy = private().open(to)?;
        io::copy(&mut File::open(path)?.take(*prefix_len), &mut copy)?;
        copy.write_all(suffix)
    }

    /// `pyrec.parquet` is copied to `pyrec.snapshot-1.parquet`.
    fn path(&self) -> PathBuf {
        let extension = self.output.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
        let prefix = prefix(&self.output);
        let name = |number| format!("{prefix}{number}{}", extension.as_deref().unwrap_or_default());
        let paths = (self.number..).map(|number| self.output.with_file_name(name(number)));
        paths.into_iter().find(|path| path.symlink_metadata().is_err()).unwrap_or_default()
    }
}

/// What the names of a recording's snapshots begin with.
fn prefix(output: &Path) -> String {
    format!("{}.snapshot-", output.file_stem().unwrap_or_default().to_string_lossy())
}

/// The snapshots of a recording that are whole.
pub fn snapshots(output: &Path) -> Vec<PathBuf> {
    let parent = output.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let prefix = prefix(output);
    let whole = names.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with(&prefix) && !name.ends_with(&format!(".{UNFINISHED}"))
    });
    whole.map(|name| output.with_file_name(name)).collect()
}

/// Tells the user, if there is still a terminal to tell it.
fn say(sentence: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "pyrec: {sentence}");
}

/// Copies a file that is done; where it can have two names it need not be.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| io::copy(&mut File::open(from)?, &mut private().open(to)?).map(drop))
}

/// For its user alone, as the recording is.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options
}
