//! `pyrec diff`: changes between two versions of a program, or between two runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pyrec_analyzer::Error;
use pyrec_analyzer::measure::alignment::{ExecutedText, Rename, Side};
use pyrec_analyzer::measure::diff::{Breach, Diff as Differences, DiffOptions, FileDiff, Rule};
use pyrec_analyzer::measure::{Comparability, Divergences, Sources};
use pyrec_analyzer::report::{diff as report, divergence};
use pyrec_schema::Trace;

use crate::exit::GATE_FAILED;
use crate::input::{CallFilterArgs, DEFAULT_TRACE, PREVIOUS_TRACE, row_limit};
use crate::output::{print, print_message, refuse_to_replace_trace, save, use_colours};
use crate::source_on_disk::differs_on_disk;

const DEFAULT_ROWS: usize = 30;

/// The divergences that are printed by default.
const DEFAULT_DIVERGENCES: usize = 3;

/// The divergences that are printed at most, to bound memory.
const MAX_DIVERGENCES: usize = 10_000;

/// Compare two traces: calls exactly, times statistically
///
/// A change of times is reported where it exceeds the variation between runs, which needs several
/// runs of each side.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// The two traces [default: pyrec.old.parquet pyrec.parquet]
    #[arg(value_names = ["OLD", "NEW"], num_args = 2, conflicts_with_all = ["old", "new"])]
    pair: Vec<PathBuf>,

    /// Several old runs, which show how much times vary
    #[arg(long, value_name = "TRACE", num_args = 1.., requires = "new")]
    old: Vec<PathBuf>,

    /// Several new runs
    #[arg(long, value_name = "TRACE", num_args = 1.., requires = "old")]
    new: Vec<PathBuf>,

    /// What the rows of the table are
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    view: View,

    /// Print at most N rows, or divergences; 0 prints all [default: 30 rows, 3 divergences]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// A module or function that was renamed: `shop.cart=shop.basket`,
    /// `shop:Cart.add=shop:Basket.add`
    #[arg(long = "map", value_name = "OLD=NEW")]
    renames: Vec<Rename>,

    /// Exit with status 2 if a value grew by more than allowed: `calls:parse_*:+0%`, `self:+10%`,
    /// `hits:app.py:+0%`
    #[arg(long = "fail-on", value_name = "RULE")]
    rules: Vec<Rule>,

    /// Compare traces that differ in the version of Python or in how they were recorded
    #[arg(long)]
    force: bool,

    /// Show the divergences of two runs: the calls that only one of them made, in order
    #[arg(long, conflicts_with_all = ["old", "new", "view", "rules", "flame", "heat", "markdown", "time", "min_time"])]
    divergence: bool,

    /// Draw both sides as one flame graph: red grew, blue shrank or is gone
    #[arg(long, value_name = "OUT.svg", conflicts_with_all = ["json", "markdown"])]
    flame: Option<PathBuf>,

    /// Write a page with the source of both sides: red lines grew, blue lines shrank or are gone
    #[arg(long, value_name = "OUT.html", conflicts_with_all = ["flame", "json", "markdown"])]
    heat: Option<PathBuf>,

    /// Print JSON
    #[arg(long, conflicts_with = "view")]
    json: bool,

    /// Print Markdown, as a comment for a pull request
    #[arg(long, conflicts_with_all = ["json", "view"])]
    markdown: bool,

    #[command(flatten)]
    filters: CallFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec diff
  pyrec diff --fail-on calls:+0% before.parquet after.parquet
  pyrec diff --old a1.parquet a2.parquet a3.parquet --new b1.parquet b2.parquet b3.parquet";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum View {
    /// Functions
    #[default]
    Functions,
    /// Call paths
    Tree,
    /// Lines, if they were recorded
    Lines,
    /// Imports
    Imports,
    /// Garbage collections
    Gc,
}

