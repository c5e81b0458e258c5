//! HTML reports in headless Chromium.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::npm::{modules, node};
use super::{Recording, Setup, pyrec, run, skip, stderr, stdout};

/// Opens a page, runs the steps of `tests/consumers/page.js`, and returns the values that they
/// read. Skips the test if there is no browser.
///
/// # Panics
///
/// If the page logs an error or a warning, or requests anything from a network.
pub fn open_page(page: impl AsRef<OsStr>, steps: &[&str]) -> Option<Vec<Value>> {
    let (chromium, modules) = (chromium()?, modules()?);
    let output = run(node(modules, "page.js").arg(modules).arg(chromium).arg(page).args(steps));
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    assert_eq!((&result["messages"], &result["requests"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    result["read"].as_array().cloned()
}

/// The path of Chromium.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let chromium =
        std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|file| file.exists());
    if chromium.is_none() {
        skip("no chromium (apt-get install chromium)");
    }
    chromium
}

/// A recording of a program, and its heat map.
pub struct Page {
    pub recording: Recording,
    pub program: PathBuf,
    _folder: TempDir,
}

impl Page {
    /// Writes a program with this file name and text, records it with the newest Python, and draws
    /// its heat map.
    pub fn of(options: &[&str], name: &str, text: &str) -> Option<Page> {
        let page = Page::record(&Setup::any()?, options, name, text);
        page.draw();
        Some(page)
    }

    pub fn record(setup: &Setup, options: &[&str], name: &str, text: &str) -> Page {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let program = folder.path().join(name);
        fs::write(&program, text).expect("the write succeeds");
        Page { recording: setup.record(options, &[&program]), program, _folder: folder }
    }

    pub fn draw(&self) {
        let output = run(pyrec("heat").current_dir(self.recording.directory.path()));
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        assert!(text.starts_with("trust: ") && text.ends_with("\nopen heat.html in a browser\n"), "{text}");
    }

    pub fn file(&self) -> PathBuf {
        self.recording.directory.path().join("heat.html")
    }

    /// Opens the page at the program's file.
    pub fn open(&self, steps: &[&str]) -> Option<Vec<Value>> {
        open_page(format!("{}#{}", self.file().display(), self.program.display()), steps)
    }
}
