//! The report of garbage collection pauses, as text and JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Percent, Time, plural};
use super::{json, table, trust_line};
use crate::escape::Printable;
use crate::measure::{GcGeneration, GcPauses, InterruptedLocation, Log2Histogram, Trust};

/// Options of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// The number of interrupted functions at most; `None` writes all.
    pub rows: Option<usize>,
}

/// The width of a histogram bar for all pauses of a generation, in characters.
const BAR_WIDTH: u64 = 40;

/// Writes the pauses of each generation, histograms of their durations, the functions that they
/// interrupted, and the trust line.
pub fn write(gc: &GcPauses, options: &GcOptions, out: &mut impl Write) -> io::Result<()> {
    if gc.generations.is_empty() {
        writeln!(out, "no garbage collection in the selected part of the recording")?;
    } else {
        write_generations(gc, out)?;
        for generation in gc.generations.iter().filter(|generation| generation.lengths.count() > 0) {
            writeln!(out, "\ngeneration {}", name(generation))?;
            write_histogram(&generation.lengths, out)?;
        }
        write_interrupted(&gc.interrupted, options, out)?;
        let (total, share, run) = (Time(gc.total_ns), Percent(gc.total_ns, gc.run_ns), Time(gc.run_ns));
        writeln!(out, "\ngarbage collection took {total}, {share} of {run}")?;
    }
    writeln!(out, "{}", trust_line(&gc.trust))
}

fn name(generation: &GcGeneration) -> String {
    generation.generation.map_or("unknown".into(), |number| number.to_string())
}

fn write_generations(gc: &GcPauses, out: &mut impl Write) -> io::Result<()> {
    let row = |generation: &GcGeneration| {
        let [min, mean, max] = match generation.lengths.range() {
            Some(range) => range.map(|ns| Time(ns).to_string()),
            None => ["unknown"; 3].map(str::to_owned),
        };
        let total = Time(generation.lengths.total()).to_string();
        let found = Count(generation.found).to_string();
        [Count(generation.pauses).to_string(), total, min, mean, max, found, name(generation)]
    };
    let rows: Vec<_> = gc.generations.iter().map(row).collect();
    table::write(["pauses", "total", "min", "mean", "max", "objects", "generation"], &rows, out)
}

/// Writes a histogram with a row for each power of two, like DTrace's `quantize`.
fn write_histogram(lengths: &Log2Histogram, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  at least  ------------- Distribution ------------- count")?;
    for (from_ns, count) in lengths.buckets() {
        let bar = "@".repeat((count * BAR_WIDTH / lengths.count().max(1)) as usize);
        writeln!(out, "{:>10} |{bar:<40} {}", Time(from_ns), Count(count))?;
    }
    Ok(())
}

fn write_interrupted(
    interrupted: &[InterruptedLocation],
    options: &GcOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    let max_rows = options.rows.unwrap_or(interrupted.len());
    let row = |found: &InterruptedLocation| {
        let label = found.place.as_ref().map_or("(no function)", |location| location.label.as_str());
        let [total, max] = [found.total_ns, found.max_ns].map(|ns| Time(ns).to_string());
        [Count(found.pauses).to_string(), total, max, Printable(label).to_string()]
    };
    let rows: Vec<_> = interrupted.iter().take(max_rows).map(row).collect();
    writeln!(out)?;
    table::write(["pauses", "total", "max", "interrupted"], &rows, out)?;
    match interrupted.len() - rows.len() {
        0 => Ok(()),
        more => writeln!(out, "… and {}", plural(more as u64, "more row")),
    }
}

