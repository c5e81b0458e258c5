//! A comparison as Markdown, for a comment on a pull request.

use std::fmt::Display;
use std::io::{self, Write};

use super::format::{change, count, interval, times, verdict};
use super::summary::{self, notes, trust_lines};
use super::tables::{changed_functions, function_summary};
use crate::escape::Printable;
use crate::measure::diff::{Breach, CallsDiff, Diff};

/// Writes the functions that changed, the rules that broke, notes, and a trust line for each run.
pub fn write_markdown(
    diff: &Diff,
    rows: Option<usize>,
    breaches: &[Breach],
    out: &mut impl Write,
) -> io::Result<()> {
    let [calls, time] = function_summary(diff);
    writeln!(out, "**{}**  \n{}", text(&calls), text(&time))?;
    if !breaches.is_empty() {
        writeln!(out, "\n**Rules that broke**\n")?;
    }
    for breach in breaches {
        writeln!(out, "- {}", text(&summary::breach(breach)))?;
    }
    let order = changed_functions(diff);
    let shown = &order[..rows.unwrap_or(order.len()).min(order.len())];
    if !shown.is_empty() {
        writeln!(out, "\n| function | calls | self | change | 95 % interval | verdict |")?;
        writeln!(out, "|---|--:|--:|--:|--:|---|")?;
    }
    for &function in shown {
        let CallsDiff { calls, self_ns, total_ns } = &diff.functions[function];
        let both = |[old, new]: [String; 2]| if old == new { old } else { format!("{old} → {new}") };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            code(&diff.alignment.functions[function].label()),
            both([count(&calls.old), count(&calls.new)]),
            both(times(&self_ns.samples)),
            change(&self_ns.samples),
            interval(self_ns),
            verdict("calls", calls, &[self_ns, total_ns]),
        )?;
    }
    if order.len() > shown.len() {
        writeln!(out, "\n… and {} more", order.len() - shown.len())?;
    }
    writeln!(out, "\n<details><summary>How far to trust this</summary>\n")?;
    for line in notes(diff).into_iter().chain(trust_lines(diff)) {
        writeln!(out, "- {}", text(&line))?;
    }
    writeln!(out, "\n</details>")
}

/// A name as inline code in a table cell, with backticks and bars escaped.
fn code(name: &str) -> String {
    format!("`{}`", Printable(name).to_string().replace('`', "'").replace('|', "\\|"))
}

/// Text with the characters of Markdown and HTML escaped.
fn text(words: &impl Display) -> String {
    let mut text = String::new();
    for c in words.to_string().chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '&' => text.push_str("&amp;"),
            '*' | '_' | '`' | '[' | ']' | '|' | '\\' | '~' | '#' | '@' => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    //! Names that contain Markdown and HTML.

    use super::*;

    #[test]
    fn markup_in_names_is_escaped() {
        assert_eq!(code("a|b`c<script>\u{1b}"), "`a\\|b'c<script>\\u{1b}`");
        assert_eq!(text(&"*a* <b> __init__ @me"), "\\*a\\* &lt;b> \\_\\_init\\_\\_ \\@me");
    }
}
