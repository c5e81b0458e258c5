//! Reads trace files as batches of rows.

mod decode;
mod trace;

pub use self::trace::{Trace, trace_files};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use self::decode::BatchDecoder;
use crate::error::{Error, Result};
use crate::file::catch_panic::catch_panic;
use crate::file::footer::{self, Footer};
use crate::file::page_header::{self, PageError};
use crate::file::trace_file::TraceFile;
use crate::format::columns::{ARROW_READ_SCHEMA, BATCH_ROWS, column};
use crate::limits;
use crate::model::{Batch, Event, Manifest, Marker, Names, RotationPart};

/// Attempts to open a file before giving up. Opening takes less than the 500 ms between two
/// checkpoints, so repeated failure means something other than a concurrent writer.
const MAX_OPEN_ATTEMPTS: u32 = 10;

/// Selects the optional columns to read. In columns that are not read every row has the default
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the columns are those of Event; time, process, thread, marker and code are always read"
)]
pub struct Columns {
    pub line: bool,
    pub value: bool,
    pub text: bool,
}

impl Columns {
    /// Every column.
    pub const ALL: Columns = Columns { line: true, value: true, text: true };

    /// The indices of the columns to read of a row group. A column chunk whose statistics count
    /// only nulls is not read, since that results in the same default values.
    fn indices(self, group: &RowGroupMetaData) -> impl Iterator<Item = usize> {
        let has_values = |index: usize| {
            let nulls = group.column(index).statistics().and_then(Statistics::null_count_opt);
            nulls.is_none_or(|nulls| i64::try_from(nulls) != Ok(group.num_rows()))
        };
        let optional = [
            (self.line, column::LINE),
            (self.value && has_values(column::VALUE), column::VALUE),
            (self.text && has_values(column::TEXT), column::TEXT),
        ];
        let optional = optional.into_iter().filter_map(|(wanted, index)| wanted.then_some(index));
        [column::TIME_NS, column::PID, column::TID, column::MARKER, column::CODE].into_iter().chain(optional)
    }
}

/// Reads one trace file. Several threads may read row groups at the same time.
#[derive(Debug)]
pub struct TraceReader {
    path: PathBuf,
    file: TraceFile,
    names: Arc<Names>,
    manifest: Manifest,
    metadata: ArrowReaderMetadata,
    torn_bytes: u64,
    /// Row groups at the beginning that are skipped, because they repeat open state of the previous
    /// file.
    skipped_row_groups: usize,
}

impl TraceReader {
    /// Opens a file. Reads the live row groups of a growing file at once, before a later checkpoint
    /// overwrites them.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, is not a trace, is of a newer format version, is cut short
    /// before its first checkpoint, or claims more rows than the limit.
    pub fn open(path: &Path, names: Arc<Names>) -> Result<TraceReader> {
        let (file, footer) = open_stable(path)?;
        let torn_bytes = file.len() - footer.end;
        names.raise_limit(limits::added_string_bytes(file.len()));
        let options = ArrowReaderOptions::new().with_schema(ARROW_READ_SCHEMA.clone());
        let metadata = ArrowReaderMetadata::try_new(Arc::new(footer.metadata), options)
            .map_err(|err| Error::Damaged { path: path.into(), reason: err.to_string() })?;
        Ok(TraceReader {
            path: path.into(),
            file,
            names,
            manifest: footer.manifest,
            metadata,
            torn_bytes,
            skipped_row_groups: 0,
        })
    }

    /// The path of the file.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The manifest of the last complete footer.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The number of bytes after the last complete footer, which are not read: an incomplete
    /// checkpoint, or a truncated copy of one.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Skips the row group of open state, if `before` is the previous file of the same recording.
    pub(crate) fn skip_open_state_after(&mut self, before: &TraceReader) {
        let parts = before.manifest.part.as_ref().zip(self.manifest.part.as_ref());
        let follows = |(before, part): (&RotationPart, &RotationPart)| {
            before.recording == part.recording && before.number.checked_add(1) == Some(part.number)
        };
        let has_open_state = self.manifest.part.as_ref().is_some_and(|part| part.has_open_state);
        self.skipped_row_groups =
            usize::from(has_open_state && parts.is_some_and(follows) && !self.groups().is_empty());
    }

    fn groups(&self) -> &[RowGroupMetaData] {
        self.metadata.metadata().row_groups()
    }

    /// The number of row groups.
    pub fn row_groups(&self) -> usize {
        self.groups().len() - self.skipped_row_groups
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.groups()[self.skipped_row_groups..].iter().map(|group| group.num_rows() as u64).sum()
    }

    /// Calls `visit` with the decompressed contents of every page, and with every minimum and
    /// maximum in the statistics. Serves to check that a trace does not contain certain bytes.
    pub fn contents(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let damaged = |err: ParquetError| Error::Damaged { path: self.path.clone(), reason: err.to_string() };
        let file = Arc::new(self.file.clone());
        for group in self.metadata.metadata().row_groups() {
            for column in group.columns() {
                if let Some(statistics) = column.statistics() {
                    [statistics.min_bytes_opt(), statistics.max_bytes_opt()]
                        .into_iter()
                        .flatten()
                        .for_each(&mut *visit);
                }
                let rows = group.num_rows() as usize;
                let mut pages =
                    SerializedPageReader::new(file.clone(), column, rows, None).map_err(damaged)?;
                while let Some(page) = pages.get_next_page().map_err(damaged)? {
                    visit(page.buffer());
                }
            }
        }
        Ok(())
    }

