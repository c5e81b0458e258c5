//! Detection of the secrets in a trace.

use std::collections::BTreeMap;

use pyrec_schema::{Manifest, Marker};

use super::allowlist;
use super::command_line::{self, WordKind};
use super::inventory::Inventory;
use super::paths::{self, PathRedactor};
use super::secrets::{Secret, SecretSet};
use super::token::{SecretKind, TokenKey};

/// The identity of the user who shares a trace, as far as the system reports it.
#[derive(Clone, Debug, Default)]
pub struct LocalIdentity {
    /// The user's name.
    pub user: Option<String>,
    /// The home directory.
    pub home: Option<String>,
    /// The machine's name.
    pub host: Option<String>,
}

/// Names of users and hosts that are shorter are not replaced inside texts.
const MIN_NAME_BYTES: usize = 2;

/// Arguments and names of threads and audit events that are shorter are not replaced inside texts.
const MIN_WORD_BYTES: usize = 4;

/// Collects secrets.
#[derive(Debug)]
pub struct SecretFinder<'a> {
    key: TokenKey,
    paths: &'a PathRedactor,
    /// The texts, each with the kind that was found first.
    found: BTreeMap<String, SecretKind>,
}

impl<'a> SecretFinder<'a> {
    /// Finds the secrets of a trace. A secret that is also a word of the README is not replaced
    /// inside texts.
    pub fn find(
        key: TokenKey,
        paths: &'a PathRedactor,
        manifest: &Manifest,
        inventory: &Inventory,
        local: &LocalIdentity,
        readme: &str,
    ) -> SecretSet {
        let mut finder = SecretFinder { key, paths, found: BTreeMap::new() };
        finder.find_hosts(manifest, local);
        finder.find_paths(manifest, inventory, local);
        finder.find_arguments(manifest, inventory);
        for thread in inventory.threads.iter().filter(|thread| !allowlist::is_default_thread(thread)) {
            finder.add(SecretKind::Thread, thread);
        }
        for audit in inventory.audits.iter().filter(|audit| !allowlist::is_cpython_audit(audit)) {
            finder.add(SecretKind::Audit, audit);
        }
        finder.finish(manifest, inventory, readme)
    }

    fn add(&mut self, kind: SecretKind, text: &str) {
        if !text.is_empty() {
            self.found.entry(text.to_owned()).or_insert(kind);
        }
    }

    /// Adds the host names, with and without their domains.
    fn find_hosts(&mut self, manifest: &Manifest, local: &LocalIdentity) {
        for host in [Some(&manifest.host.name), local.host.as_ref()].into_iter().flatten() {
            for name in [host.as_str(), host.split('.').next().unwrap_or(host)] {
                if !allowlist::is_generic(name) {
                    self.add(SecretKind::Host, name);
                }
            }
        }
    }

