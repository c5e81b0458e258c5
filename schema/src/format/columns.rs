//! The columns of the trace format, version 1, as Parquet and Arrow schemas; the keys of the
//! footer.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::schema::types::SchemaDescPtr;

/// The key of the manifest's JSON in the footer.
pub(crate) const MANIFEST_KEY: &str = "pyrec";

/// The key of the Arrow schema in the footer, from which Arrow's readers take the columns' types.
pub(crate) const ARROW_SCHEMA_KEY: &str = "ARROW:schema";

/// The maximum number of rows in a page.
pub(crate) const PAGE_ROWS: usize = 1 << 16;

/// The number of rows in a batch that is read. Small enough that the columns stay in the
/// processor's cache, and that the allocator reuses their memory for the next batch.
pub(crate) const BATCH_ROWS: usize = 1 << 13;

/// The indices of the columns.
pub(crate) mod column {
    pub(crate) const TIME_NS: usize = 0;
    pub(crate) const PID: usize = 1;
    pub(crate) const TID: usize = 2;
    pub(crate) const MARKER: usize = 3;
    pub(crate) const CODE: usize = 4;
    pub(crate) const LINE: usize = 5;
    pub(crate) const VALUE: usize = 6;
    pub(crate) const TEXT: usize = 7;
    pub(crate) const COUNT: usize = 8;
}

/// The Arrow schema that is stored in the footer, for other readers.
pub(crate) static ARROW_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| with_text(dictionary()));

/// The Arrow schema that this crate reads with. `text` is not a dictionary here, since pages
/// without any text are slow to read as one. String views identify equal strings of a dictionary
/// just as well.
pub(crate) static ARROW_READ_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| with_text(DataType::Utf8View));

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn with_text(text: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time_ns", DataType::Int64, false),
        Field::new("pid", DataType::Int32, false),
        Field::new("tid", DataType::Int32, false),
        Field::new("marker", dictionary(), false),
        Field::new("code", dictionary(), false),
        Field::new("line", DataType::Int32, false),
        Field::new("value", DataType::Int64, true),
        Field::new("text", text, true),
    ]))
}

/// The Parquet schema.
pub(crate) static PARQUET_SCHEMA: LazyLock<SchemaDescPtr> = LazyLock::new(|| {
    Arc::new(ArrowSchemaConverter::new().convert(&ARROW_SCHEMA).expect("every column has a Parquet type"))
});