    /// Reads a row group in batches of at most 8,192 rows.
    ///
    /// # Errors
    ///
    /// Fails, at once or at a later batch, if the file cannot be read or its contents violate the
    /// format.
    pub fn read(
        &self,
        row_group: usize,
        columns: Columns,
    ) -> Result<impl Iterator<Item = Result<Batch>> + use<>> {
        let damaged = |reason| Error::Damaged { path: self.path.clone(), reason };
        let index = row_group.saturating_add(self.skipped_row_groups);
        let group =
            self.groups().get(index).ok_or_else(|| damaged(format!("it has no row group {row_group}")))?;
        let rows_left = group.num_rows() as u64;
        columns.indices(group).try_for_each(|index| self.check(group, index))?;
        let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), columns.indices(group));
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
                .with_row_groups(vec![index])
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS);
        let reader = catch_panic(|| builder.build())
            .ok_or_else(|| damaged(format!("its row group {row_group} cannot be decoded")))?
            .map_err(|err| damaged(err.to_string()))?;
        let (path, names) = (self.path.clone(), self.names.clone());
        Ok(RowGroupBatches { path, names, reader: Some(reader), decoder: BatchDecoder::default(), rows_left })
    }

    /// Checks the page headers of a column chunk.
    fn check(&self, group: &RowGroupMetaData, index: usize) -> Result<()> {
        page_header::check(&self.file, group.column(index), group.num_rows() as u64).map_err(|error| {
            match error {
                PageError::Io(source) => Error::Io { path: self.path.clone(), source },
                PageError::Damaged(reason) => {
                    Error::Damaged { path: self.path.clone(), reason: reason.to_owned() }
                }
            }
        })
    }

    /// The rows of one marker, in order. Row groups without that marker are not decoded.
    pub fn rows_of(&self, marker: Marker, columns: Columns) -> impl Iterator<Item = Result<Event>> + '_ {
        let groups = (0..self.row_groups()).filter(move |&group| self.may_hold(marker, group));
        let batches = groups.flat_map(move |group| {
            let (batches, error) = self
                .read(group, columns)
                .map_or_else(|error| (None, Some(Err(error))), |batches| (Some(batches), None));
            batches.into_iter().flatten().chain(error)
        });
        batches.flat_map(move |batch| match batch {
            Ok(batch) => batch.iter().filter(|event| event.marker == marker).map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Whether a row group may contain rows of a marker, according to its marker dictionary, a page
    /// of a few dozen bytes. Returns true if there is no dictionary, or it cannot be read.
    fn may_hold(&self, marker: Marker, row_group: usize) -> bool {
        let group = &self.groups()[row_group + self.skipped_row_groups];
        let first_page = || {
            let (file, rows) = (Arc::new(self.file.clone()), group.num_rows() as usize);
            SerializedPageReader::new(file, group.column(column::MARKER), rows, None)?.get_next_page()
        };
        match self.check(group, column::MARKER).map(|()| catch_panic(first_page)) {
            Ok(Some(Ok(Some(Page::DictionaryPage { buf, .. })))) => {
                strings(&buf).any(|name| name == marker.name().as_bytes())
            }
            _ => true,
        }
    }
}

/// Opens a file and caches its live row groups. Tries again if a checkpoint was written meanwhile,
/// which may have overwritten them.
fn open_stable(path: &Path) -> Result<(TraceFile, Footer)> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut attempts = 0;
    loop {
        let mut file = TraceFile::open(path).map_err(io)?;
        let found = footer::find_last(&file, path).and_then(|footer| {
            file.cache(footer.row_groups().live_range).map_err(io)?;
            Ok(footer)
        });
        attempts += 1;
        if attempts == MAX_OPEN_ATTEMPTS || !file.has_changed().map_err(io)? {
            return found.map(|footer| (file, footer));
        }
    }
}

/// The strings of a dictionary page, in plain encoding.
fn strings(mut page: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = page.split_first_chunk()?;
        let (string, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        page = rest;
        Some(string)
    })
}

/// Iterates over the batches of a row group.
struct RowGroupBatches {
    path: PathBuf,
    names: Arc<Names>,
    /// `None` after an error.
    reader: Option<ParquetRecordBatchReader>,
    decoder: BatchDecoder,
    /// Rows that the row group still has to contain.
    rows_left: u64,
}

impl Iterator for RowGroupBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let item = match catch_panic(|| reader.next()) {
            Some(Some(Ok(record))) => {
                self.rows_left = self.rows_left.saturating_sub(record.num_rows() as u64);
                self.decoder.decode(&record, &self.names).map_err(|reason| self.damaged(reason))
            }
            Some(Some(Err(err))) => Err(self.damaged(err.to_string())),
            Some(None) if self.rows_left > 0 => {
                Err(self.damaged(format!("{} rows of a row group are missing", self.rows_left)))
            }
            Some(None) => return None,
            None => Err(self.damaged("a page cannot be decoded".to_owned())),
        };
        if item.is_err() {
            self.reader = None;
        }
        Some(item)
    }
}

impl RowGroupBatches {
    fn damaged(&self, reason: String) -> Error {
        Error::Damaged { path: self.path.clone(), reason }
    }
}
