//! Encoded values into pages: compressed, with Parquet's header before each.

use std::fmt;
use std::io;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::fields::{FieldReader, put_bytes, put_u64};

/// The level at which zstd keeps up with a Python thread.
const ZSTD_LEVEL: i32 = 1;

/// Makes pages; one for a whole file, since a zstd context is dear to set up.
pub(crate) struct PageEncoder {
    zstd: Compressor<'static>,
    /// The values of the page in the making.
    values: Vec<u8>,
}

/// EncodedPages one after the other, as they stand in the file.
#[derive(Debug, Default)]
pub(crate) struct EncodedPages {
    /// Headers and compressed values.
    pub(crate) bytes: Vec<u8>,
    /// What `bytes` would be without compression.
    pub(crate) uncompressed_len: usize,
    /// How many of `bytes` are in the journal.
    pub(crate) saved: usize,
}

impl EncodedPages {
    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        *self = EncodedPages::default();
    }

    /// Appends the pages that came since the last time.
    pub(crate) fn save(&mut self, out: &mut Vec<u8>) {
        put_u64(self.uncompressed_len as u64, out);
        put_bytes(&self.bytes[self.saved..], out);
        self.saved = self.bytes.len();
    }

    /// Puts them back.
    pub(crate) fn restore(&mut self, fields: &mut FieldReader<'_>) -> Option<()> {
        self.uncompressed_len = fields.u64()? as usize;
        self.bytes.extend_from_slice(fields.bytes()?);
        self.saved = self.bytes.len();
        Some(())
    }
}

impl PageEncoder {
    pub(crate) fn new() -> io::Result<Self> {
        let mut zstd = Compressor::new(ZSTD_LEVEL)?;
        // So that a damaged page is an error and not other rows.
        zstd.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(PageEncoder { zstd, values: Vec::new() })
    }

    /// Appends a data page of what `encode` writes: definition levels, if the column has any, and values.
    pub(crate) fn data(
        &mut self,
        rows: usize,
        encoding: Encoding,
        encode: impl FnOnce(&mut Vec<u8>),
        pages: &mut EncodedPages,
    ) -> io::Result<()> {
        let page = Page::DataPage {
            buf: self.compressed(encode)?,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        append(CompressedPage::new(page, self.values.len()), pages)
    }

    /// A dictionary page of what `encode` writes.
    pub(crate) fn dictionary(
        &mut self,
        count: usize,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<EncodedPages> {
        let page = Page::DictionaryPage {
            buf: self.compressed(encode)?,
            num_values: count as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut pages = EncodedPages::default();
        append(CompressedPage::new(page, self.values.len()), &mut pages)?;
        Ok(pages)
    }

    fn compressed(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<Bytes> {
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
