//! Audit events, grouped by name and call stack.

use std::cmp::Reverse;

use pyrec_schema::{Code, CodeId, Columns, Event, Marker, Names, TextId, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::Trust;
use super::frame_names::FrameNames;
use super::source_location::{ExecutingLines, FrameLocation, SourceLocation};
use crate::calls::{self, CallEvent, Callers};
use crate::filter::Pattern;
use crate::{Filter, Result};

/// Audit events, grouped by name and call stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// The groups in the order of their names. Groups with one name are in descending order of
    /// their counts.
    pub groups: Vec<AuditGroup>,
    /// The number of audit events in the whole recording, before any filter.
    pub recorded: u64,
    /// The facts of the trust line.
    pub trust: Trust,
}

/// Audit events with one name and one call stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditGroup {
    /// The name of the event.
    pub event: String,
    /// The number of events.
    pub count: u64,
    /// The time of the group's first event, relative to the first event of the trace.
    pub first_ns: i64,
    /// The time of the group's last event, relative to the first event of the trace.
    pub last_ns: i64,
    /// The call stack, the innermost call first.
    pub stack: Vec<SourceLocation>,
}

/// Adds audit events to their groups while a trace is read.
struct AuditCollector<'a> {
    names: &'a Names,
    filter: &'a Filter,
    patterns: &'a [Pattern],
    /// Event names that have occurred, each with whether a pattern matches it.
    matches: FxHashMap<TextId, bool>,
    lines: ExecutingLines,
    groups: FxHashMap<(TextId, Vec<FrameLocation>), GroupSums>,
}

/// Sums of one group.
#[derive(Clone, Copy)]
struct GroupSums {
    count: u64,
    first_ns: i64,
    last_ns: i64,
}

impl Audit {
    /// Reads the audit events whose names match at least one of the patterns. Reads all audit
    /// events if there are no patterns.
    pub fn read(trace: &Trace, filter: &Filter, patterns: &[Pattern]) -> Result<Audit> {
        let names = trace.names();
        let (matches, lines, groups) = Default::default();
        let mut collector = AuditCollector { names, filter, patterns, matches, lines, groups };
        let columns = Columns { line: true, value: true, text: true };
        let summary = calls::read(trace, filter, columns, &mut |event, callers| {
            collector.visit(event, callers);
            Ok(())
        })?;
        let frame_names = FrameNames::new(names, trace.manifest());
        let since = |time_ns: i64| time_ns.saturating_sub(summary.counts.first_ns);
        let group = |((event, stack), sum): ((TextId, Vec<FrameLocation>), GroupSums)| AuditGroup {
            event: names.text_str(event).map_or("?".into(), |event| event.to_string()),
            count: sum.count,
            first_ns: since(sum.first_ns),
            last_ns: since(sum.last_ns),
            stack: stack.into_iter().map(|location| SourceLocation::of(location, &frame_names)).collect(),
        };
        let mut groups: Vec<AuditGroup> = collector.groups.into_iter().map(group).collect();
        groups.sort_by(|a, b| {
            let by_count = |group: &AuditGroup| (Reverse(group.count), group.first_ns);
            a.event.cmp(&b.event).then_with(|| by_count(a).cmp(&by_count(b)))
        });
        let recorded = summary.counts.of(Marker::Audit);
        Ok(Audit { groups, recorded, trust: Trust::of_summary(trace.manifest(), &summary) })
    }
}

impl AuditCollector<'_> {
    fn visit(&mut self, event: CallEvent, callers: Callers) {
        self.lines.update(event, callers);
        match event {
            CallEvent::Instant(event) if event.marker == Marker::Audit && self.matches_name(event.text) => {
                self.add(event, callers);
            }
            _ => {}
        }
    }

    fn matches_name(&mut self, name: TextId) -> bool {
        *self.matches.entry(name).or_insert_with(|| {
            let name = self.names.text_str(name).unwrap_or_default();
            self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches_name(&name))
        })
    }

    fn add(&mut self, event: &Event, callers: Callers) {
        // The row contains the innermost function even if calls were not recorded. The filter has
        // not been applied to that function yet.
        let is_shown = self.filter.selects_code(&Code::parse(&self.names.code_str(event.code)));
        let code = if is_shown { event.code } else { CodeId::NONE };
        let stack = self.lines.stack(callers, code, event.line);
        let empty = || GroupSums { count: 0, first_ns: event.time_ns, last_ns: event.time_ns };
        let sum = self.groups.entry((event.text, stack)).or_insert_with(empty);
        sum.count += 1;
        sum.first_ns = sum.first_ns.min(event.time_ns);
        sum.last_ns = sum.last_ns.max(event.time_ns);
    }
}

