//! Sums the lines of several recordings. Lines of files with different texts are kept apart.
//!
//! ```text
//! one recording    run.py  a = 1   3 hits          run.py  a = 1   3 + 2 hits
//! a second one     run.py  a = 1   2 hits     ▶
//! a third one      run.py  b = 1   7 hits          run.py  b = 1   7 hits        a different text
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pyrec_schema::Profile;
use rustc_hash::FxHashMap;

use super::line_totals::{Callee, FileLines, FunctionLines, LineCalls, LineTotals, Lines};
use crate::measure::{Sources, Trust};

/// The text of a file in one recording; none if it is unknown. An unknown text is kept apart from
/// each known one.
type Text = Option<Arc<str>>;

#[derive(Default)]
struct LinesSum {
    files: BTreeMap<String, FileSum>,
    callees: Vec<Callee>,
    callee_indices: FxHashMap<Callee, usize>,
}

#[derive(Default)]
struct FileSum {
    module: Option<String>,
    self_ns: u64,
    total_ns: u64,
    functions: BTreeMap<(Option<u32>, String), BTreeSet<u32>>,
    lines: BTreeMap<u32, LineSum>,
}

#[derive(Default)]
struct LineSum {
    hits: Option<u64>,
    entries: u64,
    returns: u64,
    self_ns: u64,
    total_ns: u64,
    /// Calls and nanoseconds by the index of the callee.
    calls: BTreeMap<usize, [u64; 2]>,
}

impl Lines {
    /// Sums the lines of several recordings, each given with its sources.
    ///
    /// Either all recordings must have `line` events, or none of them. A file whose text differs
    /// between recordings is summed separately for each text, because the same line number can mean
    /// different lines. Its path then has a prefix such as `text 1 of 2: `.
    pub fn sum(runs: &[(Lines, Sources)]) -> (Lines, Sources) {
        let mut texts: BTreeMap<&str, Vec<Text>> = BTreeMap::new();
        for (lines, sources) in runs {
            for file in lines.paths() {
                let (known, text) = (texts.entry(file).or_default(), sources.shared(file));
                if !known.contains(&text) {
                    known.push(text);
                }
            }
        }
        let (mut sum, mut all_sources) = (LinesSum::default(), Sources::default());
        for (lines, sources) in runs {
            let name = |file: &str| file_name(file, &texts[file], &sources.shared(file));
            for file in lines.paths().filter(|file| sources.has_file(file)) {
                all_sources.add(name(file), sources.shared(file));
            }
            sum.add(lines, name);
        }
        let mut facts = Profile::default();
        runs.iter().for_each(|(lines, _)| facts.merge(lines.facts.clone()));
        let lines = Lines {
            files: sum.files.into_iter().map(|(name, file)| file.finish(name)).collect(),
            callees: sum.callees,
            total_ns: runs.iter().fold(0, |sum, (lines, _)| sum.saturating_add(lines.total_ns)),
            has_hits: runs.iter().all(|(lines, _)| lines.has_hits),
            trust: Trust::of_profile(&facts),
            facts,
        };
        (lines, all_sources)
    }

    /// The paths of all files, then those of the files of all callees. A path can occur several
    /// times.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let called = self.callees.iter().filter_map(|callee| callee.file.as_deref());
        self.files.iter().map(|file| file.file.as_str()).chain(called)
    }
}

/// The path of a file. If `texts` has several texts, it has the number of `text` among them as a
/// prefix.
fn file_name(file: &str, texts: &[Text], text: &Text) -> String {
    match texts.iter().position(|known| known == text) {
        Some(index) if texts.len() > 1 => format!("text {} of {}: {file}", index + 1, texts.len()),
        _ => file.to_owned(),
    }
}

impl LinesSum {
    fn add(&mut self, lines: &Lines, name: impl Fn(&str) -> String) {
        let callee = |callee: &Callee| Callee { file: callee.file.as_deref().map(&name), ..callee.clone() };
        let indices: Vec<usize> = lines.callees.iter().map(|called| self.index(callee(called))).collect();
        for file in &lines.files {
            self.files.entry(name(&file.file)).or_default().add(file, &indices);
        }
    }

    fn index(&mut self, callee: Callee) -> usize {
        *self.callee_indices.entry(callee).or_insert_with_key(|callee| {
            self.callees.push(callee.clone());
            self.callees.len() - 1
        })
    }
}

impl FileSum {
    fn add(&mut self, file: &FileLines, callee_indices: &[usize]) {
        self.module = self.module.take().or_else(|| file.module.clone());
        add_saturating(&mut self.self_ns, file.self_ns);
        add_saturating(&mut self.total_ns, file.total_ns);
        for FunctionLines { first_line, qualname, lines } in &file.functions {
            self.functions.entry((*first_line, qualname.clone())).or_default().extend(lines);
        }
        for line in &file.lines {
            self.lines.entry(line.line).or_default().add(line, callee_indices);
        }
    }

