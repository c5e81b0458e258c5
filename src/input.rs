//! What reports read: the flags that they share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use pyrec_analyzer::filter::{Pattern, TimeRange, parse_duration};
use pyrec_analyzer::tree::{GroupedCalls, GroupsBuilder};
use pyrec_analyzer::{CallTree, Filter};
use pyrec_schema::{Marker, MarkerGroup, Profile, Trace, is_profile, read_profile};

use crate::by::By;

/// Where a recording goes when nothing is said, and what every report reads then.
pub const DEFAULT: &str = "pyrec.parquet";

/// The recording before the one in the default place.
pub const PREVIOUS: &str = "pyrec.old.parquet";

/// The trace.
#[derive(Debug, Args)]
pub struct Input {
    /// The recording: a file, a directory of them, or a glob in quotes; may be given several times [default:
    /// pyrec.parquet]
    #[arg(short = 'i', long = "input", value_name = "TRACE")]
    traces: Vec<PathBuf>,
}

/// Which threads are asked for.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Who {
    /// Only this process
    #[arg(long, value_name = "PID")]
    pid: Vec<i32>,

    /// Only this thread
    #[arg(long, value_name = "TID")]
    tid: Vec<i32>,
}

/// Which threads and what time are asked for.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Part {
    #[command(flatten)]
    who: Who,

    /// Only this stretch of the recording: `1s-10s`, `500ms-`, `-2s`
    #[arg(long, value_name = "FROM-TO", allow_hyphen_values = true)]
    time: Option<TimeRange>,
}

/// Which calls of it are asked for.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only functions whose name or file matches: `parse*`, `Decoder.*`, `json/*`
    #[arg(long, value_name = "GLOB")]
    include: Vec<Pattern>,

    /// No functions whose name or file matches; their time belongs to the caller
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<Pattern>,

    /// Only what happens inside calls of this function
    #[arg(long, value_name = "FUNC")]
    root: Option<Pattern>,

    #[command(flatten)]
    part: Part,

    /// Nothing that took less: `10ms`, `1.5us`
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    min_time: Option<Duration>,
}

impl Input {
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

    /// The calls of what is named: of one recording, or the sum of several, of profiles as well.
    pub fn calls(&self, filter: &Filter) -> Result<CallTree> {
        let paths = self.paths()?;
        // Most often it is one recording, which need not be opened twice to be told from a profile.
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
        Ok(CallTree::of_profile(&sum(paths, filter)?, &rest)?)
    }

    /// The calls of all recordings that are named, by process, machine or recording.
    pub fn groups(&self, by: By, filter: &Filter) -> Result<GroupedCalls> {
        let paths = self.paths()?;
        if let Some(profile) = paths.iter().find(|path| is_profile(path)) {
            bail!(
                "{} is a profile, in which processes, hosts and runs lie together; name the recordings themselves",
                profile.display()
            );
        }
        let mut grouping = GroupsBuilder::new(by.into(), filter);
        for recording in Trace::open(&paths)?.recordings() {
            grouping.add(&run(&recording), &Trace::open(&recording)?)?;
        }
        Ok(grouping.finish()?)
    }

    /// The sum of what is named.
    pub fn profile(&self, filter: &Filter) -> Result<Profile> {
        sum(self.paths()?, filter)
    }

    /// What is named: a path as it is, or the files that a glob matches.
    fn paths(&self) -> Result<Vec<PathBuf>> {
        if self.traces.is_empty() {
            if !Path::new(DEFAULT).exists() {
                bail!(
                    "there is no {DEFAULT} here; make one with `pyrec record`, or name a recording with -i"
                );
            }
            return Ok(vec![DEFAULT.into()]);
        }
        let mut paths = Vec::new();
        for named in &self.traces {
            let is_glob = named.to_str().filter(|name| name.contains(['*', '?', '[']) && !named.exists());
            let Some(pattern) = is_glob else {
                paths.push(named.clone());
                continue;
            };
            let before = paths.len();
            for file in glob::glob(pattern).map_err(|error| anyhow!("{pattern}: {error}"))? {
                paths.push(file?);
            }
            if paths.len() == before {
                bail!("no file matches {pattern}");
            }
        }
        Ok(paths)
    }
}

/// What a recording is called: by its first file.
fn run(files: &[&Path]) -> String {
    let first = files.first().map_or(String::new(), |first| first.display().to_string());
    if files.len() > 1 { format!("{first} and {} more", files.len() - 1) } else { first }
}

/// The sum of recordings and profiles.
fn sum(paths: Vec<PathBuf>, filter: &Filter) -> Result<Profile> {
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

/// Reads the name of a marker group.
pub fn group(name: &str) -> Result<MarkerGroup, String> {
    MarkerGroup::from_name(name)
        .ok_or_else(|| format!("there are {}", MarkerGroup::ALL.map(MarkerGroup::name).join(", ")))
}

/// How many rows to print: what was asked for, where 0 is all; else a screen of text, and all of JSON.
pub fn rows(asked: Option<usize>, is_json: bool, screen: usize) -> Option<usize> {
    match asked {
        Some(0) => None,
        None => (!is_json).then_some(screen),
        rows => rows,
    }
}

/// Reads the name of a marker, or of a group of them.
pub fn markers(name: &str) -> Result<Markers, String> {
    let group = MarkerGroup::from_name(name).map(MarkerGroup::markers);
    let marker = || Marker::ALL.iter().position(|marker| marker.name() == name);
    group.or_else(|| marker().map(|at| &Marker::ALL[at..=at])).map(Markers).ok_or_else(|| {
        let names = MarkerGroup::ALL.map(MarkerGroup::name).into_iter().chain(Marker::ALL.map(Marker::name));
        format!("there are {}", names.collect::<Vec<_>>().join(", "))
    })
}

/// Markers by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Markers(pub &'static [Marker]);

impl From<Who> for Filter {
    fn from(flags: Who) -> Filter {
        let Who { pid: pids, tid: tids } = flags;
        Filter { pids, tids, ..Filter::default() }
    }
}

impl From<Part> for Filter {
    fn from(flags: Part) -> Filter {
        Filter { time: flags.time, ..flags.who.into() }
    }
}

impl From<Filters> for Filter {
    fn from(flags: Filters) -> Filter {
        let Filters { include, exclude, root, part, min_time } = flags;
        Filter { include, exclude, root, min_time: min_time.unwrap_or_default(), ..part.into() }
    }
}
