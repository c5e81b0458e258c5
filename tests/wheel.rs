//! The wheel that `make wheel` leaves: installed with pip into clean environments, and used there.

#![cfg(feature = "record")]

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Python, run, skipped};
use tempfile::TempDir;

/// The wheel of this version, if there is one.
fn wheel() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory");
    let wheels = std::fs::read_dir(target.join("wheels")).into_iter().flatten().flatten();
    let start = concat!("pyrec_recorder-", env!("CARGO_PKG_VERSION"), "-");
    let found = wheels.map(|file| file.path()).find(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(start) && name.ends_with(".whl")
    });
    if found.is_none() {
        skipped("there is no wheel; make one with `make wheel`");
    }
    found
}

/// A clean environment of that Python with the wheel in it.
fn environment(wheel: &Path, python: &Python) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    good(python.command().args(["-m", "venv"]).arg(directory.path()));
    let pip = ["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"];
    good(Command::new(directory.path().join("bin/python")).args(pip).arg(wheel));
    directory
}

fn good(command: &mut Command) -> Output {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn printed(command: &mut Command) -> String {
    String::from_utf8(good(command).stdout).expect("it is UTF-8")
}

#[test]
fn it_needs_nothing_but_libc() {
    let Some(wheel) = wheel() else { return };
    let name = wheel.file_name().and_then(OsStr::to_str).unwrap_or_default();
    assert!(name.contains("-py3-none-manylinux_2_"), "{name}");
    let Some(python) = Python::any() else { return };
    let directory = environment(&wheel, &python);
    let needed = printed(Command::new("ldd").arg(directory.path().join("bin/pyrec")));
    assert!(needed.contains("libc.so"), "{needed}");
    assert!(!needed.contains("libelf") && !needed.contains("libz."), "{needed}");
}

#[test]
fn it_works_on_every_python() {
    let Some(wheel) = wheel() else { return };
    for python in Python::all() {
        let environment = environment(&wheel, &python);
        let bin = environment.path().join("bin");
        let work = tempfile::tempdir().expect("a temporary directory");
        let version = printed(Command::new(bin.join("pyrec")).arg("--version"));
        assert_eq!(version.trim(), concat!("pyrec ", env!("CARGO_PKG_VERSION")));

        // Either way the environment's own Python runs, though it is not on the `PATH`.
        let asked = ["record", "-q", "-c", "import sys; print(sys.prefix)"];
        let prefix = environment.path().canonicalize().expect("it is there");
        let as_command = printed(Command::new(bin.join("pyrec")).args(asked).current_dir(work.path()));
        assert_eq!(Path::new(as_command.trim()), prefix, "{python:?}");
        let module = ["-m", "pyrec"].iter().chain(&asked);
        let as_module = printed(Command::new(bin.join("python")).args(module).current_dir(work.path()));
        assert_eq!(Path::new(as_module.trim()), prefix, "{python:?}");

        let info = printed(Command::new(bin.join("pyrec")).arg("info").current_dir(work.path()));
        assert!(info.contains(&format!("python     {}.", python.version)), "{info}");
    }
}
