//! One column of the open row group: rows in, pages out as they fill, a column chunk in the end.

use std::io;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;

use crate::dictionary::Dictionary;
use crate::format::PARQUET;
use crate::page::{PageMaker, Pages};
use crate::{delta, hybrid};

/// Which rows of the open page have a value.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// Per row of the page 1 or, for null, 0.
    page: Vec<u32>,
    /// Nulls in the pages before.
    nulls: u64,
}

impl Levels {
    /// Appends rows that are null.
    pub(crate) fn nulls(&mut self, rows: usize) {
        self.page.resize(self.page.len() + rows, 0);
    }

    /// Makes the last but `back` row one with a value.
    pub(crate) fn set(&mut self, back: usize) {
        let at = self.page.len() - 1 - back;
        self.page[at] = 1;
    }

    /// Appends the page's levels as a data page begins with them, and starts the next page.
    fn encode(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        hybrid::encode(&self.page, 1, out);
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.nulls += self.page.iter().filter(|&&level| level == 0).count() as u64;
        self.page.clear();
    }

    /// The nulls in all pages; the next row group counts anew.
    pub(crate) fn take_null_count(&mut self) -> u64 {
        std::mem::take(&mut self.nulls)
    }
}

/// Time stamps: each as the difference to the one before.
#[derive(Debug, Default)]
pub(crate) struct TimeColumn {
    pub(crate) page: Vec<i64>,
    range: Option<(i64, i64)>,
    pages: Pages,
}

impl TimeColumn {
    pub(crate) fn end_page(&mut self, maker: &mut PageMaker) -> io::Result<()> {
        let times = &self.page;
        let encode = |out: &mut Vec<u8>| delta::encode(times, out);
        maker.data(times.len(), Encoding::DELTA_BINARY_PACKED, encode, &mut self.pages)?;
        self.range = times.iter().fold(self.range, |range, &time| match range {
            Some((min, max)) => Some((time.min(min), time.max(max))),
            None => Some((time, time)),
        });
        self.page.clear();
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Chunk {
        let (min, max) = self.range.take().unzip();
        Chunk {
            dictionary: None,
            data: std::mem::take(&mut self.pages),
            encoding: Encoding::DELTA_BINARY_PACKED,
            statistics: Statistics::int64(min, max, None, Some(0), false),
        }
    }

    /// Bytes that the pages take.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes.len()
    }
}

/// Numbers that few rows have, as they are.
#[derive(Debug, Default)]
pub(crate) struct ValueColumn {
    pub(crate) levels: Levels,
    pub(crate) page: Vec<i64>,
    pages: Pages,
}

impl ValueColumn {
    pub(crate) fn end_page(&mut self, rows: usize, maker: &mut PageMaker) -> io::Result<()> {
        let encode = |out: &mut Vec<u8>| {
            self.levels.encode(out);
            self.page.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        };
        maker.data(rows, Encoding::PLAIN, encode, &mut self.pages)?;
        self.page.clear();
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Chunk {
        let nulls = self.levels.take_null_count();
        Chunk {
            dictionary: None,
            data: std::mem::take(&mut self.pages),
            encoding: Encoding::PLAIN,
            statistics: Statistics::int64(None, None, None, Some(nulls), false),
        }
    }

    /// Bytes that the pages take.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes.len()
    }
}

/// Values that repeat, as their numbers in the row group's dictionary.
#[derive(Debug, Default)]
pub(crate) struct DictionaryColumn {
    pub(crate) dictionary: Dictionary,
    /// Of the rows with a value.
    pub(crate) page: Vec<u32>,
    pages: Pages,
}

impl DictionaryColumn {
    /// Appends rows.
    pub(crate) fn extend(&mut self, keys: impl Iterator<Item = u32>) {
        let dictionary = &mut self.dictionary;
        self.page.extend(keys.map(|key| dictionary.number(key)));
    }

    /// Ends the page, of `rows` rows and with `levels` if rows may be null.
    pub(crate) fn end_page(
        &mut self,
        rows: usize,
        levels: Option<&mut Levels>,
        maker: &mut PageMaker,
    ) -> io::Result<()> {
        let width = hybrid::width(self.dictionary.keys().len().saturating_sub(1) as u32);
        let encode = |out: &mut Vec<u8>| {
            if let Some(levels) = levels {
                levels.encode(out);
            }
            out.push(width as u8);
            hybrid::encode(&self.page, width, out);
        };
        maker.data(rows, Encoding::RLE_DICTIONARY, encode, &mut self.pages)?;
        self.page.clear();
        Ok(())
    }

    /// Ends the chunk. `plain` writes the value of a key as a dictionary page holds it.
    pub(crate) fn close(
        &mut self,
        statistics: Statistics,
        plain: impl Fn(u32, &mut Vec<u8>),
        maker: &mut PageMaker,
    ) -> io::Result<Chunk> {
        let keys = self.dictionary.keys();
        let dictionary = maker.dictionary(keys.len(), |out| keys.iter().for_each(|&key| plain(key, out)))?;
        self.dictionary.clear();
        Ok(Chunk {
            dictionary: Some(dictionary),
            data: std::mem::take(&mut self.pages),
            encoding: Encoding::RLE_DICTIONARY,
            statistics,
        })
    }

    /// The smallest and largest key as signed integers.
    pub(crate) fn range(&self) -> (Option<i32>, Option<i32>) {
        let keys = || self.dictionary.keys().iter().map(|&key| key as i32);
        (keys().min(), keys().max())
    }

    /// Bytes that the pages take.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes.len()
    }
}

/// A column of a row group that is done.
#[derive(Debug)]
pub(crate) struct Chunk {
    dictionary: Option<Pages>,
    data: Pages,
    encoding: Encoding,
    statistics: Statistics,
}

impl Chunk {
    /// Appends the chunk to `out`, which begins at `start` in the file, as the `column`th of a row group of `rows` rows.
    pub(crate) fn append(
        self,
        column: usize,
        rows: usize,
        start: u64,
        out: &mut Vec<u8>,
    ) -> io::Result<ColumnChunkMetaData> {
        let level = ZstdLevel::try_new(1).map_err(io::Error::other)?;
        let mut encodings = vec![self.encoding, Encoding::RLE];
        let begin = out.len();
        let mut uncompressed_len = self.data.uncompressed_len;
        let mut dictionary_at = None;
        if let Some(dictionary) = &self.dictionary {
            encodings.push(Encoding::PLAIN);
            uncompressed_len += dictionary.uncompressed_len;
            dictionary_at = Some((start + out.len() as u64) as i64);
            out.extend_from_slice(&dictionary.bytes);
        }
        let data_at = start + out.len() as u64;
        out.extend_from_slice(&self.data.bytes);
        ColumnChunkMetaData::builder(PARQUET.column(column))
            .set_compression(Compression::ZSTD(level))
            .set_encodings(encodings)
            .set_num_values(rows as i64)
            .set_dictionary_page_offset(dictionary_at)
            .set_data_page_offset(data_at as i64)
            .set_total_compressed_size((out.len() - begin) as i64)
            .set_total_uncompressed_size(uncompressed_len as i64)
            .set_statistics(self.statistics)
            .build()
            .map_err(io::Error::other)
    }
}
