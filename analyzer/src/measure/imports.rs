//! ModuleNames that were imported: how long each took, and who asked for it.

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

/// ModuleNames that were imported.
#[derive(Clone, Debug, PartialEq)]
pub struct Imports {
    /// Each before those that it imported itself, in the order of time.
    pub imports: Vec<Import>,
    /// Time in imports that are in no other.
    pub total_ns: u64,
    /// From the first event to the last, as far as it was asked for.
    pub run_ns: u64,
    /// How many imports the recording holds, whatever was asked for.
    pub recorded: u64,
    /// How far to trust it.
    pub trust: Trust,
}

/// A module that was imported from one place within one other import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The module.
    pub module: String,
    /// How many imports it lies in.
    pub depth: usize,
    /// How often: more than once where it was not found, or removed meanwhile.
    pub count: u64,
    /// Time with that of the imports in it.
    pub total_ns: u64,
    /// Time without that.
    pub self_ns: u64,
    /// How often its end was not seen, or events were lost meanwhile, so that nothing of that was measured.
    pub unmeasured: u64,
    /// How often it was not found.
    pub not_found: u64,
    /// When for the first time, since the first event of the trace.
    pub start_ns: i64,
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// The function that asked for it, outside the import system.
    pub by: Option<SourceLocation>,
}

/// What makes two imports one row: the import it lies in, its thread, its name, and who asked for it.
type Key = (Option<usize>, ThreadId, TextId, Option<FrameLocation>);

/// What is added up while reading.
struct Sums<'a> {
    names: &'a Names,
    executing: ExecutingLines,
    rows: Vec<(Key, Import)>,
    places: FxHashMap<Key, usize>,
    open: FxHashMap<ThreadId, Vec<Open>>,
    /// Losses of each thread.
    losses: FxHashMap<ThreadId, u32>,
}

/// An import that has begun.
struct Open {
    row: usize,
    name: TextId,
    since_ns: i64,
    inner_ns: u64,
    /// How many losses there had been in its thread.
    losses: u32,
}

impl Imports {
    /// Reads the imports that the filter leaves.
    pub fn read(trace: &Trace, filter: &Filter) -> Result<Imports> {
        let names = trace.names();
        let (executing, rows, places, open, losses) = Default::default();
        let mut sums = Sums { names, executing, rows, places, open, losses };
        // A short call may be in the middle of a long import, so it is imports that must have taken some time.
        let whole = filter.without_min_time();
        let columns = Columns { line: true, value: true, text: true };
        let seen = calls::read(trace, &whole, columns, &mut |moment, callers| {
            sums.see(moment, callers);
            Ok(())
        })?;
        let naming = FrameNames::new(names, trace.manifest());
        let min_time_ns = filter.min_time_ns();
        let outermost = sums.rows.iter().filter(|(_, import)| import.depth == 0);
        let total_ns = tree::saturating_sum(outermost.map(|(_, import)| import.total_ns));
        let imports = sums.finish(seen.counts.first_ns, min_time_ns, &naming);
        let window = order::time_window(trace, filter)?;
        Ok(Imports {
            total_ns,
            run_ns: window.overlap_ns(seen.counts.first_ns, seen.counts.last_ns),
            imports,
            recorded: seen.counts.of(Marker::ImportStart),
            trust: Trust::of_seen(trace.manifest(), &seen),
        })
    }
}

