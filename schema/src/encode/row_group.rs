//! The row group that is being filled. Its pages are compressed as they fill, so it takes the memory that it will
//! take on disk, and a page of each column.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::column::{ColumnChunk, DefinitionLevels, DictionaryColumn, TimeColumn, ValueColumn};
use super::fields::{FieldReader, put_u64};
use super::page::PageEncoder;
use crate::format::columns::{PAGE_ROWS, PARQUET, column};
use crate::model::{Batch, CodeId, Marker, Names, TextId};

/// A row group whose compressed pages or whose strings take this much is full, however few its rows.
const FULL_BYTES: usize = 8 << 20;

/// So is one with this many distinct values in a column.
const FULL_KEYS: usize = 1 << 17;

/// Rows that are taken at once where codes are new, so that it is noticed when their strings take much.
const NEW_ROWS: usize = 1 << 10;

/// The open row group.
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
    /// Bytes of the distinct texts and codes.
    string_bytes: usize,
    /// No code of it has a larger number.
    newest_code: u32,
}

impl RowGroupBuilder {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes rows of `batch` from row `from` on, at least one and at most `limit`. Returns how many.
    pub(crate) fn take(
        &mut self,
        batch: &Batch,
        from: usize,
        limit: usize,
        names: &Names,
        encoder: &mut PageEncoder,
    ) -> io::Result<usize> {
        let room = PAGE_ROWS - self.time_ns.page.len();
        let to = batch.len().min(from + room.min(limit));
        let to = self.known_until(&batch.code[from..to]) + from;
        let rows = self.take_text(&batch.text[from..to], names);
        self.take_others(batch, from..from + rows, names);
        self.rows += rows;
        if self.time_ns.page.len() == PAGE_ROWS {
            self.end_page(encoder)?;
        }
        Ok(rows)
    }

    /// How many rows to take before it is looked at what their codes take.
    fn known_until(&mut self, codes: &[CodeId]) -> usize {
        let newest = codes.iter().map(|code| code.0).max().unwrap_or(0);
        if newest <= self.newest_code {
            return codes.len();
        }
        let some = &codes[..codes.len().min(NEW_ROWS)];
        self.newest_code = some.iter().map(|code| code.0).max().unwrap_or(0).max(self.newest_code);
        some.len()
    }

    /// Takes texts until they are all taken or make the row group full. Returns how many rows that are.
    fn take_text(&mut self, texts: &[TextId], names: &Names) -> usize {
        if texts.iter().all(|&text| text == TextId::NONE) {
            self.text_levels.nulls(texts.len());
            return texts.len();
        }
        for (row, &text) in texts.iter().enumerate() {
            self.text_levels.nulls(1);
            if text == TextId::NONE {
                continue;
            }
            self.text_levels.set(0);
            let known = self.text.dictionary.keys().len();
            let number = self.text.dictionary.number(text.0);
            self.text.page.push(number);
            if number as usize == known {
                self.string_bytes += names.text_str(text).map_or(0, |text| text.len());
                if self.string_bytes >= FULL_BYTES {
                    return row + 1;
                }
            }
        }
        texts.len()
    }

    fn take_others(&mut self, batch: &Batch, rows: Range<usize>, names: &Names) {
        self.time_ns.page.extend_from_slice(&batch.time_ns[rows.clone()]);
        self.pid.extend(batch.pid[rows.clone()].iter().map(|&pid| pid as u32));
        self.tid.extend(batch.tid[rows.clone()].iter().map(|&tid| tid as u32));
        self.marker.extend(batch.marker[rows.clone()].iter().map(|&marker| marker as u32));
        let known = self.code.dictionary.keys().len();
        self.code.extend(batch.code[rows.clone()].iter().map(|&code| code.0));
        let new = &self.code.dictionary.keys()[known..];
        self.string_bytes += new.iter().map(|&code| names.code_str(CodeId(code)).len()).sum::<usize>();
        self.line.extend(batch.line[rows.clone()].iter().map(|&line| line as u32));

        self.value.levels.nulls(rows.len());
        let first = batch.values.partition_point(|&(row, _)| (row as usize) < rows.start);
        for &(row, value) in batch.values[first..].iter().take_while(|&&(row, _)| (row as usize) < rows.end) {
            self.value.levels.set(rows.end - 1 - row as usize);
            self.value.page.push(value);
        }
    }

    /// Whether it should be closed, given the rows that it may have.
    pub(crate) fn is_full(&self, rows: usize) -> bool {
        let dictionaries = [&self.pid, &self.tid, &self.marker, &self.code, &self.line, &self.text];
        self.rows >= rows
            || self.bytes() >= FULL_BYTES
            || self.string_bytes >= FULL_BYTES
            || dictionaries.iter().any(|column| column.dictionary.keys().len() >= FULL_KEYS)
    }

