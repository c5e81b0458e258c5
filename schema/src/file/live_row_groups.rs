//! Live row groups: the last row groups of a growing file, which each checkpoint writes again in
//! another place. All others are settled: no later checkpoint moves or overwrites them.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::catch_panic::catch_panic;
use super::page_header;
use super::trace_file::TraceFile;
use crate::format::MAGIC;

/// The maximum length of the live row groups. A recorder writes a few megabytes. Readers hold them
/// in memory, so a file that claims more is read like one without live row groups.
const MAX_BYTES: u64 = 64 << 20;

/// The row groups of a footer, split into settled and live ones.
pub(crate) struct RowGroupSplit<'a> {
    pub(crate) settled: &'a [RowGroupMetaData],
    /// Where the settled ones end in the file.
    pub(crate) settled_end: u64,
    pub(crate) live: &'a [RowGroupMetaData],
    /// The bytes from the first live one to the footer.
    pub(crate) live_range: Range<u64>,
}

/// Splits the row groups of a footer that begins at `footer_start` and lists `live_count` live
/// ones. If no writer can have laid them out like that, all count as settled.
pub(crate) fn split(groups: &[RowGroupMetaData], live_count: usize, footer_start: u64) -> RowGroupSplit<'_> {
    let (settled, live) = groups.split_at(groups.len().saturating_sub(live_count));
    let settled_end = settled.iter().map(|group| range(group).end).fold(MAGIC.len() as u64, u64::max);
    let start = live.iter().map(|group| range(group).start).fold(footer_start, u64::min);
    if start < settled_end || footer_start - start > MAX_BYTES {
        let live_range = footer_start..footer_start;
        return RowGroupSplit { settled: groups, settled_end: footer_start, live: &[], live_range };
    }
    RowGroupSplit { settled, settled_end, live, live_range: start..footer_start }
}

/// The bytes of a row group. Its columns must have been checked to lie within the file.
pub(crate) fn range(group: &RowGroupMetaData) -> Range<u64> {
    let chunks = || group.columns().iter().map(|chunk| chunk.byte_range());
    let start = chunks().map(|(start, _)| start).min().unwrap_or(0);
    start..chunks().map(|(start, len)| start + len).max().unwrap_or(start)
}

/// Whether the bytes of a row group are those that its footer was written for. The check
/// decompresses every page, each of which has a checksum.
pub(crate) fn is_intact(file: &TraceFile, group: &RowGroupMetaData) -> bool {
    let (file, rows) = (Arc::new(file.clone()), group.num_rows() as u64);
    group.columns().iter().all(|chunk| {
        let read = || -> parquet::errors::Result<()> {
            let mut pages = SerializedPageReader::new(file.clone(), chunk, rows as usize, None)?;
            while pages.get_next_page()?.is_some() {}
            Ok(())
        };
        page_header::check(&file, chunk, rows).is_ok() && matches!(catch_panic(read), Some(Ok(())))
    })
}

/// The metadata of a row group whose bytes lie `by` further on in the file.
pub(crate) fn shifted(group: &RowGroupMetaData, by: i64) -> io::Result<RowGroupMetaData> {
    let columns = group.columns().iter().cloned().map(|chunk| {
        let (data, dictionary) = (chunk.data_page_offset() + by, chunk.dictionary_page_offset());
        let chunk = chunk.into_builder().set_data_page_offset(data);
        chunk.set_dictionary_page_offset(dictionary.map(|at| at + by)).build()
    });
    let moved = columns
        .collect::<parquet::errors::Result<_>>()
        .and_then(|columns| group.clone().into_builder().set_column_metadata(columns).build());
    moved.map_err(io::Error::other)
}
