//! The key that tokens for names are computed with, in `share.key` in the user's configuration
//! directory.
//!
//! One user's shares replace a name by the same token, so that they can be compared. Without the
//! key a token cannot be reversed by hashing a list of names.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use pyrec_analyzer::share::TokenKey;

/// Reads the key, or creates it if the user has none.
pub fn read_or_create() -> Result<TokenKey> {
    let path = path().ok_or_else(|| {
        anyhow!("there is no directory for the key that names are hidden with; set HOME to an absolute path")
    })?;
    match read(&path)? {
        Some(key) => Ok(key),
        None => create(&path),
    }
}

/// The path of the key. None if no absolute configuration directory is known.
fn path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = variable("XDG_CONFIG_HOME")
        .or_else(|| Some(variable("HOME")?.join(".config")))
        .or_else(|| variable("APPDATA"))?;
    Some(config.join("pyrec/share.key"))
}

fn read(path: &Path) -> Result<Option<TokenKey>> {
    let name = path.display();
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(TokenKey::BYTES as u64 + 1).read_to_end(&mut bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(|error| anyhow!("cannot read {name}: {error}"))?;
    match bytes.try_into() {
        Ok(bytes) => Ok(Some(TokenKey::new(bytes))),
        Err(_) => bail!(
            "{name} is not a key that pyrec created; remove it, and names get new tokens in the next share"
        ),
    }
}

/// Creates the key atomically, readable by its user alone. Returns the key of another process that
/// was faster.
fn create(path: &Path) -> Result<TokenKey> {
    let failed = || format!("cannot create {}", path.display());
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(failed)?;
    let mut bytes = [0; TokenKey::BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("{}: {error}", failed()))?;
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    file.write_all(&bytes).with_context(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(TokenKey::new(bytes)),
        Err(error) => read(path)?.ok_or_else(|| anyhow!("{}: {error}", failed())),
    }
}
