//! The slice that fits into a size, found by writing it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pyrec_analyzer::report;
use pyrec_analyzer::share::{ShareSummary, TraceRedactor};

/// What a zip file takes beside what is in it, generously.
const ZIP_BYTES: u64 = 512;

/// Slices that are written at most: each takes as long as to share all of it.
const TRIES: u32 = 6;

/// A slice that is written.
#[derive(Debug)]
pub struct Fit {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub written: ShareSummary,
    /// How long the zip file will be.
    pub bytes: u64,
}

impl Fit {
    fn write(share: &TraceRedactor, since_ns: Option<i64>, path: PathBuf) -> Result<Fit> {
        let written = share.write(since_ns, &path)?;
        let page = report::share::readme(&written);
        let bytes = fs::metadata(&path)?.len() + page.len() as u64 + ZIP_BYTES;
        Ok(Fit { path, written, bytes })
    }
}

/// Writes all that is asked for, or, where that is too much, the last of it: what happened just before the end is what
/// most people look for. How many bytes rows take is only known when they are written, so slices are, until one fills
/// most of the room.
pub fn fit(share: &TraceRedactor, max_bytes: Option<u64>, folder: &Path) -> Result<Fit> {
    let all = Fit::write(share, None, folder.join("all.parquet"))?;
    let Some(max_bytes) = max_bytes.filter(|&max_bytes| all.bytes > max_bytes) else { return Ok(all) };
    fs::remove_file(&all.path)?;
    let (mut enough, mut too_many) = (0, share.event_count());
    let (mut events, mut bytes) = (too_many, all.bytes);
    let mut best = None;
    for attempt in 0..TRIES {
        // Of the last tries the first may still be far off, since rows differ; then half of what is left is surer.
        let guess = (events as f64 * max_bytes as f64 / bytes as f64 * 0.95) as u64;
        events = if (enough + 1..too_many).contains(&guess) { guess } else { enough.midpoint(too_many) };
        let since_ns = share.start_of_last(events);
        let found = Fit::write(share, Some(since_ns), folder.join(format!("{attempt}.parquet")))?;
        bytes = found.bytes;
        if bytes > max_bytes {
            fs::remove_file(&found.path)?;
            too_many = events;
            continue;
        }
        enough = events;
        if let Some(Fit { path, .. }) = best.replace(found) {
            fs::remove_file(path)?;
        }
        if bytes >= max_bytes / 10 * 8 || too_many - enough <= 1 {
            break;
        }
    }
    match best {
        Some(fit) => Ok(fit),
        None => bail!(
            "no slice of it fits into {max_bytes} bytes, mostly because of the texts of files; give --no-sources, or more room"
        ),
    }
}
