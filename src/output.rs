//! Where reports go.

use std::io::{BufWriter, StdoutLock, Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use pyrec_analyzer::Error;

/// Standard output, in large pieces.
pub type Output = BufWriter<StdoutLock<'static>>;

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
