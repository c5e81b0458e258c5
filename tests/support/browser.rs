//! Heat maps in headless Chromium.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::npm::{modules, node};
use super::{Recording, Subject, pyrec, run, skipped};

/// Opens a page, does what the steps of `tests/consumers/page.js` say, and gives back what they read. On the way nothing
/// may go wrong, and nothing may be asked for over a network. None, and said so, where there is no browser.
pub fn visit(page: impl AsRef<OsStr>, steps: &[&str]) -> Option<Vec<Value>> {
    let (chromium, modules) = (chromium()?, modules()?);
    let output = run(node(modules, "page.js").arg(modules).arg(chromium).arg(page).args(steps));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!((&found["said"], &found["asked"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    found["read"].as_array().cloned()
}

/// Where it is.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.exists());
    if found.is_none() {
        skipped("there is no chromium; Debian has a package of that name");
    }
    found
}

/// A recording of a program, and the heat map of it.
pub struct Page {
    pub recording: Recording,
    pub program: PathBuf,
    _folder: TempDir,
}

impl Page {
    /// Records a program of that name on the newest Python, and draws it.
    pub fn of(options: &[&str], name: &str, text: &str) -> Option<Page> {
        let page = Page::record(&Subject::any()?, options, name, text);
        page.draw();
        Some(page)
    }

    pub fn record(subject: &Subject, options: &[&str], name: &str, text: &str) -> Page {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let program = folder.path().join(name);
        fs::write(&program, text).expect("it is written");
        Page { recording: subject.record(options, &[&program]), program, _folder: folder }
    }

    pub fn draw(&self) {
        let output = run(pyrec("heat").current_dir(self.recording.directory.path()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("trust: ") && said.ends_with("\nopen heat.html in a browser\n"), "{said}");
    }

    pub fn file(&self) -> PathBuf {
        self.recording.directory.path().join("heat.html")
    }

    /// Opens it on the program's file.
    pub fn visit(&self, steps: &[&str]) -> Option<Vec<Value>> {
        visit(format!("{}#{}", self.file().display(), self.program.display()), steps)
    }
}
