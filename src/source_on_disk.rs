//! Comparison of recorded source text with the source files on this machine.

use std::fs;
use std::path::Path;

/// Whether the file at this path holds another text than `recorded`. False where that is unknown:
/// the file is missing or unreadable, or the path is relative and may name a file of another
/// program.
pub fn differs_on_disk(file: &str, recorded: &str) -> bool {
    let path = Path::new(file);
    let Ok(metadata) = fs::metadata(path) else { return false };
    path.is_absolute()
        && metadata.is_file()
        && (metadata.len() != recorded.len() as u64
            || fs::read(path).is_ok_and(|text| text != recorded.as_bytes()))
}
