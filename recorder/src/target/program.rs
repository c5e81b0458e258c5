//! What the user's words run.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Interpreters named by a script's first line, one after another, before it is no use to go on.
const MAX_SCRIPTS: usize = 5;

/// Names the Python for scripts, modules and code. `python -m pyrec` says by it which Python that is.
const PYTHON: &str = "PYREC_PYTHON";

/// The command to run: what the user typed, with a Python before it where they typed a `.py` file, `-m` or `-c`.
pub(crate) fn command(words: &[OsString]) -> Result<Vec<OsString>> {
    let first = words.first().map(OsString::as_os_str).unwrap_or_default();
    let is_script = Path::new(first).extension().is_some_and(|extension| extension == "py");
    if !is_script && first != "-m" && first != "-c" {
        let source = || io::ErrorKind::NotFound.into();
        find(first)
            .ok_or_else(|| Error::Launch { program: first.to_string_lossy().into(), source: source() })?;
        return Ok(words.to_vec());
    }
    if is_script && !Path::new(first).is_file() {
        return Err(Error::Launch {
            program: first.to_string_lossy().into(),
            source: io::Error::other("there is no such file"),
        });
    }
    let python = python().ok_or_else(|| Error::NoPython { what: first.to_string_lossy().into() })?;
    Ok([&[python], words].concat())
}

/// The Python that was named, that of the virtual environment whose `pyrec` was typed, or the first on the `PATH`.
fn python() -> Option<OsString> {
    let named = std::env::var_os(PYTHON).filter(|python| !python.is_empty());
    let of_environment = || std::env::args_os().next().and_then(|typed| environment_python(&typed));
    let on_path = || ["python3", "python"].map(OsString::from).into_iter().find(|name| find(name).is_some());
    named.or_else(of_environment).or_else(on_path)
}

/// The Python beside a command of a virtual environment ([PEP 405]). Links are not followed: what pipx or uv link into
/// `~/.local/bin` is meant for every environment, not for its own.
///
/// [PEP 405]: https://peps.python.org/pep-0405/
fn environment_python(command: &OsStr) -> Option<OsString> {
    let command = find(command)?;
    let bin = command.parent()?;
    let python = bin.join("python3");
    (bin.parent()?.join("pyvenv.cfg").is_file() && find(python.as_os_str()).is_some()).then(|| python.into())
}

/// The binary that a command ends up running: found on the `PATH`, and through the first lines of scripts.
pub(crate) fn binary(program: &OsStr) -> Option<PathBuf> {
    let mut program = program.to_owned();
    for _ in 0..MAX_SCRIPTS {
        let path = find(&program)?;
        match interpreter(&path) {
            Some(next) => program = next,
            None => return path.canonicalize().ok(),
        }
    }
    None
}

/// Where the system would find a program, as execvp(3) does.
fn find(program: &OsStr) -> Option<PathBuf> {
    let runs =
        |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| runs(path))
}

/// The program that a script's first line names; past `env` the one that `env` is given.
fn interpreter(path: &Path) -> Option<OsString> {
    let mut start = [0; 256];
    let length = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).ok()?;
    let line = start[..length].strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let first = words.next()?;
    let named = if first.ends_with(b"/env") { words.find(|word| !word.starts_with(b"-"))? } else { first };
    Some(OsStr::from_bytes(named).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn python_stands_before_what_only_python_can_run() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = directory.path().join("a.py");
        std::fs::write(&script, "").expect("it is written");
        let script = script.to_str().expect("its name is text");
        for typed in [vec!["-m", "json.tool"], vec!["-c", "pass", "x"], vec![script, "-v"]] {
            let all = command(&words(&typed)).expect("it can be run");
            let (python, rest) = all.split_first().expect("there are words");
            assert!(python == "python3" || python == "python");
            assert_eq!(rest, words(&typed));
        }
        assert_eq!(command(&words(&["ls", "-l"])).expect("ls is everywhere"), words(&["ls", "-l"]));
    }

    #[test]
    fn an_environments_command_goes_with_its_python() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let bin = directory.path().join("bin");
        std::fs::create_dir(&bin).expect("it is made");
        for name in ["pyrec", "python3"] {
            std::os::unix::fs::symlink("/bin/sh", bin.join(name)).expect("it is linked");
        }
        let command = bin.join("pyrec");
        assert_eq!(environment_python(command.as_os_str()), None, "a mere directory is no environment");
        std::fs::write(directory.path().join("pyvenv.cfg"), "").expect("it is written");
        assert_eq!(environment_python(command.as_os_str()), Some(bin.join("python3").into()));
        let linked = directory.path().join("pyrec");
        std::os::unix::fs::symlink(&command, &linked).expect("it is linked");
        assert_eq!(environment_python(linked.as_os_str()), None, "a link is meant for every environment");
    }

    #[test]
    fn what_is_not_there_is_said_by_name() {
        for missing in ["no-such-program", "/no/such/program", "no-such.py"] {
            let error = command(&words(&[missing])).expect_err("there is no such thing").to_string();
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn scripts_lead_to_their_interpreter() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let shell = Path::new("/bin/sh").canonicalize().expect("every system has a shell");
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("it is written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode is set");
            path
        };
        let plain = script("plain", "#!/bin/sh -e\n");
        let through_env = script("env", "#! /usr/bin/env -S sh -e\n");
        let nested = script("nested", &format!("#!{}\n", plain.display()));
        for path in [&plain, &through_env, &nested] {
            assert_eq!(binary(path.as_os_str()).as_ref(), Some(&shell), "{path:?}");
        }
        let circle = directory.path().join("circle");
        script("circle", &format!("#!{}\n", circle.display()));
        assert_eq!(binary(circle.as_os_str()), None);
    }
}
