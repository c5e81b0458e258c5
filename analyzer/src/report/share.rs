//! What sharing a recording removes from it, and the page that goes with it.

use std::io::{self, Write};

use super::escape::Plain;
use super::table;
use super::trust::{Span, trust_line};
use super::units::plural;
use crate::measure::Trust;
use crate::share::{Secret, Written};

/// What the page says of every recording, to somebody who has never seen pyrec.
pub const PAGE: &str = "\
WHAT THIS IS

pyrec.parquet is a recording of a Python program, made with pyrec, a flight
recorder for Python. It holds the calls that the program made, with times.
Whoever sent it to you wants you to see where the time went, or what happened.

HOW TO OPEN IT

You need no Python and no rights for that. Build pyrec once, with Rust, on any
system, in its source tree:

    cargo build --release --no-default-features

The command is then target/release/pyrec. It reads this .zip file as it is:
there is nothing to unpack. Put the name of the file in the place of share.zip:

    pyrec info -i share.zip                what is in it
    pyrec stats -i share.zip -n 20         the functions that took longest
    pyrec flame -i share.zip flame.svg     a picture, to open in a browser
    pyrec tree -i share.zip --fold         who called whom, in order
    pyrec heat -i share.zip                the lines that took longest

`pyrec --help` tells the rest. Without pyrec: unpack the file, and open
pyrec.parquet with any tool that reads Parquet. With DuckDB, for example:

    duckdb -c \"select marker, count(*) from 'pyrec.parquet' group by all\"

WHAT IS NOT IN IT

Names of people and machines, home directories, arguments of programs, names
that were given to threads, and paths outside the program were removed before
it was sent. Words such as user_k3jd82hx stand for them: the same word stands
for the same name, also in another recording by the same person. Nobody can
get the names back from them. Names of functions, modules and files stay, as
does the text of the program's own files, if it is there at all.
";

/// The page that goes with a recording.
pub fn page(written: &Written) -> String {
    format!(
        "{PAGE}\nWHAT IS IN IT\n\n{}, with the text of {}.\n{}\n",
        part(written),
        plural(written.texts as u64, "file"),
        trust_line(&written.trust)
    )
}

/// Which part of the recording it is.
pub fn part(written: &Written) -> String {
    match &written.slice {
        Some(slice) => format!("A slice of the recording: {}", Span(slice)),
        None => "The whole recording".to_owned(),
    }
}

/// How much was removed.
pub fn removed(secrets: &[Secret]) -> String {
    match secrets.len() {
        0 => "it held no name of people, machines or places".to_owned(),
        names => {
            format!("{} removed; the file was searched, and has none of them", plural(names as u64, "name"))
        }
    }
}

/// Writes what would be removed, and what stands for it.
pub fn write_removed(
    secrets: &[Secret],
    (shared, hidden): (usize, usize),
    trust: &Trust,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut secrets: Vec<&Secret> = secrets.iter().collect();
    secrets.sort_by_key(|secret| (secret.kind, &secret.text));
    let row = |secret: &&Secret| {
        let place = if secret.is_everywhere { "everywhere" } else { "where it is one" };
        let [text, token] = [&secret.text, &secret.token].map(|text| Plain(text).to_string());
        [secret.kind.name().to_owned(), place.to_owned(), token, text]
    };
    let rows: Vec<_> = secrets.iter().map(row).collect();
    table::write(["kind", "removed", "becomes", "what"], &rows, out)?;
    writeln!(
        out,
        "\ntexts of {} would be shared, of {} not",
        plural(shared as u64, "file"),
        plural(hidden as u64, "file")
    )?;
    writeln!(out, "{}", trust_line(trust))
}

#[cfg(test)]
mod tests {
    //! What the page promises.

    use super::*;

    #[test]
    fn lines_of_the_page_fit_any_screen() {
        for line in PAGE.lines() {
            assert!(line.len() < 80 && line.is_ascii(), "{line}");
        }
    }
}
