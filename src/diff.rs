//! `pyrec diff`: what changed between two versions of a program, or two runs.

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

use crate::input::{DEFAULT, Filters, PREVIOUS, rows};
use crate::on_disk::has_changed;
use crate::output::{colours, print, save, spare_recording};

/// Rows that fit a screen.
const SCREEN: usize = 30;

/// Places where runs part that fit a screen, and the most that are told at all.
const PLACES: usize = 3;
const MOST_PLACES: usize = 10_000;

/// A gate that failed.
const GATE: u8 = 2;

/// Compare recordings: calls exactly, times by evidence
#[derive(Debug, Args)]
pub struct Diff {
    /// The two recordings [default: pyrec.old.parquet pyrec.parquet]
    #[arg(value_names = ["OLD", "NEW"], num_args = 2, conflicts_with_all = ["old", "new"])]
    pair: Vec<PathBuf>,

    /// Several old runs, so that times can be judged
    #[arg(long, value_name = "TRACE", num_args = 1.., requires = "new")]
    old: Vec<PathBuf>,

    /// Several new runs
    #[arg(long, value_name = "TRACE", num_args = 1.., requires = "old")]
    new: Vec<PathBuf>,

    /// What the rows are
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    view: View,

    /// At most N rows, or all with 0 [default: 30; 3 places]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// A name that moved: `shop.cart=shop.basket`, `shop:Cart.add=shop:Basket.add`
    #[arg(long = "map", value_name = "OLD=NEW")]
    renames: Vec<Rename>,

    /// Exit with 2 if something grew: `calls:parse_*:+0%`, `self:+10%`, `hits:app.py:+0%`
    #[arg(long = "fail-on", value_name = "RULE")]
    rules: Vec<Rule>,

    /// Compare what cannot be compared, such as other versions of Python
    #[arg(long)]
    force: bool,

    /// Show where two runs part: the calls that only one of them makes, in their order
    #[arg(long, conflicts_with_all = ["old", "new", "view", "rules", "flame", "heat", "markdown", "time", "min_time"])]
    divergence: bool,

    /// Draw both sides as one flame graph: red is more, blue is less or gone
    #[arg(long, value_name = "OUT.svg", conflicts_with_all = ["json", "markdown"])]
    flame: Option<PathBuf>,

    /// Show both sides line by line, as a page: red is more, blue is less or gone
    #[arg(long, value_name = "OUT.html", conflicts_with_all = ["flame", "json", "markdown"])]
    heat: Option<PathBuf>,

    /// Print JSON
    #[arg(long, conflicts_with = "view")]
    json: bool,

