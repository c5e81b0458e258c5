//! `pyrec script`: capture scripts for the classic tools.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use pyrec_classic::script::{TargetPython, bpftrace, dtrace, stap, tapset};
use pyrec_schema::MarkerGroup;

use crate::input::group;
use crate::output::print;

/// Write a capture script for DTrace, SystemTap or bpftrace
///
/// It goes to standard output, and says in its first lines how to use it. What it prints when it runs, `pyrec import`
/// reads. It asks for the markers that this version of CPython really fires.
#[derive(Debug, Args)]
pub struct Script {
    /// For which tool
    tool: Tool,

    /// The Python: a program, a libpython, or the number of a process [default: python3]
    #[arg(value_name = "PYTHON", default_value = "python3", hide_default_value = true)]
    python: OsString,

    /// What to capture: function, line, gc, import, audit, separated by commas
    ///
    /// [default: function,gc,import]
    #[arg(
        long,
        value_name = "GROUPS",
        value_delimiter = ',',
        value_parser = group,
        default_values_t = MarkerGroup::DEFAULT,
        hide_default_value = true
    )]
    markers: Vec<MarkerGroup>,
}

/// What a script can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// DTrace: macOS, FreeBSD, illumos, Linux
    Dtrace,
    /// SystemTap
    Stap,
    /// SystemTap's probe points for scripts of your own: python.function.entry and so on
    Tapset,
    /// bpftrace
    Bpftrace,
}

impl Script {
    /// Prints it.
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

/// What the script has to know of it. What it has no markers for is told, and left out.
#[cfg(feature = "record")]
fn python(name: &std::ffi::OsStr, wanted: Vec<MarkerGroup>) -> Result<TargetPython> {
    use pyrec_recorder::listing::{Fires, of_process, of_program};

    let listing = match name.to_str().and_then(|pid| pid.parse().ok()) {
        Some(pid) => of_process(pid)?,
        None => of_program(name)?,
    };
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let version = listing.version.map(|version| version.to_string());
    let fires =
        |name: &str| listing.markers.iter().find(|marker| marker.name == name).map(|marker| marker.fires);
    let (groups, absent): (Vec<MarkerGroup>, Vec<MarkerGroup>) = wanted.into_iter().partition(|group| {
        group.markers().iter().all(|marker| fires(marker.name()).is_some_and(|fires| fires != Fires::Never))
    });
    let program = text(&listing.program);
    let names =
        |groups: &[MarkerGroup]| groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(", ");
    if groups.is_empty() {
        anyhow::bail!(
            "{program} has no static markers for {}; record it from inside: pyrec record CMD",
            names(&absent)
        );
    }
    if !absent.is_empty() {
        eprintln!("pyrec: {program} has no static markers for {}, so they are left out", names(&absent));
    }
    Ok(TargetPython {
        library: (listing.interpreter != listing.program).then(|| text(&listing.interpreter)),
        program,
        version,
        groups,
        entry_needs_line: fires("function__entry") == Some(Fires::WithLine),
    })
}

/// This build cannot look at it, so the script asks for everything that it might have.
#[cfg(not(feature = "record"))]
fn python(name: &std::ffi::OsStr, groups: Vec<MarkerGroup>) -> Result<TargetPython> {
    let program = name.to_string_lossy().into_owned();
    Ok(TargetPython { program, library: None, version: None, groups, entry_needs_line: true })
}
