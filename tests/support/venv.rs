//! Virtual environments: those with packages from PyPI, created once in the target directory, and
//! empty ones.

use std::env;
use std::fs::{self, File};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Python, run, skip, stderr};

/// The packages that the tests need to read traces, and to run benchmarks.
const PACKAGES: [&str; 5] = ["duckdb", "pandas", "polars", "pyarrow", "pyperformance"];

/// The directory of the environment with [`PACKAGES`]. Skips the test if it cannot be created, as
/// without a network or Debian's `python3-venv`.
pub fn venv() -> Option<&'static Path> {
    static VENV: OnceLock<Option<PathBuf>> = OnceLock::new();
    VENV.get_or_init(|| venv_with("venv", Python::all().next(), &PACKAGES)).as_deref()
}

/// The directory of an environment with this name, interpreter and packages. Skips the test if it
/// cannot be created.
pub fn venv_with(name: &str, python: Option<Python>, packages: &[&str]) -> Option<PathBuf> {
    let created = python.ok_or("no Python".into()).and_then(|python| create(name, &python, packages));
    match created {
        Ok(path) => Some(path),
        Err(error) => {
            skip(&format!("no virtual environment: {error}"));
            None
        }
    }
}

/// An empty virtual environment in a temporary directory.
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

/// The path of a pyperformance benchmark. Skips the test if there is no environment.
pub fn benchmark(name: &str) -> Option<PathBuf> {
    let libraries = fs::read_dir(venv()?.join("lib")).expect("the directory is readable");
    let library = libraries.flatten().next().expect("lib has a directory for the version").path();
    let benchmarks = library.join("site-packages/pyperformance/data-files/benchmarks");
    Some(benchmarks.join(format!("bm_{name}/run_benchmark.py")))
}

/// A command that runs a script of `tests/consumers` by the Python of an environment, with the
/// package in `python/` and the command pyrec on its paths.
pub fn with_package(environment: &Path, script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let command = Path::new(env!("CARGO_BIN_EXE_pyrec")).parent().expect("the binary is in a directory");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = iter::once(command.to_owned()).chain(env::split_paths(&path));
    let mut python = Command::new(environment.join("bin/python"));
    python.env("PATH", env::join_paths(path).expect("no path contains a colon"));
    python.env("PYTHONPATH", root.join("python")).arg(root.join("tests/consumers").join(script));
    python
}

fn create(name: &str, python: &Python, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join(name);
    let lock = File::create(folder.join(format!("{name}.lock"))).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    // Contains the installed packages, so that a changed list recreates the environment.
    let ready = venv.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|installed| installed == packages.join(" ")) {
        return Ok(venv);
    }
    run_to_success(Command::new(&python.program).args(["-m", "venv", "--clear"]).arg(&venv))?;
    run_to_success(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
    fs::write(&ready, packages.join(" ")).map_err(|error| error.to_string())?;
    Ok(venv)
}

fn run_to_success(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {}", stderr(&output)))
}
