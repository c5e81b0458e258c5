//! The source files of a trace.

use std::sync::Arc;

use pyrec_schema::{Code, Columns, Marker, Trace};
use rustc_hash::FxHashMap;

use crate::Result;

/// The source files of a trace, as they ran. What is on disk now is never looked at: it may be another version.
#[derive(Clone, Debug, Default)]
pub struct Sources(FxHashMap<String, Option<Arc<str>>>);

impl Sources {
    /// Reads them.
    pub fn read(trace: &Trace) -> Result<Sources> {
        let mut files: FxHashMap<String, Option<Arc<str>>> = FxHashMap::default();
        for row in trace.rows_of(Marker::Source, Columns { line: false, value: false, text: true }) {
            let row = row?;
            let code = trace.names().code_str(row.code);
            let text = trace.names().text_str(row.text);
            // Two recordings of one trace may have run two versions.
            files
                .entry(Code::parse(&code).file.to_owned())
                .and_modify(|known| *known = known.take().filter(|known| text.as_ref() == Some(known)))
                .or_insert(text);
        }
        Ok(Sources(files))
    }

    /// How many files the trace knows the text of.
    pub fn count(&self) -> usize {
        self.0.values().filter(|text| text.is_some()).count()
    }

    /// The text of a file, if the trace knows which one ran.
    pub fn text(&self, file: &str) -> Option<&str> {
        self.0.get(file)?.as_deref()
    }

    /// The same, to be kept.
    pub(super) fn shared(&self, file: &str) -> Option<Arc<str>> {
        self.0.get(file).cloned().flatten()
    }

    /// Takes a file in, by whatever name.
    pub(super) fn add(&mut self, file: String, text: Option<Arc<str>>) {
        self.0.insert(file, text);
    }

    /// Whether the trace tells of a file, though it may not know which text of it ran.
    pub fn knows(&self, file: &str) -> bool {
        self.0.contains_key(file)
    }
}

#[cfg(test)]
mod tests {
    //! Which text is known to have run.

    use super::*;
    use crate::testing;

    #[test]
    fn a_text_is_known_where_the_trace_has_one_of_it() {
        let script = "
            1  7/7  source  kept.py::       2  1  a = 1\\nb = 2\\n
            2  7/7  source  changed.py::    2  1
            3  7/7  source  two.py::        1  1  a = 1\\n
            4  8/8  source  two.py::        1  2  a = 2\\n
            5  7/7  source  twice.py::      1  1  a = 1\\n
            6  8/8  source  twice.py::      1  1  a = 1\\n
        ";
        let (trace, _directory) = testing::trace(script, 2);
        let sources = Sources::read(&trace).expect("a whole trace");
        assert_eq!(sources.text("kept.py"), Some("a = 1\nb = 2\n"));
        assert_eq!(sources.text("twice.py"), Some("a = 1\n"));
        for unknown in ["changed.py", "two.py", "other.py"] {
            assert_eq!(sources.text(unknown), None, "{unknown}");
        }
        assert!(sources.knows("changed.py") && !sources.knows("other.py"));
    }
}
