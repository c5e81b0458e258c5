//! The source files that a recording ran, for its last rows.

use std::fs::File;
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

/// A longer file is told of without its text.
const MAX_BYTES: u64 = 1 << 20;

/// Files seen so far, in the order in which they were seen.
#[derive(Debug, Default)]
pub(crate) struct SourceFiles {
    seen: FxHashSet<String>,
    files: Vec<Source>,
    roots: Roots,
    /// A file that has changed after this is not what ran.
    since: Option<SystemTime>,
}

/// The root directories that processes were seen to have.
#[derive(Debug, Default)]
struct Roots {
    /// Each once.
    known: Vec<(RootId, Arc<ProcessRoot>)>,
    /// Whose was which last, for when the process is gone.
    last: FxHashMap<i32, Arc<ProcessRoot>>,
}

impl Roots {
    /// That of a process now. One that is gone had the one that it was seen with last, or else ours.
    fn of(&mut self, pid: i32) -> Arc<ProcessRoot> {
        let found = self.find(pid).ok().or_else(|| self.last.get(&pid).cloned());
        let root = found.unwrap_or_else(|| Arc::new(ProcessRoot::own()));
        self.last.insert(pid, root.clone());
        root
    }

    fn find(&mut self, pid: i32) -> io::Result<Arc<ProcessRoot>> {
        let identity = RootId::of(pid)?;
        if let Some((_, root)) = self.known.iter().find(|(known, _)| *known == identity) {
            return Ok(root.clone());
        }
        let root = Arc::new(ProcessRoot::of(pid)?);
        self.known.push((identity, root.clone()));
        Ok(root)
    }
}

/// A file, as it was when code of it first ran.
#[derive(Debug)]
struct Source {
    file: String,
    pid: i32,
    root: Arc<ProcessRoot>,
    /// Whose rights it is read with, if not ours: a program may give its code any file's name.
    user: Option<User>,
    stamp: Stamp,
}

/// Tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    fn of(file: &File) -> Option<Stamp> {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len() })
    }
}

impl SourceFiles {
    /// For files whose code ran before anybody could look at them, but not before this.
    pub fn unchanged_since(time: SystemTime) -> SourceFiles {
        SourceFiles { since: Some(time), ..SourceFiles::default() }
    }

    /// Remembers which root a process has: its parent's, unless the process itself says otherwise.
    pub fn note_root(&mut self, pid: i32, parent: i32) {
        if let Some(root) = self.roots.last.get(&parent) {
            self.roots.last.insert(pid, root.clone());
        }
        self.roots.of(pid);
    }

    /// Remembers a file. What is no file (`<string>`, `<frozen os>`, a path relative to elsewhere) is passed over.
    pub fn add(&mut self, file: &str, pid: i32) {
        if self.seen.contains(file) {
            return;
        }
        self.seen.insert(file.to_owned());
        let root = self.roots.of(pid);
        let user = User::for_files_of(pid);
        let Ok(_credentials) = switch_to(user.as_ref()) else { return };
        let is_known = root.is_own() || file.starts_with('/');
        let opened = is_known.then(|| root.open(Path::new(file)).ok()).flatten();
        let is_what_ran =
            |stamp: &Stamp| self.since.is_none_or(|since| stamp.modified.is_some_and(|at| at <= since));
        if let Some(stamp) = opened.and_then(|file| Stamp::of(&file)).filter(is_what_ran) {
            self.files.push(Source { file: file.to_owned(), pid, root, user, stamp });
        }
    }

    /// A `source` row for each file that is wanted, batch by batch so that not all texts are in memory at once.
    pub fn rows<'a>(
        &'a self,
        names: &'a Names,
        is_wanted: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = Batch> + 'a {
        let wanted = self.files.iter().filter(move |source| is_wanted(&source.file));
        wanted.filter_map(|source| source.row(names)).map(|event| Batch::from_iter([event]))
    }
}

impl Source {
    /// None where the file can be read no more. A file that has changed since its code first ran gives a row
    /// without text: what ran is not what is there now.
    fn row(&self, names: &Names) -> Option<Event> {
        let _credentials = switch_to(self.user.as_ref()).ok()?;
        let mut file = self.root.open(Path::new(&self.file)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let unchanged = Stamp::of(&file)? == self.stamp;
        let text = std::str::from_utf8(&bytes).ok().filter(|_| unchanged && self.stamp.bytes <= MAX_BYTES);
        let code = Code { file: &self.file, first_line: None, qualname: "" };
        Some(Event {
            time_ns: monotonic_ns(),
            pid: self.pid,
            tid: self.pid,
            marker: Marker::Source,
            code: names.code(&code.to_string()),
            line: i32::try_from(bytes.split_inclusive(|&byte| byte == b'\n').count()).unwrap_or(i32::MAX),
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
    fn a_file_is_told_with_its_text_unless_that_changed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [kept, changed] = ["kept.py", "changed.py"].map(|name| {
            let path = directory.path().join(name);
            fs::write(&path, "a = 1\nb = 2\n").expect("it is written");
            path.to_string_lossy().into_owned()
        });
        let mut sources = SourceFiles::default();
        for file in [kept.as_str(), changed.as_str(), kept.as_str(), "<string>", "/nowhere.py"] {
            sources.add(file, 7);
        }
        fs::write(&changed, "other\n").expect("it is written again");
        let names = Names::new();
        let events: Vec<Event> =
            sources.rows(&names, |_| true).flat_map(|batch| batch.iter().collect::<Vec<_>>()).collect();
        let told: Vec<_> = events.iter().map(|e| (names.code_str(e.code), names.text_str(e.text))).collect();
        assert_eq!(
            told,
            [
                (format!("{kept}::").into(), Some("a = 1\nb = 2\n".into())),
                (format!("{changed}::").into(), None)
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
