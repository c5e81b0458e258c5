//! Packages from npm: made once and kept in the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::skipped;

/// What the tests need from npm. speedscope's later packages hold its importer only within its page, and Firefox
/// Profiler's command needs a newer Node than Debian's.
const PACKAGES: [&str; 5] = [
    "node@24",
    "ajv@8",
    "speedscope@1.20.0",
    "@firefox-devtools/profiler-cli@0.10.0",
    "puppeteer-core@24.43.1",
];

/// The folder `node_modules`. None, and said so, where it cannot be made: without network, or without `npm`.
pub fn modules() -> Option<&'static Path> {
    static MODULES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let modules =
        MODULES.get_or_init(|| make().inspect_err(|why| skipped(&format!("no npm packages: {why}"))).ok());
    modules.as_deref()
}

/// Node, to run a script of `tests/consumers`.
pub fn node(modules: &Path, script: &str) -> Command {
    let mut node = Command::new(modules.join(".bin/node"));
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers").join(script));
    node
}

fn make() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    // Holds the packages that are there, so that another list is installed anew.
    let ready = folder.join("ready");
    if !fs::read_to_string(&ready).is_ok_and(|packages| packages == PACKAGES.join(" ")) {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).args(PACKAGES);
        let output = npm.output().map_err(|error| format!("npm: {error}"))?;
        if !output.status.success() {
            return Err(format!("{npm:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        fs::write(&ready, PACKAGES.join(" ")).map_err(|error| error.to_string())?;
    }
    Ok(folder.join("node_modules"))
}
