//! The wheel that `make wheel` builds, installed with pip into empty environments.

#![cfg(feature = "record")]

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Python, run, skip, stderr, stdout};
use tempfile::TempDir;

/// The wheel of this version. Skips the test if there is none.
fn wheel() -> Option<PathBuf> {
    let target =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the directory is in the target directory");
    let wheels = std::fs::read_dir(target.join("wheels")).into_iter().flatten().flatten();
    let start = concat!("pyrec_recorder-", env!("CARGO_PKG_VERSION"), "-");
    let wheel = wheels.map(|file| file.path()).find(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(start) && name.ends_with(".whl")
    });
    if wheel.is_none() {
        skip("no wheel (make wheel)");
    }
    wheel
}

/// A virtual environment of this Python that contains only the wheel.
fn environment(wheel: &Path, python: &Python) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    run_to_success(python.command().args(["-m", "venv"]).arg(directory.path()));
    let pip = ["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"];
    run_to_success(Command::new(directory.path().join("bin/python")).args(pip).arg(wheel));
    directory
}

fn run_to_success(command: &mut Command) -> Output {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    output
}

fn output_of(command: &mut Command) -> String {
    stdout(&run_to_success(command))
}

#[test]
fn the_wheel_needs_only_libc() {
    let Some(wheel) = wheel() else { return };
    let name = wheel.file_name().and_then(OsStr::to_str).unwrap_or_default();
    assert!(name.contains("-py3-none-manylinux_2_"), "{name}");
    let Some(python) = Python::any() else { return };
    let directory = environment(&wheel, &python);
    let needed = output_of(Command::new("ldd").arg(directory.path().join("bin/pyrec")));
    assert!(needed.contains("libc.so"), "{needed}");
    assert!(!needed.contains("libelf") && !needed.contains("libz."), "{needed}");
}

#[test]
fn the_wheel_works_on_every_python() {
    let Some(wheel) = wheel() else { return };
    for python in Python::all() {
        let environment = environment(&wheel, &python);
        let bin = environment.path().join("bin");
        let work = tempfile::tempdir().expect("a temporary directory");
        let version = output_of(Command::new(bin.join("pyrec")).arg("--version"));
        assert_eq!(version.trim(), concat!("pyrec ", env!("CARGO_PKG_VERSION")));

        // pyrec runs the Python of the environment, which is not on the PATH.
        let words = ["record", "-q", "-c", "import sys; print(sys.prefix)"];
        let prefix = environment.path().canonicalize().expect("the environment exists");
        let as_command = output_of(Command::new(bin.join("pyrec")).args(words).current_dir(work.path()));
        assert_eq!(Path::new(as_command.trim()), prefix, "{python:?}");
        let module = ["-m", "pyrec"].iter().chain(&words);
        let as_module = output_of(Command::new(bin.join("python")).args(module).current_dir(work.path()));
        assert_eq!(Path::new(as_module.trim()), prefix, "{python:?}");

        let info = output_of(Command::new(bin.join("pyrec")).arg("info").current_dir(work.path()));
        assert!(info.contains(&format!("python     {}.", python.version)), "{info}");
    }
}
