//! The columns of the open row group. Each collects the values of the current page, encodes the
//! page when it ends, and finally becomes a column chunk.

use std::io;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;

use super::dictionary::Dictionary;
use super::fields::{FieldReader, put_u32, put_u64};
use super::page::{EncodedPages, PageEncoder};
use super::{delta, rle_bitpack};
use crate::format::columns::PARQUET_SCHEMA;

/// Definition levels of the current page, which mark the rows that have a value.
#[derive(Debug, Default)]
pub(crate) struct DefinitionLevels {
    /// For each row of the page 1, or 0 if it is null.
    page: Vec<u32>,
    /// The number of nulls in earlier pages.
    nulls: u64,
}

impl DefinitionLevels {
    /// Appends null rows.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        self.page.resize(self.page.len() + rows, 0);
    }

    /// Marks a row as having a value. `back` counts rows from the last one, which is 0.
    pub(crate) fn set(&mut self, back: usize) {
        let at = self.page.len() - 1 - back;
        self.page[at] = 1;
    }

    /// Appends the levels in the form in which a data page begins with them, and starts the next
    /// page.
    fn encode(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        rle_bitpack::encode(&self.page, 1, out);
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.nulls += self.page.iter().filter(|&&level| level == 0).count() as u64;
        self.page.clear();
    }

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put_u64(self.nulls, out);
    }

    pub(crate) fn restore(&mut self, fields: &mut FieldReader<'_>) -> Option<()> {
        self.nulls = fields.u64()?;
        Some(())
    }

    /// The number of nulls in all pages.
    pub(crate) fn null_count(&self) -> u64 {
        self.nulls
    }

    pub(crate) fn clear(&mut self) {
        self.nulls = 0;
    }
}

/// A column of time stamps, delta-encoded.
#[derive(Debug, Default)]
pub(crate) struct TimeColumn {
    pub(crate) page: Vec<i64>,
    range: Option<(i64, i64)>,
    pages: EncodedPages,
}

impl TimeColumn {
    pub(crate) fn end_page(&mut self, encoder: &mut PageEncoder) -> io::Result<()> {
        let times = &self.page;
        let encode = |out: &mut Vec<u8>| delta::encode(times, out);
        encoder.append_data_page(times.len(), Encoding::DELTA_BINARY_PACKED, encode, &mut self.pages)?;
        self.range = times.iter().fold(self.range, |range, &time| match range {
            Some((min, max)) => Some((time.min(min), time.max(max))),
            None => Some((time, time)),
        });
        self.page.clear();
        Ok(())
    }

    pub(crate) fn save(&mut self, out: &mut Vec<u8>) {
        let (min, max) = self.range.unwrap_or((i64::MAX, i64::MIN));
        put_u64(min as u64, out);
        put_u64(max as u64, out);
        self.pages.save(out);
    }

    pub(crate) fn restore(&mut self, fields: &mut FieldReader<'_>) -> Option<()> {
        let (min, max) = (fields.u64()? as i64, fields.u64()? as i64);
        self.range = (min <= max).then_some((min, max));
        self.pages.restore(fields)
    }

    /// The column chunk of the pages so far.
    pub(crate) fn chunk(&self) -> ColumnChunk<'_> {
        let (min, max) = self.range.unzip();
        ColumnChunk {
            dictionary: None,
            data: &self.pages,
            encoding: Encoding::DELTA_BINARY_PACKED,
            statistics: Statistics::int64(min, max, None, Some(0), false),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.range = None;
        self.pages.clear();
    }

    /// The length of the encoded pages.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes.len()
    }

    /// Makes the next `save` include everything, for another journal.
    pub(crate) fn mark_unsaved(&mut self) {
        self.pages.saved_len = 0;
    }
}

/// A nullable column of integers, with plain encoding.
#[derive(Debug, Default)]
pub(crate) struct ValueColumn {
    pub(crate) levels: DefinitionLevels,
    pub(crate) page: Vec<i64>,
    pages: EncodedPages,
}

impl ValueColumn {
    pub(crate) fn end_page(&mut self, rows: usize, encoder: &mut PageEncoder) -> io::Result<()> {
        let encode = |out: &mut Vec<u8>| {
            self.levels.encode(out);
            self.page.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        };
        encoder.append_data_page(rows, Encoding::PLAIN, encode, &mut self.pages)?;
        self.page.clear();
        Ok(())
    }

    pub(crate) fn save(&mut self, out: &mut Vec<u8>) {
        self.levels.save(out);
        self.pages.save(out);
    }

    pub(crate) fn restore(&mut self, fields: &mut FieldReader<'_>) -> Option<()> {
        self.levels.restore(fields)?;
        self.pages.restore(fields)
    }

