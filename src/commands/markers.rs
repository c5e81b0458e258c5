//! `pyrec markers`: the static markers of a Python.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::Printable;
use pyrec_recorder::listing::{self, FiringCondition, MarkerListing, MarkerSite};
use serde_json::{Value, json};

use crate::output::print;

/// List the static markers of the Pythons on this machine
///
/// Prints a line for each location of each marker: its address in the file, its semaphore, the
/// registers and memory that hold its arguments, and whether this version of CPython fires it.
/// Without an argument, lists the Pythons that are running, on the PATH, or in the usual
/// directories.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Markers {
    /// A Python, a script with a `#!` line, a libpython, or the PID of a process
    #[arg(value_name = "BINARY|PID")]
    python: Option<OsString>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pyrec markers
  pyrec markers /usr/bin/python3";

impl Markers {
    /// Prints the list.
    pub fn run(self) -> Result<ExitCode> {
        let listings = match self.python {
            None => listing::all_pythons(),
            Some(python) => match python.to_str().and_then(|pid| pid.parse().ok()) {
                Some(pid) => vec![listing::of_process(pid)?],
                None => vec![listing::of_program(&python)?],
            },
        };
        if listings.is_empty() {
            bail!("there is no Python here; give the path of one: pyrec markers /opt/python/bin/python3");
        }
        print(|out| if self.json { write_json(&listings, out) } else { write(&listings, out) })
    }
}

fn write(listings: &[MarkerListing], out: &mut impl Write) -> io::Result<()> {
    for (index, listing) in listings.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_listing(listing, out)?;
    }
    Ok(())
}

fn write_listing(listing: &MarkerListing, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", Printable(&title(listing)))?;
    let Some(first) = listing.absent.first().filter(|_| listing.markers.is_empty()) else {
        let rows: Vec<[String; 5]> = listing.markers.iter().map(row).collect();
        write_table(&rows, out)?;
        for absent in &listing.absent {
            writeln!(out, "  no python:{}: {}", absent.marker, absent.advice)?;
        }
        return Ok(());
    };
    writeln!(out, "  no markers: {}", first.advice)
}

fn title(listing: &MarkerListing) -> String {
    let version = match listing.version {
        Some(version) => format!("CPython {version}"),
        None => "CPython of an unknown version".into(),
    };
    let library = match listing.interpreter == listing.program {
        true => String::new(),
        false => format!(", in {}", listing.interpreter.display()),
    };
    let processes = match listing.processes.as_slice() {
        [] => String::new(),
        [pid] => format!(", process {pid}"),
        [pid, rest @ ..] => format!(", process {pid} and {} more", rest.len()),
    };
    format!("{}: {version}{library}{processes}", listing.program.display())
}

/// The maximum width of a column in characters. Longer cells overflow.
const MAX_WIDTH: usize = 120;

const HEADINGS: [&str; 5] = ["MARKER", "ADDRESS", "SEMAPHORE", "ARGUMENTS", "FIRES"];

fn row(marker: &MarkerSite) -> [String; 5] {
    let fires = match (marker.fires, marker.recorded) {
        (FiringCondition::Always, true) => "yes",
        (FiringCondition::WithLine, true) => "while line is on, which pyrec ensures",
        (FiringCondition::WithLine, false) => "while line is on",
        (FiringCondition::Always, false) => {
            "yes, but pyrec cannot read it in this build: use --provider agent"
        }
        (FiringCondition::Never, _) => "never: CPython has no code path to it",
        (FiringCondition::Unknown, _) => "unknown",
    };
    let semaphore = marker.semaphore.map_or_else(|| "-".into(), |address| format!("{address:#x}"));
    let name = format!("python:{}", Printable(&marker.name));
    [
        name,
        format!("{:#x}", marker.address),
        semaphore,
        Printable(&marker.arguments).to_string(),
        fires.into(),
    ]
}

/// Writes columns as wide as their longest cell, with numbers aligned to the right.
fn write_table(rows: &[[String; 5]], out: &mut impl Write) -> io::Result<()> {
    let headings = HEADINGS.map(String::from);
    let lines = || std::iter::once(&headings).chain(rows);
    let widths: [usize; 5] =
        std::array::from_fn(|column| lines().map(|row| row[column].len().min(MAX_WIDTH)).max().unwrap_or(0));
    for [name, address, semaphore, arguments, fires] in lines() {
        let [a, b, c, d, _] = widths;
        writeln!(out, "  {name:<a$}  {address:>b$}  {semaphore:>c$}  {arguments:<d$}  {fires}")?;
    }
    Ok(())
}

fn write_json(listings: &[MarkerListing], out: &mut impl Write) -> io::Result<()> {
    let pythons: Vec<Value> = listings.iter().map(listing_json).collect();
    serde_json::to_writer_pretty(&mut *out, &json!({ "pythons": pythons }))?;
    writeln!(out)
}

fn listing_json(listing: &MarkerListing) -> Value {
    let markers = listing.markers.iter().map(|marker| {
        json!({
            "provider": "python",
            "marker": marker.name,
            "address": marker.address,
            "semaphore": marker.semaphore,
            "arguments": marker.arguments,
            "fires": match marker.fires {
                FiringCondition::Always => "yes",
                FiringCondition::WithLine => "with line",
                FiringCondition::Never => "no",
                FiringCondition::Unknown => "unknown",
            },
            "recorded": marker.recorded,
        })
    });
    let absent = listing
        .absent
        .iter()
        .map(|absent| json!({ "marker": absent.marker.name(), "advice": absent.advice }));
    json!({
        "program": listing.program.to_string_lossy(),
        "interpreter": listing.interpreter.to_string_lossy(),
        "version": listing.version.map(|version| version.to_string()),
        "processes": listing.processes,
        "groups": listing.groups.iter().map(|group| group.name()).collect::<Vec<_>>(),
        "markers": markers.collect::<Vec<_>>(),
        "absent": absent.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn listing(markers: Vec<MarkerSite>) -> MarkerListing {
        MarkerListing {
            program: "/usr/bin/python3".into(),
            interpreter: PathBuf::from("/usr/bin/python3"),
            version: None,
            processes: vec![7, 9],
            markers,
            absent: vec![],
            groups: vec![],
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let marker = |name: &str, semaphore| MarkerSite {
            name: name.into(),
            address: 0x42ec0f,
            semaphore,
            arguments: "8@%r14".into(),
            fires: FiringCondition::Always,
            recorded: true,
        };
        let markers = vec![marker("line", Some(0xa7ed4c)), marker("audit", None)];
        let mut text = Vec::new();
        write(&[listing(markers)], &mut text).expect("a write to a vector succeeds");
        let expected = "\
/usr/bin/python3: CPython of an unknown version, process 7 and 1 more
  MARKER         ADDRESS  SEMAPHORE  ARGUMENTS  FIRES
  python:line   0x42ec0f   0xa7ed4c  8@%r14     yes
  python:audit  0x42ec0f          -  8@%r14     yes
";
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }
}
