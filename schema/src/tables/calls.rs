//! Writes a Parquet table of single calls, for SQL.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringDictionaryBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// A row of the table: one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRow<'a> {
    /// The id of the call. `None` if its entry was not recorded.
    pub id: Option<i64>,
    /// The id of the caller. `None` for an outermost call, and if the caller is unknown.
    pub parent: Option<i64>,
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// The number of enclosing calls.
    pub depth: i32,
    /// `function`, `cfunction`, `gc`, or `lost` for the unknown caller of calls after a loss.
    pub kind: &'a str,
    /// The string of the trace's `code` column. Empty if the call has no code object.
    pub code: &'a str,
    /// The module, if it is known.
    pub module: Option<&'a str>,
    /// The qualified name.
    pub name: &'a str,
    /// The time of the entry, `CLOCK_MONOTONIC` nanoseconds. `None` if it was not recorded.
    pub start_ns: Option<i64>,
    /// The time of the return. Without a return, the last time at which the call was active.
    pub end_ns: i64,
    /// The time from entry to return, if both were recorded and no events were lost in between.
    pub duration_ns: Option<i64>,
    /// The time in the call itself, without its callees, nanoseconds.
    pub self_ns: i64,
    /// How the call began: `call`, `resume`, `throw`, or `unseen`.
    pub began: &'a str,
    /// How the call ended: `return`, `yield`, `unwind`, or the reason why there is no return:
    /// `never`, `lost`, `open`.
    pub ended: &'a str,
    /// The generation, for a garbage collection.
    pub value: Option<i64>,
}

/// The number of rows that are encoded at once.
const BATCH_ROWS: usize = 1 << 16;

/// The maximum number of rows in a row group.
const GROUP_ROWS: usize = 1 << 20;

static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let dictionary = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("parent", DataType::Int64, true),
        Field::new("pid", DataType::Int32, false),
        Field::new("tid", DataType::Int32, false),
        Field::new("depth", DataType::Int32, false),
        Field::new("kind", dictionary(), false),
        Field::new("code", dictionary(), false),
        Field::new("module", dictionary(), true),
        Field::new("name", dictionary(), false),
        Field::new("start_ns", DataType::Int64, true),
        Field::new("end_ns", DataType::Int64, false),
        Field::new("duration_ns", DataType::Int64, true),
        Field::new("self_ns", DataType::Int64, false),
        Field::new("began", dictionary(), false),
        Field::new("ended", dictionary(), false),
        Field::new("value", DataType::Int64, true),
    ]))
});

/// Writes a table of calls. Its memory does not grow with the number of calls.
pub struct CallsWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: usize,
    columns: Builders,
}

impl<W: Write + Send> CallsWriter<W> {
    /// Begins a table.
    pub fn new(out: W) -> io::Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS));
        for numbers in ["id", "parent", "start_ns", "end_ns", "duration_ns", "self_ns"] {
            let column = ColumnPath::from(numbers);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
        let writer =
            ArrowWriter::try_new(out, COLUMNS.clone(), Some(properties.build())).map_err(io_error)?;
        Ok(CallsWriter { writer, rows: 0, columns: Builders::default() })
    }

    /// Appends a call.
    pub fn write(&mut self, row: &CallRow) -> io::Result<()> {
        self.columns.push(row);
        self.rows += 1;
        if self.rows == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Ends the file. Adds `facts` to the key-value metadata of the footer.
    pub fn finish(mut self, facts: &[(&str, String)]) -> io::Result<()> {
        self.flush()?;
        for (key, value) in facts {
            self.writer.append_key_value_metadata(KeyValue::new((*key).to_owned(), value.clone()));
        }
        self.writer.close().map(drop).map_err(io_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rows = 0;
        let batch = RecordBatch::try_new(COLUMNS.clone(), self.columns.finish()).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(io_error)
    }
}

/// Returns the `io::Error` that caused a Parquet error, if there is one, so that callers can
/// recognize a closed pipe.
pub(crate) fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}

/// The columns of rows that are not encoded yet.
#[derive(Default)]
struct Builders {
    id: Int64Builder,
    parent: Int64Builder,
    pid: Int32Builder,
    tid: Int32Builder,
    depth: Int32Builder,
    kind: StringDictionaryBuilder<Int32Type>,
    code: StringDictionaryBuilder<Int32Type>,
    module: StringDictionaryBuilder<Int32Type>,
    name: StringDictionaryBuilder<Int32Type>,
    start_ns: Int64Builder,
    end_ns: Int64Builder,
    duration_ns: Int64Builder,
    self_ns: Int64Builder,
    began: StringDictionaryBuilder<Int32Type>,
    ended: StringDictionaryBuilder<Int32Type>,
    value: Int64Builder,
}

impl Builders {
    fn push(&mut self, row: &CallRow) {
        self.id.append_option(row.id);
        self.parent.append_option(row.parent);
        self.pid.append_value(row.pid);
        self.tid.append_value(row.tid);
        self.depth.append_value(row.depth);
        self.kind.append_value(row.kind);
        self.code.append_value(row.code);
        self.module.append_option(row.module);
        self.name.append_value(row.name);
        self.start_ns.append_option(row.start_ns);
        self.end_ns.append_value(row.end_ns);
        self.duration_ns.append_option(row.duration_ns);
        self.self_ns.append_value(row.self_ns);
        self.began.append_value(row.began);
        self.ended.append_value(row.ended);
        self.value.append_option(row.value);
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.id.finish()),
            Arc::new(self.parent.finish()),
            Arc::new(self.pid.finish()),
            Arc::new(self.tid.finish()),
            Arc::new(self.depth.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.code.finish()),
            Arc::new(self.module.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.start_ns.finish()),
            Arc::new(self.end_ns.finish()),
            Arc::new(self.duration_ns.finish()),
            Arc::new(self.self_ns.finish()),
            Arc::new(self.began.finish()),
            Arc::new(self.ended.finish()),
            Arc::new(self.value.finish()),
        ]
    }
}
