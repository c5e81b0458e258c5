//! Imports of modules, with their nesting, time and importing function.

use std::cmp::Reverse;

use pyrec_schema::{Code, Columns, Event, Marker, Names, TextId, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::Trust;
use super::frame_names::FrameNames;
use super::source_location::{ExecutingLines, FrameLocation, MAX_CALLERS, SourceLocation};
use crate::calls::{self, CallEvent, Callers};
use crate::order::{self, ThreadId};
use crate::tree::{self, Frame};
use crate::{Filter, Result};

/// Imports of modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Imports {
    /// The imports in preorder: each before the imports nested in it, siblings in the order of
    /// time.
    pub imports: Vec<Import>,
    /// Time in outermost imports.
    pub total_ns: u64,
    /// The time from the first event to the last within the time window.
    pub run_ns: u64,
    /// The number of imports in the whole recording, before any filter.
    pub recorded: u64,
    /// The trust of the recording.
    pub trust: Trust,
}

/// The imports of one module that have the same enclosing import, thread and importing function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The name of the module.
    pub module: String,
    /// The number of enclosing imports.
    pub depth: usize,
    /// The number of imports: more than one if the module was not found, or was removed from
    /// `sys.modules`.
    pub count: u64,
    /// Time including nested imports.
    pub total_ns: u64,
    /// Time excluding nested imports.
    pub self_ns: u64,
    /// The number of imports without a known duration, because the end was not recorded or events
    /// were lost.
    pub unmeasured: u64,
    /// The number of imports that did not find the module.
    pub not_found: u64,
    /// The time of the first start, since the first event of the trace.
    pub start_ns: i64,
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
    /// The innermost open function outside the import system.
    pub by: Option<SourceLocation>,
}

/// Imports with an equal key are one [`Import`]: the enclosing import, the thread, the name, and
/// the importing function.
type ImportKey = (Option<usize>, ThreadId, TextId, Option<FrameLocation>);

/// Sums while a trace is read.
struct ImportCollector<'a> {
    names: &'a Names,
    lines: ExecutingLines,
    imports: Vec<(ImportKey, Import)>,
    indices: FxHashMap<ImportKey, usize>,
    open: FxHashMap<ThreadId, Vec<OpenImport>>,
    /// The number of losses in each thread.
    losses: FxHashMap<ThreadId, u32>,
}

/// An import that has started.
struct OpenImport {
    /// The index of its [`Import`].
    index: usize,
    name: TextId,
    start_ns: i64,
    /// Time in nested imports.
    nested_ns: u64,
    /// The number of losses in the thread before the start.
    losses: u32,
}

impl Imports {
    /// Reads the imports that the filter selects.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<Imports> {
        let names = trace.names();
        let (lines, imports, indices, open, losses) = Default::default();
        let mut collector = ImportCollector { names, lines, imports, indices, open, losses };
        // The minimum time applies to imports, not to the calls around them.
        let calls_filter = filter.without_min_time();
        let columns = Columns { line: true, value: true, text: true };
        let summary = calls::read(trace, &calls_filter, columns, &mut |event, callers| {
            collector.visit(event, callers);
            Ok(())
        })?;
        let frame_names = FrameNames::new(names, trace.manifest());
        let min_time_ns = filter.min_time_ns();
        let outermost = collector.imports.iter().filter(|(_, import)| import.depth == 0);
        let total_ns = tree::saturating_sum(outermost.map(|(_, import)| import.total_ns));
        let imports = collector.finish(summary.counts.first_ns, min_time_ns, &frame_names);
        let window = order::time_window(trace, filter)?;
        Ok(Imports {
            total_ns,
            run_ns: window.overlap_ns(summary.counts.first_ns, summary.counts.last_ns),
            imports,
            recorded: summary.counts.of(Marker::ImportStart),
            trust: Trust::of_summary(trace.manifest(), &summary),
        })
    }
}

