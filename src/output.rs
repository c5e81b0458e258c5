//! Where reports go.

use std::io::{BufWriter, IsTerminal, StdoutLock, Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
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
