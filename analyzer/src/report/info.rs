//! The report of a trace's metadata and event counts, as text and JSON.

use std::io::{self, Write};

use pyrec_schema::{Host, RecordingEnd};
use serde::{Serialize, Serializer};

use super::display::{Count, Time, WallClock, plural};
use super::{json, trust_line};
use crate::escape::Printable;
use crate::measure::TraceInfo;
use crate::tree::Repairs;

/// Writes a line for each fact, a line for each marker with its number of rows, and the trust line.
pub fn write(info: &TraceInfo, out: &mut impl Write) -> io::Result<()> {
    let mut fact = |name: &str, value: &str| writeln!(out, "{name:<10} {}", Printable(value));
    match (info.command.is_empty(), info.attached.is_empty()) {
        (false, _) => fact("command", &info.command.join(" "))?,
        (true, false) => fact("attached", &join(info.attached.iter().map(i32::to_string)))?,
        (true, true) => fact("command", "unknown")?,
    }
    fact(
        "python",
        &if info.python.is_empty() { "unknown".into() } else { join(info.python.iter().cloned()) },
    )?;
    fact("provider", &info.provider)?;
    fact("recorded", &join(info.groups.iter().cloned()))?;
    for (name, globs) in [("include", &info.include), ("exclude", &info.exclude)] {
        if !globs.is_empty() {
            fact(name, &join(globs.iter().cloned()))?;
        }
    }
    fact("start", &info.start_unix_ns.map_or("unknown".into(), |ns| WallClock(ns).to_string()))?;
    fact("duration", &info.duration_ns.map_or("unknown".into(), |ns| Time(ns).to_string()))?;
    fact("processes", &info.processes.to_string())?;
    fact("threads", &info.threads.to_string())?;
    fact("ended", &info.ended.to_string())?;
    fact("waited", &info.waited_ns.map_or("unknown".into(), |ns| Time(ns).to_string()))?;
    let Host { system, machine, processors, name } = &info.host;
    let host = format!("{name}, {system} {machine}, {}", plural(*processors as u64, "processor"));
    fact("machine", if system.is_empty() { "unknown" } else { &host })?;
    fact("writer", &info.writer)?;
    fact("events", &Count(info.trust.events).to_string())?;
    let width = info.markers.iter().map(|(marker, _)| marker.name().len()).max().unwrap_or(0);
    for (marker, count) in &info.markers {
        writeln!(out, "  {:<width$}  {:>13}", marker.name(), Count(*count))?;
    }
    writeln!(out, "{}", trust_line(&info.trust))
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// Writes the same as one JSON object.
pub fn write_json(info: &TraceInfo, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Facts<'a> {
        events: u64,
        #[serde(serialize_with = "markers")]
        markers: &'a TraceInfo,
        lost: Option<u64>,
        repaired: &'a Repairs,
        ended: &'a RecordingEnd,
        provider: &'a str,
        python: Option<String>,
        command: &'a [String],
        duration_ns: Option<u64>,
        threads: usize,
        processes: usize,
        attached: &'a [i32],
        recorded: &'a [String],
        include: &'a [String],
        exclude: &'a [String],
        start_unix_ns: Option<i64>,
        waited_ns: Option<u64>,
        cost_per_event_ns: Option<f64>,
        torn_bytes: u64,
        host: &'a Host,
        writer: &'a str,
    }
    let facts = Facts {
        events: info.trust.events,
        markers: info,
        lost: info.trust.lost_if_known(),
        repaired: &info.trust.repaired,
        ended: &info.ended,
        provider: &info.provider,
        python: (!info.python.is_empty()).then(|| join(info.python.iter().cloned())),
        command: &info.command,
        duration_ns: info.duration_ns,
        threads: info.threads,
        processes: info.processes,
        attached: &info.attached,
        recorded: &info.groups,
        include: &info.include,
        exclude: &info.exclude,
        start_unix_ns: info.start_unix_ns,
        waited_ns: info.waited_ns,
        cost_per_event_ns: info.trust.cost_per_event_ns,
        torn_bytes: info.trust.torn_bytes,
        host: &info.host,
        writer: &info.writer,
    };
    json::write(&facts, out)
}

fn markers<S: Serializer>(info: &TraceInfo, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(info.markers.iter().map(|(marker, count)| (marker.name(), count)))
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::Filter;
    use crate::testing::calls;

    const SCRIPT: &str = "
        0     7/7  function__entry   /srv/run.py:1:a  0
        2500  7/7  function__return  /srv/run.py:1:a  3
        9000  7/7  thread__exit      -                0
    ";

    #[test]
    fn each_fact_has_a_line() {
        let mut out = Vec::new();
        write(&TraceInfo::of(&calls(SCRIPT, &Filter::default())), &mut out)
            .expect("a vector accepts all writes");
        assert_eq!(
            String::from_utf8(out).expect("the output is UTF-8"),
            "\
command    python3 run.py
python     3.13.0
provider   agent
recorded   function
start      1970-01-01 00:00:00.000000 UTC
duration   2.50 µs
processes  1
threads    1
ended      exited with 0
waited     unknown
machine    here, Linux x86_64, 2 processors
writer     a test
events     2
  function__entry               1
  function__return              1
  thread__exit                  1
trust: 2 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
        );
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        write_json(&TraceInfo::of(&calls(SCRIPT, &Filter::default())), &mut out)
            .expect("a vector accepts all writes");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&out).expect("the output is valid JSON"),
            serde_json::json!({
                "events": 2,
                "markers": {"function__entry": 1, "function__return": 1, "thread__exit": 1},
                "lost": 0,
                "repaired": {"orphan_entries": 0, "unmatched_returns": 0, "still_open": 0, "cut_by_loss": 0,
                             "backwards": 0},
                "ended": {"how": "exited", "status": 0},
                "provider": "agent",
                "python": "3.13.0",
                "command": ["python3", "run.py"],
                "duration_ns": 2500,
                "threads": 1,
                "processes": 1,
                "attached": [],
                "recorded": ["function"],
                "include": [],
                "exclude": [],
                "start_unix_ns": 0,
                "waited_ns": null,
                "cost_per_event_ns": 30.6,
                "torn_bytes": 0,
                "host": {"system": "Linux", "machine": "x86_64", "processors": 2, "name": "here"},
                "writer": "a test"
            })
        );
    }
}
