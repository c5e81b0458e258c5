//! Benchmark of the rebuild: how fast a call tree is built, compared with only decoding the same
//! columns.
//!
//! ```text
//! cargo run --release -p pyrec-analyzer --example rebuild [ROWS | TRACE] [decode]
//! ```
//!
//! With a number of rows (default: 10,000,000), it writes a trace of a generated program: 500
//! functions in one thread, each of which calls two others, up to ten calls deep, which gives about
//! 2,000 call paths. `decode` skips the rebuild.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pyrec_analyzer::measure::Totals;
use pyrec_analyzer::report::trust_line;
use pyrec_analyzer::{CallTree, Filter};
use pyrec_schema::{
    Batch, CodeId, Columns, Event, Manifest, Marker, Names, RecordingEnd, TextId, Trace, TraceWriter,
    WriterOptions,
};

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1).unwrap_or("10000000".into());
    let (path, is_generated) = match argument.parse() {
        Ok(rows) => (generate(rows)?, true),
        Err(_) => (PathBuf::from(argument), false),
    };
    let outcome = measure(&path);
    if is_generated {
        std::fs::remove_file(&path)?;
    }
    outcome
}

fn measure(path: &Path) -> Result<(), Box<dyn Error>> {
    let trace = Trace::open(&[path])?;
    let mega = trace.rows() as f64 / 1e6;
    let start = Instant::now();
    for file in trace.files() {
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, Columns { line: false, value: true, text: true })? {
                std::hint::black_box(batch?);
            }
        }
    }
    println!("decode, one thread      {:6.1} M rows/s", mega / start.elapsed().as_secs_f64());
    if std::env::args().nth(2).is_some_and(|only| only == "decode") {
        return Ok(());
    }

    let trace = Trace::open(&[path])?;
    let start = Instant::now();
    let calls = CallTree::read(&trace, &Filter::default())?;
    let totals = Totals::of(&calls);
    let threads = std::thread::available_parallelism()?;
    println!("rebuild, {threads:2} threads     {:6.1} M rows/s", mega / start.elapsed().as_secs_f64());
    println!("{} functions; {}", totals.functions.len(), trust_line(&totals.trust));
    Ok(())
}

/// Writes a trace of a generated program with that many rows.
fn generate(rows: usize) -> Result<PathBuf, Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("pyrec-rebuild-{}.parquet", std::process::id()));
    let names = Arc::new(Names::new());
    let mut program = Program::new(&names);
    let markers = vec!["function".into()];
    let manifest = Manifest { provider: "agent".into(), markers, ..Manifest::unknown("rebuild") };
    let mut writer = TraceWriter::create(&path, names, manifest, WriterOptions::default())?;
    while (writer.rows() as usize) < rows {
        let left = rows - writer.rows() as usize;
        writer.write(&program.by_ref().take(left.min(1 << 16)).collect::<Batch>())?;
    }
    writer.manifest_mut().ended = RecordingEnd::Exited { status: 0 };
    writer.finish()?;
    Ok(path)
}

/// The events of a program that calls and returns at random.
struct Program {
    codes: Vec<CodeId>,
    stack: Vec<usize>,
    time_ns: i64,
    random: u64,
}

impl Program {
    fn new(names: &Names) -> Self {
        let code =
            |number: usize| names.code(&format!("/srv/app/module{}.py:{number}:f{number}", number / 20));
        Program { codes: (0..500).map(code).collect(), stack: vec![], time_ns: 0, random: 88172645463325252 }
    }

    /// The next random number (Marsaglia's xorshift).
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Iterator for Program {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let random = self.next_random();
        self.time_ns += 20 + (random % 100) as i64;
        let depth = self.stack.len() as u64;
        let is_call = depth == 0 || (depth < 10 && random % 16 < 13 - depth);
        let (marker, number) = if is_call {
            let caller = self.stack.last().copied().unwrap_or(0);
            let callee = (caller * 7 + 1 + (random >> 32) as usize % 2) % self.codes.len();
            self.stack.push(callee);
            (Marker::FunctionEntry, callee)
        } else {
            (Marker::FunctionReturn, self.stack.pop()?)
        };
        let code = self.codes[number];
        let line = number as i32;
        Some(Event {
            time_ns: self.time_ns,
            pid: 7,
            tid: 7,
            marker,
            code,
            line,
            value: None,
            text: TextId::NONE,
        })
    }
}
