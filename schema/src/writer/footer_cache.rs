//! Row groups as footers list them. They are encoded once, and not for each of the footers that lists them again.
//!
//! ```text
//! version, schema, │ 3 rows │ 2 │ row group │ row group │ keys, writer     what Parquet's writer makes of the last two
//! version, schema, │ 6 rows │ 5 │ three before │ these two │ keys, writer
//! ```

use std::io;
use std::ops::Range;

use parquet::file::metadata::RowGroupMetaData;

use crate::encode::varint::{MAX_VARINT_BYTES, put_varint, zigzag};
use crate::file::footer;
use crate::format::parquet_thrift::{self, NUM_ROWS, ROW_GROUPS};
use crate::format::thrift::{CompactReader, MAX_NESTING};
use crate::model::Manifest;

/// The head of a list of structs in Thrift's compact protocol: its count in four bits, or after them if it is too large.
const STRUCTS: u8 = 12;
const COUNT_FOLLOWS: u8 = 15;

/// Row groups that do not change any more.
#[derive(Debug, Default)]
pub(crate) struct FooterCache {
    count: usize,
    rows: i64,
    bytes: Vec<u8>,
}

impl FooterCache {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Lists more.
    pub(crate) fn push(&mut self, groups: Vec<RowGroupMetaData>) -> io::Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        (self.count, self.rows) = (self.count + groups.len(), self.rows + rows(&groups));
        let alone = footer::encode_metadata(vec![], groups)?;
        self.bytes.extend_from_slice(&alone[FooterParts::of(&alone)?.items]);
        Ok(())
    }

    /// The metadata of a footer with these row groups and `more`.
    pub(crate) fn footer(&self, manifest: &Manifest, more: Vec<RowGroupMetaData>) -> io::Result<Vec<u8>> {
        let (count, rows) = (self.count + more.len(), self.rows + rows(&more));
        let alone = footer::encode_metadata(footer::key_values(manifest)?, more)?;
        let parts = FooterParts::of(&alone)?;
        let mut all = Vec::with_capacity(alone.len() + self.bytes.len() + 2 * MAX_VARINT_BYTES);
        all.extend_from_slice(&alone[..parts.rows.start]);
        put_varint(zigzag(rows), &mut all);
        all.extend_from_slice(&alone[parts.rows.end..parts.list_at]);
        put_head(count, &mut all);
        all.extend_from_slice(&self.bytes);
        all.extend_from_slice(&alone[parts.items.start..]);
        Ok(all)
    }
}

fn rows(groups: &[RowGroupMetaData]) -> i64 {
    groups.iter().map(RowGroupMetaData::num_rows).sum()
}

/// Where a footer that was just written can be taken apart.
#[derive(Default)]
struct FooterParts {
    /// The number of its rows.
    rows: Range<usize>,
    /// The list of its row groups, …
    list_at: usize,
    /// … and what is in it.
    items: Range<usize>,
}

impl FooterParts {
    fn of(footer: &[u8]) -> io::Result<FooterParts> {
        let mut parts = FooterParts::default();
        let at = |reader: &CompactReader<'_>| footer.len() - reader.0.len();
        let walked = CompactReader(footer).read_struct(
            parquet_thrift::FOOTER,
            MAX_NESTING,
            &mut |field, _, mut value| {
                let start = at(&value);
                if field == NUM_ROWS {
                    value.read_i64()?;
                    parts.rows = start..at(&value);
                } else if field == ROW_GROUPS {
                    let (_, items) = value.skip_structs(parquet_thrift::ROW_GROUP)?;
                    (parts.list_at, parts.items) = (start, at(&value) - items.len()..at(&value));
                }
                Ok(())
            },
        );
        if walked.is_err() || parts.rows.is_empty() || parts.list_at == 0 {
            return Err(io::Error::other("a footer that was just written lists no row groups"));
        }
        Ok(parts)
    }
}

fn put_head(count: usize, out: &mut Vec<u8>) {
    if count < usize::from(COUNT_FOLLOWS) {
        return out.push((count as u8) << 4 | STRUCTS);
    }
    out.push(COUNT_FOLLOWS << 4 | STRUCTS);
    put_varint(count as u64, out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::encode::page::PageEncoder;
    use crate::encode::row_group::RowGroupBuilder;
    use crate::model::{Batch, CodeId, Event, Marker, Names, TextId};

    /// Row groups of one row, two rows and so on, one after the other.
    fn groups(count: usize) -> Vec<RowGroupMetaData> {
        let (mut encoder, names, mut out) = (PageEncoder::new().unwrap(), Names::new(), Vec::new());
        let group = |rows: usize| {
            let marker = Marker::FunctionEntry;
            let event = |row| Event {
                time_ns: row as i64,
                pid: 1,
                tid: 1,
                marker,
                code: CodeId::NONE,
                line: 1,
                value: None,
                text: TextId::NONE,
            };
            let batch: Batch = (0..rows).map(event).collect();
            let mut group = RowGroupBuilder::default();
            group.add(&batch, 0, rows, &names, &mut encoder).unwrap();
            group.append(&names, &mut encoder, &mut out).unwrap()
        };
        (1..=count).map(group).collect()
    }

    /// As Parquet's own writer lists them.
    #[test]
    fn a_footer_lists_all_however_they_came() {
        let manifest = Manifest::unknown("a test");
        let groups = groups(300);
        for count in [0, 1, 14, 15, 16, 127, 128, 300] {
            let groups = &groups[..count];
            let keys = footer::key_values(&manifest).unwrap();
            let expected = footer::encode_metadata(keys, groups.to_vec()).unwrap();
            for (first, second) in [(0, 0), (count, count), (count / 3, count / 2), (0, count - count / 9)] {
                let mut cache = FooterCache::default();
                cache.push(groups[..first].to_vec()).unwrap();
                cache.push(groups[first..second].to_vec()).unwrap();
                let footer = cache.footer(&manifest, groups[second..].to_vec()).unwrap();
                assert!(footer == expected, "{first}, {second} and the rest of {count}");
                assert_eq!(cache.count(), second);
            }
        }
    }
}
