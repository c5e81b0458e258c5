//! The interpreters of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{make_deterministic, stdout};
use super::{run, skip};

/// The versions that the agent supports, the newest first.
const VERSIONS: [&str; 8] = ["3.15", "3.14", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8"];

/// An interpreter.
#[derive(Clone, Debug)]
pub struct Python {
    pub version: String,
    pub program: PathBuf,
}

impl Python {
    /// The interpreter of this version on `PATH` or in pyenv.
    pub fn find(version: &str) -> Option<Python> {
        let name = format!("python{version}");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates: Vec<PathBuf> =
            std::env::split_paths(&path).map(|folder| folder.join(&name)).collect();
        if let Some(home) = std::env::var_os("HOME") {
            let versions =
                std::fs::read_dir(Path::new(&home).join(".pyenv/versions")).into_iter().flatten().flatten();
            candidates.extend(versions.map(|version| version.path().join("bin").join(&name)));
        }
        // A candidate may be a shim of pyenv for a version that is not installed, so it is run.
        candidates.into_iter().filter(|candidate| candidate.exists()).find_map(|candidate| {
            let output =
                Command::new(candidate).args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
            let program = String::from_utf8(output.stdout).ok()?;
            output
                .status
                .success()
                .then(|| Python { version: version.into(), program: program.trim().into() })
        })
    }

    /// The interpreter with static markers that `scripts/pythons` installed: a command that runs it
    /// in a Debian container.
    pub fn in_container(version: &str) -> Option<Python> {
        let program = containers()?.join(format!("python{version}"));
        let python = Python { version: version.into(), program };
        let runs =
            |python: &Python| python.command().args(["-c", ""]).status().is_ok_and(|status| status.success());
        (python.program.exists() && runs(&python)).then_some(python)
    }

    /// Whether the interpreter runs in a container. It has no packages then, and its files exist
    /// only while it runs.
    pub fn is_in_container(&self) -> bool {
        containers().is_some_and(|folder| self.program.starts_with(folder))
    }

    /// The printed value of an expression. `sys` is imported.
    pub fn evaluate(&self, expression: &str) -> String {
        let output = run(self.command().args(["-c", &format!("import sys; print({expression})")]));
        stdout(&output).trim_end().to_owned()
    }

    /// All interpreters on `PATH` and in pyenv, the newest first.
    pub fn all() -> impl Iterator<Item = Python> {
        VERSIONS.into_iter().filter_map(Python::find)
    }

    /// The newest interpreter. Skips the test if there is none.
    pub fn any() -> Option<Python> {
        let newest = Python::all().next();
        if newest.is_none() {
            skip("no Python from 3.8 to 3.15");
        }
        newest
    }

    /// An interpreter without static markers. Skips the test if there is none.
    pub fn without_markers() -> Option<Python> {
        let python = Python::all().find(|python| !python.has_markers());
        if python.is_none() {
            skip("no Python without static markers");
        }
        python
    }

    /// Debian's Python 3.11, which has static markers. Skips the test if it is not installed.
    pub fn with_markers() -> Option<Python> {
        let python = Python { version: "3.11".into(), program: "/usr/bin/python3.11".into() };
        let has_markers = python.has_markers();
        if !has_markers {
            skip("no /usr/bin/python3.11 with static markers");
        }
        has_markers.then_some(python)
    }

    /// The groups of static markers of this version, as `--markers` takes them, and the names of
    /// the markers.
    pub fn markers(&self) -> (&'static str, Vec<&'static str>) {
        let mut markers =
            vec!["gc__start", "gc__done", "import__find__load__start", "import__find__load__done", "audit"];
        let groups = match self.version.as_str() {
            "3.9" | "3.11" => "function,line,gc,import,audit",
            "3.15" => "function,gc,import,audit",
            _ => "gc,import,audit",
        };
        if groups.contains("function") {
            markers.extend(["function__entry", "function__return"]);
        }
        if groups.contains("line") {
            markers.push("line");
        }
        (groups, markers)
    }

    fn has_markers(&self) -> bool {
        let bytes = std::fs::read(&self.program).unwrap_or_default();
        bytes.windows(15).any(|window| window == b"function__entry")
    }

    /// A command that runs the interpreter in the environment that recordings have.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        make_deterministic(&mut command);
        command
    }
}

/// The directory that `scripts/pythons` installs into.
fn containers() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("pyrec/pythons"))
}
