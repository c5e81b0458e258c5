//! Access to trace files. Everything that a file claims of itself is checked here, before Parquet's
//! reader sees it.

pub(crate) mod catch_panic;
pub(crate) mod footer;
pub(crate) mod live_row_groups;
pub(crate) mod page_header;
pub(crate) mod trace_file;
pub(crate) mod zip_archive;
