//! The last part of a trace that fits in a size.
//!
//! The compressed size of rows is known only after they were written. So slices are written, each
//! from some event to the end, until one of them fills most of the limit.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pyrec_analyzer::report;
use pyrec_analyzer::share::{ShareSummary, TraceRedactor};

/// Upper bound of what a zip file adds to its contents.
const ZIP_BYTES: u64 = 512;

/// Slices that are written at most. Each takes as long as sharing the whole trace.
const MAX_ATTEMPTS: u32 = 6;

/// A slice of a trace, written to a file.
#[derive(Debug)]
pub struct Slice {
    /// The file.
    pub path: PathBuf,
    /// The contents of the file.
    pub written: ShareSummary,
    /// The expected size of the zip file.
    pub bytes: u64,
}

impl Slice {
    fn write(share: &TraceRedactor, since_ns: Option<i64>, path: PathBuf) -> Result<Slice> {
        let written = share.write(since_ns, &path)?;
        let page = report::share::readme(&written);
        let bytes = fs::metadata(&path)?.len() + page.len() as u64 + ZIP_BYTES;
        Ok(Slice { path, written, bytes })
    }
}

/// Writes the whole trace into `folder`, or, if that exceeds `max_bytes`, a slice that ends where
/// the trace ends: the events just before the end matter most.
///
/// # Errors
///
/// No slice fits in `max_bytes`, or a file cannot be written.
pub fn write_within(share: &TraceRedactor, max_bytes: Option<u64>, folder: &Path) -> Result<Slice> {
    let whole = Slice::write(share, None, folder.join("all.parquet"))?;
    let Some(max_bytes) = max_bytes.filter(|&max_bytes| whole.bytes > max_bytes) else { return Ok(whole) };
    fs::remove_file(&whole.path)?;
    // Numbers of last events: the largest that fitted, and the smallest that did not.
    let (mut fitting, mut too_many) = (0, share.event_count());
    let (mut events, mut bytes) = (too_many, whole.bytes);
    let mut best = None;
    for attempt in 0..MAX_ATTEMPTS {
        // Assumes that all rows take the same space. Bisects where that estimate is outside of the
        // known bounds.
        let estimate = (events as f64 * max_bytes as f64 / bytes as f64 * 0.95) as u64;
        events =
            if (fitting + 1..too_many).contains(&estimate) { estimate } else { fitting.midpoint(too_many) };
        let since_ns = share.start_of_last(events);
        let slice = Slice::write(share, Some(since_ns), folder.join(format!("{attempt}.parquet")))?;
        bytes = slice.bytes;
        if bytes > max_bytes {
            fs::remove_file(&slice.path)?;
            too_many = events;
            continue;
        }
        fitting = events;
        if let Some(Slice { path, .. }) = best.replace(slice) {
            fs::remove_file(path)?;
        }
        if bytes >= max_bytes / 10 * 8 || too_many - fitting <= 1 {
            break;
        }
    }
    match best {
        Some(slice) => Ok(slice),
        None => bail!(
            "no part of the trace fits in {max_bytes} bytes, mostly because of the source texts; give \
             --no-sources, or a larger --max-size"
        ),
    }
}
