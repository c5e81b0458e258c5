//! Virtual environments: one with packages from PyPI, made once and kept in the target directory, and empty ones.

use std::env;
use std::fs::{self, File};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Python, run, skipped};

/// What the tests need from PyPI to read traces, and to make some.
const PACKAGES: [&str; 5] = ["duckdb", "pandas", "polars", "pyarrow", "pyperformance"];

/// Its directory. None, and said so, where it cannot be made: without network, or without Debian's `python3-venv`.
pub fn venv() -> Option<&'static Path> {
    static VENV: OnceLock<Option<PathBuf>> = OnceLock::new();
    VENV.get_or_init(|| venv_with("venv", Python::all().next(), &PACKAGES)).as_deref()
}

/// One of that name, for that Python, with these packages.
pub fn venv_with(name: &str, python: Option<Python>, packages: &[&str]) -> Option<PathBuf> {
    let made = python.ok_or("there is no Python to make it with".into());
    match made.and_then(|python| make(name, &python, packages)) {
        Ok(path) => Some(path),
        Err(why) => {
            skipped(&format!("no virtual environment: {why}"));
            None
        }
    }
}

/// A virtual environment with nothing in it, for as long as it lives.
pub struct Environment(TempDir);

impl Environment {
    pub fn any() -> Option<Environment> {
        Python::any().map(|python| Environment::of(&python))
    }

    pub fn of(python: &Python) -> Environment {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let made = run(python.command().args(["-m", "venv", "--without-pip"]).arg(directory.path()));
        assert!(made.status.success(), "{made:?}");
        Environment(directory)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn bin(&self) -> PathBuf {
        self.path().join("bin")
    }
}

/// The source of a pyperformance benchmark.
pub fn benchmark(name: &str) -> Option<PathBuf> {
    let libraries = fs::read_dir(venv()?.join("lib")).expect("an environment has a lib folder");
    let library = libraries.flatten().next().expect("and one for its Python in it").path();
    let benchmarks = library.join("site-packages/pyperformance/data-files/benchmarks");
    Some(benchmarks.join(format!("bm_{name}/run_benchmark.py")))
}

/// A script of `tests/consumers` that uses the package in `python/` and the command, run by an environment's Python.
pub fn with_package(environment: &Path, script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let command = Path::new(env!("CARGO_BIN_EXE_pyrec")).parent().expect("it lies in a directory");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = iter::once(command.to_owned()).chain(env::split_paths(&path));
    let mut python = Command::new(environment.join("bin/python"));
    python.env("PATH", env::join_paths(path).expect("no directory has a colon"));
    python.env("PYTHONPATH", root.join("python")).arg(root.join("tests/consumers").join(script));
    python
}

fn make(name: &str, python: &Python, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join(name);
    let lock = File::create(folder.join(format!("{name}.lock"))).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    // Holds the packages that are in it, so that another list makes another environment.
    let ready = venv.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|there| there == packages.join(" ")) {
        return Ok(venv);
    }
    finish(Command::new(&python.program).args(["-m", "venv", "--clear"]).arg(&venv))?;
    finish(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
    fs::write(&ready, packages.join(" ")).map_err(|error| error.to_string())?;
    Ok(venv)
}

fn finish(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {said}"))
}
