//! `pyrec share`: a copy of a trace without personal names.

mod size_limit;
mod token_key;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::Trust;
use pyrec_analyzer::report;
use pyrec_analyzer::share::{Leak, LocalIdentity, ShareSummary, SourcePolicy, TraceRedactor};
use pyrec_analyzer::{CallTree, Error, Filter};

use self::size_limit::{Slice, write_within};
use crate::input::{InputArgs, RangeFilterArgs};
use crate::output::print;
use crate::size_or_duration::parse_size;

/// Write a small copy to send, without names of people and machines
///
/// The copy is a .zip file, for bug trackers and mail, and contains a page that explains how to
/// open it. All pyrec commands read it. Names of users, machines and directories, and arguments of
/// programs, are replaced by tokens. Example: `pyrec share --max-size 25MB bug.zip`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Share {
    #[command(flatten)]
    input: InputArgs,

    /// Print what would be removed, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Share the last part that fits in SIZE: `25MB`, `10MiB`
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,

    /// Include the source text of every file that ran, not only of those below the program's
    /// directory
    #[arg(long)]
    with_sources: bool,

    /// Include no source text
    #[arg(long, conflicts_with = "with_sources")]
    no_sources: bool,

    /// Replace OUT.zip if it exists
    #[arg(short = 'f', long)]
    force: bool,

    /// Only what happens inside calls of this function
    #[arg(long, value_name = "FUNC", help_heading = "Filters")]
    root: Option<Pattern>,

    /// The file to write
    #[arg(value_name = "OUT.zip", default_value = "pyrec.zip")]
    out: PathBuf,

    #[command(flatten)]
    range: RangeFilterArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec share --dry-run
  pyrec share --max-size 25MB bug.zip";

impl Share {
    /// Writes the file, unless a scan finds a removed name in it.
    pub fn run(self) -> Result<ExitCode> {
        let name = self.out.display().to_string();
        if self.out.extension().is_none_or(|extension| extension != "zip") {
            bail!("{name} does not end in .zip; name another file");
        }
        if !self.dry_run && !self.force && self.out.symlink_metadata().is_ok() {
            bail!("{name} exists; give -f to replace it, or name another file");
        }
        let trace = self.input.open()?;
        let sources = match (self.with_sources, self.no_sources) {
            (true, _) => SourcePolicy::All,
            (_, true) => SourcePolicy::None,
            _ => SourcePolicy::Project,
        };
        let filter = Filter { root: self.root, ..self.range.into() };
        let share = TraceRedactor::new(
            &trace,
            filter,
            sources,
            token_key::read_or_create()?,
            &local_names(),
            report::share::README,
        )?;
        if self.dry_run {
            let trust = Trust::of(&CallTree::read(&trace, &Filter::default())?);
            return print(|out| {
                report::share::write_redactions(share.secrets(), share.text_counts(), &trust, out)
            });
        }
        let (written, bytes) = write(&share, self.max_size, &self.out, self.force)?;
        print(|out| -> Result<(), Error> {
            writeln!(out, "{}", report::trust_line(&written.trust))?;
            let size = report::Bytes(bytes);
            writeln!(out, "{}: {size} in {name}", report::share::slice_description(&written))?;
            writeln!(out, "{}", report::share::redaction_summary(share.secrets()))?;
            Ok(writeln!(out, "send {name}; the recipient opens it with `pyrec info -i {name}`")?)
        })
    }
}

/// Writes the zip file: first to a temporary directory beside `out`, where it is scanned for
/// removed names, then to `out`. Returns what was written, and its size in bytes.
fn write(
    share: &TraceRedactor,
    max_bytes: Option<u64>,
    out: &Path,
    force: bool,
) -> Result<(ShareSummary, u64)> {
    let name = out.display();
    let write_error = |error: std::io::Error| anyhow!("cannot write {name}: {error}");
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary =
        tempfile::Builder::new().prefix(".pyrec-share-").tempdir_in(folder).map_err(write_error)?;
    let Slice { path, written, .. } = write_within(share, max_bytes, temporary.path())?;
    let page = report::share::readme(&written);
    let zip = tempfile::NamedTempFile::new_in(temporary.path()).map_err(write_error)?;
    pyrec_schema::write_zip(&path, &page, zip.reopen().map_err(write_error)?).map_err(write_error)?;
    if let Some(leak) = share.find_leak(zip.path(), &page)? {
        let Leak { secret, location } = leak;
        let (kind, text) = (secret.kind.name(), report::printable(&secret.text));
        bail!("the {kind} {text} is still in {location}, so {name} was not written; please report this bug");
    }
    let bytes = zip.as_file().metadata().map_err(write_error)?.len();
    let persisted = if force { zip.persist(out) } else { zip.persist_noclobber(out) };
    persisted.map_err(|error| write_error(error.error))?;
    Ok((written, bytes))
}

/// The names of this user and this machine. They are removed too: the trace may be from another
/// machine.
fn local_names() -> LocalIdentity {
    let variable = |names: &[&str]| {
        names.iter().find_map(|name| std::env::var(name).ok()).filter(|text| !text.is_empty())
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    LocalIdentity {
        user: variable(&["SUDO_USER", "USER", "LOGNAME", "USERNAME"]),
        home: variable(&["HOME", "USERPROFILE"]),
        host: host.or_else(|| variable(&["HOSTNAME", "COMPUTERNAME"])),
    }
}
