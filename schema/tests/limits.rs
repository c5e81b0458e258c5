//! Reading takes memory in proportion to a file's length, whatever the file claims to contain.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Row, batch, manifest, names, plain_rows, replace};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use pyrec_schema::{Columns, Error, Marker, Names, Trace, TraceReader, TraceWriter, WriterOptions};

/// An allocator that fails beyond a limit.
struct LimitedAllocator;

#[global_allocator]
static ALLOCATOR: LimitedAllocator = LimitedAllocator;

static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The limit for all tests of this file together.
const MAX_BYTES: usize = 1 << 30;

// SAFETY: all methods delegate to the system's allocator, which upholds the contract, or return
// null.
unsafe impl GlobalAlloc for LimitedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = ALLOCATED_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        if before.saturating_add(layout.size()) > MAX_BYTES {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller upholds the contract of `alloc`, which is that of the system's
        // allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `memory` is from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn write(path: &Path, rows: &[Row]) {
    let names = names();
    let options = WriterOptions { row_group_rows: 1 << 23 };
    let mut writer = TraceWriter::create(path, names.clone(), manifest(), options).unwrap();
    rows.chunks(1 << 16).for_each(|rows| writer.write(&batch(rows, &names)).unwrap());
    writer.finish().unwrap();
}

/// The reason why a file cannot be read, or an empty string if it can.
fn rejection(path: &Path) -> String {
    let read = |trace: Trace| -> Result<(), Error> {
        for file in trace.files() {
            for group in 0..file.row_groups() {
                file.read(group, Columns::ALL)?.try_for_each(|batch| batch.map(drop))?;
            }
            file.rows_of(Marker::Source, Columns::ALL).try_for_each(|event| event.map(drop))?;
        }
        Ok(())
    };
    match Trace::open(&[path]).and_then(read) {
        Ok(()) => String::new(),
        Err(Error::Damaged { reason, .. }) => reason,
        Err(error) => panic!("{error}"),
    }
}

/// A page header, to be encoded in Thrift's compact protocol.
struct Header {
    kind: u8,
    uncompressed: i32,
    compressed: i32,
    values: i32,
    encoding: Encoding,
    /// The claimed length of a value in the header's statistics.
    statistics: Option<u64>,
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0x15];
        varint(u64::from(self.kind) << 1, &mut out);
        for number in [self.uncompressed, self.compressed] {
            out.push(0x15);
            zigzag(number, &mut out);
        }
        // Field 5 is `data_page_header`, field 7 is `dictionary_page_header`.
        out.push(if self.kind == 0 { 0x2c } else { 0x4c });
        out.push(0x15);
        zigzag(self.values, &mut out);
        out.push(0x15);
        zigzag(if self.kind == 0 { self.encoding as i32 } else { 0 }, &mut out);
        if self.kind == 0 {
            out.extend([0x15, 6, 0x15, 6]);
        }
        if let Some(len) = self.statistics {
            out.extend([0x1c, 0x18]);
            varint(len, &mut out);
            out.push(0);
        }
        out.extend([0, 0]);
        out
    }
}

fn zigzag(number: i32, out: &mut Vec<u8>) {
    varint(((i64::from(number) << 1) ^ (i64::from(number) >> 63)) as u64, out);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Rewrites a trace: replaces the pages of a column in the first row group, and all numbers of
/// rows.
fn with_pages(path: &Path, column: usize, rows: i64, pages: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let tail = bytes.len() - 8;
    let len = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[tail - len..tail]).unwrap();
    bytes.truncate(tail - len);
    let at = bytes.len() as i64;
    bytes.extend_from_slice(pages);
    let group = &metadata.row_groups()[0];
    let mut columns: Vec<ColumnChunkMetaData> = group.columns().to_vec();
    let chunk = columns[column].clone().into_builder();
    let chunk = chunk.set_dictionary_page_offset(None).set_data_page_offset(at);
    let chunk = chunk.set_total_compressed_size(pages.len() as i64);
    columns[column] = chunk.set_compression(Compression::ZSTD(ZstdLevel::default())).build().unwrap();
    let columns = columns.into_iter().map(|chunk| chunk.into_builder().set_num_values(rows).build().unwrap());
    let group = group.clone().into_builder().set_num_rows(rows).set_column_metadata(columns.collect());
    let facts = metadata.file_metadata();
    let facts = parquet::file::metadata::FileMetaData::new(
        2,
        rows,
        None,
        facts.key_value_metadata().cloned(),
        facts.schema_descr_ptr(),
        None,
    );
    let metadata = ParquetMetaDataBuilder::new(facts).set_row_groups(vec![group.build().unwrap()]).build();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
    replace(path, bytes);
}

const LINE: usize = 5;

