//! Resolving a command: which program it runs, and with which Python.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How many scripts may name each other as interpreters in their first lines.
const MAX_SCRIPTS: usize = 5;

/// Environment variable with the Python for scripts, `-m` and `-c`. `python -m pyrec` sets it.
const PYTHON_VARIABLE: &str = "PYREC_PYTHON";

/// Completes a command as typed to the command to run: a `.py` file, `-m` and `-c` need a Python
/// before them.
pub(crate) fn resolve_command(words: &[OsString]) -> Result<Vec<OsString>> {
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

/// The Python of `PYREC_PYTHON`, that of the virtual environment whose `pyrec` was typed, or the
/// first one on the `PATH`.
fn python() -> Option<OsString> {
    let named = std::env::var_os(PYTHON_VARIABLE).filter(|python| !python.is_empty());
    let of_environment = || std::env::args_os().next().and_then(|command| environment_python(&command));
    let on_path = || ["python3", "python"].map(OsString::from).into_iter().find(|name| find(name).is_some());
    named.or_else(of_environment).or_else(on_path)
}

/// The Python beside a command of a virtual environment ([PEP 405]). Links to the command are not
/// followed: pipx and uv link commands into `~/.local/bin` for use with any environment.
///
/// [PEP 405]: https://peps.python.org/pep-0405/
fn environment_python(command: &OsStr) -> Option<OsString> {
    let command = find(command)?;
    let bin = command.parent()?;
    let python = bin.join("python3");
    (bin.parent()?.join("pyvenv.cfg").is_file() && find(python.as_os_str()).is_some()).then(|| python.into())
}

/// The binary that a program runs in the end: found on the `PATH`, and by the first lines of
/// scripts. None if it cannot be determined.
pub(crate) fn find_binary(program: &OsStr) -> Option<PathBuf> {
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

/// The path of a program, as execvp(3) determines it.
fn find(program: &OsStr) -> Option<PathBuf> {
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|path| is_executable(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| is_executable(path))
}

/// The interpreter in a script's first line; if that is `env`, the program that `env` runs.
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
    fn scripts_modules_and_code_are_run_by_a_python() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = directory.path().join("a.py");
        std::fs::write(&script, "").expect("the script is written");
        let script = script.to_str().expect("the path is UTF-8");
        for typed in [vec!["-m", "json.tool"], vec!["-c", "pass", "x"], vec![script, "-v"]] {
            let all = resolve_command(&words(&typed)).expect("there is a Python");
            let (python, rest) = all.split_first().expect("the command is not empty");
            assert!(python == "python3" || python == "python");
            assert_eq!(rest, words(&typed));
        }
        let plain = words(&["ls", "-l"]);
        assert_eq!(resolve_command(&plain).expect("every system has ls"), plain);
    }

    #[test]
    fn the_command_of_an_environment_uses_its_python() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let bin = directory.path().join("bin");
        std::fs::create_dir(&bin).expect("the directory is created");
        for name in ["pyrec", "python3"] {
            std::os::unix::fs::symlink("/bin/sh", bin.join(name)).expect("the link is created");
        }
        let command = bin.join("pyrec");
        assert_eq!(environment_python(command.as_os_str()), None, "not an environment");
        std::fs::write(directory.path().join("pyvenv.cfg"), "").expect("the file is written");
        assert_eq!(environment_python(command.as_os_str()), Some(bin.join("python3").into()));
        let linked = directory.path().join("pyrec");
        std::os::unix::fs::symlink(&command, &linked).expect("the link is created");
        assert_eq!(environment_python(linked.as_os_str()), None, "a link is not followed");
    }

    #[test]
    fn errors_name_the_missing_program() {
        for missing in ["no-such-program", "/no/such/program", "no-such.py"] {
            let error =
                resolve_command(&words(&[missing])).expect_err("there is no such program").to_string();
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn the_binary_of_a_script_is_its_interpreter() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let shell = Path::new("/bin/sh").canonicalize().expect("every system has a shell");
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("the script is written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode is set");
            path
        };
        let plain = script("plain", "#!/bin/sh -e\n");
        let through_env = script("env", "#! /usr/bin/env -S sh -e\n");
        let nested = script("nested", &format!("#!{}\n", plain.display()));
        for path in [&plain, &through_env, &nested] {
            assert_eq!(find_binary(path.as_os_str()).as_ref(), Some(&shell), "{path:?}");
        }
        let circle = directory.path().join("circle");
        script("circle", &format!("#!{}\n", circle.display()));
        assert_eq!(find_binary(circle.as_os_str()), None);
    }
}
