//! Packages from npm, installed once into the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{consumer, skip, stderr};

/// The packages that the tests need. Later versions of speedscope contain the importer only within
/// the page; Firefox Profiler's command needs a newer Node than Debian's.
const PACKAGES: [&str; 5] = [
    "node@24",
    "ajv@8",
    "speedscope@1.20.0",
    "@firefox-devtools/profiler-cli@0.10.0",
    "puppeteer-core@24.43.1",
];

/// The directory `node_modules`. Skips the test if it cannot be created, as without a network or
/// `npm`.
pub fn modules() -> Option<&'static Path> {
    static MODULES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let modules = MODULES
        .get_or_init(|| install().inspect_err(|error| skip(&format!("no npm packages: {error}"))).ok());
    modules.as_deref()
}

/// A command that runs a script of `tests/consumers` by Node.
pub fn node(modules: &Path, script: &str) -> Command {
    let mut node = Command::new(modules.join(".bin/node"));
    node.arg(consumer(script));
    node
}

fn install() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    // Contains the installed packages, so that a changed list is installed again.
    let ready = folder.join("ready");
    if !fs::read_to_string(&ready).is_ok_and(|packages| packages == PACKAGES.join(" ")) {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).args(PACKAGES);
        let output = npm.output().map_err(|error| format!("npm: {error}"))?;
        if !output.status.success() {
            return Err(format!("{npm:?}: {}", stderr(&output)));
        }
        fs::write(&ready, PACKAGES.join(" ")).map_err(|error| error.to_string())?;
    }
    Ok(folder.join("node_modules"))
}
