//! The source files whose code ran. Their text becomes the last rows of a trace.

use std::fs::{File, Metadata};
use std::hash::Hasher;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pyrec_schema::{Batch, Code, Event, Marker, Names, TextId};
use rustc_hash::{FxHashMap, FxHashSet};
use twox_hash::XxHash64;

use crate::os::clock::monotonic_ns;
use crate::os::fs_credentials::switch_to;
use crate::os::process_root::{ProcessRoot, RootId};
use crate::os::user::User;

/// Longer files get a row without text.
const MAX_BYTES: u64 = 1 << 20;

/// The source files of a recording, in the order in which their code first ran.
#[derive(Debug, Default)]
pub(crate) struct SourceFiles {
    /// Every file name that was added, even if there is no such file.
    added: FxHashSet<String>,
    files: Vec<SourceFile>,
    roots: ProcessRoots,
    /// Files modified after this are left out: their text is not what ran.
    unchanged_since: Option<SystemTime>,
}

/// The root directories of the recorded processes.
#[derive(Debug, Default)]
struct ProcessRoots {
    /// The distinct roots.
    distinct: Vec<(RootId, Arc<ProcessRoot>)>,
    /// The last known root of each process, for use after its exit.
    by_pid: FxHashMap<i32, Arc<ProcessRoot>>,
}

impl ProcessRoots {
    /// The current root of a process; after its exit the last known one, or else the recorder's
    /// own.
    fn of(&mut self, pid: i32) -> Arc<ProcessRoot> {
        let root = self.current(pid).ok().or_else(|| self.by_pid.get(&pid).cloned());
        let root = root.unwrap_or_else(|| Arc::new(ProcessRoot::own()));
        self.by_pid.insert(pid, root.clone());
        root
    }

    fn current(&mut self, pid: i32) -> io::Result<Arc<ProcessRoot>> {
        let id = RootId::of(pid)?;
        if let Some((_, root)) = self.distinct.iter().find(|(known, _)| *known == id) {
            return Ok(root.clone());
        }
        let root = Arc::new(ProcessRoot::of(pid)?);
        self.distinct.push((id, root.clone()));
        Ok(root)
    }
}

/// A source file, as it was when its code first ran.
#[derive(Debug)]
struct SourceFile {
    name: String,
    pid: i32,
    root: Arc<ProcessRoot>,
    /// The user with whose rights the file is read, if not the recorder's own. A program can give
    /// its code the name of any file.
    user: Option<User>,
    stamp: FileStamp,
}

/// Reveals whether a file was modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl FileStamp {
    /// The stamp of a regular file.
    fn of(file: &File) -> Option<FileStamp> {
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        Some(FileStamp { modified: metadata.modified().ok(), bytes: metadata.len() })
    }
}

impl SourceFiles {
    /// A collection for a finished recording: files modified after `time` are left out.
    pub fn unchanged_since(time: SystemTime) -> SourceFiles {
        SourceFiles { unchanged_since: Some(time), ..SourceFiles::default() }
    }

    /// Looks up the root directory of a process. If the process has exited already, its parent's is
    /// assumed.
    pub fn note_root(&mut self, pid: i32, parent: i32) {
        if let Some(root) = self.roots.by_pid.get(&parent) {
            self.roots.by_pid.insert(pid, root.clone());
        }
        self.roots.of(pid);
    }

    /// Adds a file by the name that its code has in the process. Names without a file are ignored:
    /// `<string>`, `<frozen os>`, and relative paths of a process with another root.
    pub fn add(&mut self, name: &str, pid: i32) {
        if self.added.contains(name) {
            return;
        }
        self.added.insert(name.to_owned());
        let root = self.roots.of(pid);
        let user = User::for_files_of(pid);
        let Ok(_credentials) = switch_to(user.as_ref()) else { return };
        let can_be_resolved = root.is_own() || name.starts_with('/');
        let file = can_be_resolved.then(|| root.open(Path::new(name)).ok()).flatten();
        let is_unchanged = |stamp: &FileStamp| {
            self.unchanged_since.is_none_or(|since| stamp.modified.is_some_and(|modified| modified <= since))
        };
        if let Some(stamp) = file.and_then(|file| FileStamp::of(&file)).filter(is_unchanged) {
            self.files.push(SourceFile { name: name.to_owned(), pid, root, user, stamp });
        }
    }

    /// The `source` rows of the files whose name passes a test. A batch holds one row, so that one
    /// text at a time is in memory.
    pub fn rows<'a>(
        &'a self,
        names: &'a Names,
        is_wanted: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = Batch> + 'a {
        let wanted = self.files.iter().filter(move |file| is_wanted(&file.name));
        wanted.filter_map(|file| file.row(names)).map(|event| Batch::from_iter([event]))
    }
}

impl SourceFile {
    /// The `source` row; none if the file cannot be read. If the file was modified since its code
    /// first ran, the row has no text, because that would not be what ran.
    fn row(&self, names: &Names) -> Option<Event> {
        let _credentials = switch_to(self.user.as_ref()).ok()?;
        let mut file = self.root.open(Path::new(&self.name)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let is_unchanged = FileStamp::of(&file)? == self.stamp;
        let has_text = is_unchanged && self.stamp.bytes <= MAX_BYTES;
        let text = std::str::from_utf8(&bytes).ok().filter(|_| has_text);
        let code = Code { file: &self.name, first_line: None, qualname: "" };
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').count();
        Some(Event {
            time_ns: monotonic_ns(),
            pid: self.pid,
            tid: self.pid,
            marker: Marker::Source,
            code: names.code(&code.to_string()),
            line: i32::try_from(lines).unwrap_or(i32::MAX),
            value: Some(xxh64(&bytes) as i64),
            text: text.map_or(TextId::NONE, |text| names.text(text)),
        })
    }
}

fn xxh64(bytes: &[u8]) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_has_its_text_in_its_row_unless_it_was_modified() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [kept, modified] = ["kept.py", "modified.py"].map(|name| {
            let path = directory.path().join(name);
            fs::write(&path, "a = 1\nb = 2\n").expect("the file is written");
            path.to_string_lossy().into_owned()
        });
        let mut sources = SourceFiles::default();
        for file in [kept.as_str(), modified.as_str(), kept.as_str(), "<string>", "/nowhere.py"] {
            sources.add(file, 7);
        }
        fs::write(&modified, "other\n").expect("the file is written again");
        let names = Names::new();
        let events: Vec<Event> =
            sources.rows(&names, |_| true).flat_map(|batch| batch.iter().collect::<Vec<_>>()).collect();
        let rows: Vec<_> = events.iter().map(|e| (names.code_str(e.code), names.text_str(e.text))).collect();
        assert_eq!(
            rows,
            [
                (format!("{kept}::").into(), Some("a = 1\nb = 2\n".into())),
                (format!("{modified}::").into(), None)
            ]
        );
        // XXH64 of these bytes with seed 0, by `xxhsum -H64`.
        assert_eq!(
            events[0].value.map(|hash| format!("{:016x}", hash as u64)).as_deref(),
            Some("dc6674113c19cd87")
        );
        assert_eq!(events[0].line, 2);
    }
}
