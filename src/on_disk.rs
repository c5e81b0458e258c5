//! Source files as they are here and now, which may be others than those that ran.

use std::fs;
use std::path::Path;

/// Whether another version of a file is on disk here than the one that ran. A file that is not here tells nothing, and
/// neither does a relative path, which may be that of another file.
pub fn has_changed(file: &str, ran: &str) -> bool {
    let path = Path::new(file);
    let Ok(now) = fs::metadata(path) else { return false };
    path.is_absolute()
        && now.is_file()
        && (now.len() != ran.len() as u64 || fs::read(path).is_ok_and(|now| now != ran.as_bytes()))
}
