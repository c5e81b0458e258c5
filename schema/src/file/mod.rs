//! Checked access to trace files. Parses zip archives, footers and page headers itself where the
//! `parquet` crate would trust what a file claims.

pub(crate) mod catch_panic;
pub(crate) mod footer;
pub(crate) mod live_row_groups;
pub(crate) mod page_header;
pub(crate) mod trace_file;
pub(crate) mod zip_archive;
