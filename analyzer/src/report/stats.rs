//! The report of functions with their calls and times, as text and JSON.

use std::cmp::Reverse;
use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Time, plural};
use super::{json, table, trust_line};
use crate::escape::Printable;
use crate::measure::{FunctionTotals, GroupedTotals, PauseTotals, Totals, Trust};

/// Options of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsOptions {
    /// The column that the rows are sorted by.
    pub sort: SortColumn,
    /// The number of functions at most; `None` writes all.
    pub rows: Option<usize>,
}

/// The column that the rows are sorted by: numbers in descending order, names in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns of the table")]
pub enum SortColumn {
    #[default]
    SelfTime,
    Total,
    Calls,
    Mean,
    Max,
    Name,
}

const HEAD: [&str; 11] =
    ["calls", "total", "± tracing", "self", "mean", "min", "p50", "p95", "p99", "max", "function"];

/// Writes the table and the trust line.
pub fn write(totals: &Totals, options: &StatsOptions, out: &mut impl Write) -> io::Result<()> {
    write_functions(&totals.functions, totals.gc, options, out)?;
    writeln!(out, "{}", trust_line(&totals.trust))
}

/// Writes a table for each group, and the trust line of all of them.
pub fn write_groups(totals: &GroupedTotals, options: &StatsOptions, out: &mut impl Write) -> io::Result<()> {
    for group in &totals.groups {
        writeln!(out, "{}", Printable(&group.label))?;
        write_functions(&group.functions, group.gc, options, out)?;
        writeln!(out)?;
    }
    writeln!(out, "{}", trust_line(&totals.trust))
}

fn write_functions(
    functions: &[FunctionTotals],
    gc: PauseTotals,
    options: &StatsOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    let (functions, more) = choose(functions, options);
    if functions.is_empty() {
        writeln!(out, "no function ran in the selected part of the recording")?;
    } else {
        let rows: Vec<_> = functions.into_iter().map(row).collect();
        table::write(HEAD, &rows, out)?;
    }
    if more > 0 {
        writeln!(out, "… and {}", plural(more, "more function"))?;
    }
    if gc.count > 0 {
        let (pauses, total) = (plural(gc.count, "pause"), Time(gc.total_ns));
        writeln!(out, "garbage collection: {pauses}, {total} in all")?;
    }
    Ok(())
}

/// Writes the same as JSON: `{"functions": […], "trust": {…}}`.
pub fn write_json(totals: &Totals, options: &StatsOptions, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Stats<'a> {
        functions: Vec<&'a FunctionTotals>,
        trust: &'a Trust,
    }
    json::write(&Stats { functions: choose(&totals.functions, options).0, trust: &totals.trust }, out)
}

/// Writes the groups as JSON:
/// `{"groups": [{"host", "run", "pid", "command", "functions": […]}], "trust": {…}}`. A value that
/// differs between the members of a group is null.
pub fn write_groups_json(
    totals: &GroupedTotals,
    options: &StatsOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Stats<'a> {
        groups: Vec<GroupStats<'a>>,
        trust: &'a Trust,
    }
    #[derive(Serialize)]
    struct GroupStats<'a> {
        host: Option<&'a str>,
        run: Option<&'a str>,
        pid: Option<i32>,
        command: Option<&'a str>,
        functions: Vec<&'a FunctionTotals>,
    }
    let groups = totals.groups.iter().map(|totals| GroupStats {
        host: totals.group.host.as_deref(),
        run: totals.group.run.as_deref(),
        pid: totals.group.pid,
        command: totals.command.as_deref(),
        functions: choose(&totals.functions, options).0,
    });
    json::write(&Stats { groups: groups.collect(), trust: &totals.trust }, out)
}

