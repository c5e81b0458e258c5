//! `pyrec doctor`: checks whether recording works on this machine.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use pyrec_analyzer::Printable;
use pyrec_recorder::doctor::{self, Check, Diagnosis, PythonSupport, Verdict};
use serde_json::json;

use crate::output::{print, use_colours};

/// Check what can be recorded here, and how to enable the rest
///
/// Checks the kernel, your privileges, the relevant settings and every Python, and attaches a probe
/// to itself as a test. The exit status is 0 if a Python on this machine can be recorded, else 1.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pyrec doctor
  sudo pyrec doctor";

impl Doctor {
    /// Prints the checks and the Pythons.
    pub fn run(self) -> Result<ExitCode> {
        let diagnosis = doctor::diagnose();
        let paint = Paint(!self.json && use_colours());
        print(|out| if self.json { write_json(&diagnosis, out) } else { write(&diagnosis, paint, out) })?;
        Ok(if diagnosis.works() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Styles text for a terminal; without colours if false.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn mark(self, verdict: Verdict) -> String {
        let (sign, colour) = match verdict {
            Verdict::Fine => ("✓", 32),
            Verdict::Limited => ("!", 33),
            Verdict::Failing => ("✗", 31),
        };
        if self.0 { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.into() }
    }

    fn faint(self, text: &str) -> String {
        if self.0 { format!("\x1b[2m{text}\x1b[0m") } else { text.into() }
    }
}

fn write(diagnosis: &Diagnosis, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    for Check { name, verdict, found, remedy } in &diagnosis.checks {
        writeln!(out, "{} {name:<13}  {found}", paint.mark(*verdict))?;
        write_remedy(remedy.as_deref(), paint, out)?;
    }
    writeln!(out)?;
    for python in &diagnosis.pythons {
        write_python(python, paint, out)?;
    }
    match diagnosis.works() {
        true => writeln!(out, "\nRecording works: pyrec record CMD"),
        false => writeln!(out, "\nRecording does not work: no Python was found that can be recorded"),
    }
}

fn write_remedy(remedy: Option<&str>, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    match remedy {
        Some(remedy) => writeln!(out, "  {:<13}  {}", "", paint.faint(&format!("→ {remedy}"))),
        None => Ok(()),
    }
}

fn write_python(python: &PythonSupport, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let PythonSupport { listing, launched, attached, remedy } = python;
    let verdict = verdict(python);
    let version = listing.version.map_or_else(|| "Python".into(), |version| version.to_string());
    let (launched, attached) = (launched.unwrap_or("not possible"), attached.unwrap_or("not possible"));
    let groups: Vec<&str> = listing.groups.iter().map(|group| group.name()).collect();
    let markers = if groups.is_empty() { "none".into() } else { groups.join(",") };
    let program = listing.program.to_string_lossy();
    let program = Printable(&program);
    writeln!(out, "{} {version:<13}  {program}", paint.mark(verdict))?;
    writeln!(
        out,
        "  {:<13}  when pyrec starts it: {launched}; when it is running: {attached}; markers: {markers}",
        ""
    )?;
    write_remedy(remedy.as_deref(), paint, out)
}

fn verdict(python: &PythonSupport) -> Verdict {
    match (python.launched, python.attached) {
        (Some(_), Some(_)) => Verdict::Fine,
        (None, None) => Verdict::Failing,
        _ => Verdict::Limited,
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fine => "fine",
        Verdict::Limited => "limited",
        Verdict::Failing => "failing",
    }
}

fn write_json(diagnosis: &Diagnosis, out: &mut impl Write) -> io::Result<()> {
    let check = |check: &Check| {
        let Check { name, verdict, found, remedy } = check;
        json!({ "name": name, "verdict": verdict_name(*verdict), "found": found, "remedy": remedy })
    };
    let python = |python: &PythonSupport| {
        let PythonSupport { listing, launched, attached, remedy } = python;
        json!({
            "program": listing.program.to_string_lossy(),
            "version": listing.version.map(|version| version.to_string()),
            "processes": listing.processes,
            "groups": listing.groups.iter().map(|group| group.name()).collect::<Vec<_>>(),
            "verdict": verdict_name(verdict(python)),
            "launched": launched,
            "attached": attached,
            "remedy": remedy,
        })
    };
    let report = json!({
        "works": diagnosis.works(),
        "checks": diagnosis.checks.iter().map(check).collect::<Vec<_>>(),
        "pythons": diagnosis.pythons.iter().map(python).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}
