//! A comparison as a comment for a pull request.

use std::fmt::Display;
use std::io::{self, Write};

use super::cells::{change, count, interval, times, verdict};
use super::functions;
use crate::measure::diff::{Breach, CallsDiff, Diff};
use crate::report::escape::Plain;

/// Writes the functions that changed, the rules that broke, and how far to trust each run.
pub fn write_markdown(
    diff: &Diff,
    rows: Option<usize>,
    breaches: &[Breach],
    out: &mut impl Write,
) -> io::Result<()> {
    let [calls, time] = functions::summary(diff);
    writeln!(out, "**{}**  \n{}", text(&calls), text(&time))?;
    if !breaches.is_empty() {
        writeln!(out, "\n**Rules that broke**\n")?;
    }
    for breach in breaches {
        writeln!(out, "- {}", text(&super::breach(breach)))?;
    }
    let order = functions::order(diff);
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
    for line in super::notes(diff).into_iter().chain(super::trust(diff)) {
        writeln!(out, "- {}", text(&line))?;
    }
    writeln!(out, "\n</details>")
}

/// A name as code: nothing in it is Markdown, and no bar ends its cell.
fn code(name: &str) -> String {
    format!("`{}`", Plain(name).to_string().replace('`', "'").replace('|', "\\|"))
}

/// Words in which nothing is Markdown or HTML.
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
    //! Names that would be Markdown.

    use super::*;

    #[test]
    fn a_name_cannot_leave_its_cell() {
        assert_eq!(code("a|b`c<script>\u{1b}"), "`a\\|b'c<script>\\u{1b}`");
        assert_eq!(text(&"*a* <b> __init__ @me"), "\\*a\\* &lt;b> \\_\\_init\\_\\_ \\@me");
    }
}
