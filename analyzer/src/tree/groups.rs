//! Call paths of several processes, machines or recordings, kept apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyrec_schema::{Names, Profile, TextId, Trace};

use super::{Frame, NodeId, Nodes, ProcessFacts, ROOT, Thread};
use crate::{CallTree, Filter, Result};

/// By what call paths are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A process of a recording.
    Process,
    /// The machine that recorded.
    Host,
    /// A recording.
    Run,
}

/// Whose call paths they are, as far as all of them have it in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The machine.
    pub host: Option<String>,
    /// The recording.
    pub run: Option<String>,
    /// The process.
    pub pid: Option<i32>,
}

/// The call paths of one group.
#[derive(Debug, Default)]
pub struct GroupCalls {
    /// Their paths.
    pub nodes: Nodes,
    /// The command line, of a process.
    pub command: Option<Arc<str>>,
}

/// Call paths by group.
#[derive(Debug)]
pub struct Groups {
    /// Each group's own.
    pub groups: BTreeMap<Group, GroupCalls>,
    /// What is said of all of them together; without a call path.
    pub calls: CallTree,
}

/// Groups that recordings are added to.
#[derive(Debug)]
pub struct Grouping<'a> {
    by: By,
    filter: &'a Filter,
    names: Arc<Names>,
    groups: BTreeMap<Group, GroupCalls>,
    /// The first recording's tree, and the facts of all.
    first: Option<CallTree>,
    facts: Profile,
    recordings: usize,
}

impl<'a> Grouping<'a> {
    /// No recording yet.
    pub fn new(by: By, filter: &'a Filter) -> Self {
        let (names, groups, facts) = Default::default();
        Grouping { by, filter, names, groups, first: None, facts, recordings: 0 }
    }

    /// Adds a recording, whose name tells it from the others.
    pub fn add(&mut self, run: &str, trace: &Trace) -> Result<()> {
        let (calls, threads) = CallTree::read_by_thread(trace, self.filter)?;
        let host = &calls.manifest.host.name;
        for (at, nodes) in threads {
            let pid = calls.threads[at].pid;
            let group = Group {
                host: (!host.is_empty()).then(|| host.clone()),
                run: (self.by != By::Host).then(|| run.to_owned()),
                pid: (self.by == By::Process).then_some(pid),
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
            if self.by == By::Process && own.command.is_none() {
                own.command = command(&calls, pid);
            }
        }
        self.recordings += 1;
        self.facts.merge(calls.profile());
        self.first.get_or_insert(calls);
        Ok(())
    }

    /// What came together.
    pub fn finish(self) -> Result<Groups> {
        let Grouping { filter, names, groups, first, facts, recordings, .. } = self;
        let calls = match first {
            // What is true of one recording alone is more than what adds up.
            Some(calls) if recordings == 1 => calls,
            _ => CallTree::of_profile(&facts, &Filter { min_time: filter.min_time, ..Filter::default() })?,
        };
        Ok(Groups { groups, calls: CallTree { names, nodes: Nodes::default(), ..calls } })
    }
}

/// The command line of a process, as any of its threads says it.
fn command(calls: &CallTree, pid: i32) -> Option<Arc<str>> {
    let begin = calls.threads.partition_point(|thread| thread.pid < pid);
    let own = calls.threads[begin..].iter().take_while(|thread| thread.pid == pid);
    let mut facts = ProcessFacts::default();
    own.for_each(|Thread { facts: thread, .. }| facts.join(&thread.process));
    calls.names.text_str(facts.command)
}

impl Nodes {
    /// Adds call paths from elsewhere, where frames have other numbers.
    pub fn absorb(&mut self, mut from: Nodes, mut translate: impl FnMut(Frame) -> Frame) {
        let mut places: Vec<NodeId> = Vec::with_capacity(from.len());
        for id in 0..from.len() as NodeId {
            let node = from[id];
            let place = match node.parent == id {
                true => ROOT,
                false => self.child(places[node.parent as usize], translate(node.frame)),
            };
            self[place].tally.add(&node.tally);
            self.take_durations(place, &mut from, id);
            places.push(place);
        }
    }
}