    fn find_paths(&mut self, manifest: &Manifest, inventory: &Inventory, local: &LocalIdentity) {
        if let Some(user) = local.user.as_deref().filter(|user| !allowlist::is_generic(user)) {
            self.add(SecretKind::User, user);
        }
        if let Some(home) =
            local.home.as_deref().map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1)
        {
            self.find_home(home);
        }
        if let Some(project) = self.paths.project() {
            self.add(SecretKind::Project, project);
            self.find_home_of(project);
        }
        if let Some(directory) = &manifest.directory {
            self.find_directory(directory);
        }
        for file in inventory.files.iter().chain(&inventory.sources) {
            self.find_file(file);
        }
        for python in &manifest.python {
            python.path.iter().for_each(|directory| self.find_directory(directory));
            python.executable.iter().for_each(|executable| self.find_file(executable));
        }
    }

    fn find_home(&mut self, home: &str) {
        self.add(SecretKind::Home, home);
        let user = paths::user_of_home(home);
        if !allowlist::is_generic(user) {
            self.add(SecretKind::User, user);
        }
    }

    fn find_home_of(&mut self, path: &str) {
        if let Some((home, _)) = paths::split_home(path) {
            self.find_home(home);
        }
    }

    fn find_file(&mut self, file: &str) {
        if let Some((directory, _)) = file.rsplit_once('/').filter(|_| file.starts_with('/')) {
            match paths::python_prefix(file) {
                Some(prefix) => {
                    self.find_home_of(prefix);
                    self.add(SecretKind::Python, prefix);
                }
                None => self.find_directory(directory),
            }
        }
    }

    fn find_directory(&mut self, directory: &str) {
        let directory = directory.trim_end_matches('/');
        if !directory.starts_with('/') {
            return;
        }
        self.find_home_of(directory);
        match paths::python_prefix(directory) {
            Some(prefix) => self.add(SecretKind::Python, prefix),
            // Redaction changes private directories only. Those in the project are replaced with
            // it.
            None if self.paths.redact_directory(directory) != directory
                && !self.paths.is_in_project(directory) =>
            {
                self.add(SecretKind::Directory, directory);
            }
            None => {}
        }
    }

    fn find_arguments(&mut self, manifest: &Manifest, inventory: &Inventory) {
        let command: Vec<&str> = manifest.command.iter().map(String::as_str).collect();

        let lines = inventory.commands.iter().map(|line| line.split(' ').collect());
        for words in std::iter::once(command).chain(lines) {
            let kinds = command_line::classify(&words);
            for (&word, kind) in words.iter().zip(&kinds) {
                match kind {
                    WordKind::Path => self.find_file(word),
                    WordKind::PythonFlag => {}
                    WordKind::Argument => self.find_argument(word),
                }
            }
        }
    }

    /// Adds an argument, and the value of one such as `--password=hunter2`.
    fn find_argument(&mut self, word: &str) {
        self.find_file(word);
        self.add(SecretKind::Argument, word);
        if let Some((_, value)) = word.split_once('=') {
            self.find_file(value);
            self.add(SecretKind::Argument, value);
        }
    }

    /// Assigns tokens, and determines which words are too common to be replaced inside texts.
    fn finish(self, manifest: &Manifest, inventory: &Inventory, readme: &str) -> SecretSet {
        let (key, paths) = (self.key, self.paths);
        let secret = |(text, kind): (String, SecretKind)| {
            let token = match kind {
                SecretKind::Home => paths.redact_home(&text),
                SecretKind::Project | SecretKind::Directory => paths.redact_directory(&text),
                SecretKind::Python => format!("/{}", key.token(kind, &text)),
                _ => key.token(kind, &text),
            };
            let is_everywhere = match kind {
                SecretKind::Home | SecretKind::Project | SecretKind::Directory | SecretKind::Python => true,
                SecretKind::User | SecretKind::Host => text.len() >= MIN_NAME_BYTES,
                SecretKind::Argument | SecretKind::Thread | SecretKind::Audit => is_distinctive(&text),
            };
            Secret { kind, text, token, is_everywhere }
        };
        let all = SecretSet::new(self.found.into_iter().map(secret).collect());
        let mut is_common = vec![false; all.list().len()];
        let mut mark_common = |text: &str, is_program_name: bool| {
            for at in all.find_in(text.as_bytes()) {
                let kind = all.list()[at].kind;
                is_common[at] |= match kind {
                    SecretKind::User | SecretKind::Host => !is_program_name,
                    SecretKind::Argument | SecretKind::Thread | SecretKind::Audit => true,
                    _ => false,
                };
            }
        };
        inventory.public_names.iter().for_each(|name| mark_common(name, false));
        for fixed in
            [readme, allowlist::COMMON_WORDS, &keys(manifest), &Marker::ALL.map(Marker::name).join(" ")]
        {
            mark_common(fixed, false);
        }
        inventory.program_names.iter().for_each(|name| mark_common(name, true));
        let list = all.list().iter().zip(is_common);
        let list = list.map(|(secret, is_common)| Secret {
            is_everywhere: secret.is_everywhere && !is_common,
            ..secret.clone()
        });
        SecretSet::new(list.collect())
    }
}

/// Whether a word is distinctive enough to be replaced inside texts: long enough, not a number, and
/// not a flag without a value.
fn is_distinctive(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b".,:+-".contains(&byte));
    text.len() >= MIN_WORD_BYTES && !is_number && (!text.starts_with('-') || text.contains('='))
}

/// The keys of a manifest, which are the same in all traces.
fn keys(manifest: &Manifest) -> String {
    fn collect(value: &serde_json::Value, keys: &mut String) {
        match value {
            serde_json::Value::Object(object) => object.iter().for_each(|(key, value)| {
                keys.push(' ');
                keys.push_str(key);
                collect(value, keys);
            }),
            serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, keys)),
            _ => {}
        }
    }
    let mut all = String::new();
    if let Ok(value) = serde_json::to_value(manifest) {
        collect(&value, &mut all);
    }
    all
}
