//! The Thrift structs of Parquet's footers and page headers (`parquet.thrift`), as types for
//! [`super::thrift`] to check bytes against.

use super::thrift::FieldType::{Binary, Bool, Byte, Double, I16, I32, I64, List, Struct};
use super::thrift::StructType;

/// Field number of `FileMetaData.num_rows`.
pub(crate) const NUM_ROWS: i16 = 3;

/// Field number of `FileMetaData.row_groups`.
pub(crate) const ROW_GROUPS: i16 = 4;

/// `FileMetaData`.
pub(crate) const FOOTER: StructType = &[
    (1, I32),
    (2, List(&Struct(SCHEMA_ELEMENT))),
    (NUM_ROWS, I64),
    (ROW_GROUPS, List(&Struct(ROW_GROUP))),
    (5, List(&Struct(KEY_VALUE))),
    (6, Binary),
    (7, List(&Struct(&[(1, Struct(EMPTY)), (2, Struct(EMPTY)), (3, Struct(EMPTY))]))),
    (8, Struct(&[(1, Struct(ENCRYPTION)), (2, Struct(ENCRYPTION))])),
    (9, Binary),
];

const EMPTY: StructType = &[];
const ENCRYPTION: StructType = &[(1, Binary), (2, Binary), (3, Bool)];
const KEY_VALUE: StructType = &[(1, Binary), (2, Binary)];

const SCHEMA_ELEMENT: StructType = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, Struct(LOGICAL_TYPE)),
];

const LOGICAL_TYPE: StructType = &[
    (1, Struct(EMPTY)),
    (2, Struct(EMPTY)),
    (3, Struct(EMPTY)),
    (4, Struct(EMPTY)),
    (5, Struct(&[(1, I32), (2, I32)])),
    (6, Struct(EMPTY)),
    (7, Struct(TIME)),
    (8, Struct(TIME)),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, Struct(EMPTY)),
    (12, Struct(EMPTY)),
    (13, Struct(EMPTY)),
    (14, Struct(EMPTY)),
    (15, Struct(EMPTY)),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
];

const TIME: StructType =
    &[(1, Bool), (2, Struct(&[(1, Struct(EMPTY)), (2, Struct(EMPTY)), (3, Struct(EMPTY))]))];

/// `RowGroup`.
pub(crate) const ROW_GROUP: StructType = &[
    (1, List(&Struct(COLUMN_CHUNK))),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, I16),
];

const COLUMN_CHUNK: StructType = &[
    (1, Binary),
    (2, I64),
    (3, Struct(COLUMN)),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (8, Struct(&[(1, Struct(EMPTY)), (2, Struct(&[(1, List(&Binary)), (2, Binary)]))])),
    (9, Binary),
];

const COLUMN: StructType = &[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&Struct(KEY_VALUE))),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, Struct(STATISTICS)),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
    (17, Struct(&[(1, Struct(BOX)), (2, List(&I32))])),
];

const STATISTICS: StructType =
    &[(1, Binary), (2, Binary), (3, I64), (4, I64), (5, Binary), (6, Binary), (7, Bool), (8, Bool), (9, I64)];

const BOX: StructType =
    &[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)];

/// Field numbers of page headers.
pub(crate) mod page {
    /// `PageHeader.type`.
    pub(crate) const TYPE: i16 = 1;
    /// `PageHeader.uncompressed_page_size`.
    pub(crate) const UNCOMPRESSED_SIZE: i16 = 2;
    /// `PageHeader.compressed_page_size`.
    pub(crate) const COMPRESSED_SIZE: i16 = 3;
    /// `PageHeader.data_page_header`.
    pub(crate) const DATA: i16 = 5;
    /// `PageHeader.dictionary_page_header`.
    pub(crate) const DICTIONARY: i16 = 7;
    /// `PageHeader.data_page_header_v2`.
    pub(crate) const DATA_V2: i16 = 8;
    /// `num_values` of all three headers.
    pub(crate) const NUM_VALUES: i16 = 1;
    /// `encoding` of `DataPageHeader` and `DictionaryPageHeader`.
    pub(crate) const ENCODING: i16 = 2;
    /// `DataPageHeaderV2.num_nulls`.
    pub(crate) const V2_NUM_NULLS: i16 = 2;
    /// `DataPageHeaderV2.num_rows`.
    pub(crate) const V2_NUM_ROWS: i16 = 3;
    /// `DataPageHeaderV2.encoding`.
    pub(crate) const V2_ENCODING: i16 = 4;
    /// `DataPageHeaderV2.definition_levels_byte_length` and `repetition_levels_byte_length`.
    pub(crate) const V2_LEVELS_SIZES: [i16; 2] = [5, 6];
}

/// `PageHeader`.
pub(crate) const PAGE: StructType = &[
    (page::TYPE, I32),
    (page::UNCOMPRESSED_SIZE, I32),
    (page::COMPRESSED_SIZE, I32),
    (4, I32),
    (page::DATA, Struct(DATA_PAGE)),
    (6, Struct(EMPTY)),
    (page::DICTIONARY, Struct(DICTIONARY_PAGE)),
    (page::DATA_V2, Struct(DATA_PAGE_V2)),
];

/// `DataPageHeader`.
pub(crate) const DATA_PAGE: StructType =
    &[(page::NUM_VALUES, I32), (page::ENCODING, I32), (3, I32), (4, I32), (5, Struct(STATISTICS))];

/// `DictionaryPageHeader`.
pub(crate) const DICTIONARY_PAGE: StructType = &[(page::NUM_VALUES, I32), (page::ENCODING, I32), (3, Bool)];

/// `DataPageHeaderV2`.
pub(crate) const DATA_PAGE_V2: StructType = &[
    (page::NUM_VALUES, I32),
    (page::V2_NUM_NULLS, I32),
    (page::V2_NUM_ROWS, I32),
    (page::V2_ENCODING, I32),
    (page::V2_LEVELS_SIZES[0], I32),
    (page::V2_LEVELS_SIZES[1], I32),
    (7, Bool),
    (8, Struct(STATISTICS)),
];
