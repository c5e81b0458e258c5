//! The report of audit events, as text and JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Instant, plural};
use super::{json, trust_line};
use crate::escape::Printable;
use crate::measure::{Audit, AuditGroup, MAX_CALLERS, Trust};

/// Options of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditOptions {
    /// The number of groups at most; `None` writes all.
    pub rows: Option<usize>,
}

/// Writes the events grouped by name and call stack, and the trust line.
pub fn write(audit: &Audit, options: &AuditOptions, out: &mut impl Write) -> io::Result<()> {
    if audit.recorded == 0 {
        writeln!(
            out,
            "no audit events were recorded; record them with `pyrec record --markers function,audit`"
        )?;
    } else if audit.groups.is_empty() {
        writeln!(
            out,
            "no audit event in the selected part of the recording, of {} recorded",
            Count(audit.recorded)
        )?;
    }
    let groups = choose(audit, options);
    groups.iter().try_for_each(|group| write_group(group, out))?;
    match audit.groups.len() - groups.len() {
        0 => {}
        more => writeln!(out, "… and {}", plural(more as u64, "more group"))?,
    }
    writeln!(out, "{}", trust_line(&audit.trust))
}

fn choose<'a>(audit: &'a Audit, options: &AuditOptions) -> &'a [AuditGroup] {
    &audit.groups[..options.rows.unwrap_or(usize::MAX).min(audit.groups.len())]
}

fn write_group(group: &AuditGroup, out: &mut impl Write) -> io::Result<()> {
    let (name, first) = (Printable(&group.event), Instant(group.first_ns));
    match group.count {
        1 => writeln!(out, "{name}  at {first}")?,
        count => writeln!(out, "{name}  {} times, from {first} to {}", Count(count), Instant(group.last_ns))?,
    }
    if group.stack.is_empty() {
        writeln!(out, "    (no function)")?;
    }
    group.stack.iter().try_for_each(|location| writeln!(out, "    {}", Printable(&location.label)))?;
    if group.stack.len() < MAX_CALLERS { Ok(()) } else { writeln!(out, "    … more callers") }
}

/// Writes the same as JSON: `{"groups": […], "trust": {…}}`.
pub fn write_json(audit: &Audit, options: &AuditOptions, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        groups: &'a [AuditGroup],
        trust: &'a Trust,
    }
    json::write(&Json { groups: choose(audit, options), trust: &audit.trust }, out)
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::{Filter, testing};

    const SCRIPT: &str = "
        0           7/7  function__entry   /srv/run.py:1:main    1
        5000000     7/7  line              /srv/run.py:1:main    2
        10000000    7/7  function__entry   /lib/socket.py:9:dial 9
        20000000    7/7  audit             /lib/socket.py:9:dial 11  -  socket.connect
        21000000    7/7  audit             /lib/socket.py:9:dial 11  -  socket.connect
        30000000    7/7  function__return  /lib/socket.py:9:dial 12
        2000000000  7/7  function__return  /srv/run.py:1:main    4
        2000000001  7/7  audit             -                     0   -  quit\u{1b}[2J
    ";

    fn audit(script: &str, pattern: &str) -> Audit {
        let (trace, _directory) = testing::trace(script, 4);
        let pattern = pattern.parse().expect("the pattern is valid");
        Audit::read(&trace, &Filter::default(), &[pattern]).expect("the trace is readable")
    }

    fn text(script: &str, pattern: &str, rows: Option<usize>) -> String {
        let mut out = Vec::new();
        write(&audit(script, pattern), &AuditOptions { rows }, &mut out)
            .expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn events_with_equal_stacks_are_one_group() {
        assert_eq!(
            text(SCRIPT, "*", None),
            "\
quit\\u{1b}[2J  at 2.000000 s
    (no function)
socket.connect  2 times, from 0.020000 s to 0.021000 s
    dial (socket:9), line 11
    main (__main__:1), line 2
trust: 8 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
        );
        assert!(text(SCRIPT, "*", Some(1)).contains("(no function)\n… and 1 more group\ntrust: "));
    }

    #[test]
    fn an_empty_selection_has_a_message() {
        assert!(
            text(SCRIPT, "open", None)
                .starts_with("no audit event in the selected part of the recording, of 3 recorded\ntrust")
        );
        assert!(
            text("", "*", None)
                .starts_with("no audit events were recorded; record them with `pyrec record --markers")
        );
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        write_json(&audit(SCRIPT, "socket.*"), &AuditOptions::default(), &mut out)
            .expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        let location = |file: &str, first_line, qualname: &str, module: &str, line| {
            serde_json::json!({"file": file, "first_line": first_line, "qualname": qualname, "module": module,
                               "line": line})
        };
        assert_eq!(
            json["groups"],
            serde_json::json!([{
                "event": "socket.connect", "count": 2, "first_ns": 20_000_000, "last_ns": 21_000_000,
                "stack": [location("/lib/socket.py", 9, "dial", "socket", 11),
                          location("/srv/run.py", 1, "main", "__main__", 2)]
            }])
        );
        assert_eq!(json["trust"]["events"], 8);
    }
}
