//! The open row group. Pages are compressed as they fill, so its memory is its length on disk plus
//! one uncompressed page of each column.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::column::{ColumnChunk, DefinitionLevels, DictionaryColumn, TimeColumn, ValueColumn};
use super::fields::{FieldReader, put_u64};
use super::page::PageEncoder;
use crate::format::columns::{PAGE_ROWS, PARQUET_SCHEMA, column};
use crate::model::{Batch, CodeId, Marker, Names, TextId};

/// A row group is full if its encoded pages, or its distinct strings, have this length.
const FULL_BYTES: usize = 8 << 20;

/// A row group is also full if a column has this many distinct values.
const FULL_KEYS: usize = 1 << 17;

/// Rows that are added at once if they contain new codes. The length of the strings is checked in
/// between.
const NEW_CODE_ROWS: usize = 1 << 10;

/// Builds a row group from rows. `save` and `restore` transfer it to and from the journal in
/// increments.
#[derive(Debug, Default)]
pub(crate) struct RowGroupBuilder {
    rows: usize,
    time_ns: TimeColumn,
    pid: DictionaryColumn,
    tid: DictionaryColumn,
    marker: DictionaryColumn,
    code: DictionaryColumn,
    line: DictionaryColumn,
    value: ValueColumn,
    text: DictionaryColumn,
    text_levels: DefinitionLevels,
    /// The length of the distinct texts and codes.
    string_bytes: usize,
    /// The largest code id so far. Larger ids are new to the row group.
    max_code: u32,
}

impl RowGroupBuilder {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows of `batch` from row `from` on: at least one, at most `limit`. Returns the number
    /// of added rows.
    pub(crate) fn add(
        &mut self,
        batch: &Batch,
        from: usize,
        limit: usize,
        names: &Names,
        encoder: &mut PageEncoder,
    ) -> io::Result<usize> {
        let room = PAGE_ROWS - self.time_ns.page.len();
        let to = batch.len().min(from + room.min(limit));
        let to = self.rows_before_check(&batch.code[from..to]) + from;
        let rows = self.add_texts(&batch.text[from..to], names);
        self.add_other_columns(batch, from..from + rows, names);
        self.rows += rows;
        if self.time_ns.page.len() == PAGE_ROWS {
            self.end_page(encoder)?;
        }
        Ok(rows)
    }

    /// How many rows to add before checking the length of the strings.
    fn rows_before_check(&mut self, codes: &[CodeId]) -> usize {
        let max = codes.iter().map(|code| code.0).max().unwrap_or(0);
        if max <= self.max_code {
            return codes.len();
        }
        let first = &codes[..codes.len().min(NEW_CODE_ROWS)];
        self.max_code = first.iter().map(|code| code.0).max().unwrap_or(0).max(self.max_code);
        first.len()
    }

    /// Adds texts until all are added or the row group is full. Returns the number of added rows.
    fn add_texts(&mut self, texts: &[TextId], names: &Names) -> usize {
        if texts.iter().all(|&text| text == TextId::NONE) {
            self.text_levels.push_nulls(texts.len());
            return texts.len();
        }
        for (row, &text) in texts.iter().enumerate() {
            self.text_levels.push_nulls(1);
            if text == TextId::NONE {
                continue;
            }
            self.text_levels.set(0);
            let known = self.text.dictionary.keys().len();
            let index = self.text.dictionary.index(text.0);
            self.text.page.push(index);
            if index as usize == known {
                self.string_bytes += names.text_str(text).map_or(0, |text| text.len());
                if self.string_bytes >= FULL_BYTES {
                    return row + 1;
                }
            }
        }
        texts.len()
    }

