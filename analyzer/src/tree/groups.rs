//! Call paths grouped by process, host or recording.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyrec_schema::{Names, Profile, TextId, Trace};

use super::{Frame, NodeId, Nodes, ProcessInfo, ROOT, ThreadSummary};
use crate::{CallTree, Filter, Result};

/// What call paths are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// By the process of a recording.
    Process,
    /// By the host of the recording.
    Host,
    /// By recording.
    Run,
}

/// What identifies a group. Fields that are not grouped by are None.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The host name.
    pub host: Option<String>,
    /// The name of the recording.
    pub run: Option<String>,
    /// The process id.
    pub pid: Option<i32>,
}

/// The call paths of one group.
#[derive(Debug, Default)]
pub struct GroupCalls {
    /// The call paths.
    pub nodes: Nodes,
    /// The command line, if the group is a process.
    pub command: Option<Arc<str>>,
}

/// Call paths by group.
#[derive(Debug)]
pub struct GroupedCalls {
    /// The call paths of each group.
    pub groups: BTreeMap<GroupKey, GroupCalls>,
    /// The facts of all groups together, without call paths.
    pub calls: CallTree,
}

/// Builds groups from recordings.
#[derive(Debug)]
pub struct GroupsBuilder<'a> {
    by: GroupBy,
    filter: &'a Filter,
    names: Arc<Names>,
    groups: BTreeMap<GroupKey, GroupCalls>,
    /// The call tree of the first recording.
    first: Option<CallTree>,
    /// A profile of all recordings, for the facts that it adds up.
    facts: Profile,
    recordings: usize,
}

impl<'a> GroupsBuilder<'a> {
    /// A builder without recordings.
    pub fn new(by: GroupBy, filter: &'a Filter) -> Self {
        let (names, groups, facts) = Default::default();
        GroupsBuilder { by, filter, names, groups, first: None, facts, recordings: 0 }
    }

    /// Adds a recording. Its name must differ from those of the others.
    pub fn add(&mut self, run: &str, trace: &Trace) -> Result<()> {
        let (calls, threads) = CallTree::read_by_thread(trace, self.filter)?;
        let host = &calls.manifest.host.name;
        for (at, nodes) in threads {
            let pid = calls.threads[at].pid;
            let group = GroupKey {
                host: (!host.is_empty()).then(|| host.clone()),
                run: (self.by != GroupBy::Host).then(|| run.to_owned()),
                pid: (self.by == GroupBy::Process).then_some(pid),
            };
            let own = self.groups.entry(group).or_default();
            let names = &self.names;
            own.nodes.absorb(nodes, |frame| match frame {
                Frame::Function(code) => Frame::Function(names.code(&calls.names.code_str(code))),
                Frame::Cfunction(name) => Frame::Cfunction(
                    calls.names.text_str(name).map_or(TextId::NONE, |name| names.text(&name)),
                ),
                other => other,
            });
            if self.by == GroupBy::Process && own.command.is_none() {
                own.command = command(&calls, pid);
            }
        }
        self.recordings += 1;
        self.facts.merge(calls.profile());
        self.first.get_or_insert(calls);
        Ok(())
    }

    /// The groups of the added recordings.
    pub fn finish(self) -> Result<GroupedCalls> {
        let GroupsBuilder { filter, names, groups, first, facts, recordings, .. } = self;
        let calls = match first {
            // The tree of a single recording has more facts than a profile.
            Some(calls) if recordings == 1 => calls,
            _ => CallTree::of_profile(&facts, &Filter { min_time: filter.min_time, ..Filter::default() })?,
        };
        Ok(GroupedCalls { groups, calls: CallTree { names, nodes: Nodes::default(), ..calls } })
    }
}

/// The command line of a process, from the rows of any of its threads.
fn command(calls: &CallTree, pid: i32) -> Option<Arc<str>> {
    let begin = calls.threads.partition_point(|thread| thread.pid < pid);
    let own = calls.threads[begin..].iter().take_while(|thread| thread.pid == pid);
    let mut info = ProcessInfo::default();
    own.for_each(|ThreadSummary { info: thread, .. }| info.join(&thread.process));
    calls.names.text_str(info.command)
}

impl Nodes {
    /// Adds the call paths of another tree, whose frames are translated to those of this tree.
    pub fn absorb(&mut self, mut from: Nodes, mut translate: impl FnMut(Frame) -> Frame) {
        let mut targets: Vec<NodeId> = Vec::with_capacity(from.len());
        for id in 0..from.len() as NodeId {
            let node = from[id];
            let target = match node.parent == id {
                true => ROOT,
                false => self.child(targets[node.parent as usize], translate(node.frame)),
            };
            self[target].tally.add(&node.tally);
            self.take_durations(target, &mut from, id);
            targets.push(target);
        }
    }
}
