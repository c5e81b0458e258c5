//! Totals per function, separately for each group. A group is a process, a host or a recording.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::frame_names::FrameNames;
use super::totals::{self, FunctionTotals, PauseTotals};
use crate::measure::Trust;
use crate::tree::{self, GroupCalls, GroupKey, GroupedCalls};

/// Calls and time per function and group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupedTotals {
    /// The groups, by descending self time.
    pub groups: Vec<GroupTotals>,
    /// The facts of the trust line, for all recordings together.
    pub trust: Trust,
}

/// Calls and time per function of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTotals {
    /// The key of the group.
    pub group: GroupKey,
    /// The command line, if the group is a process.
    pub command: Option<String>,
    /// The name of the group in reports.
    pub label: String,
    /// The functions of the group, in the same form and order as in [`Totals`](super::Totals).
    pub functions: Vec<FunctionTotals>,
    /// The pauses of the group for garbage collection.
    pub gc: PauseTotals,
}

impl GroupedTotals {
    /// Sums the call paths of each group by function.
    pub fn of(groups: &GroupedCalls) -> GroupedTotals {
        let frame_names = FrameNames::of(&groups.calls);
        let mut rows: Vec<(u64, GroupTotals)> = Vec::new();
        for (label, (group, own)) in labels(groups).into_iter().zip(&groups.groups) {
            let (functions, gc) = totals::functions(&own.nodes, &groups.calls, &frame_names);
            let command = own.command.as_deref().map(str::to_owned);
            let time_ns = tree::saturating_sum(own.nodes.iter().map(|(_, node)| node.tally.self_ns));
            rows.push((time_ns, GroupTotals { group: group.clone(), command, label, functions, gc }));
        }
        // The sort is stable: groups with equal times stay in the order of their keys.
        rows.sort_by_key(|(time_ns, _)| Reverse(*time_ns));
        let groups_by_time = rows.into_iter().map(|(_, group)| group).collect();
        GroupedTotals { groups: groups_by_time, trust: Trust::of(&groups.calls) }
    }
}

/// Returns the names of the groups in reports, in the order of their keys. The name of a process
/// contains its recording if there are several recordings. Every name contains the host if there
/// are several hosts.
pub fn labels(groups: &GroupedCalls) -> Vec<String> {
    let hosts: BTreeSet<_> = groups.groups.keys().map(|group| &group.host).collect();
    let runs: BTreeSet<_> = groups.groups.keys().map(|group| &group.run).collect();
    let label = |(group, own): (&GroupKey, &GroupCalls)| {
        let host = group.host.as_deref().unwrap_or("an unknown host");
        let mut label = match (group.pid, &group.run) {
            (Some(pid), _) => format!("process {pid}"),
            (None, Some(run)) => run.clone(),
            (None, None) => return host.to_owned(),
        };
        if let Some(command) = &own.command {
            label += &format!(": {command}");
        }
        if let (Some(_), Some(run), true) = (group.pid, &group.run, runs.len() > 1) {
            label += &format!(", {run}");
        }
        if hosts.len() > 1 {
            label += &format!(", on {host}");
        }
        label
    };
    groups.groups.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    //! Groups of two recordings on two machines.

    use super::*;
    use crate::tree::{GroupBy, GroupsBuilder};
    use crate::{Filter, testing};

    const MONDAY: &str = "
        0   7/7  process__start   -               0  1  python3 run.py
        0   7/7  function__entry  /srv/run.py:1:a 1
        10  7/7  function__return /srv/run.py:1:a 2
        20  7/8  function__entry  /srv/run.py:1:a 1
        50  7/8  function__return /srv/run.py:1:a 2
        60  9/9  process__start   -               0  7  python3 child.py
        60  9/9  function__entry  /srv/run.py:1:a 1
        65  9/9  function__return /srv/run.py:1:a 2
    ";

    /// The functions have other code ids than in `MONDAY`. Both recordings have a process with the
    /// pid 7.
    const TUESDAY: &str = "
        0   7/7  function__entry  /srv/run.py:5:b 5
        100 7/7  function__entry  /srv/run.py:1:a 1
        107 7/7  function__return /srv/run.py:1:a 2
        110 7/7  function__return /srv/run.py:5:b 6
    ";

    /// A function: its name, number of calls and total time.
    type Row = (String, u64, u64);

    /// Each group with its functions.
    fn groups(by: GroupBy, filter: &Filter) -> Vec<(GroupKey, Vec<Row>)> {
        let mut grouping = GroupsBuilder::new(by, filter);
        for (run, host, text) in [("monday", "ant", MONDAY), ("tuesday", "bee", TUESDAY)] {
            let (trace, _directory) = testing::trace_on(host, text, 3);
            grouping.add(run, &trace).expect("the trace is valid");
        }
        let totals = GroupedTotals::of(&grouping.finish().expect("the profiles can be merged"));
        assert_eq!(totals.trust.events, 6 + 4);
        let row = |function: &FunctionTotals| (function.qualname.clone(), function.calls, function.total_ns);
        let rows = |own: GroupTotals| (own.group, own.functions.iter().map(row).collect());
        let mut groups: Vec<(GroupKey, Vec<Row>)> = totals.groups.into_iter().map(rows).collect();
        groups.sort();
        groups
    }

    fn group(host: &str, run: Option<&str>, pid: Option<i32>) -> GroupKey {
        GroupKey { host: Some(host.into()), run: run.map(str::to_owned), pid }
    }

    fn row(name: &str, calls: u64, total_ns: u64) -> Row {
        (name.to_owned(), calls, total_ns)
    }

    #[test]
    fn processes_of_two_recordings_are_not_merged() {
        assert_eq!(
            groups(GroupBy::Process, &Filter::default()),
            [
                (group("ant", Some("monday"), Some(7)), vec![row("a", 2, 40)]),
                (group("ant", Some("monday"), Some(9)), vec![row("a", 1, 5)]),
                (group("bee", Some("tuesday"), Some(7)), vec![row("a", 1, 7), row("b", 1, 110)]),
            ]
        );
    }

    #[test]
    fn hosts_and_recordings_contain_all_their_processes() {
        let (ant, bee) = (vec![row("a", 3, 45)], vec![row("a", 1, 7), row("b", 1, 110)]);
        assert_eq!(
            groups(GroupBy::Run, &Filter::default()),
            [
                (group("ant", Some("monday"), None), ant.clone()),
                (group("bee", Some("tuesday"), None), bee.clone())
            ]
        );
        assert_eq!(
            groups(GroupBy::Host, &Filter::default()),
            [(group("ant", None, None), ant), (group("bee", None, None), bee)]
        );
    }

    #[test]
    fn filters_apply_to_each_recording() {
        let filter = Filter { root: Some("b".parse().expect("the pattern is valid")), ..Filter::default() };
        assert_eq!(groups(GroupBy::Host, &filter)[1].1, [row("a", 1, 7), row("b", 1, 110)]);
        let one = Filter { pids: vec![9], ..Filter::default() };
        assert_eq!(
            groups(GroupBy::Process, &one),
            [(group("ant", Some("monday"), Some(9)), vec![row("a", 1, 5)])]
        );
    }
}
