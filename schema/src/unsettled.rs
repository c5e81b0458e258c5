//! The last row groups of a file that grows: each checkpoint writes them anew, at another place.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::attempt::attempt;
use crate::file::TraceFile;
use crate::footer::{Footer, MAGIC};
use crate::pages;

/// A recorder writes a few megabytes of them. Whoever claims more wants to be read by the piece.
const MAX_BYTES: u64 = 64 << 20;

/// The row groups of a footer.
pub(crate) struct Split<'a> {
    /// Those that stay.
    pub(crate) settled: &'a [RowGroupMetaData],
    /// Where they end.
    pub(crate) settled_end: u64,
    /// Those that do not.
    pub(crate) unsettled: &'a [RowGroupMetaData],
    /// Where these lie, up to the footer.
    pub(crate) place: Range<u64>,
}

/// Parts them. Where nobody can have written them so, all are settled.
pub(crate) fn split(footer: &Footer) -> Split<'_> {
    let groups = footer.metadata.row_groups();
    let (settled, unsettled) =
        groups.split_at(groups.len().saturating_sub(footer.manifest.unsettled_row_groups));
    let settled_end = settled.iter().map(|group| range(group).end).fold(MAGIC.len() as u64, u64::max);
    let start = unsettled.iter().map(|group| range(group).start).fold(footer.start, u64::min);
    if start < settled_end || footer.start - start > MAX_BYTES {
        let place = footer.start..footer.start;
        return Split { settled: groups, settled_end: footer.start, unsettled: &[], place };
    }
    Split { settled, settled_end, unsettled, place: start..footer.start }
}

/// Where a row group lies. Its columns lie within the file.
pub(crate) fn range(group: &RowGroupMetaData) -> Range<u64> {
    let chunks = || group.columns().iter().map(|chunk| chunk.byte_range());
    let start = chunks().map(|(start, _)| start).min().unwrap_or(0);
    start..chunks().map(|(start, len)| start + len).max().unwrap_or(start)
}

/// Whether they are still what they were when the footer was written: every page has a checksum.
pub(crate) fn are_intact(file: &TraceFile, footer: &Footer) -> bool {
    split(footer).unsettled.iter().all(|group| is_intact(file, group))
}

fn is_intact(file: &TraceFile, group: &RowGroupMetaData) -> bool {
    let (file, rows) = (Arc::new(file.clone()), group.num_rows() as u64);
    group.columns().iter().all(|chunk| {
        let read = || -> parquet::errors::Result<()> {
            let mut pages = SerializedPageReader::new(file.clone(), chunk, rows as usize, None)?;
            while pages.get_next_page()?.is_some() {}
            Ok(())
        };
        pages::check(&file, chunk, rows).is_ok() && matches!(attempt(read), Some(Ok(())))
    })
}

/// The same row group, so many bytes further on.
pub(crate) fn moved(group: &RowGroupMetaData, by: i64) -> io::Result<RowGroupMetaData> {
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
