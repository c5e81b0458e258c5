//! The source texts of a trace.

use std::sync::Arc;

use pyrec_schema::{Code, Columns, Marker, Trace};
use rustc_hash::FxHashMap;

use crate::Result;

/// The source texts of a trace, by path. They come from the trace and never from disk, where files
/// may have changed.
#[derive(Clone, Debug, Default)]
pub struct Sources(FxHashMap<String, Option<Arc<str>>>);

impl Sources {
    /// Reads the source texts.
    pub fn read(trace: &Trace) -> Result<Sources> {
        let mut files: FxHashMap<String, Option<Arc<str>>> = FxHashMap::default();
        for row in trace.rows_of(Marker::Source, Columns { line: false, value: false, text: true }) {
            let row = row?;
            let code = trace.names().code_str(row.code);
            let text = trace.names().text_str(row.text);
            // Processes of one trace can have executed different versions; then the text is
            // unknown.
            files
                .entry(Code::parse(&code).file.to_owned())
                .and_modify(|known| *known = known.take().filter(|known| text.as_ref() == Some(known)))
                .or_insert(text);
        }
        Ok(Sources(files))
    }

    /// The number of files with a known text.
    pub fn count(&self) -> usize {
        self.0.values().filter(|text| text.is_some()).count()
    }

    /// The text of a file, if the trace has exactly one.
    pub fn text(&self, file: &str) -> Option<&str> {
        self.0.get(file)?.as_deref()
    }

    /// The text of a file as a shared reference.
    pub(super) fn shared(&self, file: &str) -> Option<Arc<str>> {
        self.0.get(file).cloned().flatten()
    }

    /// Adds a file.
    pub(super) fn add(&mut self, file: String, text: Option<Arc<str>>) {
        self.0.insert(file, text);
    }

    /// Whether the trace has a `source` row of a file, even if its text is unknown.
    pub fn has_file(&self, file: &str) -> bool {
        self.0.contains_key(file)
    }
}

#[cfg(test)]
mod tests {
    //! Known and unknown texts.

    use super::*;
    use crate::testing;

    #[test]
    fn a_text_is_known_if_the_trace_has_exactly_one() {
        let script = "
            1  7/7  source  kept.py::       2  1  a = 1\\nb = 2\\n
            2  7/7  source  changed.py::    2  1
            3  7/7  source  two.py::        1  1  a = 1\\n
            4  8/8  source  two.py::        1  2  a = 2\\n
            5  7/7  source  twice.py::      1  1  a = 1\\n
            6  8/8  source  twice.py::      1  1  a = 1\\n
        ";
        let (trace, _directory) = testing::trace(script, 2);
        let sources = Sources::read(&trace).expect("the trace is valid");
        assert_eq!(sources.text("kept.py"), Some("a = 1\nb = 2\n"));
        assert_eq!(sources.text("twice.py"), Some("a = 1\n"));
        for unknown in ["changed.py", "two.py", "other.py"] {
            assert_eq!(sources.text(unknown), None, "{unknown}");
        }
        assert!(sources.has_file("changed.py") && !sources.has_file("other.py"));
    }
}
