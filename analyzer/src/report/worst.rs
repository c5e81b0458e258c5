//! The report of a function's slowest calls, as text and JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Indent, Instant, Time, WallClock, plural};
use super::table::Columns;
use super::{json, trust_line};
use crate::escape::Printable;
use crate::measure::{CallTreeRow, MAX_CALLERS, SlowCall, SlowestCalls, Trust};

/// Writes each call with its callers and callees, and the trust line.
pub fn write(worst: &SlowestCalls, out: &mut impl Write) -> io::Result<()> {
    if worst.calls.is_empty() {
        writeln!(
            out,
            "no matching call was measured in the selected part of the recording; `pyrec stats` lists the functions"
        )?;
    }
    for (at, call) in worst.calls.iter().enumerate() {
        write_call(at + 1, call, out)?;
    }
    if !worst.calls.is_empty() {
        let open = match worst.still_open {
            0 => String::new(),
            open => format!(", {} of which had not ended", Count(open)),
        };
        writeln!(
            out,
            "the slowest {} of {}{open}",
            Count(worst.calls.len() as u64),
            plural(worst.of, "call")
        )?;
    }
    writeln!(out, "{}", trust_line(&worst.trust))
}

fn write_call(number: usize, call: &SlowCall, out: &mut impl Write) -> io::Result<()> {
    let time = Time(call.duration_ns);
    let time = if call.still_open { format!("at least {time}, still open") } else { time.to_string() };
    writeln!(out, "{number}. {}  {time}", Printable(&call.function.label))?;
    let thread = call.thread.as_deref().map_or(String::new(), |name| format!(" {}", Printable(name)));
    let (start, tid, pid) = (Instant(call.start_ns), call.tid, call.pid);
    let process = if pid == tid { String::new() } else { format!(" of {pid}") };
    let date = call.start_unix_ns.map_or(String::new(), |unix_ns| format!("{}, ", WallClock(unix_ns)));
    writeln!(out, "   at {start}, {date}thread {tid}{thread}{process}")?;
    for location in &call.callers {
        writeln!(out, "   called by {}", Printable(&location.label))?;
    }
    if call.callers.len() >= MAX_CALLERS {
        writeln!(out, "   … more callers")?;
    }
    let rows: Vec<[String; 4]> = call.tree.iter().map(row).collect();
    let columns = Columns::of(["calls", "total", "self", "function"], &rows);
    columns.write_head(out)?;
    rows.iter().try_for_each(|row| columns.write(row, out))?;
    writeln!(out)
}

fn row(row: &CallTreeRow) -> [String; 4] {
    let CallTreeRow { depth, function, calls, total_ns, self_ns } = row;
    [
        Count(*calls).to_string(),
        Time(*total_ns).to_string(),
        Time(*self_ns).to_string(),
        format!("{}{}", Indent { levels: *depth, columns: 2 }, Printable(&function.label)),
    ]
}

/// Writes the same as JSON: `{"calls": […], "of", "still_open", "trust": {…}}`.
pub fn write_json(worst: &SlowestCalls, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        calls: &'a [SlowCall],
        of: u64,
        still_open: u64,
        trust: &'a Trust,
    }
    json::write(
        &Json { calls: &worst.calls, of: worst.of, still_open: worst.still_open, trust: &worst.trust },
        out,
    )
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::{Filter, testing};

    const SCRIPT: &str = "
        0        7/7  thread__start     -                   0  -  Main\u{1b}Thread
        0        7/7  function__entry   /srv/run.py:1:main  1
        1000000  7/7  function__entry   /srv/run.py:3:f     3
        2000000  7/7  function__entry   /srv/run.py:9:C.g   9
        5000000  7/7  function__return  /srv/run.py:9:C.g   9
        5000000  7/7  function__entry   /srv/run.py:9:C.h   9
        5000009  7/7  function__return  /srv/run.py:9:C.h   9
        9000000  7/7  function__return  /srv/run.py:3:f     3
        9000000  7/8  function__entry   /srv/run.py:3:f     3
        9000800  7/8  gc__start         -                   0  2
        9001000  7/8  gc__done          -                   0  9
    ";

    fn worst(function: &str) -> SlowestCalls {
        let (trace, _directory) = testing::trace(SCRIPT, 4);
        SlowestCalls::read(&trace, &Filter::default(), &function.parse().expect("the pattern is valid"), 2)
            .expect("the trace is readable")
    }

    fn text(function: &str) -> String {
        let mut out = Vec::new();
        write(&worst(function), &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn each_call_has_its_time_thread_callers_and_callees() {
        assert_eq!(
            text("f"),
            "\
1. f (__main__:3)  8.00 ms
   at 0.001000 s, 1970-01-01 00:00:00.001000 UTC, thread 7 Main\\u{1b}Thread
   called by main (__main__:1)
calls    total     self  function
    1  8.00 ms  5.00 ms  f (__main__:3)
    1  3.00 ms  3.00 ms    C.g (__main__:9)

2. f (__main__:3)  at least 1.00 µs, still open
   at 0.009000 s, 1970-01-01 00:00:00.009000 UTC, thread 8 of 7
calls    total    self  function
    1  1.00 µs  800 ns  f (__main__:3)
    1   200 ns  200 ns    (garbage collection)

the slowest 2 of 2 calls, 1 of which had not ended
trust: 10 events, 0 lost, 2 repaired (2 calls still open), exited with 0, tracing cost 31 ns per event
"
        );
    }

    #[test]
    fn an_empty_selection_has_a_message() {
        assert!(
            text("missing")
                .starts_with("no matching call was measured in the selected part of the recording")
        );
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        write_json(&worst("f"), &mut out).expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        let call = &json["calls"][0];
        assert_eq!(
            (&call["qualname"], &call["start_ns"], &call["start_unix_ns"], &call["duration_ns"]),
            (&"f".into(), &1_000_000.into(), &1_000_000.into(), &8_000_000.into())
        );
        assert_eq!(
            call["tree"][1],
            serde_json::json!({
                "depth": 1, "calls": 1, "total_ns": 3_000_000, "self_ns": 3_000_000, "file": "/srv/run.py",
                "first_line": 9, "qualname": "C.g", "module": "__main__", "line": null
            })
        );
        assert_eq!((&json["of"], &json["calls"][1]["still_open"]), (&2.into(), &true.into()));
    }
}
