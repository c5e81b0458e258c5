//! The string table of a trace.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::limits;

/// The index of a string of the `code` column in [`Names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeId(pub u32);

/// The index of a string of the `text` column in [`Names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u32);

impl CodeId {
    /// No code object. It is stored as the empty string.
    pub const NONE: CodeId = CodeId(0);
}

impl TextId {
    /// No text. It is stored as null.
    pub const NONE: TextId = TextId(0);
}

/// The string table: interns the strings of the columns `code` and `text`, so that rows refer to
/// them by index. It only grows. The threads that produce, write and read rows share it.
#[derive(Debug)]
pub struct Names {
    codes: RwLock<Interner>,
    texts: RwLock<Interner>,
    /// Memory that the strings take.
    bytes: AtomicU64,
    /// Memory that the strings of all opened files may take.
    byte_limit: AtomicU64,
}

/// Estimated memory that an interned string takes in addition to its bytes.
const OVERHEAD_BYTES: u64 = 96;

impl Default for Names {
    fn default() -> Self {
        Names {
            codes: RwLock::new(Interner::with_none()),
            texts: RwLock::new(Interner::with_none()),
            bytes: AtomicU64::new(0),
            byte_limit: AtomicU64::new(limits::BASE_STRING_BYTES),
        }
    }
}

impl Names {
    /// A table with only [`CodeId::NONE`] and [`TextId::NONE`].
    pub fn new() -> Self {
        Names::default()
    }

    /// Interns a code string (`FILE:FIRSTLINE:QUALNAME`, or empty).
    pub fn code(&self, code: &str) -> CodeId {
        if code.is_empty() {
            return CodeId::NONE;
        }
        CodeId(self.intern(&self.codes, code))
    }

    /// Interns a text. The empty text differs from [`TextId::NONE`].
    pub fn text(&self, text: &str) -> TextId {
        TextId(self.intern(&self.texts, text))
    }

    /// The string of a code.
    ///
    /// # Panics
    ///
    /// Panics if `id` is not from this table.
    pub fn code_str(&self, id: CodeId) -> Arc<str> {
        read(&self.codes).strings[id.0 as usize].clone()
    }

    /// The string of a text, or `None` for [`TextId::NONE`].
    ///
    /// # Panics
    ///
    /// Panics if `id` is not from this table.
    pub fn text_str(&self, id: TextId) -> Option<Arc<str>> {
        (id != TextId::NONE).then(|| read(&self.texts).strings[id.0 as usize].clone())
    }

    /// Raises the memory limit of strings by `bytes`, for another file.
    pub(crate) fn raise_limit(&self, bytes: u64) {
        self.byte_limit.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the strings exceed their memory limit.
    pub(crate) fn exceed_limit(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.byte_limit.load(Ordering::Relaxed)
    }

    fn intern(&self, table: &RwLock<Interner>, string: &str) -> u32 {
        if let Some(&id) = read(table).ids.get(string) {
            return id;
        }
        let mut table = table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(&id) = table.ids.get(string) {
            return id;
        }
        let id = u32::try_from(table.strings.len()).expect("fewer than 2^32 strings fit in memory");
        let string: Arc<str> = Arc::from(string);
        self.bytes.fetch_add(string.len() as u64 + OVERHEAD_BYTES, Ordering::Relaxed);
        table.strings.push(string.clone());
        table.ids.insert(string, id);
        id
    }

    /// The number of codes, including [`CodeId::NONE`]. Indices run from 0.
    pub fn code_count(&self) -> usize {
        read(&self.codes).strings.len()
    }

    /// The number of texts, including [`TextId::NONE`]. Indices run from 0.
    pub fn text_count(&self) -> usize {
        read(&self.texts).strings.len()
    }
}

#[derive(Debug)]
struct Interner {
    /// Uses the standard, randomly seeded hash, since crafted strings must not collide.
    ids: HashMap<Arc<str>, u32>,
    strings: Vec<Arc<str>>,
}

impl Interner {
    /// A table whose index 0 is reserved: `ids` never contains it.
    fn with_none() -> Self {
        Interner { ids: HashMap::default(), strings: vec![Arc::from("")] }
    }
}

fn read(table: &RwLock<Interner>) -> RwLockReadGuard<'_, Interner> {
    // No operation panics in the middle of a change, so a poisoned table is still consistent.
    table.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}