    fn add_other_columns(&mut self, batch: &Batch, rows: Range<usize>, names: &Names) {
        self.time_ns.page.extend_from_slice(&batch.time_ns[rows.clone()]);
        self.pid.extend(batch.pid[rows.clone()].iter().map(|&pid| pid as u32));
        self.tid.extend(batch.tid[rows.clone()].iter().map(|&tid| tid as u32));
        self.marker.extend(batch.marker[rows.clone()].iter().map(|&marker| marker as u32));
        let known = self.code.dictionary.keys().len();
        self.code.extend(batch.code[rows.clone()].iter().map(|&code| code.0));
        let new = &self.code.dictionary.keys()[known..];
        self.string_bytes += new.iter().map(|&code| names.code_str(CodeId(code)).len()).sum::<usize>();
        self.line.extend(batch.line[rows.clone()].iter().map(|&line| line as u32));

        self.value.levels.push_nulls(rows.len());
        let first = batch.values.partition_point(|&(row, _)| (row as usize) < rows.start);
        for &(row, value) in batch.values[first..].iter().take_while(|&&(row, _)| (row as usize) < rows.end) {
            self.value.levels.set(rows.end - 1 - row as usize);
            self.value.page.push(value);
        }
    }

    /// Whether the row group should be closed, given the maximum number of rows.
    pub(crate) fn is_full(&self, rows: usize) -> bool {
        let dictionaries = [&self.pid, &self.tid, &self.marker, &self.code, &self.line, &self.text];
        self.rows >= rows
            || self.bytes() >= FULL_BYTES
            || self.string_bytes >= FULL_BYTES
            || dictionaries.iter().any(|column| column.dictionary.keys().len() >= FULL_KEYS)
    }

    /// The length of the encoded pages.
    pub(crate) fn bytes(&self) -> usize {
        let dictionaries = [&self.pid, &self.tid, &self.marker, &self.code, &self.line, &self.text];
        let dictionaries: usize = dictionaries.iter().map(|column| column.bytes()).sum();
        dictionaries + self.time_ns.bytes() + self.value.bytes()
    }

    /// Ends the current page, if it has rows.
    pub(crate) fn end_open_page(&mut self, encoder: &mut PageEncoder) -> io::Result<()> {
        if self.time_ns.page.is_empty() { Ok(()) } else { self.end_page(encoder) }
    }

    /// Serializes what was added since the last call. The current page must be empty.
    pub(crate) fn save(&mut self, names: &Names, out: &mut Vec<u8>) {
        put_u64(self.rows as u64, out);
        self.time_ns.save(out);
        for column in [&mut self.pid, &mut self.tid, &mut self.line] {
            column.save(put_integer, out);
        }
        self.marker.save(put_marker, out);
        self.code.save(|key, out| put_string(&names.code_str(CodeId(key)), out), out);
        self.value.save(out);
        self.text_levels.save(out);
        self.text.save(|key, out| put_string(&text_of(key, names), out), out);
    }

    /// Makes the next [`RowGroupBuilder::save`] include everything, for another journal.
    pub(crate) fn mark_unsaved(&mut self) {
        let dictionaries =
            [&mut self.pid, &mut self.tid, &mut self.marker, &mut self.code, &mut self.line, &mut self.text];
        dictionaries.into_iter().for_each(DictionaryColumn::mark_unsaved);
        self.time_ns.mark_unsaved();
        self.value.mark_unsaved();
    }

    /// Appends what [`RowGroupBuilder::save`] wrote. Returns `None` if the bytes are malformed.
    pub(crate) fn restore(&mut self, page: &[u8], names: &Names) -> Option<()> {
        let mut fields = FieldReader(page);
        let fields = &mut fields;
        self.rows = fields.u64()? as usize;
        self.time_ns.restore(fields)?;
        for column in [&mut self.pid, &mut self.tid, &mut self.line] {
            column.restore(|fields| fields.u32(), fields)?;
        }
        self.marker
            .restore(|fields| Marker::from_name(fields.string()?).map(|marker| marker as u32), fields)?;
        self.code.restore(|fields| Some(names.code(fields.string()?).0), fields)?;
        self.value.restore(fields)?;
        self.text_levels.restore(fields)?;
        self.text.restore(|fields| Some(names.text(fields.string()?).0), fields)
    }

