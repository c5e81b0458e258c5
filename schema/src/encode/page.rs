//! Pages: compressed values after a Parquet page header.

use std::fmt;
use std::io;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::fields::{FieldReader, put_bytes, put_u64};

/// The compression level. At higher levels the writer is slower than one Python thread produces
/// events.
const ZSTD_LEVEL: i32 = 1;

/// Encodes pages. There is one for the whole file, since setting up a zstd context is expensive.
pub(crate) struct PageEncoder {
    zstd: Compressor<'static>,
    /// The uncompressed contents of the current page.
    values: Vec<u8>,
}

/// Consecutive pages of a column, as they are stored in the file.
#[derive(Debug, Default)]
pub(crate) struct EncodedPages {
    /// Page headers and compressed values.
    pub(crate) bytes: Vec<u8>,
    /// The length of `bytes` without compression.
    pub(crate) uncompressed_len: usize,
    /// How many of `bytes` are in the journal.
    pub(crate) saved_len: usize,
}

impl EncodedPages {
    pub(crate) fn clear(&mut self) {
        *self = EncodedPages::default();
    }

    /// Serializes the pages that were added since the last call.
    pub(crate) fn save(&mut self, out: &mut Vec<u8>) {
        put_u64(self.uncompressed_len as u64, out);
        put_bytes(&self.bytes[self.saved_len..], out);
        self.saved_len = self.bytes.len();
    }

    /// Appends pages that [`EncodedPages::save`] wrote.
    pub(crate) fn restore(&mut self, fields: &mut FieldReader<'_>) -> Option<()> {
        self.uncompressed_len = fields.u64()? as usize;
        self.bytes.extend_from_slice(fields.bytes()?);
        self.saved_len = self.bytes.len();
        Some(())
    }
}

impl PageEncoder {
    pub(crate) fn new() -> io::Result<Self> {
        let mut zstd = Compressor::new(ZSTD_LEVEL)?;
        // Then damage of a page is an error, and never changes rows.
        zstd.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(PageEncoder { zstd, values: Vec::new() })
    }

    /// Appends a data page to `pages`. `encode` writes its contents: definition levels, if the
    /// column has any, and values.
    pub(crate) fn append_data_page(
        &mut self,
        rows: usize,
        encoding: Encoding,
        encode: impl FnOnce(&mut Vec<u8>),
        pages: &mut EncodedPages,
    ) -> io::Result<()> {
        let page = Page::DataPage {
            buf: self.compress(encode)?,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        append(CompressedPage::new(page, self.values.len()), pages)
    }

    /// Encodes a dictionary page of `count` values, which `encode` writes.
    pub(crate) fn dictionary_page(
        &mut self,
        count: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<EncodedPages> {
        let page = Page::DictionaryPage {
            buf: self.compress(encode)?,
            num_values: count as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut pages = EncodedPages::default();
        append(CompressedPage::new(page, self.values.len()), &mut pages)?;
        Ok(pages)
    }

    fn compress(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<Bytes> {
        self.values.clear();
        encode(&mut self.values);
        Ok(Bytes::from(self.zstd.compress(&self.values)?))
    }
}

fn append(page: CompressedPage, pages: &mut EncodedPages) -> io::Result<()> {
    let mut sink = TrackedWrite::new(std::mem::take(&mut pages.bytes));
    let written = SerializedPageWriter::new(&mut sink).write_page(page).map_err(io::Error::other)?;
    pages.bytes = sink.into_inner().map_err(io::Error::other)?;
    pages.uncompressed_len += written.uncompressed_size;
    Ok(())
}

impl fmt::Debug for PageEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageEncoder")
    }
}
