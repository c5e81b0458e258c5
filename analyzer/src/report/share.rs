//! The texts of `pyrec share`: the README in the archive, and the report of what was replaced.

use std::io::{self, Write};

use super::display::plural;
use super::table;
use super::trust::{SliceSpan, trust_line};
use crate::escape::Printable;
use crate::measure::Trust;
use crate::share::{Secret, ShareSummary};

/// The part of the README that is the same for every recording. It is written for readers who do
/// not know pyrec.
pub const README: &str = "\
WHAT THIS IS

pyrec.parquet is a trace of a Python program, made with pyrec, a flight
recorder for Python. It contains the calls that the program made, with times.
It was sent to you to show where the time went, or what happened.

HOW TO OPEN IT

You need neither Python nor special rights. Build pyrec once, with Rust, on any
system, in its source tree:

    cargo build --release --no-default-features

The command is then target/release/pyrec. It reads this .zip file as it is:
there is nothing to unpack. Replace share.zip with the name of the file:

    pyrec info -i share.zip                what is in it
    pyrec stats -i share.zip -n 20         the functions that took longest
    pyrec flame -i share.zip flame.svg     a picture, to open in a browser
    pyrec tree -i share.zip --fold         who called whom, in order
    pyrec heat -i share.zip                the lines that took longest

`pyrec --help` lists all commands. Without pyrec: unpack the file, and open
pyrec.parquet with any tool that reads Parquet. With DuckDB, for example:

    duckdb -c \"select marker, count(*) from 'pyrec.parquet' group by all\"

WHAT IS NOT IN IT

Names of people and machines, home directories, arguments of programs, names
that were given to threads, and paths outside the program were removed before
it was sent. Tokens such as user_k3jd82hx replace them: the same token stands
for the same name, also in other traces by the same person. The names
cannot be recovered from the tokens. Names of functions, modules and files are
kept, and so is the text of the program's own files, if it was included.
";

/// The README of a shared recording.
pub fn readme(written: &ShareSummary) -> String {
    format!(
        "{README}\nWHAT IS IN IT\n\n{}, with the text of {}.\n{}\n",
        slice_description(written),
        plural(written.texts as u64, "file"),
        trust_line(&written.trust)
    )
}

/// Says whether the whole recording or which slice of it was written.
pub fn slice_description(written: &ShareSummary) -> String {
    match &written.excerpt {
        Some(slice) => format!("A slice of the recording: {}", SliceSpan(slice)),
        None => "The whole recording".to_owned(),
    }
}

/// Says how many names were removed.
pub fn redaction_summary(secrets: &[Secret]) -> String {
    match secrets.len() {
        0 => "it contained no names of people, machines or directories".to_owned(),
        names => {
            format!("{} removed; a search of the new file found none of them", plural(names as u64, "name"))
        }
    }
}

/// Writes a table of the names that would be removed with their tokens, the number of files whose
/// texts would be shared, and the trust line. `shared` and `hidden` are numbers of files.
pub fn write_redactions(
    secrets: &[Secret],
    (shared, hidden): (usize, usize),
    trust: &Trust,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut secrets: Vec<&Secret> = secrets.iter().collect();
    secrets.sort_by_key(|secret| (secret.kind, &secret.text));
    let row = |secret: &&Secret| {
        let scope = if secret.is_everywhere { "everywhere" } else { "where it was found" };
        let [text, token] = [&secret.text, &secret.token].map(|text| Printable(text).to_string());
        [secret.kind.name().to_owned(), scope.to_owned(), token, text]
    };
    let rows: Vec<_> = secrets.iter().map(row).collect();
    table::write(["kind", "removed", "becomes", "what"], &rows, out)?;
    writeln!(
        out,
        "\nthe source texts of {} would be shared, those of {} would not",
        plural(shared as u64, "file"),
        plural(hidden as u64, "file")
    )?;
    writeln!(out, "{}", trust_line(trust))
}

#[cfg(test)]
mod tests {
    //! The form of the README.

    use super::*;

    #[test]
    fn readme_lines_are_short_ascii() {
        for line in README.lines() {
            assert!(line.len() < 80 && line.is_ascii(), "{line}");
        }
    }
}
