//! Rows, and facts of the recording, without what is secret.

use std::sync::Arc;

use pyrec_schema::{Code, CodeId, Event, Excerpt, Host, Manifest, Marker, Names, Python, TextId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::known;
use super::place::Places;
use super::secret::Secrets;
use super::token::{Key, Kind};
use super::words::{self, Word};

/// Which files' texts are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// Those of the project.
    #[default]
    Own,
    /// All of them.
    All,
    /// None.
    None,
}

impl Sources {
    /// Whether a file's text is shared.
    pub fn includes(self, file: &str, places: &Places) -> bool {
        match self {
            Sources::Own => places.is_own(file),
            Sources::All => true,
            Sources::None => false,
        }
    }
}

/// What replaces secrets in strings.
#[derive(Clone, Copy, Debug)]
pub struct Cleaner<'a> {
    pub key: Key,
    pub places: &'a Places,
    pub secrets: &'a Secrets,
    pub sources: Sources,
}

impl Cleaner<'_> {
    fn word(&self, text: &str) -> String {
        self.secrets.replace(text).into_owned()
    }

    fn file(&self, path: &str) -> String {
        self.word(&self.places.file(path))
    }

    fn directory(&self, path: &str) -> String {
        self.word(&self.places.directory(path))
    }

    /// What stands in the `code` column.
    pub fn code(&self, code: &str) -> String {
        let parsed = Code::parse(code);
        if parsed.file.is_empty() && parsed.qualname == code {
            return self.word(code);
        }
        let (file, qualname) = (self.file(parsed.file), self.word(parsed.qualname));
        Code { file: &file, qualname: &qualname, ..parsed }.to_string()
    }

    /// A command, word by word. A word that is no secret by itself is still an argument.
    pub fn command<S: AsRef<str>>(&self, command: &[S]) -> Vec<String> {
        let words = command.iter().map(AsRef::as_ref).zip(words::of(command));
        let words = words.map(|(word, kind)| match kind {
            Word::Path => self.file(word),
            Word::Known => self.word(word),
            Word::Argument if word.is_empty() => String::new(),
            Word::Argument => self.key.token(Kind::Argument, word),
        });
        words.collect()
    }

    /// A sentence, in which paths may stand.
    fn sentence(&self, text: &str) -> String {
        let text = self.word(text);
        let words = text.split(' ').map(|word| match word.starts_with('/') {
            true => self.places.file(word),
            false => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// What stands in the `text` column beside that marker; none where nobody can know whether it may be shared.
    fn text(&self, marker: Marker, text: &str) -> Option<String> {
        Some(match marker {
            Marker::ProcessStart => self.command(&text.split(' ').collect::<Vec<_>>()).join(" "),
            Marker::ThreadStart if !known::is_thread(text) => self.key.token(Kind::Thread, text),
            Marker::Audit if !known::is_audit(text) => self.key.token(Kind::Audit, text),
            Marker::Lost => text.parse::<i64>().ok()?.to_string(),
            _ => self.word(text),
        })
    }

    /// The facts of the recording.
    pub fn manifest(&self, manifest: &Manifest, slice: Option<Excerpt>) -> Manifest {
        let words = |words: &[String]| words.iter().map(|word| self.word(word)).collect();
        let python = |python: &Python| Python {
            version: self.word(&python.version),
            build: python.build.as_deref().map(|build| self.word(build)),
            executable: python.executable.as_deref().map(|path| self.file(path)),
            path: python.path.iter().map(|path| self.directory(path)).collect(),
        };
        let mut ended = manifest.ended.clone();
        if let pyrec_schema::RecordingEnd::Failed { reason } = &mut ended {
            *reason = self.sentence(reason);
        }
        Manifest {
            writer: self.word(&manifest.writer),
            command: self.command(&manifest.command),
            directory: manifest.directory.as_deref().map(|directory| self.directory(directory)),
            python: manifest.python.iter().map(python).collect(),
            provider: self.word(&manifest.provider),
            markers: words(&manifest.markers),
            include: manifest.include.iter().map(|glob| self.file(glob)).collect(),
            exclude: manifest.exclude.iter().map(|glob| self.file(glob)).collect(),
            host: Host {
                system: self.word(&manifest.host.system),
                machine: self.word(&manifest.host.machine),
                name: match manifest.host.name.as_str() {
                    name if name.is_empty() || known::is_nobody(name) => name.to_owned(),
                    name => self.key.token(Kind::Host, name),
                },
                ..manifest.host
            },
            ended,
            slice,
            // Where the rest of it lies is nobody's business, and what is shared is one file by itself.
            session: None,
            part: None,
            ..manifest.clone()
        }
    }
}

/// Cleans row after row. Sources come last, so only those are kept whose code is in the rows before.
#[derive(Debug)]
pub struct Scrubber<'a> {
    cleaner: Cleaner<'a>,
    from: Arc<Names>,
    to: Arc<Names>,
    codes: FxHashMap<CodeId, CodeId>,
    texts: FxHashMap<(Marker, TextId), TextId>,
    /// Files of which there were rows.
    files: FxHashSet<String>,
}

impl<'a> Scrubber<'a> {
    /// From strings of one table to those of another.
    pub fn new(cleaner: Cleaner<'a>, from: Arc<Names>, to: Arc<Names>) -> Self {
        let (codes, texts, files) = Default::default();
        Scrubber { cleaner, from, to, codes, texts, files }
    }

    /// The row without what is secret; none for the source of a file that there is nothing else of.
    pub fn event(&mut self, event: Event) -> Option<Event> {
        if event.marker == Marker::Source {
            return self.source(event);
        }
        Some(Event { code: self.code(event.code), text: self.text(event.marker, event.text), ..event })
    }

    fn code(&mut self, id: CodeId) -> CodeId {
        if id == CodeId::NONE {
            return id;
        }
        if let Some(&known) = self.codes.get(&id) {
            return known;
        }
        let code = self.from.code_str(id);
        self.files.insert(Code::parse(&code).file.to_owned());
        let clean = self.to.code(&self.cleaner.code(&code));
        self.codes.insert(id, clean);
        clean
    }

    fn text(&mut self, marker: Marker, id: TextId) -> TextId {
        let Some(text) = self.from.text_str(id) else { return TextId::NONE };
        let (cleaner, to) = (self.cleaner, &self.to);
        *self
            .texts
            .entry((marker, id))
            .or_insert_with(|| cleaner.text(marker, &text).map_or(TextId::NONE, |clean| to.text(&clean)))
    }

    /// The hash of a text that is not shared as it is could be tried out, so another number stands for it.
    fn source(&self, event: Event) -> Option<Event> {
        let code = self.from.code_str(event.code);
        let file = Code::parse(&code).file;
        if !self.files.contains(file) {
            return None;
        }
        let text = self.from.text_str(event.text);
        let shared = text.as_ref().filter(|_| self.cleaner.sources.includes(file, self.cleaner.places));
        let clean = shared.map(|text| self.cleaner.secrets.replace(text));
        let is_as_it_was = clean.as_deref().is_some_and(|clean| Some(clean) == text.as_deref());
        let hidden = |hash: i64| self.cleaner.key.number("source", &hash.to_string()) as i64;
        Some(Event {
            code: self.to.code(&self.cleaner.code(&code)),
            text: clean.map_or(TextId::NONE, |clean| self.to.text(&clean)),
            value: if is_as_it_was { event.value } else { event.value.map(hidden) },
            ..event
        })
    }
}
