//! The report of processes and their threads, as text and JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Instant, Time};
use super::table::Columns;
use super::{json, trust_line};
use crate::escape::Printable;
use crate::measure::{Process, ProcessThread, Threads, Trust};

const HEAD: [&str; 9] = ["thread", "start", "end", "events", "in calls", "busy", "lost", "repaired", "name"];

/// Writes every process with its threads, and the trust line.
pub fn write(threads: &Threads, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Vec<[String; 9]>> =
        threads.processes.iter().map(|process| process.threads.iter().map(row).collect()).collect();
    if rows.is_empty() {
        writeln!(out, "no thread ran in the selected part of the recording")?;
    } else {
        let columns = Columns::of(HEAD, rows.iter().flatten());
        columns.write_head(out)?;
        for (process, rows) in threads.processes.iter().zip(&rows) {
            writeln!(out, "{}", process_line(process))?;
            rows.iter().try_for_each(|row| columns.write(row, out))?;
        }
    }
    writeln!(out, "{}", trust_line(&threads.trust))
}

fn process_line(process: &Process) -> String {
    let mut line = format!("process {}", process.pid);
    if let Some(parent) = process.parent {
        line += &format!(" of {parent}");
    }
    match (process.end_ns, process.status) {
        (_, Some(status)) => line += &format!(", exited with {status}"),
        (Some(_), None) => line += ", ended",
        (None, None) => {}
    }
    if let Some(command) = &process.command {
        line += &format!(": {}", Printable(command));
    }
    line
}

fn row(thread: &ProcessThread) -> [String; 9] {
    [
        thread.tid.to_string(),
        Instant(thread.start_ns).to_string(),
        thread.end_ns.map_or("unknown".into(), |end_ns| Instant(end_ns).to_string()),
        Count(thread.events).to_string(),
        Time(thread.in_calls_ns).to_string(),
        thread.busy.map_or("unknown".into(), |busy| format!("{:.1} %", 100.0 * busy)),
        Count(thread.lost).to_string(),
        Count(thread.repaired.total()).to_string(),
        thread.name.as_deref().map_or("unknown".into(), |name| Printable(name).to_string()),
    ]
}

/// Writes the same as JSON: `{"processes": [{…, "threads": […]}], "trust": {…}}`.
pub fn write_json(threads: &Threads, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        processes: &'a [Process],
        trust: &'a Trust,
    }
    json::write(&Json { processes: &threads.processes, trust: &threads.trust }, out)
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::Filter;
    use crate::testing::calls;

    /// A process with two threads, whose child outlives the recording.
    const SCRIPT: &str = "
        0      7/7  process__start    -                0  1   python3 run.py
        500000    7/7  thread__start     -                0  -   MainThread
        1000000   7/7  function__entry   /srv/run.py:1:a  0
        1500000   7/8  thread__start     -                0
        2000000   7/8  function__entry   /srv/run.py:5:b  5
        2500000   9/9  process__start    -                0  7   python3 run.py
        3000000   9/9  function__return  /srv/run.py:1:a  3
        3100000   9/9  function__entry   /srv/run.py:5:b  5
        3300000    9/9  line              /srv/run.py:5:b  6
        3500000   7/8  function__return  /srv/run.py:5:b  6
        3600000   7/8  thread__start     -                0  -   pool \u{1b}[2J
        4500000   7/8  thread__exit      -                0
        4600000   7/8  lost              -                0  12  4550000
        5000000   7/7  function__return  /srv/run.py:1:a  3
        8000000   7/7  process__exit     -                0  3
        9000000    9/9  source            /srv/run.py::    9  1  a()
    ";

    fn threads(filter: &Filter) -> Threads {
        Threads::of(&calls(SCRIPT, &Filter::default()), filter)
    }

    fn text(filter: &Filter) -> String {
        let mut out = Vec::new();
        write(&threads(filter), &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn processes_and_threads_in_the_order_of_their_start() {
        // Thread 7 is in `a` for 4 of 8 ms, thread 8 in `b` for 1.5 of 3 ms, thread 9 in `b` for
        // 0.2 of 0.8 ms.
        assert_eq!(
            text(&Filter::default()),
            "\
thread        start         end  events  in calls    busy  lost  repaired  name
process 7 of 1, exited with 3: python3 run.py
     7  -0.001000 s  0.007000 s       2   4.00 ms  50.0 %     0         0  MainThread
     8   0.000500 s  0.003500 s       2   1.50 ms  50.0 %    12         0  pool \\u{1b}[2J
process 9 of 7: python3 run.py
     9   0.001500 s     unknown       3    200 µs  25.0 %     0         2  unknown
trust: 7 events, 12 lost, 2 repaired (1 unmatched return, 1 call still open), exited with 0, tracing cost 31 ns per \
event
"
        );
    }

    #[test]
    fn one_process_or_one_thread() {
        let lines = |filter| text(&filter).lines().count();
        assert_eq!(lines(Filter { pids: vec![9], ..Filter::default() }), 4);
        assert_eq!(lines(Filter { tids: vec![8], ..Filter::default() }), 4);
        assert!(
            text(&Filter { tids: vec![1], ..Filter::default() })
                .starts_with("no thread ran in the selected part of the recording")
        );
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        write_json(&threads(&Filter::default()), &mut out).expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        let process = &json["processes"][0];
        assert_eq!(
            (
                &process["pid"],
                &process["parent"],
                &process["status"],
                &process["start_ns"],
                &process["end_ns"]
            ),
            (&7.into(), &1.into(), &3.into(), &(-1_000_000).into(), &7_000_000.into())
        );
        assert_eq!(
            json["processes"][1]["threads"],
            serde_json::json!([{
                "tid": 9, "name": null, "start_ns": 1_500_000, "end_ns": null, "events": 3, "in_calls_ns": 200_000, "busy": 0.25,
                "lost": 0, "repaired": {"orphan_entries": 0, "unmatched_returns": 1, "still_open": 1,
                "cut_by_loss": 0, "backwards": 0}
            }])
        );
        assert_eq!(json["trust"]["lost"], 12);
    }
}