    fn finish(self, file: String) -> FileLines {
        let function = |((first_line, qualname), lines): ((Option<u32>, String), BTreeSet<u32>)| {
            FunctionLines { first_line, qualname, lines: lines.into_iter().collect() }
        };
        FileLines {
            file,
            module: self.module,
            self_ns: self.self_ns,
            total_ns: self.total_ns,
            functions: self.functions.into_iter().map(function).collect(),
            lines: self.lines.into_iter().map(|(line, sum)| sum.finish(line)).collect(),
        }
    }
}

impl LineSum {
    fn add(&mut self, line: &LineTotals, callee_indices: &[usize]) {
        if let Some(hits) = line.hits {
            add_saturating(self.hits.get_or_insert(0), hits);
        }
        add_saturating(&mut self.entries, line.entries);
        add_saturating(&mut self.returns, line.returns);
        add_saturating(&mut self.self_ns, line.self_ns);
        add_saturating(&mut self.total_ns, line.total_ns);
        for call in &line.calls {
            let [calls, total_ns] = self.calls.entry(callee_indices[call.callee]).or_default();
            add_saturating(calls, call.calls);
            add_saturating(total_ns, call.total_ns);
        }
    }

    fn finish(self, line: u32) -> LineTotals {
        let LineSum { hits, entries, returns, self_ns, total_ns, calls } = self;
        let mut calls: Vec<LineCalls> = calls
            .into_iter()
            .map(|(callee, [calls, total_ns])| LineCalls { callee, calls, total_ns })
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.total_ns));
        LineTotals { line, hits, entries, returns, self_ns, total_ns, calls }
    }
}

fn add_saturating(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
mod tests {
    //! Recordings with equal texts of a file, and with different ones.

    use super::*;
    use crate::{Filter, testing};

    /// A recording of 900 ns in which `main` calls `f` from line 2. There are `calls` calls of 10
    /// ns each. `text` is the source text of `main`'s file.
    fn run(calls: u64, text: &str) -> (Lines, Sources) {
        let mut rows =
            "0 7/7 function__entry /srv/run.py:1:main 1\n1 7/7 line /srv/run.py:1:main 2\n".to_owned();
        for at in (10..).step_by(20).take(calls as usize) {
            rows += &format!(
                "{at} 7/7 function__entry /srv/f.py:5:f 5\n{} 7/7 function__return /srv/f.py:5:f 5\n",
                at + 10
            );
        }
        rows += &format!(
            "900 7/7 function__return /srv/run.py:1:main 2\n901 7/7 source /srv/run.py:: 1 1 {text}\n"
        );
        let (trace, _directory) = testing::trace(&rows, 2);
        let lines = Lines::read(&trace, &Filter::default()).expect("the trace is valid");
        (lines, Sources::read(&trace).expect("the trace is valid"))
    }

    #[test]
    fn lines_of_one_text_add_up() {
        let runs = [run(2, "a"), run(3, "a")];
        let (sum, sources) = Lines::sum(&runs);
        let files: Vec<_> = sum.files.iter().map(|file| (file.file.as_str(), file.self_ns)).collect();
        assert_eq!(files, [("/srv/f.py", 50), ("/srv/run.py", 1_750)]);
        let line = sum.files[1].lines.iter().find(|line| line.line == 2).expect("line 2 was executed");
        assert_eq!((line.hits, line.self_ns, line.total_ns), (Some(2), 1_748, 1_798));
        let [call] = line.calls[..] else { panic!("not one callee: {:?}", line.calls) };
        assert_eq!((call.calls, call.total_ns, &*sum.callees[call.callee].label), (5, 50, "f (f:5)"));
        assert_eq!((sum.total_ns, sources.text("/srv/run.py")), (1_800, Some("a")));
    }

    #[test]
    fn different_texts_are_separate_files() {
        let runs = [run(2, "a"), run(3, "b"), run(4, "a")];
        let (sum, sources) = Lines::sum(&runs);
        let hits = |file: &FileLines| file.lines.last().and_then(|line| line.hits);
        let files: Vec<_> = sum.files.iter().map(|file| (file.file.as_str(), hits(file))).collect();
        assert_eq!(
            files[1..],
            [("text 1 of 2: /srv/run.py", Some(2)), ("text 2 of 2: /srv/run.py", Some(1))]
        );
        assert_eq!(sources.text("text 2 of 2: /srv/run.py"), Some("b"));
        assert_eq!(sources.text("/srv/run.py"), None);
    }
}