/// The functions in the order of the options, and the number of functions that were cut off.
fn choose<'a>(all: &'a [FunctionTotals], options: &StatsOptions) -> (Vec<&'a FunctionTotals>, u64) {
    let mut functions: Vec<&FunctionTotals> = all.iter().collect();
    // The sort is stable: equal functions stay in the order of their files and lines.
    match options.sort {
        SortColumn::SelfTime => functions.sort_by_key(|function| Reverse(function.self_ns)),
        SortColumn::Total => functions.sort_by_key(|function| Reverse(function.total_ns)),
        SortColumn::Calls => functions.sort_by_key(|function| Reverse(function.calls)),
        SortColumn::Mean => functions.sort_by_key(|function| Reverse(function.mean_ns)),
        SortColumn::Max => functions.sort_by_key(|function| Reverse(function.max_ns)),
        SortColumn::Name => functions.sort_by(|a, b| (&a.qualname, &a.module).cmp(&(&b.qualname, &b.module))),
    }
    let all = functions.len();
    functions.truncate(options.rows.unwrap_or(all));
    let more = all - functions.len();
    (functions, more as u64)
}

fn row(function: &FunctionTotals) -> [String; 11] {
    let time = |ns: u64| Time(ns).to_string();
    let measured = |ns: Option<u64>| ns.map_or("unknown".into(), time);
    [
        Count(function.calls).to_string(),
        time(function.total_ns),
        measured(function.tracing_ns),
        time(function.self_ns),
        measured(function.mean_ns),
        measured(function.min_ns),
        measured(function.p50_ns),
        measured(function.p95_ns),
        measured(function.p99_ns),
        measured(function.max_ns),
        Printable(&function.label()).to_string(),
    ]
}

#[cfg(test)]
mod tests {
    //! Text and JSON of small traces.

    use super::*;
    use crate::Filter;
    use crate::testing::{self, calls};
    use crate::tree::{GroupBy, GroupsBuilder};

    const SCRIPT: &str = "
        0     7/7  function__entry   /srv/run.py:1:<module>  0
        1000  7/7  function__entry   /srv/run.py:3:C.f       3
        3500  7/7  function__return  /srv/run.py:3:C.f       4
        4000  7/7  function__entry   /opt/x.py:9:g           9
        4100  7/7  gc__start         -                       0  2
        4200  7/7  gc__done          -                       0  9
    ";