#[cfg(test)]
mod tests {
    //! Grouping and filters.

    use super::*;
    use crate::testing;

    const SCRIPT: &str = "
        0   7/7  function__entry   /srv/run.py:1:main    1
        5   7/7  line              /srv/run.py:1:main    2
        10  7/7  function__entry   /lib/socket.py:9:dial 9
        20  7/7  audit             /lib/socket.py:9:dial 11  -  socket.connect
        21  7/7  audit             /lib/socket.py:9:dial 11  -  socket.connect
        25  7/7  audit             -                     0   -  open
        30  7/7  function__return  /lib/socket.py:9:dial 12
        35  7/7  line              /srv/run.py:1:main    3
        40  7/7  function__entry   /lib/socket.py:9:dial 9
        45  7/7  audit             /lib/socket.py:9:dial 11  -  socket.connect
        50  7/7  function__return  /lib/socket.py:9:dial 12
        60  7/7  function__return  /srv/run.py:1:main    4
        70  7/7  audit             /srv/run.py:20:last   21  -  socket.close
        80  7/7  audit             -                     0   -  exit
    ";

    /// Each group as name, count, first and last time, and stack.
    fn groups(filter: &Filter, patterns: &[&str]) -> Vec<(String, u64, i64, i64, String)> {
        let (trace, _directory) = testing::trace(SCRIPT, 4);
        let patterns: Vec<Pattern> =
            patterns.iter().map(|text| text.parse().expect("the pattern is valid")).collect();
        let audit = Audit::read(&trace, filter, &patterns).expect("the trace is valid");
        assert_eq!(audit.recorded, 6);
        let stack = |group: &AuditGroup| {
            group.stack.iter().map(|place| place.label.as_str()).collect::<Vec<_>>().join(" < ")
        };
        let row = |group: &AuditGroup| {
            (group.event.clone(), group.count, group.first_ns, group.last_ns, stack(group))
        };
        audit.groups.iter().map(row).collect()
    }

    #[test]
    fn events_with_equal_names_and_stacks_are_one_group() {
        let row = |name: &str, count, first_ns, last_ns, stack: &str| {
            (name.to_owned(), count, first_ns, last_ns, stack.to_owned())
        };
        assert_eq!(
            groups(&Filter::default(), &[]),
            [
                row("exit", 1, 80, 80, ""),
                row("open", 1, 25, 25, "dial (socket:9) < main (__main__:1), line 2"),
                row("socket.close", 1, 70, 70, "last (__main__:20), line 21"),
                row("socket.connect", 2, 20, 21, "dial (socket:9), line 11 < main (__main__:1), line 2"),
                row("socket.connect", 1, 45, 45, "dial (socket:9), line 11 < main (__main__:1), line 3"),
            ]
        );
    }

    #[test]
    fn patterns_and_filters_select_events() {
        let count = |filter: Filter, patterns: &[&str]| groups(&filter, patterns).len();
        assert_eq!(count(Filter::default(), &["socket.*"]), 3);
        assert_eq!(count(Filter::default(), &["ex*", "open"]), 2);
        // The filter removes the callers of `dial`, so all three connections have the same stack.
        let inside =
            Filter { root: Some("dial".parse().expect("the pattern is valid")), ..Filter::default() };
        let connect = groups(&inside, &["socket.*"]);
        assert_eq!((connect.len(), connect[0].1), (1, 3));
        let without =
            Filter { exclude: vec!["dial".parse().expect("the pattern is valid")], ..Filter::default() };
        assert_eq!(groups(&without, &["socket.connect"])[0].4, "main (__main__:1), line 2");
    }
}
