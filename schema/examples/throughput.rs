//! Measures the speed of writing and reading traces, and their length. Run it by `cargo run
//! --release -p pyrec-schema --example throughput [ROWS]`. The rows are those of an object-oriented
//! program: one hundred functions that call each other in one thread, with times that vary a
//! little.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use pyrec_schema::{
    Batch, CodeId, Columns, Event, Manifest, Marker, Names, TextId, Trace, TraceWriter, WriterOptions,
};

const BATCH_ROWS: usize = 1 << 16;
const FUNCTIONS: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(20_000_000), |rows| rows.parse::<usize>())?;
    let dir = std::env::temp_dir().join(format!("pyrec-throughput-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let path = dir.join("trace.parquet");
    let names = Arc::new(Names::new());
    let mut program = Program::new(&names);

    let manifest = Manifest { provider: "agent".into(), ..Manifest::unknown("throughput") };
    let mut writer = TraceWriter::create(&path, names.clone(), manifest, WriterOptions::default())?;
    let mut writing = 0.0;
    while (writer.rows() as usize) < rows {
        let batch: Batch = program.by_ref().take(BATCH_ROWS.min(rows - writer.rows() as usize)).collect();
        let start = Instant::now();
        writer.write(&batch)?;
        writing += start.elapsed().as_secs_f64();
    }
    let start = Instant::now();
    let bytes = writer.finish()?;
    writing += start.elapsed().as_secs_f64();
    let mega = rows as f64 / 1e6;
    println!("write          {:6.1} M rows/s, {:.3} bytes/row", mega / writing, bytes as f64 / rows as f64);

    let few = Columns { line: false, value: false, text: false };
    for (what, columns) in [("read all      ", Columns::ALL), ("read for trees", few)] {
        let trace = Trace::open(&[&path])?;
        let start = Instant::now();
        for file in trace.files() {
            for group in 0..file.row_groups() {
                for batch in file.read(group, columns)? {
                    std::hint::black_box(batch?);
                }
            }
        }
        println!("{what} {:6.1} M rows/s", mega / start.elapsed().as_secs_f64());
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The simulated program, an endless iterator of its events.
struct Program {
    codes: Vec<CodeId>,
    stack: Vec<usize>,
    random: u64,
    time_ns: i64,
}

impl Program {
    fn new(names: &Names) -> Self {
        let code = |at| {
            names.code(&format!("/usr/lib/python3.13/richards.py:{}:Class{}.method{at}", at * 11, at % 9))
        };
        Program {
            codes: (0..FUNCTIONS).map(code).collect(),
            stack: Vec::new(),
            random: 1,
            time_ns: 1_000_000_000,
        }
    }

    /// A number below `bound`.
    fn random(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }
}

impl Iterator for Program {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        // Mostly a few dozen nanoseconds, sometimes more.
        self.time_ns += 30 + self.random(12) as i64;
        if self.random(64) == 0 {
            self.time_ns += self.random(2000) as i64;
        }
        let enter = self.stack.len() < 2 || self.stack.len() < 12 && self.random(2) == 0;
        let (marker, function, line) = if enter {
            // A function mostly calls the same other function.
            let caller = self.stack.last().copied().unwrap_or(0);
            let function = (caller * 3 + 1 + self.random(10) as usize / 8) % FUNCTIONS as usize;
            self.stack.push(function);
            (Marker::FunctionEntry, function, function * 11)
        } else {
            let function = self.stack.pop().unwrap_or(0);
            (Marker::FunctionReturn, function, function * 11 + 7)
        };
        let code = self.codes[function];
        let line = line as i32;
        Some(Event {
            time_ns: self.time_ns,
            pid: 4711,
            tid: 4711,
            marker,
            code,
            line,
            value: None,
            text: TextId::NONE,
        })
    }
}
