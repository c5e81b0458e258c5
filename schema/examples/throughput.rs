//! Measures the speed of writing and reading traces, and their length. Run it by `cargo run
//! --release -p pyrec-schema --example throughput [ROWS]`. The rows are those of an object-oriented
//! program: one hundred functions that call each other in one thread, with times that vary a
//! little.
//!
//! The peer of the writer is the parquet crate's `ArrowWriter` with the same columns, encodings,
//! compression and row groups; its Arrow arrays are built outside of the measured time. Both write
//! the same batches, in turn.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
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
    let mut peer = Peer::create(&dir.join("peer.parquet"), &names, &program)?;
    let mut writing = 0.0;
    while (writer.rows() as usize) < rows {
        let batch: Batch = program.by_ref().take(BATCH_ROWS.min(rows - writer.rows() as usize)).collect();
        let start = Instant::now();
        writer.write(&batch)?;
        writing += start.elapsed().as_secs_f64();
        peer.write(&batch)?;
    }
    let start = Instant::now();
    let bytes = writer.finish()?;
    writing += start.elapsed().as_secs_f64();
    let mega = rows as f64 / 1e6;
    println!("write          {:6.1} M rows/s, {:.3} bytes/row", mega / writing, bytes as f64 / rows as f64);
    let (peer_seconds, peer_bytes) = peer.finish()?;
    println!(
        "ArrowWriter    {:6.1} M rows/s, {:.3} bytes/row, {:.2} × the time",
        mega / peer_seconds,
        peer_bytes as f64 / rows as f64,
        peer_seconds / writing
    );

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

/// The parquet crate's writer, with the properties of a trace.
struct Peer {
    path: PathBuf,
    writer: ArrowWriter<File>,
    markers: ArrayRef,
    codes: ArrayRef,
    seconds: f64,
}

impl Peer {
    fn create(path: &Path, names: &Names, program: &Program) -> Result<Peer, Box<dyn Error>> {
        let strings = |ids: &[CodeId]| -> Vec<String> {
            (0..=ids.iter().map(|id| id.0).max().unwrap_or(0))
                .map(|id| names.code_str(CodeId(id)).to_string())
                .collect()
        };
        let codes: ArrayRef = Arc::new(StringArray::from(strings(&program.codes)));
        let markers: ArrayRef =
            Arc::new(StringArray::from_iter_values(Marker::ALL.iter().map(|marker| marker.name())));
        let batch = Peer::batch(&Batch::default(), &markers, &codes)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(WriterOptions::default().row_group_rows))
            .set_column_dictionary_enabled("time_ns".into(), false)
            .set_column_encoding("time_ns".into(), Encoding::DELTA_BINARY_PACKED)
            .set_data_page_row_count_limit(BATCH_ROWS)
            .build();
        let writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
        Ok(Peer { path: path.into(), writer, markers, codes, seconds: 0.0 })
    }

    fn batch(batch: &Batch, markers: &ArrayRef, codes: &ArrayRef) -> Result<RecordBatch, Box<dyn Error>> {
        let rows = batch.len();
        let dictionary = |keys: Vec<i32>, values: &ArrayRef| -> Result<ArrayRef, Box<dyn Error>> {
            Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys.into(), values.clone())?))
        };
        let marker = batch.marker.iter().map(|&marker| marker as i32).collect();
        let code = batch.code.iter().map(|code| code.0 as i32).collect();
        let mut values = vec![None; rows];
        batch.values.iter().for_each(|&(row, value)| values[row as usize] = Some(value));
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("time_ns", Arc::new(Int64Array::from(batch.time_ns.clone())) as ArrayRef, false),
            ("pid", Arc::new(Int32Array::from(batch.pid.clone())), false),
            ("tid", Arc::new(Int32Array::from(batch.tid.clone())), false),
            ("marker", dictionary(marker, markers)?, false),
            ("code", dictionary(code, codes)?, false),
            ("line", Arc::new(Int32Array::from(batch.line.clone())), false),
            ("value", Arc::new(Int64Array::from(values)), true),
            ("text", Arc::new(StringArray::new_null(rows)), true),
        ])?)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Box<dyn Error>> {
        let batch = Peer::batch(batch, &self.markers, &self.codes)?;
        let start = Instant::now();
        self.writer.write(&batch)?;
        self.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// The seconds that writing took, and the length of the file in bytes.
    fn finish(mut self) -> Result<(f64, u64), Box<dyn Error>> {
        let start = Instant::now();
        self.writer.close()?;
        self.seconds += start.elapsed().as_secs_f64();
        Ok((self.seconds, std::fs::metadata(&self.path)?.len()))
    }
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
