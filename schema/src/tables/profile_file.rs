//! Writes profiles as Parquet files, and reads them. The files to read may also come from a
//! database that merged profiles.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::calls::io_error;
use super::profile::{PathId, Profile, ProfileKey, ProfileRowKind, ProfileSums};
use crate::error::{Error, Result};
use crate::file::catch_panic::catch_panic;
use crate::file::footer;
use crate::file::page_header::{self, PageError};
use crate::file::trace_file::TraceFile;

/// The version of the profile format that this crate writes, and the only one that it reads.
pub const PROFILE_VERSION: &str = "1";

static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = DataType::Utf8;
    let mut fields = vec![
        Field::new("row", text.clone(), false),
        Field::new("id", DataType::Binary, true),
        Field::new("parent", DataType::Binary, true),
        Field::new("frame", text.clone(), true),
        Field::new("name", text, true),
        Field::new("bucket", DataType::Int32, true),
    ];
    fields.extend(SUM_COLUMNS.map(|name| Field::new(name, DataType::Int64, name != "count")));
    Arc::new(Schema::new(fields))
});

/// The value columns, in the order of [`values`].
const SUM_COLUMNS: [&str; 8] =
    ["count", "self_ns", "points", "orphans", "measured", "measured_ns", "min_ns", "max_ns"];

/// The values of a row in these columns. Rows other than paths have only a count.
fn values(row: ProfileRowKind, sums: &ProfileSums) -> [Option<u64>; 8] {
    let of_path = |number| (row == ProfileRowKind::Path).then_some(number);
    [
        Some(sums.count),
        of_path(sums.self_ns),
        of_path(sums.points),
        of_path(sums.orphans),
        of_path(sums.measured),
        of_path(sums.measured_ns),
        sums.min_ns,
        sums.max_ns,
    ]
}

/// Writes a profile. Equal profiles result in equal bytes.
pub fn write_profile(profile: &Profile, out: impl Write + Send) -> io::Result<()> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let mut writer =
        ArrowWriter::try_new(out, COLUMNS.clone(), Some(properties.build())).map_err(io_error)?;
    let batch = RecordBatch::try_new(COLUMNS.clone(), columns(profile)).map_err(io::Error::other)?;
    writer.write(&batch).map_err(io_error)?;
    writer.close().map(drop).map_err(io_error)
}

fn columns(profile: &Profile) -> Vec<ArrayRef> {
    let bytes = |id: fn(&ProfileKey) -> Option<&PathId>| -> ArrayRef {
        Arc::new(BinaryArray::from_iter(profile.rows().map(|(key, _)| id(key).map(|id| id.0))))
    };
    let text = |text: fn(&ProfileKey) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(profile.rows().map(|(key, _)| text(key))))
    };
    let mut columns: Vec<ArrayRef> = vec![
        text(|key| Some(key.row.name())),
        bytes(|key| key.id.as_ref()),
        bytes(|key| key.parent.as_ref()),
        text(|key| key.frame.as_deref()),
        text(|key| key.name.as_deref()),
        Arc::new(Int32Array::from_iter(profile.rows().map(|(key, _)| key.bucket))),
    ];
    columns.extend((0..SUM_COLUMNS.len()).map(|at| -> ArrayRef {
        let column = profile.rows().map(|(key, sums)| values(key.row, sums)[at]);
        let signed = column.map(|number| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)));
        Arc::new(Int64Array::from_iter(signed))
    }));
    columns
}

/// Whether a file is a Parquet file with the columns of a profile.
pub fn is_profile(path: &Path) -> bool {
    let builder = TraceFile::open(path).ok().and_then(|file| open(file).ok());
    builder.is_some_and(|builder| {
        COLUMNS.fields().iter().all(|column| builder.schema().column_with_name(column.name()).is_some())
    })
}

/// Checks the footer and the page headers of a file. Returns a builder for its reader.
fn open(file: TraceFile) -> Result<ParquetRecordBatchReaderBuilder<TraceFile>, String> {
    let metadata = footer::read_any(&file)?;
    for group in metadata.row_groups() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        group.columns().iter().try_for_each(|chunk| page_header::check(&file, chunk, rows)).map_err(
            |error| match error {
                PageError::Io(source) => source.to_string(),
                PageError::Damaged(reason) => reason.to_owned(),
            },
        )?;
    }
    let metadata =
        catch_panic(|| ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()));
    let metadata = metadata.ok_or("its footer cannot be decoded")?.map_err(|error| error.to_string())?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata))
}

