//! `pyrec share`: a recording for others.

mod fit;
mod key;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::measure::Trust;
use pyrec_analyzer::report;
use pyrec_analyzer::share::{LocalIdentity, SourcePolicy, TraceRedactor};
use pyrec_analyzer::{CallTree, Error, Filter};

use self::fit::{Fit, fit};
use crate::input::{Input, Part};
use crate::output::print;
use crate::size::parse_size;

/// Make a small file of a recording to send, without names of people and machines
///
/// The file is a .zip, as GitHub and mail take it, with a page in it that says how to open it. Every pyrec command
/// reads it as it is.
#[derive(Debug, Args)]
pub struct Share {
    #[command(flatten)]
    input: Input,

    /// Print what would be removed, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Share what fits into SIZE, the last of what is asked for: `25MB`, `10MiB`
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,

    /// Share the text of every file that ran, not only of those below the program's directory
    #[arg(long)]
    with_sources: bool,

    /// Share the text of no file
    #[arg(long, conflicts_with = "with_sources")]
    no_sources: bool,

    /// Replace the file if there is one
    #[arg(short = 'f', long)]
    force: bool,

    /// Only what happens inside calls of this function
    #[arg(long, value_name = "FUNC", help_heading = "Filters")]
    root: Option<Pattern>,

    #[command(flatten)]
    part: Part,

    /// The file to write
    #[arg(value_name = "OUT.zip", default_value = "pyrec.zip")]
    out: PathBuf,
}

impl Share {
    /// Writes the file, unless something that was removed is still in it.
    pub fn run(self) -> Result<ExitCode> {
        let name = self.out.display().to_string();
        if self.out.extension().is_none_or(|extension| extension != "zip") {
            bail!("{name} does not end in .zip, as those who get it expect; name another file");
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
        let filter = Filter { root: self.root, ..self.part.into() };
        let share = TraceRedactor::new(&trace, filter, sources, key::key()?, &here(), report::share::README)?;
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
            Ok(writeln!(out, "send {name}; whoever gets it types `pyrec info -i {name}`")?)
        })
    }
}

/// Writes the file beside its place first, and looks through it there.
fn write(
    share: &TraceRedactor,
    max_bytes: Option<u64>,
    out: &Path,
    force: bool,
) -> Result<(pyrec_analyzer::share::ShareSummary, u64)> {
    let name = out.display();
    let cannot = |error: std::io::Error| anyhow!("cannot write {name}: {error}");
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new().prefix(".pyrec-share-").tempdir_in(folder).map_err(cannot)?;
    let Fit { path, written, .. } = fit(share, max_bytes, scratch.path())?;
    let page = report::share::readme(&written);
    let zip = tempfile::NamedTempFile::new_in(scratch.path()).map_err(cannot)?;
    pyrec_schema::write_zip(&path, &page, zip.reopen().map_err(cannot)?).map_err(cannot)?;
    if let Some(leak) = share.find_leak(zip.path(), &page)? {
        let pyrec_analyzer::share::Leak { secret, location } = leak;
        let (kind, text) = (secret.kind.name(), report::printable(&secret.text));
        bail!("the {kind} {text} would still be in {location}, so {name} is not written; please report that");
    }
    let bytes = zip.as_file().metadata().map_err(cannot)?.len();
    let persisted = if force { zip.persist(out) } else { zip.persist_noclobber(out) };
    persisted.map_err(|error| cannot(error.error))?;
    Ok((written, bytes))
}

/// Who shares: what was recorded on another machine may name its user, and here there is one more.
fn here() -> LocalIdentity {
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
