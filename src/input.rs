//! Arguments of the commands that read traces: the input, the filters, and common values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use pyrec_analyzer::filter::{Pattern, TimeRange, parse_duration};
use pyrec_analyzer::tree::{self, GroupedCalls, GroupsBuilder};
use pyrec_analyzer::{CallTree, Filter};
use pyrec_schema::{Marker, MarkerGroup, Profile, Trace, is_profile, read_profile};

/// The trace that recordings are written to and reports read, unless the command line names
/// another.
pub const DEFAULT_TRACE: &str = "pyrec.parquet";

/// The trace that was at [`DEFAULT_TRACE`] before the last recording.
pub const PREVIOUS_TRACE: &str = "pyrec.old.parquet";

/// The traces to read.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// The trace: a file, a directory of files, or a glob in quotes; may be repeated [default:
    /// pyrec.parquet]
    #[arg(short = 'i', long = "input", value_name = "TRACE")]
    traces: Vec<PathBuf>,
}

/// Restricts a report to processes and threads.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct ThreadFilterArgs {
    /// Only this process; may be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<i32>,

    /// Only this thread; may be repeated
    #[arg(long, value_name = "TID")]
    tid: Vec<i32>,
}

/// Restricts a report to processes, threads and a range of time.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct RangeFilterArgs {
    #[command(flatten)]
    threads: ThreadFilterArgs,

    /// Only this range of time since the start of the trace: `1s-10s`, `500ms-`, `-2s`
    #[arg(long, value_name = "FROM-TO", allow_hyphen_values = true)]
    time: Option<TimeRange>,
}

/// Restricts a report to calls.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct CallFilterArgs {
    /// Only functions whose name or file matches: `parse*`, `Decoder.*`, `json/*`
    #[arg(long, value_name = "GLOB")]
    include: Vec<Pattern>,

    /// No functions whose name or file matches; their time is added to their caller
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<Pattern>,

    /// Only what happens inside calls of this function
    #[arg(long, value_name = "FUNC")]
    root: Option<Pattern>,

    #[command(flatten)]
    range: RangeFilterArgs,

    /// No calls shorter than TIME: `10ms`, `1.5us`
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    min_time: Option<Duration>,
}

/// What the rows or boxes of a report are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupBy {
    /// Each process of each recording
    Process,
    /// Each machine that recorded
    Host,
    /// Each recording
    Run,
}

impl From<GroupBy> for tree::GroupBy {
    fn from(by: GroupBy) -> tree::GroupBy {
        match by {
            GroupBy::Process => tree::GroupBy::Process,
            GroupBy::Host => tree::GroupBy::Host,
            GroupBy::Run => tree::GroupBy::Run,
        }
    }
}

impl InputArgs {
    /// Opens the trace.
    pub fn open(&self) -> Result<Trace> {
        let paths = self.paths()?;
        Trace::open(&paths).map_err(|error| match paths.iter().find(|path| is_profile(path)) {
            Some(profile) => anyhow!(
                "{} is a profile and has no single events; `pyrec flame` and `pyrec stats` read it",
                profile.display()
            ),
            None => error.into(),
        })
    }

    /// The call tree of one recording, or the sum of those of several recordings and profiles.
    pub fn calls(&self, filter: &Filter) -> Result<CallTree> {
        let paths = self.paths()?;
        // A single recording is opened once: only if that fails, or if there are several, are
        // profiles looked for.
        let opened = Trace::open(&paths);
        if let Ok(trace) = &opened
            && trace.recordings().len() == 1
        {
            return Ok(CallTree::read(trace, filter)?);
        }
        if let Err(error) = opened
            && !paths.iter().any(|path| is_profile(path))
        {
            return Err(error.into());
        }
        let rest = Filter { min_time: filter.min_time, ..Filter::default() };
        Ok(CallTree::of_profile(&sum_profiles(paths, filter)?, &rest)?)
    }

    /// The calls of all recordings, grouped.
    pub fn calls_by_group(&self, by: GroupBy, filter: &Filter) -> Result<GroupedCalls> {
        let paths = self.paths()?;
        if let Some(profile) = paths.iter().find(|path| is_profile(path)) {
            bail!(
                "{} is a profile, which does not keep processes, hosts and runs apart; name the recordings instead",
                profile.display()
            );
        }
        let mut grouping = GroupsBuilder::new(by.into(), filter);
        for recording in Trace::open(&paths)?.recordings() {
            grouping.add(&recording_name(&recording), &Trace::open(&recording)?)?;
        }
        Ok(grouping.finish()?)
    }