    /// Bytes that its finished pages take.
    pub(crate) fn bytes(&self) -> usize {
        let dictionaries = [&self.pid, &self.tid, &self.marker, &self.code, &self.line, &self.text];
        let dictionaries: usize = dictionaries.iter().map(|column| column.bytes()).sum();
        dictionaries + self.time_ns.bytes() + self.value.bytes()
    }

    /// Ends the page that is being filled, if it has rows.
    pub(crate) fn end_open_page(&mut self, encoder: &mut PageEncoder) -> io::Result<()> {
        if self.time_ns.page.is_empty() { Ok(()) } else { self.end_page(encoder) }
    }

    /// Appends what came since the last time, between two pages.
    pub(crate) fn save(&mut self, names: &Names, out: &mut Vec<u8>) {
        put_u64(self.rows as u64, out);
        self.time_ns.save(out);
        for column in [&mut self.pid, &mut self.tid, &mut self.line] {
            column.save(integer, out);
        }
        self.marker.save(marker, out);
        self.code.save(|key, out| string(&names.code_str(CodeId(key)), out), out);
        self.value.save(out);
        self.text_levels.save(out);
        self.text.save(|key, out| string(&text(key, names), out), out);
    }

    /// Saves everything the next time: in another journal.
    pub(crate) fn mark_unsaved(&mut self) {
        let dictionaries =
            [&mut self.pid, &mut self.tid, &mut self.marker, &mut self.code, &mut self.line, &mut self.text];
        dictionaries.into_iter().for_each(DictionaryColumn::mark_unsaved);
        self.time_ns.mark_unsaved();
        self.value.mark_unsaved();
    }

    /// Puts back what was saved; none where nobody can have saved it.
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

    /// Appends it to `out`, as it is now.
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
        RowGroupMetaData::builder(PARQUET.clone())
            .set_num_rows(self.rows as i64)
            .set_total_byte_size(columns.iter().map(|chunk| chunk.uncompressed_size()).sum())
            .set_column_metadata(columns)
            .build()
            .map_err(io::Error::other)
    }

    /// Forgets its rows.
    pub(crate) fn clear(&mut self) {
        let RowGroupBuilder { rows, time_ns, pid, tid, marker, code, line, value, text, text_levels, .. } =
            self;
        *rows = 0;
        time_ns.clear();
        [pid, tid, marker, code, line, text].into_iter().for_each(DictionaryColumn::clear);
        value.clear();
        text_levels.clear();
        (self.string_bytes, self.newest_code) = (0, 0);
    }

    fn chunks(
        &self,
        names: &Names,
        encoder: &mut PageEncoder,
    ) -> io::Result<[ColumnChunk<'_>; column::COUNT]> {
        let code = |key, out: &mut Vec<u8>| string(&names.code_str(CodeId(key)), out);
        let text = |key, out: &mut Vec<u8>| string(&text(key, names), out);
        let (pid_min, pid_max) = self.pid.range();
        let (tid_min, tid_max) = self.tid.range();
        let nulls = self.text_levels.null_count();
        Ok([
            self.time_ns.chunk(),
            self.pid.chunk(Statistics::int32(pid_min, pid_max, None, Some(0), false), integer, encoder)?,
            self.tid.chunk(Statistics::int32(tid_min, tid_max, None, Some(0), false), integer, encoder)?,
            self.marker.chunk(null_count(0), marker, encoder)?,
            self.code.chunk(null_count(0), code, encoder)?,
            self.line.chunk(Statistics::int32(None, None, None, Some(0), false), integer, encoder)?,
            self.value.chunk(),
            self.text.chunk(null_count(nulls), text, encoder)?,
        ])
    }
}

/// Statistics of strings that say only how many are null.
fn null_count(nulls: u64) -> Statistics {
    Statistics::byte_array(None, None, None, Some(nulls), false)
}

fn marker(key: u32, out: &mut Vec<u8>) {
    string(Marker::ALL[key as usize].name(), out);
}

fn text(key: u32, names: &Names) -> Arc<str> {
    names.text_str(TextId(key)).unwrap_or_default()
}

/// Appends an integer as a dictionary page holds it.
fn integer(key: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&key.to_le_bytes());
}

/// Appends a string as a dictionary page holds it.
fn string(string: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(string.len() as u32).to_le_bytes());
    out.extend_from_slice(string.as_bytes());
}
