//! The key that makes a user's tokens that user's own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use pyrec_analyzer::share::TokenKey;

/// Reads the key, or makes it where there is none yet.
pub fn key() -> Result<TokenKey> {
    let path = path()
        .ok_or_else(|| anyhow!("there is no place for the key that names are hidden with; set HOME"))?;
    match read(&path)? {
        Some(key) => Ok(key),
        None => make(&path),
    }
}

/// Beside what other programs are told by their users.
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(|error| anyhow!("cannot read {name}: {error}"))?;
    match bytes.try_into() {
        Ok(bytes) => Ok(Some(TokenKey::new(bytes))),
        Err(_) => {
            bail!("{name} is not a key that pyrec made; remove it, and names get other tokens from now on")
        }
    }
}

/// Whole or not at all, for nobody else to read; who comes first has made it.
fn make(path: &Path) -> Result<TokenKey> {
    let failed = || format!("cannot make {}", path.display());
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
