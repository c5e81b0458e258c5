//! Where reports go.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, IsTerminal, StdoutLock, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use pyrec_analyzer::measure::Trust;
use pyrec_analyzer::{Error, report};

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
fn create(path: &Path, force: bool) -> Result<File> {
    let name = path.display();
    let mut options = File::options();
    options.write(true).create_new(!force).create(true).truncate(true);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!("{name} exists; give -f to replace it, or name another file"),
        _ => anyhow!("cannot write {name}: {error}"),
    })
}

/// Writes a file, or standard output for `-`. Nothing half-written is left behind.
pub fn write_file<T>(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, Error>,
) -> Result<T> {
    let name = path.display();
    let flushed = |out: &mut (dyn Write + Send)| {
        write(out).and_then(|written| out.flush().map(|()| written).map_err(Error::Write))
    };
    if path == Path::new("-") {
        return Ok(flushed(&mut BufWriter::new(stdout()))?);
    }
    let mut out = BufWriter::with_capacity(1 << 16, create(path, force)?);
    flushed(&mut out).map_err(|error| {
        if path.is_file() {
            let _ = fs::remove_file(path);
        }
        match error {
            Error::Write(error) => anyhow!("cannot write {name}: {error}"),
            error => error.into(),
        }
    })
}

/// Whether a picture may go there: not where `-i` was forgotten.
pub fn check_picture(command: &str, path: &Path) -> Result<()> {
    let name = path.display();
    spare_recording(path, &format!("if it is the recording to read, type `pyrec {command} -i {name}`"))
}

/// Keeps a picture from taking the place of a recording.
pub fn spare_recording(path: &Path, advice: &str) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        bail!("{} would be replaced by a picture; {advice}", path.display());
    }
    Ok(())
}

/// Lets a report draw itself into a file for a browser; `-` is standard output. Prints the trust line where the picture
/// does not go to standard output itself.
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

/// Writes a picture into a file.
pub fn save(path: &Path, picture: &[u8]) -> Result<()> {
    fs::write(path, picture).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}

/// Writes to standard error. A terminal that was closed meanwhile is no error.
pub fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
