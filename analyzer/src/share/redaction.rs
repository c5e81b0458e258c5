//! Redaction of rows and of the manifest.

use std::sync::Arc;

use pyrec_schema::{Code, CodeId, Event, Excerpt, Host, Manifest, Marker, Names, Python, TextId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::allowlist;
use super::command_line::{self, WordKind};
use super::paths::PathRedactor;
use super::secrets::SecretSet;
use super::token::{SecretKind, TokenKey};

/// Which source texts are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Those of files of the project.
    #[default]
    Project,
    /// All of them.
    All,
    /// None.
    None,
}

impl SourcePolicy {
    /// Whether a file's source text is shared.
    pub fn includes(self, file: &str, paths: &PathRedactor) -> bool {
        match self {
            SourcePolicy::Project => paths.is_project_file(file),
            SourcePolicy::All => true,
            SourcePolicy::None => false,
        }
    }
}

/// Redacts strings: replaces secrets by their tokens.
#[derive(Clone, Copy, Debug)]
pub struct Redactor<'a> {
    pub key: TokenKey,
    pub paths: &'a PathRedactor,
    pub secrets: &'a SecretSet,
    pub sources: SourcePolicy,
}

impl Redactor<'_> {
    /// Replaces the secrets in a text.
    fn replace(&self, text: &str) -> String {
        self.secrets.replace(text).into_owned()
    }

    fn file(&self, path: &str) -> String {
        self.replace(&self.paths.redact_file(path))
    }

    fn directory(&self, path: &str) -> String {
        self.replace(&self.paths.redact_directory(path))
    }

    /// Redacts a string of the `code` column.
    pub fn code(&self, code: &str) -> String {
        let parsed = Code::parse(code);
        if parsed.file.is_empty() && parsed.qualname == code {
            return self.replace(code);
        }
        let (file, qualname) = (self.file(parsed.file), self.replace(parsed.qualname));
        Code { file: &file, qualname: &qualname, ..parsed }.to_string()
    }

    /// Redacts a command line. Every argument becomes a token, even one that is not secret
    /// elsewhere.
    pub fn command<S: AsRef<str>>(&self, command: &[S]) -> Vec<String> {
        let words = command.iter().map(AsRef::as_ref).zip(command_line::classify(command));
        let words = words.map(|(word, kind)| match kind {
            WordKind::Path => self.file(word),
            WordKind::PythonFlag => self.replace(word),
            WordKind::Argument if word.is_empty() => String::new(),
            WordKind::Argument => self.key.token(SecretKind::Argument, word),
        });
        words.collect()
    }

    /// Redacts a sentence that may contain paths.
    fn sentence(&self, text: &str) -> String {
        let text = self.replace(text);
        let words = text.split(' ').map(|word| match word.starts_with('/') {
            true => self.paths.redact_file(word),
            false => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Redacts a string of the `text` column in a row with this marker. None if its content is
    /// unknown, so that it must not be shared.
    fn text(&self, marker: Marker, text: &str) -> Option<String> {
        Some(match marker {
            Marker::ProcessStart => self.command(&text.split(' ').collect::<Vec<_>>()).join(" "),
            Marker::ThreadStart if !allowlist::is_default_thread(text) => {
                self.key.token(SecretKind::Thread, text)
            }
            Marker::Audit if !allowlist::is_cpython_audit(text) => self.key.token(SecretKind::Audit, text),
            Marker::Lost => text.parse::<i64>().ok()?.to_string(),
            _ => self.replace(text),
        })
    }

    /// Redacts the manifest.
    pub fn manifest(&self, manifest: &Manifest, excerpt: Option<Excerpt>) -> Manifest {
        let words = |words: &[String]| words.iter().map(|word| self.replace(word)).collect();
        let python = |python: &Python| Python {
            version: self.replace(&python.version),
            build: python.build.as_deref().map(|build| self.replace(build)),
            executable: python.executable.as_deref().map(|path| self.file(path)),
            path: python.path.iter().map(|path| self.directory(path)).collect(),
        };
        let mut ended = manifest.ended.clone();
        if let pyrec_schema::RecordingEnd::Failed { reason } = &mut ended {
            *reason = self.sentence(reason);
        }
        Manifest {
            writer: self.replace(&manifest.writer),
            command: self.command(&manifest.command),
            directory: manifest.directory.as_deref().map(|directory| self.directory(directory)),
            python: manifest.python.iter().map(python).collect(),
            provider: self.replace(&manifest.provider),
            markers: words(&manifest.markers),
            include: manifest.include.iter().map(|glob| self.file(glob)).collect(),
            exclude: manifest.exclude.iter().map(|glob| self.file(glob)).collect(),
            host: Host {
                system: self.replace(&manifest.host.system),
                machine: self.replace(&manifest.host.machine),
                name: match manifest.host.name.as_str() {
                    name if name.is_empty() || allowlist::is_generic(name) => name.to_owned(),
                    name => self.key.token(SecretKind::Host, name),
                },
                ..manifest.host
            },
            ended,
            slice: excerpt,
            // Both refer to other files, which are not shared.
            session: None,
            part: None,
            ..manifest.clone()
        }
    }
}

/// Redacts rows one after another. Source texts come last in a trace, and those of files without
/// other rows are dropped.
#[derive(Debug)]
pub struct RowRedactor<'a> {
    redactor: Redactor<'a>,
    from: Arc<Names>,
    to: Arc<Names>,
    codes: FxHashMap<CodeId, CodeId>,
    texts: FxHashMap<(Marker, TextId), TextId>,
    /// The files of the rows so far.
    files: FxHashSet<String>,
}

impl<'a> RowRedactor<'a> {
    /// A redactor of rows whose strings are in `from`. The strings of redacted rows are in `to`.
    pub fn new(redactor: Redactor<'a>, from: Arc<Names>, to: Arc<Names>) -> Self {
        let (codes, texts, files) = Default::default();
        RowRedactor { redactor, from, to, codes, texts, files }
    }

    /// Redacts a row. None for the source text of a file that has no other rows.
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
        if let Some(&redacted) = self.codes.get(&id) {
            return redacted;
        }
        let code = self.from.code_str(id);
        self.files.insert(Code::parse(&code).file.to_owned());
        let redacted = self.to.code(&self.redactor.code(&code));
        self.codes.insert(id, redacted);
        redacted
    }

    fn text(&mut self, marker: Marker, id: TextId) -> TextId {
        let Some(text) = self.from.text_str(id) else { return TextId::NONE };
        let (redactor, to) = (self.redactor, &self.to);
        *self.texts.entry((marker, id)).or_insert_with(|| {
            redactor.text(marker, &text).map_or(TextId::NONE, |redacted| to.text(&redacted))
        })
    }

    /// Redacts a row with a source text. If the text changes or is left out, its hash is replaced
    /// by a keyed hash: the original could be compared with the hashes of guessed texts.
    fn source(&self, event: Event) -> Option<Event> {
        let code = self.from.code_str(event.code);
        let file = Code::parse(&code).file;
        if !self.files.contains(file) {
            return None;
        }
        let text = self.from.text_str(event.text);
        let shared = text.as_ref().filter(|_| self.redactor.sources.includes(file, self.redactor.paths));
        let redacted = shared.map(|text| self.redactor.secrets.replace(text));
        let is_unchanged = redacted.as_deref().is_some_and(|redacted| Some(redacted) == text.as_deref());
        let keyed_hash = |hash: i64| self.redactor.key.number("source", &hash.to_string()) as i64;
        Some(Event {
            code: self.to.code(&self.redactor.code(&code)),
            text: redacted.map_or(TextId::NONE, |redacted| self.to.text(&redacted)),
            value: if is_unchanged { event.value } else { event.value.map(keyed_hash) },
            ..event
        })
    }
}
