//! Caches the encoded metadata of settled row groups. Every footer lists all row groups again, so
//! encoding them each time would make checkpoints slower as the file grows.
//!
//! ```text
//! by the parquet crate   version, schema │ 3 rows │ 2 of: │ a │ b │ key-values, writer
//! with 3 cached ones     version, schema │ 6 rows │ 5 of: │ x │ y │ z │ a │ b │ key-values, writer
//! ```

use std::io;
use std::ops::Range;

use parquet::file::metadata::RowGroupMetaData;

use crate::encode::varint::{MAX_VARINT_BYTES, put_varint, zigzag};
use crate::file::footer;
use crate::format::parquet_thrift::{self, NUM_ROWS, ROW_GROUPS};
use crate::format::thrift::{CompactReader, MAX_NESTING};
use crate::model::Manifest;

/// The type id of structs in a list header of Thrift's compact protocol.
const STRUCT: u8 = 12;

/// In place of the count in a list header, which has four bits: the count follows as a varint.
const LONG_COUNT: u8 = 15;

/// The encoded metadata of settled row groups.
#[derive(Debug, Default)]
pub(crate) struct FooterCache {
    count: usize,
    rows: i64,
    bytes: Vec<u8>,
}

impl FooterCache {
    /// The number of row groups.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Appends row groups.
    pub(crate) fn push(&mut self, groups: Vec<RowGroupMetaData>) -> io::Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        (self.count, self.rows) = (self.count + groups.len(), self.rows + rows(&groups));
        let encoded = footer::encode_metadata(vec![], groups)?;
        self.bytes.extend_from_slice(&encoded[FooterParts::of(&encoded)?.items]);
        Ok(())
    }

    /// Encodes the metadata of a footer that lists the cached row groups and `more`.
    pub(crate) fn footer(&self, manifest: &Manifest, more: Vec<RowGroupMetaData>) -> io::Result<Vec<u8>> {
        let (count, rows) = (self.count + more.len(), self.rows + rows(&more));
        let encoded = footer::encode_metadata(footer::key_values(manifest)?, more)?;
        let parts = FooterParts::of(&encoded)?;
        let mut out = Vec::with_capacity(encoded.len() + self.bytes.len() + 2 * MAX_VARINT_BYTES);
        out.extend_from_slice(&encoded[..parts.rows.start]);
        put_varint(zigzag(rows), &mut out);
        out.extend_from_slice(&encoded[parts.rows.end..parts.list_header]);
        put_list_header(count, &mut out);
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&encoded[parts.items.start..]);
        Ok(out)
    }
}

fn rows(groups: &[RowGroupMetaData]) -> i64 {
    groups.iter().map(RowGroupMetaData::num_rows).sum()
}

/// Positions in an encoded footer.
#[derive(Default)]
struct FooterParts {
    /// The number of rows.
    rows: Range<usize>,
    /// The header of the list of row groups.
    list_header: usize,
    /// The items of that list.
    items: Range<usize>,
}

impl FooterParts {
    fn of(footer: &[u8]) -> io::Result<FooterParts> {
        let mut parts = FooterParts::default();
        let position = |reader: &CompactReader<'_>| footer.len() - reader.0.len();
        let result = CompactReader(footer).read_struct(
            parquet_thrift::FOOTER,
            MAX_NESTING,
            &mut |field, _, mut value| {
                let start = position(&value);
                if field == NUM_ROWS {
                    value.read_i64()?;
                    parts.rows = start..position(&value);
                } else if field == ROW_GROUPS {
                    let (_, items) = value.skip_structs(parquet_thrift::ROW_GROUP)?;
                    (parts.list_header, parts.items) =
                        (start, position(&value) - items.len()..position(&value));
                }
                Ok(())
            },
        );
        if result.is_err() || parts.rows.is_empty() || parts.list_header == 0 {
            return Err(io::Error::other("an encoded footer lacks its row groups"));
        }
        Ok(parts)
    }
}

fn put_list_header(count: usize, out: &mut Vec<u8>) {
    if count < usize::from(LONG_COUNT) {
        return out.push((count as u8) << 4 | STRUCT);
    }
    out.push(LONG_COUNT << 4 | STRUCT);
    put_varint(count as u64, out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::encode::page::PageEncoder;
    use crate::encode::row_group::RowGroupBuilder;
    use crate::model::{Batch, CodeId, Event, Marker, Names, TextId};

    /// Row groups of one row, two rows and so on.
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

    /// The result equals the footer that the `parquet` crate encodes as a whole.
    #[test]
    fn a_footer_is_the_same_however_row_groups_are_cached() {
        let manifest = Manifest::unknown("a test");
        let groups = groups(300);
        for count in [0, 1, 14, 15, 16, 127, 128, 300] {
            let groups = &groups[..count];
            let key_values = footer::key_values(&manifest).unwrap();
            let expected = footer::encode_metadata(key_values, groups.to_vec()).unwrap();
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
