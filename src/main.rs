//! A flight recorder for Python.
fn main() {}
