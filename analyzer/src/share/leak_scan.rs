//! The leak scan: a search for secrets in a redacted file before it is shared.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pyrec_schema::{Columns, Manifest, Trace};

use super::redaction::Redactor;
use super::secrets::Secret;
use crate::Result;

/// Shorter secrets are searched for in strings only: numbers and compressed bytes contain them by
/// chance.
const MIN_BINARY_BYTES: usize = 8;

/// How many bytes of the file are searched at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A secret in a file that is about to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The secret.
    pub secret: Secret,
    /// Where it was found.
    pub location: &'static str,
}

/// Searches a zip file for secrets and returns the first. Searched are the raw bytes of the file,
/// which include file names, the README and footers; every page of the trace, decompressed; the
/// strings of the manifest; and every string of the `code` and `text` columns.
pub fn scan(zip: &Path, readme: &str, redactor: &Redactor) -> Result<Option<Leak>> {
    let secrets = redactor.secrets;
    let find = |bytes: &[u8], location, is_text: bool| {
        let found = secrets.find_in(bytes).map(|at| &secrets.list()[at]);
        let mut relevant = found.filter(|secret| is_text || secret.text.len() >= MIN_BINARY_BYTES);
        relevant.next().map(|secret| Leak { secret: secret.clone(), location })
    };
    if let Some(leak) = find(readme.as_bytes(), "its README", true) {
        return Ok(Some(leak));
    }
    if let Some(leak) = in_bytes(zip, &|bytes| find(bytes, "its bytes", false))? {
        return Ok(Some(leak));
    }
    let trace = Trace::open(&[zip])?;
    let mut leak = None;
    for file in trace.files() {
        file.contents(&mut |page| {
            if leak.is_none() {
                leak = find(page, "a page", false);
            }
        })?;
        // Reading all rows adds every string to the names.
        for row_group in 0..file.row_groups() {
            file.read(row_group, Columns::ALL)?.try_for_each(|batch| batch.map(drop))?;
        }
        leak = leak.or_else(|| {
            strings(file.manifest()).iter().find_map(|text| find(text.as_bytes(), "its manifest", true))
        });
    }
    let names = trace.names();
    let codes = (0..names.code_count()).map(|id| names.code_str(pyrec_schema::CodeId(id as u32)));
    let texts = (1..names.text_count()).filter_map(|id| names.text_str(pyrec_schema::TextId(id as u32)));
    let in_names = codes.chain(texts).find_map(|text| find(text.as_bytes(), "a string", true));
    Ok(leak.or(in_names))
}

/// Searches the bytes of a file. Consecutive chunks overlap, so that a match across a boundary is
/// found.
fn in_bytes(path: &Path, find: &dyn Fn(&[u8]) -> Option<Leak>) -> Result<Option<Leak>> {
    let io = |source| pyrec_schema::Error::Io { path: path.into(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    loop {
        let kept = bytes.len();
        let read = file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(leak) = find(&bytes) {
            return Ok(Some(leak));
        }
        // Half a chunk is longer than any path or word.
        bytes.drain(..(kept + read).saturating_sub(CHUNK_BYTES / 2));
    }
}

/// The strings of a manifest, without its keys, which are the same in all manifests.
fn strings(manifest: &Manifest) -> Vec<String> {
    fn collect(value: serde_json::Value, strings: &mut Vec<String>) {
        match value {
            serde_json::Value::String(string) => strings.push(string),
            serde_json::Value::Array(values) => values.into_iter().for_each(|value| collect(value, strings)),
            serde_json::Value::Object(object) => {
                object.into_iter().for_each(|(_, value)| collect(value, strings))
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    if let Ok(value) = serde_json::to_value(manifest) {
        collect(value, &mut all);
    }
    all
}
