//! The strings of a trace, each once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::limits;

/// A code column's string in [`Names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeId(pub u32);

/// A text column's string in [`Names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u32);

impl CodeId {
    /// No code: the empty string in the file.
    pub const NONE: CodeId = CodeId(0);
}

impl TextId {
    /// No text: null in the file.
    pub const NONE: TextId = TextId(0);
}

/// The strings that rows refer to by number. Grows only; shared between the thread that makes rows and the
/// one that writes or reads them.
#[derive(Debug)]
pub struct Names {
    codes: RwLock<Interner>,
    texts: RwLock<Interner>,
    /// What they take in memory …
    bytes: AtomicU64,
    /// … and what they may take when they come from files.
    allowed_bytes: AtomicU64,
}

/// What a string takes beside its bytes.
const OVERHEAD_BYTES: u64 = 96;

impl Default for Names {
    fn default() -> Self {
        Names {
            codes: RwLock::new(Interner::with_none()),
            texts: RwLock::new(Interner::with_none()),
            bytes: AtomicU64::new(0),
            allowed_bytes: AtomicU64::new(limits::STRING_BYTES),
        }
    }
}

impl Names {
    /// A table that knows nothing but [`CodeId::NONE`] and [`TextId::NONE`].
    pub fn new() -> Self {
        Names::default()
    }

    /// The number of a code string (`FILE:FIRSTLINE:QUALNAME`, or empty), given now if it is new.
    pub fn code(&self, code: &str) -> CodeId {
        if code.is_empty() {
            return CodeId::NONE;
        }
        CodeId(self.intern(&self.codes, code))
    }

    /// The number of a text, given now if it is new. The empty text is a text; only [`TextId::NONE`] is none.
    pub fn text(&self, text: &str) -> TextId {
        TextId(self.intern(&self.texts, text))
    }

    /// The string of a code. Panics on a number that this table did not give.
    pub fn code_str(&self, id: CodeId) -> Arc<str> {
        read(&self.codes).strings[id.0 as usize].clone()
    }

    /// The string of a text, none for [`TextId::NONE`]. Panics on a number that this table did not give.
    pub fn text_str(&self, id: TextId) -> Option<Arc<str>> {
        (id != TextId::NONE).then(|| read(&self.texts).strings[id.0 as usize].clone())
    }

    /// Lets the strings take more, as another file is read.
    pub(crate) fn allow(&self, bytes: u64) {
        self.allowed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether they take more than was allowed.
    pub(crate) fn are_too_many(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.allowed_bytes.load(Ordering::Relaxed)
    }

    fn intern(&self, table: &RwLock<Interner>, string: &str) -> u32 {
        if let Some(&id) = read(table).ids.get(string) {
            return id;
        }
        let mut table = table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(&id) = table.ids.get(string) {
            return id;
        }
        let id = u32::try_from(table.strings.len()).expect("fewer than 2^32 names fit in memory");
        let string: Arc<str> = Arc::from(string);
        self.bytes.fetch_add(string.len() as u64 + OVERHEAD_BYTES, Ordering::Relaxed);
        table.strings.push(string.clone());
        table.ids.insert(string, id);
        id
    }

    /// How many codes there are, [`CodeId::NONE`] included: numbers run from 0.
    pub fn code_count(&self) -> usize {
        read(&self.codes).strings.len()
    }

    /// How many texts there are, [`TextId::NONE`] included: numbers run from 0.
    pub fn text_count(&self) -> usize {
        read(&self.texts).strings.len()
    }
}

#[derive(Debug)]
struct Interner {
    /// With the standard hash, which a stranger's strings cannot make collide.
    ids: HashMap<Arc<str>, u32>,
    strings: Vec<Arc<str>>,
}

impl Interner {
    /// Number 0 stands for nothing and is never given to a string that is looked up in `ids`.
    fn with_none() -> Self {
        Interner { ids: HashMap::default(), strings: vec![Arc::from("")] }
    }
}

fn read(table: &RwLock<Interner>) -> RwLockReadGuard<'_, Interner> {
    // Nothing in here panics halfway, so a poisoned table is a whole one.
    table.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}