    /// The column chunk of the pages so far.
    pub(crate) fn chunk(&self) -> ColumnChunk<'_> {
        let nulls = self.levels.null_count();
        ColumnChunk {
            dictionary: None,
            data: &self.pages,
            encoding: Encoding::PLAIN,
            statistics: Statistics::int64(None, None, None, Some(nulls), false),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.levels.clear();
        self.pages.clear();
    }

    /// The length of the encoded pages.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes.len()
    }

    /// Makes the next `save` include everything, for another journal.
    pub(crate) fn mark_unsaved(&mut self) {
        self.pages.saved_len = 0;
    }
}

/// A dictionary-encoded column.
#[derive(Debug, Default)]
pub(crate) struct DictionaryColumn {
    pub(crate) dictionary: Dictionary,
    /// The dictionary indices of the page's non-null rows.
    pub(crate) page: Vec<u32>,
    pages: EncodedPages,
}

impl DictionaryColumn {
    /// Appends non-null rows by the keys of their values.
    pub(crate) fn extend(&mut self, keys: impl Iterator<Item = u32>) {
        let dictionary = &mut self.dictionary;
        self.page.extend(keys.map(|key| dictionary.index(key)));
    }

    /// Ends the page of `rows` rows. `levels` is for a nullable column.
    pub(crate) fn end_page(
        &mut self,
        rows: usize,
        levels: Option<&mut DefinitionLevels>,
        encoder: &mut PageEncoder,
    ) -> io::Result<()> {
        let width = rle_bitpack::width(self.dictionary.keys().len().saturating_sub(1) as u32);
        let encode = |out: &mut Vec<u8>| {
            if let Some(levels) = levels {
                levels.encode(out);
            }
            out.push(width as u8);
            rle_bitpack::encode(&self.page, width, out);
        };
        encoder.append_data_page(rows, Encoding::RLE_DICTIONARY, encode, &mut self.pages)?;
        self.page.clear();
        Ok(())
    }

    /// Serializes the pages and dictionary values that were added since the last call.
    /// `write_plain` writes a key's value.
    pub(crate) fn save(&mut self, write_plain: impl Fn(u32, &mut Vec<u8>), out: &mut Vec<u8>) {
        self.pages.save(out);
        let keys = self.dictionary.take_unsaved();
        put_u32(keys.len() as u32, out);
        keys.iter().for_each(|&key| write_plain(key, out));
    }

    /// Appends what [`DictionaryColumn::save`] wrote. `read_key` reads a value and returns its key.
    pub(crate) fn restore(
        &mut self,
        read_key: impl Fn(&mut FieldReader<'_>) -> Option<u32>,
        fields: &mut FieldReader<'_>,
    ) -> Option<()> {
        self.pages.restore(fields)?;
        for _ in 0..fields.u32()? {
            self.dictionary.index(read_key(fields)?);
        }
        self.dictionary.take_unsaved();
        Some(())
    }

    /// The column chunk of the pages so far. `write_plain` writes a key's value in plain encoding.
    pub(crate) fn chunk(
        &self,
        statistics: Statistics,
        write_plain: impl Fn(u32, &mut Vec<u8>),
        encoder: &mut PageEncoder,
    ) -> io::Result<ColumnChunk<'_>> {
        let keys = self.dictionary.keys();
        let dictionary =
            encoder.dictionary_page(keys.len(), |out| keys.iter().for_each(|&key| write_plain(key, out)))?;
        let (dictionary, encoding) = (Some(dictionary), Encoding::RLE_DICTIONARY);
        Ok(ColumnChunk { dictionary, data: &self.pages, encoding, statistics })
    }

    pub(crate) fn clear(&mut self) {
        self.dictionary.clear();
        self.pages.clear();
    }

    /// The minimum and maximum of the keys, as signed integers.
    pub(crate) fn range(&self) -> (Option<i32>, Option<i32>) {
        let keys = || self.dictionary.keys().iter().map(|&key| key as i32);
        (keys().min(), keys().max())
    }

    /// The length of the encoded pages.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes.len()
    }

    /// Makes the next `save` include everything, for another journal.
    pub(crate) fn mark_unsaved(&mut self) {
        self.pages.saved_len = 0;
        self.dictionary.mark_unsaved();
    }
}

/// A column chunk: the pages of one column in a row group.
#[derive(Debug)]
pub(crate) struct ColumnChunk<'a> {
    dictionary: Option<EncodedPages>,
    data: &'a EncodedPages,
    encoding: Encoding,
    statistics: Statistics,
}

