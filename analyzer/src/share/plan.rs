//! Which secrets there are.

use std::collections::BTreeMap;

use pyrec_schema::{Manifest, Marker};

use super::inventory::Inventory;
use super::known;
use super::place::{self, Places};
use super::secret::{Secret, Secrets};
use super::token::{Key, Kind};
use super::words::{self, Word};

/// Who shares, as far as the system tells.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// The user's name.
    pub user: Option<String>,
    /// The home directory.
    pub home: Option<String>,
    /// The machine's name.
    pub host: Option<String>,
}

/// Shorter ones cannot be told from other words.
const MIN_NAME_BYTES: usize = 2;
const MIN_WORD_BYTES: usize = 4;

/// Finds out what is secret.
#[derive(Debug)]
pub struct Plan<'a> {
    key: Key,
    places: &'a Places,
    /// Each text once, and the kind that was found first.
    found: BTreeMap<String, Kind>,
}

impl<'a> Plan<'a> {
    /// Looks for secrets in all that a recording holds.
    pub fn secrets(
        key: Key,
        places: &'a Places,
        manifest: &Manifest,
        inventory: &Inventory,
        here: &Here,
        page: &str,
    ) -> Secrets {
        let mut plan = Plan { key, places, found: BTreeMap::new() };
        plan.find_hosts(manifest, here);
        plan.find_paths(manifest, inventory, here);
        plan.find_arguments(manifest, inventory);
        for thread in inventory.threads.iter().filter(|thread| !known::is_thread(thread)) {
            plan.add(Kind::Thread, thread);
        }
        for audit in inventory.audits.iter().filter(|audit| !known::is_audit(audit)) {
            plan.add(Kind::Audit, audit);
        }
        plan.finish(manifest, inventory, page)
    }

    fn add(&mut self, kind: Kind, text: &str) {
        if !text.is_empty() {
            self.found.entry(text.to_owned()).or_insert(kind);
        }
    }

    /// A machine has its name, and perhaps that of its network behind it.
    fn find_hosts(&mut self, manifest: &Manifest, here: &Here) {
        for host in [Some(&manifest.host.name), here.host.as_ref()].into_iter().flatten() {
            for name in [host.as_str(), host.split('.').next().unwrap_or(host)] {
                if !known::is_nobody(name) {
                    self.add(Kind::Host, name);
                }
            }
        }
    }

    fn find_paths(&mut self, manifest: &Manifest, inventory: &Inventory, here: &Here) {
        if let Some(user) = here.user.as_deref().filter(|user| !known::is_nobody(user)) {
            self.add(Kind::User, user);
        }
        if let Some(home) =
            here.home.as_deref().map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1)
        {
            self.find_home(home);
        }
        if let Some(project) = self.places.project() {
            self.add(Kind::Project, project);
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
        self.add(Kind::Home, home);
        let user = place::user(home);
        if !known::is_nobody(user) {
            self.add(Kind::User, user);
        }
    }

    fn find_home_of(&mut self, path: &str) {
        if let Some((home, _)) = place::home(path) {
            self.find_home(home);
        }
    }

    fn find_file(&mut self, file: &str) {
        if let Some((directory, _)) = file.rsplit_once('/').filter(|_| file.starts_with('/')) {
            match place::python(file) {
                Some(prefix) => {
                    self.find_home_of(prefix);
                    self.add(Kind::Python, prefix);
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
        match place::python(directory) {
            Some(prefix) => self.add(Kind::Python, prefix),
            // What changes is not for everybody. What lies in the project goes with the project.
            None if self.places.directory(directory) != directory && !self.places.is_inside(directory) => {
                self.add(Kind::Directory, directory);
            }
            None => {}
        }
    }

    fn find_arguments(&mut self, manifest: &Manifest, inventory: &Inventory) {
        let command: Vec<&str> = manifest.command.iter().map(String::as_str).collect();

        let lines = inventory.commands.iter().map(|line| line.split(' ').collect());
        for words in std::iter::once(command).chain(lines) {
            let kinds = words::of(&words);
            for (&word, kind) in words.iter().zip(&kinds) {
                match kind {
                    Word::Path => self.find_file(word),
                    Word::Known => {}
                    Word::Argument => self.find_argument(word),
                }
            }
        }
    }

    /// `--password=hunter2` is secret, and so is what stands behind the sign.
    fn find_argument(&mut self, word: &str) {
        self.find_file(word);
        self.add(Kind::Argument, word);
        if let Some((_, value)) = word.split_once('=') {
            self.find_file(value);
            self.add(Kind::Argument, value);
        }
    }

    /// Gives tokens, and finds out which words are too common to be replaced wherever they stand.
    fn finish(self, manifest: &Manifest, inventory: &Inventory, page: &str) -> Secrets {
        let (key, places) = (self.key, self.places);
        let secret = |(text, kind): (String, Kind)| {
            let token = match kind {
                Kind::Home => places.home(&text),
                Kind::Project | Kind::Directory => places.directory(&text),
                Kind::Python => format!("/{}", key.token(kind, &text)),
                _ => key.token(kind, &text),
            };
            let is_everywhere = match kind {
                Kind::Home | Kind::Project | Kind::Directory | Kind::Python => true,
                Kind::User | Kind::Host => text.len() >= MIN_NAME_BYTES,
                Kind::Argument | Kind::Thread | Kind::Audit => is_word(&text),
            };
            Secret { kind, text, token, is_everywhere }
        };
        let all = Secrets::new(self.found.into_iter().map(secret).collect());
        let mut is_common = vec![false; all.list().len()];
        let mut see = |text: &str, and_own: bool| {
            for at in all.within(text.as_bytes()) {
                let kind = all.list()[at].kind;
                is_common[at] |= match kind {
                    Kind::User | Kind::Host => !and_own,
                    Kind::Argument | Kind::Thread | Kind::Audit => true,
                    _ => false,
                };
            }
        };
        inventory.public_names.iter().for_each(|name| see(name, false));
        for fixed in [page, known::WORDS, &keys(manifest), &Marker::ALL.map(Marker::name).join(" ")] {
            see(fixed, false);
        }
        inventory.own_names.iter().for_each(|name| see(name, true));
        let list = all.list().iter().zip(is_common);
        let list = list.map(|(secret, is_common)| Secret {
            is_everywhere: secret.is_everywhere && !is_common,
            ..secret.clone()
        });
        Secrets::new(list.collect())
    }
}

/// Whether it is long enough, and neither a flag nor a number.
fn is_word(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b".,:+-".contains(&byte));
    text.len() >= MIN_WORD_BYTES && !is_number && (!text.starts_with('-') || text.contains('='))
}

/// The keys of a manifest, which every trace has.
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