impl ImportCollector<'_> {
    fn visit(&mut self, event: CallEvent, callers: Callers) {
        self.lines.update(event, callers);
        let CallEvent::Instant(event) = event else { return };
        let thread = ThreadId::of(event);
        match event.marker {
            Marker::ImportStart => self.begin(thread, event, callers),
            Marker::ImportDone => self.end(thread, event),
            Marker::Lost => *self.losses.entry(thread).or_default() += 1,
            // Open imports of a thread that begins or ends have no recorded end.
            Marker::ThreadStart | Marker::ThreadExit | Marker::ProcessStart | Marker::ProcessExit => {
                self.open.remove(&thread);
            }
            _ => {}
        }
    }

    fn begin(&mut self, thread: ThreadId, event: &Event, callers: Callers) {
        let importing = callers.outwards().take(MAX_CALLERS).find(|call| !self.is_import_system(call.frame));
        let by = importing.map(|call| self.lines.location(call));
        let losses = self.losses_of(thread);
        let open = self.open.entry(thread).or_default();
        let key = (open.last().map(|open| open.index), thread, event.text, by);
        let index = *self.indices.entry(key).or_insert_with(|| {
            self.imports.push((key, Import::starting(event, open.len())));
            self.imports.len() - 1
        });
        let import = &mut self.imports[index].1;
        import.count += 1;
        // Until the end is recorded.
        import.unmeasured += 1;
        open.push(OpenImport { index, name: event.text, start_ns: event.time_ns, nested_ns: 0, losses });
    }

    fn end(&mut self, thread: ThreadId, event: &Event) {
        let losses = self.losses_of(thread);
        let open = self.open.entry(thread).or_default();
        // An end without a recorded start is ignored.
        let recent = open.len().saturating_sub(MAX_CALLERS);
        let Some(index) = open[recent..].iter().rposition(|open| open.name == event.text) else { return };
        open.truncate(recent + index + 1);
        let Some(ended) = open.pop() else { return };
        let import = &mut self.imports[ended.index].1;
        import.not_found += u64::from(event.value == Some(0));
        if ended.losses != losses {
            return;
        }
        let total_ns = u64::try_from(event.time_ns.saturating_sub(ended.start_ns)).unwrap_or(0);
        import.unmeasured -= 1;
        import.total_ns = import.total_ns.saturating_add(total_ns);
        import.self_ns = import.self_ns.saturating_add(total_ns.saturating_sub(ended.nested_ns));
        if let Some(outer) = open.last_mut() {
            outer.nested_ns = outer.nested_ns.saturating_add(total_ns);
        }
    }

    fn losses_of(&self, thread: ThreadId) -> u32 {
        self.losses.get(&thread).copied().unwrap_or(0)
    }

    fn is_import_system(&self, frame: Frame) -> bool {
        match frame {
            Frame::Function(code) => {
                Code::parse(&self.names.code_str(code)).file.starts_with("<frozen importlib")
            }
            _ => true,
        }
    }

    /// The imports in preorder, siblings in the order of time, without those below the minimum
    /// time.
    fn finish(self, origin_ns: i64, min_time_ns: u64, frame_names: &FrameNames) -> Vec<Import> {
        let mut nested: FxHashMap<Option<usize>, Vec<usize>> = FxHashMap::default();
        for (index, ((outer, ..), import)) in self.imports.iter().enumerate() {
            if import.total_ns >= min_time_ns {
                nested.entry(*outer).or_default().push(index);
            }
        }
        let mut imports = Vec::new();
        // Imports that are not in the result yet, the next one last.
        let mut waiting: Vec<usize> = Vec::new();
        let mut outer = None;
        loop {
            let mut siblings = nested.remove(&outer).unwrap_or_default();
            // Rows of different threads are not in the order of time.
            siblings.sort_by_key(|&index| Reverse(self.imports[index].1.start_ns));
            waiting.append(&mut siblings);
            let Some(index) = waiting.pop() else { return imports };
            let ((_, _, name, by), import) = &self.imports[index];
            imports.push(Import {
                module: self.names.text_str(*name).map_or("?".into(), |name| name.to_string()),
                by: by.map(|location| SourceLocation::of(location, frame_names)),
                start_ns: import.start_ns.saturating_sub(origin_ns),
                ..import.clone()
            });
            outer = Some(index);
        }
    }
}