    /// The sum of all recordings and profiles.
    pub fn profile(&self, filter: &Filter) -> Result<Profile> {
        sum_profiles(self.paths()?, filter)
    }

    /// The paths given with `-i`, with globs expanded; the default trace if there are none.
    fn paths(&self) -> Result<Vec<PathBuf>> {
        if self.traces.is_empty() {
            if !Path::new(DEFAULT_TRACE).exists() {
                bail!(
                    "there is no {DEFAULT_TRACE} here; make one with `pyrec record`, or name a trace with -i"
                );
            }
            return Ok(vec![DEFAULT_TRACE.into()]);
        }
        let mut paths = Vec::new();
        for given in &self.traces {
            let glob = given.to_str().filter(|text| text.contains(['*', '?', '[']) && !given.exists());
            let Some(glob) = glob else {
                paths.push(given.clone());
                continue;
            };
            let count_before = paths.len();
            for file in glob::glob(glob).map_err(|error| anyhow!("{glob}: {error}"))? {
                paths.push(file?);
            }
            if paths.len() == count_before {
                bail!("no file matches {glob}");
            }
        }
        Ok(paths)
    }
}

/// The name of a recording in a grouped report: its first file, and the number of the others.
fn recording_name(files: &[&Path]) -> String {
    let first = files.first().map_or(String::new(), |first| first.display().to_string());
    if files.len() > 1 { format!("{first} and {} more", files.len() - 1) } else { first }
}

/// The sum of recordings and profiles.
fn sum_profiles(paths: Vec<PathBuf>, filter: &Filter) -> Result<Profile> {
    let (profiles, traces): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| is_profile(path));
    let mut sum = Profile::default();
    for path in profiles {
        sum.merge(CallTree::filter_profile(&read_profile(&path)?, filter)?);
    }
    if !traces.is_empty() {
        for recording in Trace::open(&traces)?.recordings() {
            sum.merge(CallTree::read(&Trace::open(&recording)?, filter)?.profile());
        }
    }
    Ok(sum)
}

/// The number of rows to print, or None for all: the requested number, where 0 is all; by default
/// all of JSON, and `default` rows of text.
pub fn row_limit(requested: Option<usize>, is_json: bool, default: usize) -> Option<usize> {
    match requested {
        Some(0) => None,
        None => (!is_json).then_some(default),
        limit => limit,
    }
}

/// Parses the name of a marker group.
pub fn parse_group(name: &str) -> Result<MarkerGroup, String> {
    MarkerGroup::from_name(name)
        .ok_or_else(|| format!("the groups are {}", MarkerGroup::ALL.map(MarkerGroup::name).join(", ")))
}

/// The markers that one name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerSet(pub &'static [Marker]);

/// Parses the name of a marker, or of a group of markers.
pub fn parse_markers(name: &str) -> Result<MarkerSet, String> {
    let group = MarkerGroup::from_name(name).map(MarkerGroup::markers);
    let marker = || Marker::ALL.iter().position(|marker| marker.name() == name);
    group.or_else(|| marker().map(|at| &Marker::ALL[at..=at])).map(MarkerSet).ok_or_else(|| {
        let names = MarkerGroup::ALL.map(MarkerGroup::name).into_iter().chain(Marker::ALL.map(Marker::name));
        format!("the groups and markers are {}", names.collect::<Vec<_>>().join(", "))
    })
}

impl From<ThreadFilterArgs> for Filter {
    fn from(args: ThreadFilterArgs) -> Filter {
        let ThreadFilterArgs { pid: pids, tid: tids } = args;
        Filter { pids, tids, ..Filter::default() }
    }
}

impl From<RangeFilterArgs> for Filter {
    fn from(args: RangeFilterArgs) -> Filter {
        Filter { time: args.time, ..args.threads.into() }
    }
}

impl From<CallFilterArgs> for Filter {
    fn from(args: CallFilterArgs) -> Filter {
        let CallFilterArgs { include, exclude, root, range, min_time } = args;
        Filter { include, exclude, root, min_time: min_time.unwrap_or_default(), ..range.into() }
    }
}