impl ColumnChunk<'_> {
    /// Appends the chunk to `out`. Returns its metadata, with offsets into `out`.
    pub(crate) fn append(
        self,
        column: usize,
        rows: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<ColumnChunkMetaData> {
        let level = ZstdLevel::try_new(1).map_err(io::Error::other)?;
        let mut encodings = vec![self.encoding, Encoding::RLE];
        let start = out.len();
        let mut uncompressed_len = self.data.uncompressed_len;
        let mut dictionary_at = None;
        if let Some(dictionary) = &self.dictionary {
            encodings.push(Encoding::PLAIN);
            uncompressed_len += dictionary.uncompressed_len;
            dictionary_at = Some(out.len() as i64);
            out.extend_from_slice(&dictionary.bytes);
        }
        let data_at = out.len();
        out.extend_from_slice(&self.data.bytes);
        ColumnChunkMetaData::builder(PARQUET_SCHEMA.column(column))
            .set_compression(Compression::ZSTD(level))
            .set_encodings(encodings)
            .set_num_values(rows as i64)
            .set_dictionary_page_offset(dictionary_at)
            .set_data_page_offset(data_at as i64)
            .set_total_compressed_size((out.len() - start) as i64)
            .set_total_uncompressed_size(uncompressed_len as i64)
            .set_statistics(self.statistics)
            .build()
            .map_err(io::Error::other)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
    use parquet::data_type::{DataType, Int32Type, Int64Type};
    use parquet::file::serialized_reader::SerializedPageReader;

    use super::*;
    use crate::format::columns::column;

    /// Reads a chunk with Parquet's own reader. Returns the values, and the definition level of
    /// each row.
    fn read<T: DataType>(chunk: ColumnChunk<'_>, at: usize, rows: usize) -> (Vec<T::T>, Vec<i16>) {
        let mut bytes = vec![0; 100];
        let metadata = chunk.append(at, rows, &mut bytes).unwrap();
        let pages = SerializedPageReader::new(Arc::new(Bytes::from(bytes)), &metadata, rows, None).unwrap();
        let mut reader: ColumnReaderImpl<T> =
            get_typed_column_reader(get_column_reader(PARQUET_SCHEMA.column(at), Box::new(pages)));
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let levels_wanted = (PARQUET_SCHEMA.column(at).max_def_level() > 0).then_some(&mut levels);
        let (read, ..) = reader.read_records(rows + 1, levels_wanted, None, &mut values).unwrap();
        assert_eq!(read, rows);
        (values, levels)
    }

    /// Covers every index width, and page lengths around multiples of eight.
    #[test]
    fn indices_of_any_width_are_read_by_parquet() {
        for distinct in [1, 2, 3, 4, 5, 16, 17, 200, 256, 257, 5000, 65_536, 70_000] {
            let mut encoder = PageEncoder::new().unwrap();
            let mut dictionary = DictionaryColumn::default();
            let mut expected = Vec::new();
            for rows in [1, 7, 8, 9, 64, 1000, 70_001, 3] {
                let keys: Vec<i32> = (0..rows).map(|row| (row * 7 % distinct) as i32 * 31 - 4000).collect();
                dictionary.extend(keys.iter().map(|&key| key as u32));
                dictionary.end_page(rows, None, &mut encoder).unwrap();
                expected.extend(keys);
            }
            let plain = |key: u32, out: &mut Vec<u8>| out.extend_from_slice(&key.to_le_bytes());
            let statistics = Statistics::int32(None, None, None, None, false);
            let chunk = dictionary.chunk(statistics, plain, &mut encoder).unwrap();
            assert!(
                read::<Int32Type>(chunk, column::LINE, expected.len()).0 == expected,
                "{distinct} distinct"
            );
        }
    }

    #[test]
    fn differences_of_any_width_are_read_by_parquet() {
        let mut encoder = PageEncoder::new().unwrap();
        let mut times = TimeColumn::default();
        let mut expected = Vec::new();
        for rows in [1, 2, 32, 33, 34, 128, 129, 130, 5000] {
            for width in 0..64 {
                // Steps of up to 2^width in both directions.
                let time = |row: i64| row.wrapping_mul(0x5851_f42d_4c95_7f2d) >> (63 - width);
                times.page.extend((0..rows).map(time));
                expected.extend((0..rows).map(time));
                times.end_page(&mut encoder).unwrap();
            }
        }
        assert!(read::<Int64Type>(times.chunk(), column::TIME_NS, expected.len()).0 == expected);
    }

    #[test]
    fn values_and_nulls_are_read_by_parquet() {
        let mut encoder = PageEncoder::new().unwrap();
        let mut column = ValueColumn::default();
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        // The distance between rows with a value.
        for every in [usize::MAX, 100, 3, 1] {
            for rows in [1, 7, 8, 9, 1003] {
                column.levels.push_nulls(rows);
                for row in (0..rows).filter(|row| row % every == every - 1) {
                    column.levels.set(rows - 1 - row);
                    column.page.push(row as i64 - 5);
                    values.push(row as i64 - 5);
                }
                levels.extend((0..rows).map(|row| i16::from(row % every == every - 1)));
                column.end_page(rows, &mut encoder).unwrap();
            }
        }
        assert!(read::<Int64Type>(column.chunk(), column::VALUE, levels.len()) == (values, levels));
    }
}