impl Import {
    /// An import without any sums. The name is filled in at the end.
    fn starting(event: &Event, depth: usize) -> Import {
        Import {
            module: String::new(),
            depth,
            count: 0,
            total_ns: 0,
            self_ns: 0,
            unmeasured: 0,
            not_found: 0,
            start_ns: event.time_ns,
            pid: event.pid,
            tid: event.tid,
            by: None,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Imports of a small trace, with numbers that can be added up by hand.

    use super::*;
    use crate::testing;

    /// ```text
    /// 0          10        20         50      60       90    100      200  230
    /// ├─<module>─┼─json────┼─json.x───┼─json──┼─json.y─┼─json┤         ├─no─┤
    /// ```
    const SCRIPT: &str = "
        0    7/7  function__entry            /srv/run.py:1:<module>        1
        5    7/7  line                       /srv/run.py:1:<module>        3
        10   7/7  import__find__load__start  -                             0  -  json
        11   7/7  function__entry            <frozen importlib._b>:9:_load 9
        15   7/7  function__entry            /lib/json/__init__.py:1:<module>  1
        20   7/7  import__find__load__start  -                             0  -  json.x
        50   7/7  import__find__load__done   -                             0  1  json.x
        60   7/7  import__find__load__start  -                             0  -  json.y
        90   7/7  import__find__load__done   -                             0  1  json.y
        95   7/7  function__return           /lib/json/__init__.py:1:<module>  9
        99   7/7  function__return           <frozen importlib._b>:9:_load 9
        100  7/7  import__find__load__done   -                             0  1  json
        150  7/8  import__find__load__start  -                             0  -  late
        200  7/7  import__find__load__start  -                             0  -  no
        230  7/7  import__find__load__done   -                             0  0  no
        240  7/7  import__find__load__start  -                             0  -  no
        260  7/7  import__find__load__done   -                             0  0  no
        300  7/7  function__return           /srv/run.py:1:<module>        9
    ";

    fn imports(script: &str, filter: &Filter) -> Imports {
        let (trace, _directory) =
            testing::trace(&script.replace("<frozen importlib._b>", r"<frozen\simportlib._b>"), 4);
        Imports::read(&trace, filter).expect("the trace is valid")
    }

    /// Each import as depth, name, count, total, self, unmeasured and importing function.
    fn rows(imports: &Imports) -> Vec<(usize, &str, u64, u64, u64, u64, &str)> {
        fn row(import: &Import) -> (usize, &str, u64, u64, u64, u64, &str) {
            let by = import.by.as_ref().map_or("", |by| by.label.as_str());
            let Import { depth, module, count, total_ns, self_ns, unmeasured, .. } = import;
            (*depth, module, *count, *total_ns, *self_ns, *unmeasured, by)
        }
        imports.imports.iter().map(row).collect()
    }

    #[test]
    fn imports_nest_and_have_self_time() {
        let imports = imports(SCRIPT, &Filter::default());
        let main = "<module> (__main__), line 3";
        assert_eq!(
            rows(&imports),
            [
                (0, "json", 1, 90, 30, 0, main),
                (1, "json.x", 1, 30, 30, 0, "<module> (json)"),
                (1, "json.y", 1, 30, 30, 0, "<module> (json)"),
                (0, "late", 1, 0, 0, 1, ""),
                (0, "no", 2, 50, 50, 0, main),
            ]
        );
        assert_eq!((imports.total_ns, imports.run_ns, imports.recorded), (140, 300, 6));
        assert_eq!(imports.imports[4].not_found, 2);
    }

    #[test]
    fn imports_below_the_minimum_time_are_left_out() {
        let filter = Filter { min_time: std::time::Duration::from_nanos(40), ..Filter::default() };
        let imports = imports(SCRIPT, &filter);
        assert_eq!(rows(&imports).iter().map(|row| row.1).collect::<Vec<_>>(), ["json", "no"]);
        assert_eq!(imports.imports[0].self_ns, 30);
    }

    #[test]
    fn durations_are_not_measured_across_a_loss() {
        let lossy = SCRIPT.replace("        95 ", "        94   7/7  lost  -  0  40  91\n        95 ");
        let imports = imports(&lossy, &Filter::default());
        let measured: Vec<_> = rows(&imports).iter().map(|row| (row.1, row.3, row.5)).collect();
        assert_eq!(
            measured,
            [("json", 0, 1), ("json.x", 30, 0), ("json.y", 30, 0), ("late", 0, 1), ("no", 50, 0)]
        );
    }
}