#[test]
fn page_headers_with_false_claims_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write(&path, &plain_rows(100));
    let whole = fs::read(&path).unwrap();
    let sound = Header {
        kind: 0,
        uncompressed: 9,
        compressed: 9,
        values: 100,
        encoding: Encoding::RLE_DICTIONARY,
        statistics: None,
    };
    let claims: [(Header, &str); 11] = [
        (Header { uncompressed: i32::MAX, ..sound }, "exceeds the limit for its bytes"),
        (Header { uncompressed: -1, ..sound }, "header of a page is malformed"),
        (Header { compressed: i32::MAX, ..sound }, "outside its column"),
        (Header { compressed: -1, ..sound }, "header of a page is malformed"),
        (Header { values: i32::MAX, ..sound }, "the rows of their row group"),
        (Header { values: 99, ..sound }, "the rows of their row group"),
        (Header { values: -1, ..sound }, "header of a page is malformed"),
        (Header { kind: 2, values: i32::MAX, ..sound }, "a dictionary page"),
        // Encodings in which a claimed number precedes the strings.
        (Header { encoding: Encoding::DELTA_BYTE_ARRAY, ..sound }, "header of a page is malformed"),
        (Header { encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY, ..sound }, "header of a page is malformed"),
        // A length for which a reader might allocate memory before it reads the bytes.
        (Header { statistics: Some(1 << 60), ..sound }, "outside its column"),
    ];
    for (header, reason) in claims {
        let pages = [header.bytes(), vec![0; 9]].concat();
        replace(&path, &whole);
        with_pages(&path, LINE, 100, &pages);
        assert!(rejection(&path).contains(reason), "{reason}: {}", rejection(&path));
    }
    let cut = sound.bytes();
    replace(&path, &whole);
    with_pages(&path, LINE, 100, &cut[..cut.len() - 1]);
    assert!(rejection(&path).contains("outside its column"));
}

#[test]
fn a_terabyte_of_rows_is_rejected_when_the_file_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    write(&path, &plain_rows(100));
    let page = Header {
        kind: 0,
        uncompressed: 9,
        compressed: 9,
        values: i32::MAX,
        encoding: Encoding::RLE_DICTIONARY,
        statistics: None,
    };
    with_pages(&path, LINE, 1 << 40, &[page.bytes(), vec![0; 9]].concat());
    let reason = match TraceReader::open(&path, Names::new().into()) {
        Err(Error::Damaged { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("claims 1099511627776 rows"), "{reason}");
}

#[test]
fn lists_of_a_footer_with_false_claims_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    // Field 1, then a list of an unknown field, or the list of row groups.
    let lists: [&[u8]; 6] = [
        // Two billion items that take no bytes.
        &[0x15, 4, 0xe9, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
        &[0x15, 4, 0xe9, 0xf2, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
        // Two billion items that take some.
        &[0x15, 4, 0xe9, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
        &[0x15, 4, 0x39, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
        // A string of 2^62 bytes.
        &[0x15, 4, 0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0],
        // One hundred row groups in one hundred bytes.
        &[&[0x15, 4, 0x39, 0xfc, 100][..], &[0; 101]].concat(),
    ];
    for list in lists {
        let footer = [b"PAR1", list, &(list.len() as u32).to_le_bytes(), b"PAR1"].concat();
        replace(&path, footer);
        assert!(rejection(&path).contains("a list exceeds it"), "{list:?}: {}", rejection(&path));
    }
    // Ten thousand nested structs.
    let deep = [&[0x15, 4][..], &[0xec; 1], &[0x1c; 10_000], &[0; 10_002]].concat();
    let footer = [b"PAR1", &deep[..], &(deep.len() as u32).to_le_bytes(), b"PAR1"].concat();
    replace(&path, footer);
    assert!(rejection(&path).contains("a list exceeds it"));
}

#[test]
fn strings_beyond_the_limit_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    // Texts of one repeated character, which zstd compresses to a few bytes.
    let long = |at: usize| Some(format!("{at}{}", "a".repeat(1 << 20)));
    let rows: Vec<Row> =
        plain_rows(100).into_iter().enumerate().map(|(at, row)| Row { text: long(at), ..row }).collect();
    write(&path, &rows[..30]);
    assert_eq!(rejection(&path), "");
    write(&dir.path().join("many.parquet"), &rows);
    assert!(rejection(&dir.path().join("many.parquet")).contains("its strings take more memory"));
}

/// Writes many very long names, which in a single row group would exceed the limit for pages.
#[test]
fn written_traces_are_within_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let long = |at: usize| format!("/x.py:1:{at}{}", "f".repeat(16 << 10));
    let rows: Vec<Row> =
        plain_rows(3_000).into_iter().enumerate().map(|(at, row)| Row { code: long(at), ..row }).collect();
    write(&path, &rows);
    let reader = TraceReader::open(&path, Names::new().into()).unwrap();
    assert!(reader.row_groups() >= 3, "{}", reader.row_groups());
    for group in 0..reader.row_groups() {
        let rows = reader.read(group, Columns::ALL).unwrap().map(|batch| batch.map(|batch| batch.len()));
        assert!(rows.take(1).all(|rows| rows.is_ok()));
    }
}