impl Diff {
    /// Prints the differences. The exit status is 2 if a rule of `--fail-on` is broken.
    pub fn run(self) -> Result<ExitCode> {
        let [old, new] = self.traces()?;
        if self.divergence {
            return self.print_divergences(&old, &new);
        }
        let diff = Differences::read(&old, &new, &self.read_options())?;
        self.check_comparable(&diff.comparability)?;
        let breaches = self.rules.iter().map(|rule| rule.breaches(&diff));
        let breaches: Vec<Breach> = breaches.collect::<Result<Vec<_>, _>>()?.concat();
        self.print(&diff, &breaches, &new)?;
        for breach in &breaches {
            print_message(format_args!("the rule {}", report::breach(breach)));
        }
        Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(GATE_FAILED) })
    }

    /// Prints the divergences of the first old and the first new run.
    fn print_divergences(self, old: &[Trace], new: &[Trace]) -> Result<ExitCode> {
        let ([old, ..], [new, ..]) = (old, new) else {
            bail!("--divergence needs two traces; name OLD and NEW")
        };
        let sources = [Sources::read(old)?, Sources::read(new)?];
        let sources = sources.each_ref();
        let limit = row_limit(self.rows, self.json, DEFAULT_DIVERGENCES).unwrap_or(MAX_DIVERGENCES);
        let filter = self.filters.clone().into();
        let divergences = Divergences::read([old, new], sources, &filter, &self.renames, limit)?;
        self.check_comparable(&divergences.comparability)?;
        let options = divergence::DivergenceOptions { sources, colours: use_colours() };
        print(|out| match self.json {
            true => divergence::write_json(&divergences, out),
            false => divergence::write(&divergences, &options, out),
        })
    }

    /// Returns an error if the traces cannot be compared and `--force` is not given.
    fn check_comparable(&self, comparability: &Comparability) -> Result<()> {
        if comparability.is_comparable() || self.force {
            return Ok(());
        }
        if self.json {
            print(|out| report::write_refusal(comparability, out))?;
        }
        bail!(report::refusal(comparability))
    }

    fn print(&self, diff: &Differences, breaches: &[Breach], new: &[Trace]) -> Result<ExitCode> {
        let rows = row_limit(self.rows, self.json, DEFAULT_ROWS);
        if self.json {
            return print(|out| report::write_json(diff, breaches, out));
        }
        if self.markdown {
            return print(|out| report::write_markdown(diff, rows, breaches, out));
        }
        let Some(path) = self.flame.as_ref().or(self.heat.as_ref()) else {
            return print(|out| report::write(diff, &self.table_options(rows), out));
        };
        refuse_to_replace_trace(path, "name the traces before --flame or --heat, and a picture after it")?;
        let mut picture = Vec::new();
        match self.flame {
            Some(_) => report::write_flame(diff, &mut picture)?,
            None => report::write_page(diff, &page_options(diff, new), &mut picture)?,
        }
        if path == Path::new("-") {
            return print(|out| out.write_all(&picture));
        }
        save(path, &picture)?;
        let name = path.display();
        print(|out| -> Result<(), Error> {
            report::write(diff, &self.table_options(rows), out)?;
            Ok(writeln!(out, "open {name} in a browser")?)
        })
    }

    fn table_options(&self, rows: Option<usize>) -> report::DiffTableOptions {
        let view = match self.view {
            View::Functions => report::DiffView::Functions,
            View::Tree => report::DiffView::Tree,
            View::Lines => report::DiffView::Lines,
            View::Imports => report::DiffView::Imports,
            View::Gc => report::DiffView::Gc,
        };
        report::DiffTableOptions { view, rows }
    }

    /// The parts of the traces that the requested output and rules need.
    fn read_options(&self) -> DiffOptions {
        let needs = |rule_needs: fn(&Rule) -> bool| self.json || self.rules.iter().any(rule_needs);
        DiffOptions {
            filter: self.filters.clone().into(),
            renames: self.renames.clone(),
            lines: self.view == View::Lines || self.heat.is_some() || needs(Rule::needs_lines),
            imports: self.view == View::Imports || needs(Rule::needs_imports),
            gc: self.view == View::Gc || needs(Rule::needs_gc),
        }
    }

    /// Opens the runs of both sides, old and new.
    fn traces(&self) -> Result<[Vec<Trace>; 2]> {
        let [old, new] = match (&self.pair[..], &self.old[..], &self.new[..]) {
            ([old, new], _, _) => [vec![old.as_path()], vec![new.as_path()]],
            (_, [], []) => [vec![default_trace(PREVIOUS_TRACE)?], vec![default_trace(DEFAULT_TRACE)?]],
            (_, old, new) => [old, new].map(|side| side.iter().map(PathBuf::as_path).collect()),
        };
        let open = |side: Vec<&Path>| -> Result<Vec<Trace>> {
            side.into_iter().map(|path| Ok(Trace::open(&[path])?)).collect()
        };
        Ok([open(old)?, open(new)?])
    }
}

/// The path of a trace that is compared by default. An error if it does not exist.
fn default_trace(name: &'static str) -> Result<&'static Path> {
    if !Path::new(name).exists() {
        bail!("there is no {name} here; run `pyrec record` twice, or name two traces");
    }
    Ok(Path::new(name))
}

/// Options of the page: the recorded command, and the files whose text on disk is not that of the
/// new side.
fn page_options(diff: &Differences, new: &[Trace]) -> report::DiffPageOptions {
    let command = new.first().map(|trace| trace.manifest().command.clone()).unwrap_or_default();
    let differs =
        |file: &&FileDiff| match (&file.new_file, diff.alignment.executed_text(file.file_id, Side::New)) {
            (Some(path), ExecutedText::Known(recorded)) => differs_on_disk(path, recorded),
            _ => false,
        };
    let changed = diff.files.iter().filter(differs).map(|file| file.file_id).collect();
    report::DiffPageOptions { command, changed }
}