    fn end_page(&mut self, encoder: &mut PageEncoder) -> io::Result<()> {
        let rows = self.time_ns.page.len();
        self.time_ns.end_page(encoder)?;
        for column in [&mut self.pid, &mut self.tid, &mut self.marker, &mut self.code, &mut self.line] {
            column.end_page(rows, None, encoder)?;
        }
        self.value.end_page(rows, encoder)?;
        self.text.end_page(rows, Some(&mut self.text_levels), encoder)
    }

    /// Appends the row group, as it is now, to `out`. Returns its metadata, with offsets into
    /// `out`. The builder stays usable.
    pub(crate) fn append(
        &mut self,
        names: &Names,
        encoder: &mut PageEncoder,
        out: &mut Vec<u8>,
    ) -> io::Result<RowGroupMetaData> {
        self.end_open_page(encoder)?;
        let mut columns = Vec::with_capacity(column::COUNT);
        for (at, chunk) in self.chunks(names, encoder)?.into_iter().enumerate() {
            columns.push(chunk.append(at, self.rows, out)?);
        }
        RowGroupMetaData::builder(PARQUET_SCHEMA.clone())
            .set_num_rows(self.rows as i64)
            .set_total_byte_size(columns.iter().map(|chunk| chunk.uncompressed_size()).sum())
            .set_column_metadata(columns)
            .build()
            .map_err(io::Error::other)
    }

    /// Removes all rows and keeps the capacity.
    pub(crate) fn clear(&mut self) {
        let RowGroupBuilder { rows, time_ns, pid, tid, marker, code, line, value, text, text_levels, .. } =
            self;
        *rows = 0;
        time_ns.clear();
        [pid, tid, marker, code, line, text].into_iter().for_each(DictionaryColumn::clear);
        value.clear();
        text_levels.clear();
        (self.string_bytes, self.max_code) = (0, 0);
    }

    fn chunks(
        &self,
        names: &Names,
        encoder: &mut PageEncoder,
    ) -> io::Result<[ColumnChunk<'_>; column::COUNT]> {
        let code = |key, out: &mut Vec<u8>| put_string(&names.code_str(CodeId(key)), out);
        let text = |key, out: &mut Vec<u8>| put_string(&text_of(key, names), out);
        let (pid_min, pid_max) = self.pid.range();
        let (tid_min, tid_max) = self.tid.range();
        let nulls = self.text_levels.null_count();
        Ok([
            self.time_ns.chunk(),
            self.pid.chunk(
                Statistics::int32(pid_min, pid_max, None, Some(0), false),
                put_integer,
                encoder,
            )?,
            self.tid.chunk(
                Statistics::int32(tid_min, tid_max, None, Some(0), false),
                put_integer,
                encoder,
            )?,
            self.marker.chunk(null_count(0), put_marker, encoder)?,
            self.code.chunk(null_count(0), code, encoder)?,
            self.line.chunk(Statistics::int32(None, None, None, Some(0), false), put_integer, encoder)?,
            self.value.chunk(),
            self.text.chunk(null_count(nulls), text, encoder)?,
        ])
    }
}

/// Statistics of a string column, with only the number of nulls.
fn null_count(nulls: u64) -> Statistics {
    Statistics::byte_array(None, None, None, Some(nulls), false)
}

fn put_marker(key: u32, out: &mut Vec<u8>) {
    put_string(Marker::ALL[key as usize].name(), out);
}

fn text_of(key: u32, names: &Names) -> Arc<str> {
    names.text_str(TextId(key)).unwrap_or_default()
}

/// Appends an integer in plain encoding.
fn put_integer(key: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&key.to_le_bytes());
}

/// Appends a string in plain encoding.
fn put_string(string: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(string.len() as u32).to_le_bytes());
    out.extend_from_slice(string.as_bytes());
}