    fn text(options: &StatsOptions) -> String {
        let mut out = Vec::new();
        write(&Totals::of(&calls(SCRIPT, &Filter::default())), options, &mut out)
            .expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn each_function_has_a_row() {
        assert_eq!(
            text(&StatsOptions::default()),
            "\
calls    total  ± tracing     self     mean      min      p50      p95      p99      max  function
    1  2.50 µs      61 ns  2.50 µs  2.50 µs  2.50 µs  2.50 µs  2.50 µs  2.50 µs  2.50 µs  C.f (__main__:3)
    1  4.20 µs     245 ns  1.50 µs  unknown  unknown  unknown  unknown  unknown  unknown  <module> (__main__)
    1   200 ns     122 ns   100 ns  unknown  unknown  unknown  unknown  unknown  unknown  g (x.py:9)
garbage collection: 1 pause, 100 ns in all
trust: 6 events, 0 lost, 2 repaired (2 calls still open), exited with 0, tracing cost 31 ns per event
"
        );
    }

    #[test]
    fn rows_are_sorted_by_the_chosen_column() {
        let first = |sort| {
            let text = text(&StatsOptions { sort, rows: Some(1) });
            assert!(text.contains("… and 2 more functions\n"), "{text}");
            text.lines().nth(1).and_then(|line| line.split("  ").last()).map(str::to_owned)
        };
        assert_eq!(first(SortColumn::SelfTime).as_deref(), Some("C.f (__main__:3)"));
        assert_eq!(first(SortColumn::Total).as_deref(), Some("<module> (__main__)"));
        assert_eq!(first(SortColumn::Calls).as_deref(), Some("g (x.py:9)"));
        assert_eq!(first(SortColumn::Max).as_deref(), Some("C.f (__main__:3)"));
        assert_eq!(first(SortColumn::Mean).as_deref(), Some("C.f (__main__:3)"));
        assert_eq!(first(SortColumn::Name).as_deref(), Some("<module> (__main__)"));
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        let totals = Totals::of(&calls(SCRIPT, &Filter::default()));
        write_json(&totals, &StatsOptions::default(), &mut out).expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        assert_eq!(
            json["functions"][0],
            serde_json::json!({
                "file": "/srv/run.py", "first_line": 3, "name": "f", "qualname": "C.f", "module": "__main__",
                "calls": 1, "total_ns": 2500, "self_ns": 2500, "min_ns": 2500, "mean_ns": 2500, "max_ns": 2500,
                "p50_ns": 2500, "p95_ns": 2500, "p99_ns": 2500, "gc_ns": 0, "tracing_ns": 61
            })
        );
        assert_eq!(json["functions"][2]["module"], serde_json::Value::Null);
        for key in ["min_ns", "p50_ns", "p99_ns"] {
            assert_eq!(json["functions"][2][key], serde_json::Value::Null);
        }
        assert_eq!(json["functions"][2]["gc_ns"], 100);
        assert_eq!(
            json["trust"],
            serde_json::json!({
                "events": 6, "lost": 0, "ended": {"how": "exited", "status": 0}, "cost_per_event_ns": 30.6,
                "torn_bytes": 0, "repaired": {"orphan_entries": 0, "unmatched_returns": 0, "still_open": 2,
                "cut_by_loss": 0, "backwards": 0}
            })
        );
    }

    #[test]
    fn a_table_for_each_group() {
        let other = "0 7/7 function__entry /srv/run.py:3:C.f 3
                     9 7/7 function__return /srv/run.py:3:C.f 3";
        let filter = Filter::default();
        let mut grouping = GroupsBuilder::new(GroupBy::Process, &filter);
        for (run, host, script) in [("a\u{1b}[2J", "ant", other), ("b", "bee", SCRIPT)] {
            let (trace, _directory) = testing::trace_on(host, script, 4);
            grouping.add(run, &trace).expect("the trace is readable");
        }
        let totals = GroupedTotals::of(&grouping.finish().expect("facts add up"));
        let options = StatsOptions { rows: Some(1), ..StatsOptions::default() };
        let mut out = Vec::new();
        write_groups(&totals, &options, &mut out).expect("a vector accepts all writes");
        let text = String::from_utf8(out).expect("the output is UTF-8");
        let heads: Vec<&str> = text.split("\n\n").filter_map(|part| part.lines().next()).collect();
        // The group with the most time comes first, and the trust line covers both.
        assert_eq!(heads[..2], ["process 7, b, on bee", "process 7, a\\u{1b}[2J, on ant"]);
        assert!(heads[2].starts_with("trust: 8 events, 0 lost, 2 repaired"), "{text}");
        assert!(
            text.contains("C.f (__main__:3)\n… and 2 more functions\ngarbage collection: 1 pause"),
            "{text}"
        );
        let mut out = Vec::new();
        write_groups_json(&totals, &options, &mut out).expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        let [first, second] = [&json["groups"][0], &json["groups"][1]];
        assert_eq!((&first["host"], &first["run"], &first["pid"]), (&"bee".into(), &"b".into(), &7.into()));
        assert_eq!(second["functions"][0]["total_ns"], 9);
        assert_eq!(json["trust"]["events"], 8);
    }

    #[test]
    fn an_empty_selection_has_a_message() {
        let mut out = Vec::new();
        let totals = Totals::of(&calls("", &Filter::default()));
        write(&totals, &StatsOptions::default(), &mut out).expect("a vector accepts all writes");
        assert!(
            String::from_utf8_lossy(&out)
                .starts_with("no function ran in the selected part of the recording\ntrust: 0 events")
        );
    }
}
