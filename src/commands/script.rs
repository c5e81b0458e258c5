//! `pyrec script`: capture scripts for the classic tracing tools.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_classic::script::{TargetPython, bpftrace, dtrace, stap, tapset};
use pyrec_schema::MarkerGroup;

use crate::input::parse_group;
use crate::output::print;
#[cfg(feature = "record")]
use crate::output::print_message;

/// Write a capture script for DTrace, SystemTap or bpftrace
///
/// Prints the script; its first lines explain how to run it. `pyrec import` converts its output to
/// a trace. The script uses the markers that this version of CPython fires.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Script {
    /// The tool to write a script for
    tool: Tool,

    /// The Python: a program, a libpython, or the PID of a process [default: python3]
    #[arg(value_name = "PYTHON", default_value = "python3", hide_default_value = true)]
    python: OsString,

    /// Groups of events to capture, separated by commas: function, line, gc, import, audit
    ///
    /// [default: function,gc,import]
    #[arg(
        long,
        value_name = "GROUPS",
        value_delimiter = ',',
        value_parser = parse_group,
        default_values_t = MarkerGroup::DEFAULT,
        hide_default_value = true
    )]
    markers: Vec<MarkerGroup>,
}

const EXAMPLES: &str = "\
Example:
  pyrec script bpftrace python3 > capture.bt";

/// The tool that runs the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// DTrace on macOS, FreeBSD, illumos or Linux
    Dtrace,
    /// SystemTap
    Stap,
    /// Probe points for your own SystemTap scripts: python.function.entry and so on
    Tapset,
    /// bpftrace
    Bpftrace,
}

impl Script {
    /// Prints the script.
    pub fn run(self) -> Result<ExitCode> {
        let python = python(&self.python, self.markers)?;
        let script = match self.tool {
            Tool::Dtrace => dtrace(&python),
            Tool::Stap => stap(&python),
            Tool::Tapset => tapset(&python),
            Tool::Bpftrace => bpftrace(&python),
        };
        print(|out| out.write_all(script.as_bytes()).map_err(pyrec_analyzer::Error::Write))
    }
}

/// The markers of a Python, as its file has them. Groups without markers are left out, with a
/// message.
#[cfg(feature = "record")]
fn python(name: &std::ffi::OsStr, requested: Vec<MarkerGroup>) -> Result<TargetPython> {
    use pyrec_recorder::listing::{FiringCondition, of_process, of_program};

    let listing = match name.to_str().and_then(|pid| pid.parse().ok()) {
        Some(pid) => of_process(pid)?,
        None => of_program(name)?,
    };
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let version = listing.version.map(|version| version.to_string());
    let fires =
        |name: &str| listing.markers.iter().find(|marker| marker.name == name).map(|marker| marker.fires);
    let (groups, absent): (Vec<MarkerGroup>, Vec<MarkerGroup>) = requested.into_iter().partition(|group| {
        group
            .markers()
            .iter()
            .all(|marker| fires(marker.name()).is_some_and(|fires| fires != FiringCondition::Never))
    });
    let program = text(&listing.program);
    let names =
        |groups: &[MarkerGroup]| groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(", ");
    if groups.is_empty() {
        anyhow::bail!(
            "{program} has no static markers for {}; record with the agent instead: pyrec record CMD",
            names(&absent)
        );
    }
    if !absent.is_empty() {
        print_message(format_args!(
            "{program} has no static markers for {}, so they are left out",
            names(&absent)
        ));
    }
    Ok(TargetPython {
        library: (listing.interpreter != listing.program).then(|| text(&listing.interpreter)),
        program,
        version,
        groups,
        entry_needs_line: fires("function__entry") == Some(FiringCondition::WithLine),
    })
}

/// All requested groups: this build cannot read the markers of a file.
#[cfg(not(feature = "record"))]
fn python(name: &std::ffi::OsStr, groups: Vec<MarkerGroup>) -> Result<TargetPython> {
    let program = name.to_string_lossy().into_owned();
    Ok(TargetPython { program, library: None, version: None, groups, entry_needs_line: true })
}
