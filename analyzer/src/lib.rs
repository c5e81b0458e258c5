//! The quiet half: a trace into trees, measures and reports.
