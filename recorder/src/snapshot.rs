//! A copy of a recording that goes on.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pyrec_schema::{Ended, Result, TraceWriter};

use crate::reel::create_directory;

/// The extension of one that is not whole yet.
const UNFINISHED: &str = "part";

/// What is to be copied, and from where.
pub(crate) struct Snapshot {
    /// The recording.
    pub output: PathBuf,
    /// Counted from 1.
    pub number: u32,
    /// Its files, each with as many bytes as are whole.
    pub files: Vec<(PathBuf, u64)>,
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
            create_directory(&hidden).map_err(io)?;
        }
        for (file, len) in &self.files {
            let name = file.file_name().unwrap_or_default();
            let to = if is_directory { hidden.join(name) } else { hidden.clone() };
            // What was thrown away meanwhile was too old to be asked for.
            match copy(file, *len, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                copied => copied.map_err(io)?,
            }
            if *len != u64::MAX {
                TraceWriter::seal(&to, Ended::Stopped)?;
            }
        }
        fs::rename(&hidden, &path).map_err(io)?;
        Ok(path)
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

/// Copies the beginning of a file; all of one that is done, which need not be copied where it can have two names.
fn copy(from: &Path, len: u64, to: &Path) -> io::Result<()> {
    if len == u64::MAX && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut source = File::open(from)?.take(len);
    let mut copy = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut copy).map(drop)
}

/// Asks the recorder of a trace for a snapshot.
pub fn ask_for_snapshot(trace: &Path) -> crate::Result<()> {
    let trace_of = pyrec_schema::Trace::open(&[trace])?;
    let silent = || crate::Error::NotRecording { path: trace.to_owned() };
    let session = trace_of.manifest().session.clone().ok_or_else(silent)?;
    let pid = crate::session::recorder_of(&session.directory).ok_or_else(silent)?;
    let sent = rustix::process::kill_process(pid, rustix::process::Signal::USR2);
    sent.map_err(crate::Error::system("ask the recorder"))
}
