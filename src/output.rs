//! Output of the commands: reports on standard output, messages on standard error, files.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, IsTerminal, StdoutLock, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use pyrec_analyzer::measure::Trust;
use pyrec_analyzer::{Error, report};

/// Standard output, locked and buffered.
pub type Output = BufWriter<StdoutLock<'static>>;

/// Whether to print in colours: standard output is a terminal, and `NO_COLOR` is unset or empty.
pub fn use_colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a report to standard output.
pub fn print<E>(report: impl FnOnce(&mut Output) -> Result<(), E>) -> Result<ExitCode>
where
    Error: From<E>,
{
    let mut out = BufWriter::new(stdout().lock());
    report(&mut out).map_err(Error::from)?;
    out.flush().map_err(Error::Write)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a line to standard error, after `pyrec: `. A write error is ignored: the terminal may be
/// closed.
pub fn print_message(text: impl Display) {
    let _ = stderr().write_all(format!("pyrec: {text}\n").as_bytes());
}

/// Creates a file. Replaces an existing one only with `force`.
fn create(path: &Path, force: bool) -> Result<File> {
    let name = path.display();
    let mut options = File::options();
    options.write(true).create_new(!force).create(true).truncate(true);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!("{name} exists; give -f to replace it, or name another file"),
        _ => anyhow!("cannot write {name}: {error}"),
    })
}

/// Writes a file, or standard output for `-`. Removes a file that could not be written to its end.
pub fn write_file<T>(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, Error>,
) -> Result<T> {
    let name = path.display();
    let write_and_flush = |out: &mut (dyn Write + Send)| {
        write(out).and_then(|value| out.flush().map(|()| value).map_err(Error::Write))
    };
    if path == Path::new("-") {
        return Ok(write_and_flush(&mut BufWriter::new(stdout()))?);
    }
    let mut out = BufWriter::with_capacity(1 << 16, create(path, force)?);
    write_and_flush(&mut out).map_err(|error| {
        if path.is_file() {
            let _ = fs::remove_file(path);
        }
        match error {
            Error::Write(error) => anyhow!("cannot write {name}: {error}"),
            error => error.into(),
        }
    })
}

/// Refuses to draw into a file that `-i` was probably forgotten before.
pub fn refuse_trace_as_picture(command: &str, path: &Path) -> Result<()> {
    let name = path.display();
    refuse_to_replace_trace(
        path,
        &format!("if it is the recording to read, type `pyrec {command} -i {name}`"),
    )
}

/// Refuses to write a picture to a path that ends in `.parquet`. `advice` is what to type instead.
pub fn refuse_to_replace_trace(path: &Path, advice: &str) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        bail!("{} would be replaced by a picture; {advice}", path.display());
    }
    Ok(())
}

/// Draws a report into a file for a browser, then prints the trust line. With `-` for the path,
/// standard output gets the picture alone.
pub fn write_picture(
    path: &Path,
    trust: &Trust,
    draw: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<ExitCode> {
    let mut picture = Vec::new();
    draw(&mut picture)?;
    if path == Path::new("-") {
        return print(|out| out.write_all(&picture));
    }
    let name = path.display();
    save(path, &picture)?;
    print(|out| -> Result<(), Error> {
        writeln!(out, "{}", report::trust_line(trust))?;
        Ok(writeln!(out, "open {name} in a browser")?)
    })
}

/// Writes a picture to a file, replacing an existing one.
pub fn save(path: &Path, picture: &[u8]) -> Result<()> {
    fs::write(path, picture).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}
