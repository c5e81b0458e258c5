//! Where reports go.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal, StdoutLock, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use pyrec_analyzer::Error;

/// Standard output, in large pieces.
pub type Output = BufWriter<StdoutLock<'static>>;

/// Whether somebody looks at standard output who wants colours: `NO_COLOR`, unless it is empty, says that nobody does.
pub fn colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Lets a report write itself to standard output.
pub fn print<E>(report: impl FnOnce(&mut Output) -> Result<(), E>) -> Result<ExitCode>
where
    Error: From<E>,
{
    let mut out = BufWriter::new(stdout().lock());
    report(&mut out).map_err(Error::from)?;
    out.flush().map_err(Error::Write)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a file to write to; one that is there already is replaced only by force.
pub fn create(path: &Path, force: bool) -> Result<File> {
    let name = path.display();
    let mut options = File::options();
    options.write(true).create_new(!force).create(true).truncate(true);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!("{name} exists; give -f to replace it, or name another file"),
        _ => anyhow!("cannot write {name}: {error}"),
    })
}
