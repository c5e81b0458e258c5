//! `pyrec diff`: what changed between two versions of a program, or two runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::measure::diff::{Diff as Differences, Rename};
use pyrec_analyzer::report;
use pyrec_schema::Trace;

use crate::input::{DEFAULT, Filters, rows};
use crate::output::print;

/// What the recording before the last one is kept as.
const DEFAULT_OLD: &str = "pyrec.old.parquet";

/// Rows that fit a screen.
const SCREEN: usize = 30;

/// Compare recordings: calls exactly, times by evidence
#[derive(Debug, Args)]
pub struct Diff {
    /// The two recordings [default: pyrec.old.parquet pyrec.parquet]
    #[arg(value_name = "OLD NEW", num_args = 2, conflicts_with_all = ["old", "new"])]
    pair: Vec<PathBuf>,

    /// Several old runs, so that times can be judged
    #[arg(long, value_name = "TRACE", num_args = 1.., requires = "new")]
    old: Vec<PathBuf>,

    /// Several new runs
    #[arg(long, value_name = "TRACE", num_args = 1.., requires = "old")]
    new: Vec<PathBuf>,

    /// A name that moved: `shop.cart=shop.basket`, `shop:Cart.add=shop:Basket.add`
    #[arg(long = "map", value_name = "OLD=NEW")]
    renames: Vec<Rename>,

    /// Compare what cannot be compared, such as other versions of Python
    #[arg(long)]
    force: bool,

    /// At most N rows, or all with 0 [default: 30]
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Diff {
    /// Prints the differences.
    pub fn run(self) -> Result<ExitCode> {
        let [old, new] = self.traces()?;
        let diff = Differences::read(&old, &new, &self.filters.into(), &self.renames)?;
        if !diff.comparability.is_comparable() && !self.force {
            let reasons = diff.comparability.reasons.join("; ");
            bail!("these recordings cannot be compared: {reasons}; --force compares them all the same");
        }
        let options = report::diff::Options { rows: rows(self.rows, self.json, SCREEN) };
        print(|out| match self.json {
            true => report::diff::write_json(&diff, out),
            false => report::diff::write(&diff, &options, out),
        })
    }

    /// The runs of both sides.
    fn traces(&self) -> Result<[Vec<Trace>; 2]> {
        let [old, new] = match (&self.pair[..], &self.old[..], &self.new[..]) {
            ([old, new], _, _) => [vec![old.as_path()], vec![new.as_path()]],
            (_, [], []) => [vec![Path::new(DEFAULT_OLD)], vec![Path::new(DEFAULT)]],
            (_, old, new) => [old, new].map(|side| side.iter().map(PathBuf::as_path).collect()),
        };
        for default in [DEFAULT_OLD, DEFAULT] {
            let is_default = old.iter().chain(&new).any(|path| *path == Path::new(default));
            if is_default && !Path::new(default).exists() {
                bail!("there is no {default} here; `pyrec record` twice makes both, or name two recordings");
            }
        }
        let open = |side: Vec<&Path>| -> Result<Vec<Trace>> {
            side.into_iter().map(|path| Ok(Trace::open(&[path])?)).collect()
        };
        Ok([open(old)?, open(new)?])
    }
}
