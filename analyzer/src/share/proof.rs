//! The last look at what is about to be shared: nothing that was removed is in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pyrec_schema::{Columns, Manifest, Trace};

use super::scrub::Cleaner;
use super::secret::Secret;
use crate::Result;

/// Shorter secrets are looked for in strings only: in numbers and packed bytes they may stand by chance.
const LONG_BYTES: usize = 8;

/// How much of the file is looked through at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A secret that is still there, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// What was to be removed.
    pub secret: Secret,
    /// Where it was found.
    pub place: &'static str,
}

/// Looks for every secret in a zip file: in its bytes as they are, with names, page and footers; in every page of the
/// trace, unpacked; and in every string that a reader will see.
pub fn leak(zip: &Path, page: &str, cleaner: &Cleaner) -> Result<Option<Leak>> {
    let secrets = cleaner.secrets;
    let find = |bytes: &[u8], place, is_text: bool| {
        let found = secrets.within(bytes).map(|at| &secrets.list()[at]);
        let mut told = found.filter(|secret| is_text || secret.text.len() >= LONG_BYTES);
        told.next().map(|secret| Leak { secret: secret.clone(), place })
    };
    if let Some(leak) = find(page.as_bytes(), "its README", true) {
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
        for row_group in 0..file.row_groups() {
            file.read(row_group, Columns::ALL)?.try_for_each(|batch| batch.map(drop))?;
        }
        leak = leak.or_else(|| {
            strings(file.manifest()).iter().find_map(|text| find(text.as_bytes(), "its facts", true))
        });
    }
    let names = trace.names();
    let codes = (0..names.code_count()).map(|id| names.code_str(pyrec_schema::CodeId(id as u32)));
    let texts = (1..names.text_count()).filter_map(|id| names.text_str(pyrec_schema::TextId(id as u32)));
    let in_names = codes.chain(texts).find_map(|text| find(text.as_bytes(), "a string", true));
    Ok(leak.or(in_names))
}

/// Looks through a file. What lies across the border of two pieces is looked through with both.
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
        // Paths and words are shorter than a piece.
        bytes.drain(..(kept + read).saturating_sub(CHUNK_BYTES / 2));
    }
}

/// The strings of a manifest; its keys are those of every manifest.
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
