//! Columns into pages.
