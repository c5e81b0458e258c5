//! Trace format v1 in the words of Parquet and Arrow: the columns, and the keys of the footer.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::schema::types::SchemaDescPtr;

/// The key of the manifest's JSON in the footer.
pub(crate) const MANIFEST_KEY: &str = "pyrec";

/// The key under which Arrow's readers look for the columns' Arrow types.
pub(crate) const ARROW_SCHEMA_KEY: &str = "ARROW:schema";

/// Rows of a page.
pub(crate) const PAGE_ROWS: usize = 1 << 16;

/// Rows of a batch that is read: few enough that its columns stay in a processor's cache until they are used, and in
/// an allocator's hands between one batch and the next.
pub(crate) const BATCH_ROWS: usize = 1 << 13;

/// The columns' places in the file.
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

/// The columns as Arrow's readers give them.
pub(crate) static ARROW: LazyLock<SchemaRef> = LazyLock::new(|| with_text(dictionary()));

/// The columns as our reader takes them. A page without any text is slow to read as a dictionary, and its views
/// tell equal strings of a dictionary as well.
pub(crate) static ARROW_READ: LazyLock<SchemaRef> = LazyLock::new(|| with_text(DataType::Utf8View));

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

/// The columns as Parquet sees them.
pub(crate) static PARQUET: LazyLock<SchemaDescPtr> = LazyLock::new(|| {
    Arc::new(ArrowSchemaConverter::new().convert(&ARROW).expect("Parquet has a type for each of our columns"))
});
