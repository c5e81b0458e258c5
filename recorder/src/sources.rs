//! The source files that a recording ran, for its last rows.

use std::fs;
use std::hash::Hasher;
use std::path::Path;
use std::time::SystemTime;

use pyrec_schema::{Batch, Code, Event, Marker, Names, TextId};
use rustc_hash::FxHashSet;
use twox_hash::XxHash64;

use crate::clock::monotonic_ns;

/// A longer file is told of without its text.
const MAX_BYTES: u64 = 1 << 20;

/// Files seen so far, in the order in which they were seen.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    seen: FxHashSet<String>,
    files: Vec<Source>,
}

/// A file, as it was when code of it first ran.
#[derive(Debug)]
struct Source {
    file: String,
    pid: i32,
    stamp: Stamp,
}

/// Tells whether a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len() })
    }
}

impl Sources {
    /// Remembers a file. What is no file (`<string>`, `<frozen os>`, a path relative to elsewhere) is passed over.
    pub fn see(&mut self, file: &str, pid: i32) {
        if self.seen.contains(file) {
            return;
        }
        self.seen.insert(file.to_owned());
        if let Some(stamp) = Stamp::of(Path::new(file)) {
            self.files.push(Source { file: file.to_owned(), pid, stamp });
        }
    }

    /// A `source` row for each file, batch by batch so that not all texts are in memory at once.
    pub fn rows<'a>(&'a self, names: &'a Names) -> impl Iterator<Item = Batch> + 'a {
        self.files.iter().filter_map(|source| source.row(names)).map(|event| Batch::from_iter([event]))
    }
}

impl Source {
    /// None where the file can be read no more. A file that has changed since its code first ran gives a row
    /// without text: what ran is not what is there now.
    fn row(&self, names: &Names) -> Option<Event> {
        let path = Path::new(&self.file);
        let bytes = fs::read(path).ok()?;
        let unchanged = Stamp::of(path) == Some(self.stamp);
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
    use super::*;

    #[test]
    fn a_file_is_told_with_its_text_unless_that_changed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [kept, changed] = ["kept.py", "changed.py"].map(|name| {
            let path = directory.path().join(name);
            fs::write(&path, "a = 1\nb = 2\n").expect("it is written");
            path.to_string_lossy().into_owned()
        });
        let mut sources = Sources::default();
        for file in [kept.as_str(), changed.as_str(), kept.as_str(), "<string>", "/nowhere.py"] {
            sources.see(file, 7);
        }
        fs::write(&changed, "other\n").expect("it is written again");
        let names = Names::new();
        let events: Vec<Event> =
            sources.rows(&names).flat_map(|batch| batch.iter().collect::<Vec<_>>()).collect();
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