impl Sums<'_> {
    fn see(&mut self, moment: CallEvent, callers: Callers) {
        self.executing.follow(moment, callers);
        let CallEvent::Instant(event) = moment else { return };
        let thread = ThreadId::of(event);
        match event.marker {
            Marker::ImportStart => self.begin(thread, event, callers),
            Marker::ImportDone => self.end(thread, event),
            Marker::Lost => *self.losses.entry(thread).or_default() += 1,
            // What was open in a thread that begins or ends stays so.
            Marker::ThreadStart | Marker::ThreadExit | Marker::ProcessStart | Marker::ProcessExit => {
                self.open.remove(&thread);
            }
            _ => {}
        }
    }

    fn begin(&mut self, thread: ThreadId, event: &Event, callers: Callers) {
        let asking = callers.outwards().take(MAX_CALLERS).find(|call| !self.is_import_system(call.frame));
        let by = asking.map(|call| self.executing.spot(call));
        let losses = self.losses_of(thread);
        let open = self.open.entry(thread).or_default();
        let key = (open.last().map(|open| open.row), thread, event.text, by);
        let row = *self.places.entry(key).or_insert_with(|| {
            self.rows.push((key, Import::none(event, open.len())));
            self.rows.len() - 1
        });
        let import = &mut self.rows[row].1;
        import.count += 1;
        // Until its end is seen.
        import.unmeasured += 1;
        open.push(Open { row, name: event.text, since_ns: event.time_ns, inner_ns: 0, losses });
    }

    fn end(&mut self, thread: ThreadId, event: &Event) {
        let losses = self.losses_of(thread);
        let open = self.open.entry(thread).or_default();
        // An end whose start was not seen ends nothing.
        let recent = open.len().saturating_sub(MAX_CALLERS);
        let Some(at) = open[recent..].iter().rposition(|open| open.name == event.text) else { return };
        let at = recent + at;
        open.truncate(at + 1);
        let Some(ended) = open.pop() else { return };
        let import = &mut self.rows[ended.row].1;
        import.not_found += u64::from(event.value == Some(0));
        if ended.losses != losses {
            return;
        }
        let total_ns = u64::try_from(event.time_ns.saturating_sub(ended.since_ns)).unwrap_or(0);
        import.unmeasured -= 1;
        import.total_ns = import.total_ns.saturating_add(total_ns);
        import.self_ns = import.self_ns.saturating_add(total_ns.saturating_sub(ended.inner_ns));
        if let Some(outer) = open.last_mut() {
            outer.inner_ns = outer.inner_ns.saturating_add(total_ns);
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

    /// Rows in the order of time, each before those in it, without those that took too little time.
    fn finish(self, origin_ns: i64, min_time_ns: u64, naming: &FrameNames) -> Vec<Import> {
        let mut inner: FxHashMap<Option<usize>, Vec<usize>> = FxHashMap::default();
        for (at, ((outer, ..), import)) in self.rows.iter().enumerate() {
            if import.total_ns >= min_time_ns {
                inner.entry(*outer).or_default().push(at);
            }
        }
        let mut imports = Vec::new();
        let mut next: Vec<usize> = Vec::new();
        let mut outer = None;
        loop {
            let mut rows = inner.remove(&outer).unwrap_or_default();
            // Threads are read one after the other.
            rows.sort_by_key(|&row| std::cmp::Reverse(self.rows[row].1.start_ns));
            next.append(&mut rows);
            let Some(row) = next.pop() else { return imports };
            let ((_, _, name, by), import) = &self.rows[row];
            imports.push(Import {
                module: self.names.text_str(*name).map_or("?".into(), |name| name.to_string()),
                by: by.map(|spot| SourceLocation::of(spot, naming)),
                start_ns: import.start_ns.saturating_sub(origin_ns),
                ..import.clone()
            });
            outer = Some(row);
        }
    }
}

impl Import {
    fn none(event: &Event, depth: usize) -> Import {
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
    //! Imports that people can add up.

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
        Imports::read(&trace, filter).expect("a whole trace")
    }

    /// Each row: depth, name, count, total, self, unmeasured, by whom.
    fn rows(imports: &Imports) -> Vec<(usize, &str, u64, u64, u64, u64, &str)> {
        fn row(import: &Import) -> (usize, &str, u64, u64, u64, u64, &str) {
            let by = import.by.as_ref().map_or("", |by| by.label.as_str());
            let Import { depth, module, count, total_ns, self_ns, unmeasured, .. } = import;
            (*depth, module, *count, *total_ns, *self_ns, *unmeasured, by)
        }
        imports.imports.iter().map(row).collect()
    }

    #[test]
    fn imports_nest_and_have_time_of_their_own() {
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
    fn what_took_too_little_time_is_left_out() {
        let filter = Filter { min_time: std::time::Duration::from_nanos(40), ..Filter::default() };
        let imports = imports(SCRIPT, &filter);
        assert_eq!(rows(&imports).iter().map(|row| row.1).collect::<Vec<_>>(), ["json", "no"]);
        assert_eq!(imports.imports[0].self_ns, 30);
    }

    #[test]
    fn across_a_loss_nothing_is_measured() {
        let lossy = SCRIPT.replace("        95 ", "        94   7/7  lost  -  0  40  91\n        95 ");
        let imports = imports(&lossy, &Filter::default());
        let measured: Vec<_> = rows(&imports).iter().map(|row| (row.1, row.3, row.5)).collect();
        assert_eq!(
            measured,
            [("json", 0, 1), ("json.x", 30, 0), ("json.y", 30, 0), ("late", 0, 1), ("no", 50, 0)]
        );
    }
}
