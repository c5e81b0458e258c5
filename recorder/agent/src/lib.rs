//! The library that is loaded into CPython.
