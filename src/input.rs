//! What reports read: the flags that they share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::Filter;
use pyrec_analyzer::filter::{Pattern, TimeRange, parse_duration};
use pyrec_schema::{Group, Marker, Trace};

/// Where a recording goes when nothing is said, and what every report reads then.
pub const DEFAULT: &str = "pyrec.parquet";

/// The trace.
#[derive(Debug, Args)]
pub struct Input {
    /// The recording: a file, or a directory of them; may be given several times [default: pyrec.parquet]
    #[arg(short = 'i', long = "input", value_name = "TRACE")]
    traces: Vec<PathBuf>,
}

/// Which threads are asked for.
#[derive(Debug, Args)]
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
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Part {
    #[command(flatten)]
    who: Who,

    /// Only this stretch of the recording: `1s-10s`, `500ms-`, `-2s`
    #[arg(long, value_name = "FROM-TO", allow_hyphen_values = true)]
    time: Option<TimeRange>,
}

/// Which calls of it are asked for.
#[derive(Debug, Args)]
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
        if self.traces.is_empty() && !Path::new(DEFAULT).exists() {
            bail!("there is no {DEFAULT} here; make one with `pyrec record`, or name a recording with -i");
        }
        Ok(Trace::open(&self.paths())?)
    }

    fn paths(&self) -> Vec<&Path> {
        match self.traces.as_slice() {
            [] => vec![Path::new(DEFAULT)],
            traces => traces.iter().map(PathBuf::as_path).collect(),
        }
    }
}

/// Reads the name of a marker group.
pub fn group(name: &str) -> Result<Group, String> {
    Group::from_name(name).ok_or_else(|| format!("there are {}", Group::ALL.map(Group::name).join(", ")))
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
    let group = Group::from_name(name).map(Group::markers);
    let marker = || Marker::ALL.iter().position(|marker| marker.name() == name);
    group.or_else(|| marker().map(|at| &Marker::ALL[at..=at])).map(Markers).ok_or_else(|| {
        let names = Group::ALL.map(Group::name).into_iter().chain(Marker::ALL.map(Marker::name));
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