/// Reads a profile. The columns may be in any order, and of any type and encoding that converts to
/// theirs.
///
/// # Errors
///
/// Fails if the file cannot be read, lacks a column, or contains rows that no profile has.
pub fn read_profile(path: &Path) -> Result<Profile> {
    let file = TraceFile::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let damaged = |reason: String| Error::Damaged { path: path.into(), reason };
    let builder = open(file).map_err(damaged)?;
    let undecodable = || damaged("a page cannot be decoded".to_owned());
    let reader = catch_panic(|| builder.build()).ok_or_else(undecodable)?;
    let mut reader = reader.map_err(|error| damaged(error.to_string()))?;
    let mut profile = Profile::default();
    while let Some(batch) = catch_panic(|| reader.next()).ok_or_else(undecodable)? {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        let rows = ProfileColumns::of(&batch).map_err(damaged)?;
        for row in 0..batch.num_rows() {
            let (key, sums) = rows.row(row).map_err(damaged)?;
            profile.add(key, &sums);
        }
    }
    if let Some((version, _)) =
        profile.names_of(ProfileRowKind::Format).find(|format| format.0 != PROFILE_VERSION)
    {
        return Err(damaged(format!(
            "it is a profile of format {version:?}, and this pyrec reads format {PROFILE_VERSION}"
        )));
    }
    profile.check().map_err(|reason| damaged(reason.to_owned()))?;
    Ok(profile)
}

/// The columns of a record batch.
struct ProfileColumns {
    texts: [StringArray; 3],
    ids: [BinaryArray; 2],
    bucket: Int32Array,
    numbers: Vec<Int64Array>,
}

impl ProfileColumns {
    fn of(batch: &RecordBatch) -> Result<ProfileColumns, String> {
        let column = |name: &str, kind: DataType| -> Result<ArrayRef, String> {
            let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))?;
            cast(column, &kind).map_err(|error| format!("its column {name}: {error}"))
        };
        let text = |name| Ok::<_, String>(column(name, DataType::Utf8)?.as_string::<i32>().clone());
        let id = |name| Ok::<_, String>(column(name, DataType::Binary)?.as_binary::<i32>().clone());
        let number =
            |name| Ok::<_, String>(column(name, DataType::Int64)?.as_primitive::<Int64Type>().clone());
        Ok(ProfileColumns {
            texts: [text("row")?, text("frame")?, text("name")?],
            ids: [id("id")?, id("parent")?],
            bucket: column("bucket", DataType::Int32)?.as_primitive::<Int32Type>().clone(),
            numbers: SUM_COLUMNS.into_iter().map(number).collect::<Result<_, _>>()?,
        })
    }

    fn row(&self, row: usize) -> Result<(ProfileKey, ProfileSums), String> {
        let text = |column: &StringArray| column.is_valid(row).then(|| Arc::<str>::from(column.value(row)));
        let id = |column: &BinaryArray| match column.is_valid(row).then(|| column.value(row)) {
            None => Ok(None),
            Some(bytes) => bytes
                .try_into()
                .map(|id| Some(PathId(id)))
                .map_err(|_| "the id of a path is not 16 bytes long"),
        };
        let number = |at: usize| match self.numbers[at].is_valid(row).then(|| self.numbers[at].value(row)) {
            None => Ok(None),
            Some(number) => u64::try_from(number).map(Some).map_err(|_| "a number is negative"),
        };
        let sum = |at| Ok::<_, String>(number(at)?.unwrap_or(0));
        let [kind, frame, name] = self.texts.each_ref().map(text);
        let kind = kind.unwrap_or_default();
        let about = ProfileRowKind::from_name(&kind)
            .ok_or_else(|| format!("it has rows of an unknown kind, {kind:?}"))?;
        let (id, parent) = (id(&self.ids[0])?, id(&self.ids[1])?);
        let bucket = self.bucket.is_valid(row).then(|| self.bucket.value(row));
        Ok((
            ProfileKey { row: about, id, parent, frame, name, bucket },
            ProfileSums {
                count: sum(0)?,
                self_ns: sum(1)?,
                points: sum(2)?,
                orphans: sum(3)?,
                measured: sum(4)?,
                measured_ns: sum(5)?,
                min_ns: number(6)?,
                max_ns: number(7)?,
            },
        ))
    }
}