    /// Print Markdown for a pull request
    #[arg(long, conflicts_with_all = ["json", "view"])]
    markdown: bool,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum View {
    /// Functions
    #[default]
    Functions,
    /// Call paths
    Tree,
    /// Lines, where they were recorded
    Lines,
    /// Imports
    Imports,
    /// Garbage collections
    Gc,
}

impl Diff {
    /// Prints the differences. The exit status says whether a rule broke.
    pub fn run(self) -> Result<ExitCode> {
        let [old, new] = self.traces()?;
        if self.divergence {
            return self.part(&old, &new);
        }
        let diff = Differences::read(&old, &new, &self.options())?;
        self.may_compare(&diff.comparability)?;
        let breaches = self.rules.iter().map(|rule| rule.breaches(&diff));
        let breaches: Vec<Breach> = breaches.collect::<Result<Vec<_>, _>>()?.concat();
        self.report(&diff, &breaches, &new)?;
        for breach in &breaches {
            eprintln!("pyrec: the rule {}", report::breach(breach));
        }
        Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(GATE) })
    }

    /// Prints where the first of the old runs and the first of the new ones part.
    fn part(self, old: &[Trace], new: &[Trace]) -> Result<ExitCode> {
        let ([old, ..], [new, ..]) = (old, new) else {
            bail!("there are no two recordings; name OLD and NEW")
        };
        let sources = [Sources::read(old)?, Sources::read(new)?];
        let sources = sources.each_ref();
        let most = rows(self.rows, self.json, PLACES).unwrap_or(MOST_PLACES);
        let filter = self.filters.clone().into();
        let divergences = Divergences::read([old, new], sources, &filter, &self.renames, most)?;
        self.may_compare(&divergences.comparability)?;
        let options = divergence::DivergenceOptions { sources, colours: colours() };
        print(|out| match self.json {
            true => divergence::write_json(&divergences, out),
            false => divergence::write(&divergences, &options, out),
        })
    }

    /// Refuses what cannot be compared, unless it is to be compared all the same.
    fn may_compare(&self, comparability: &Comparability) -> Result<()> {
        if comparability.is_comparable() || self.force {
            return Ok(());
        }
        if self.json {
            print(|out| report::write_refusal(comparability, out))?;
        }
        bail!(report::refusal(comparability))
    }

    fn report(&self, diff: &Differences, breaches: &[Breach], new: &[Trace]) -> Result<ExitCode> {
        let rows = rows(self.rows, self.json, SCREEN);
        if self.json {
            return print(|out| report::write_json(diff, breaches, out));
        }
        if self.markdown {
            return print(|out| report::write_markdown(diff, rows, breaches, out));
        }
        let Some(path) = self.flame.as_ref().or(self.heat.as_ref()) else {
            return print(|out| report::write(diff, &self.table(rows), out));
        };
        spare_recording(path, "name the recordings before --flame or --heat, and a picture after it")?;
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
            report::write(diff, &self.table(rows), out)?;
            Ok(writeln!(out, "open {name} in a browser")?)
        })
    }

    fn table(&self, rows: Option<usize>) -> report::DiffTableOptions {
        let view = match self.view {
            View::Functions => report::DiffView::Functions,
            View::Tree => report::DiffView::Tree,
            View::Lines => report::DiffView::Lines,
            View::Imports => report::DiffView::Imports,
            View::Gc => report::DiffView::Gc,
        };
        report::DiffTableOptions { view, rows }
    }

    /// What must be read for what was asked for.
    fn options(&self) -> DiffOptions {
        let needs = |is_needed: fn(&Rule) -> bool| self.json || self.rules.iter().any(is_needed);
        DiffOptions {
            filter: self.filters.clone().into(),
            renames: self.renames.clone(),
            lines: self.view == View::Lines || self.heat.is_some() || needs(Rule::needs_lines),
            imports: self.view == View::Imports || needs(Rule::needs_imports),
            gc: self.view == View::Gc || needs(Rule::needs_gc),
        }
    }

    /// The runs of both sides.
    fn traces(&self) -> Result<[Vec<Trace>; 2]> {
        let [old, new] = match (&self.pair[..], &self.old[..], &self.new[..]) {
            ([old, new], _, _) => [vec![old.as_path()], vec![new.as_path()]],
            (_, [], []) => [vec![default(PREVIOUS)?], vec![default(DEFAULT)?]],
            (_, old, new) => [old, new].map(|side| side.iter().map(PathBuf::as_path).collect()),
        };
        let open = |side: Vec<&Path>| -> Result<Vec<Trace>> {
            side.into_iter().map(|path| Ok(Trace::open(&[path])?)).collect()
        };
        Ok([open(old)?, open(new)?])
    }
}

/// A recording that nobody named, so it must be here.
fn default(name: &'static str) -> Result<&'static Path> {
    if !Path::new(name).exists() {
        bail!(
            "there is no {name} here; `pyrec record` makes it when it is run twice, or name two recordings"
        );
    }
    Ok(Path::new(name))
}

/// What was run, and which files are others here and now than those that the new side ran.
fn page_options(diff: &Differences, new: &[Trace]) -> report::DiffPageOptions {
    let command = new.first().map(|trace| trace.manifest().command.clone()).unwrap_or_default();
    let is_changed =
        |file: &&FileDiff| match (&file.new_file, diff.alignment.executed_text(file.file_id, Side::New)) {
            (Some(path), ExecutedText::Known(ran)) => has_changed(path, ran),
            _ => false,
        };
    let changed = diff.files.iter().filter(is_changed).map(|file| file.file_id).collect();
    report::DiffPageOptions { command, changed }
}