/// Writes the same as JSON:
/// `{"generations": […], "interrupted": […], "total_ns", "run_ns", "trust": {…}}`.
pub fn write_json(gc: &GcPauses, options: &GcOptions, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        generations: Vec<Row>,
        interrupted: &'a [InterruptedLocation],
        total_ns: u64,
        run_ns: u64,
        trust: &'a Trust,
    }
    #[derive(Serialize)]
    struct Row {
        generation: Option<i64>,
        pauses: u64,
        total_ns: u64,
        min_ns: Option<u64>,
        mean_ns: Option<u64>,
        max_ns: Option<u64>,
        objects: u64,
        histogram: Vec<Step>,
    }
    #[derive(Serialize)]
    struct Step {
        from_ns: u64,
        count: u64,
    }
    let row = |generation: &GcGeneration| {
        let lengths = &generation.lengths;
        let range = |at: usize| lengths.range().map(|range| range[at]);
        Row {
            generation: generation.generation,
            pauses: generation.pauses,
            total_ns: lengths.total(),
            min_ns: range(0),
            mean_ns: range(1),
            max_ns: range(2),
            objects: generation.found,
            histogram: lengths.buckets().map(|(from_ns, count)| Step { from_ns, count }).collect(),
        }
    };
    let max_rows = options.rows.unwrap_or(usize::MAX).min(gc.interrupted.len());
    let json = Json {
        generations: gc.generations.iter().map(row).collect(),
        interrupted: &gc.interrupted[..max_rows],
        total_ns: gc.total_ns,
        run_ns: gc.run_ns,
        trust: &gc.trust,
    };
    json::write(&json, out)
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::{Filter, testing};

    /// Three pauses of generation 0 in `a`, of 1,000, 1,100 and 4,096 ns, and one of generation 2
    /// outside any function.
    const SCRIPT: &str = "
        0      7/7  function__entry   /srv/run.py:1:a  1
        1000   7/7  gc__start         -                0  0
        2000   7/7  gc__done          -                0  1500
        3000   7/7  gc__start         -                0  0
        4100   7/7  gc__done          -                0  0
        5000   7/7  gc__start         -                0  0
        9096   7/7  gc__done          -                0  1
        10000  7/7  function__return  /srv/run.py:1:a  1
        15000  7/7  gc__start         -                0  2
        20000  7/7  gc__done          -                0  0
    ";

    fn gc(script: &str) -> GcPauses {
        let (trace, _directory) = testing::trace(script, 4);
        GcPauses::read(&trace, &Filter::default()).expect("the trace is readable")
    }

    fn text(script: &str, rows: Option<usize>) -> String {
        let mut out = Vec::new();
        write(&gc(script), &GcOptions { rows }, &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn each_generation_has_its_histogram() {
        assert_eq!(
            text(SCRIPT, Some(1)),
            "\
pauses    total      min     mean      max  objects  generation
     3  6.20 µs  1.00 µs  2.06 µs  4.10 µs    1,501  0
     1  5.00 µs  5.00 µs  5.00 µs  5.00 µs        0  2

generation 0
  at least  ------------- Distribution ------------- count
    512 ns |@@@@@@@@@@@@@                            1
   1.02 µs |@@@@@@@@@@@@@                            1
   2.05 µs |                                         0
   4.10 µs |@@@@@@@@@@@@@                            1

generation 2
  at least  ------------- Distribution ------------- count
   4.10 µs |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 1

pauses    total      max  interrupted
     3  6.20 µs  4.10 µs  a (__main__:1)
… and 1 more row

garbage collection took 11.2 µs, 56.0 % of 20.0 µs
trust: 10 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
        );
    }

    #[test]
    fn an_empty_selection_has_a_message() {
        assert!(
            text("", None)
                .starts_with("no garbage collection in the selected part of the recording\ntrust: 0 events")
        );
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        write_json(&gc(SCRIPT), &GcOptions::default(), &mut out).expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        assert_eq!(
            json["generations"][1],
            serde_json::json!({
                "generation": 2, "pauses": 1, "total_ns": 5000, "min_ns": 5000, "mean_ns": 5000, "max_ns": 5000,
                "objects": 0, "histogram": [{"from_ns": 4096, "count": 1}]
            })
        );
        assert_eq!(
            json["interrupted"],
            serde_json::json!([
                {"place": {"file": "/srv/run.py", "first_line": 1, "qualname": "a", "module": "__main__", "line": null},
                 "pauses": 3, "total_ns": 6196, "max_ns": 4096},
                {"place": null, "pauses": 1, "total_ns": 5000, "max_ns": 5000}
            ])
        );
        assert_eq!((&json["total_ns"], &json["run_ns"]), (&11_196.into(), &20_000.into()));
    }
}
