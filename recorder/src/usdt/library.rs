//! Which file holds a program's interpreter: the program itself, or the libpython that it loads.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Error;
use super::image::Image;

/// Where the loader looks when nothing else says where (ld.so(8), with Debian's folder per architecture).
const SYSTEM_FOLDERS: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib", "/lib64", "/lib", "/usr/lib"];

/// Who knows where a program's libraries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The process that runs the program.
    By(i32),
    /// Nobody yet: it is about to be started, and the loader's rules are followed.
    Later,
}

/// Reads the file with the interpreter of `program`.
pub fn interpreter_image(program: &Path, loaded: Loaded) -> Result<Image, Error> {
    let image = Image::read(program)?;
    if image.python.is_some() {
        return Ok(image);
    }
    let Some(library) = image.needed.iter().find(|name| is_libpython(name)) else {
        return Err(Error::NotPython { path: program.into() });
    };
    let path = match loaded {
        Loaded::By(pid) => mapped_libpython(pid),
        Loaded::Later => find_library(&image, library),
    };
    let path = path.ok_or_else(|| Error::NoLibrary { path: program.into(), library: library.clone() })?;
    let library = Image::read(&path)?;
    if library.python.is_none() {
        return Err(Error::NotPython { path });
    }
    Ok(library)
}

/// `libpython3.11.so.1.0` and its like, but not the stub `libpython3.so`, which has nothing in it.
fn is_libpython(name: &str) -> bool {
    name.strip_prefix("libpython3.")
        .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

fn mapped_libpython(pid: i32) -> Option<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    libpython_in(&maps).map(PathBuf::from)
}

/// The library's path in the text of `/proc/PID/maps`.
fn libpython_in(maps: &str) -> Option<&str> {
    let path = |line: &'_ str| line.find('/').map(|at| at..line.len());
    maps.lines()
        .filter_map(|line| path(line).map(|range| &line[range]))
        .find(|path| is_libpython(path.rsplit('/').next().unwrap_or(path)))
}

fn find_library(image: &Image, name: &str) -> Option<PathBuf> {
    let origin = image.path.canonicalize().ok()?.parent()?.to_path_buf();
    let run_path = image.run_path.iter().map(|folder| expand_origin(folder, &origin));
    let environment = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let environment =
        std::env::split_paths(&environment).filter(|folder| folder.as_os_str() != OsStr::new(""));
    let system = SYSTEM_FOLDERS.iter().map(PathBuf::from);
    run_path.chain(environment).chain(system).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn expand_origin(folder: &str, origin: &Path) -> PathBuf {
    let origin = origin.to_string_lossy();
    PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_versioned_libpython_and_not_its_stub() {
        for name in ["libpython3.11.so.1.0", "libpython3.9.so", "libpython3.13t.so.1.0"] {
            assert!(is_libpython(name), "{name}");
        }
        for name in ["libpython3.so", "libpython2.7.so.1.0", "libpythonic3.11.so", "libc.so.6"] {
            assert!(!is_libpython(name), "{name}");
        }
    }

    #[test]
    fn the_library_in_a_process_map() {
        let maps = "\
55d0c0000000-55d0c0001000 r--p 00000000 fd:00 11 /opt/py thon/bin/python3.11
7f0000000000-7f0000100000 r-xp 00000000 fd:00 12 /opt/py thon/lib/libpython3.11.so.1.0
7f0000200000-7f0000300000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0  [stack]
";
        assert_eq!(libpython_in(maps), Some("/opt/py thon/lib/libpython3.11.so.1.0"));
        assert_eq!(libpython_in("7f00-7f01 rw-p 0 0:0 0 [heap]\n"), None);
    }

    #[test]
    fn the_folder_of_the_program_in_a_run_path() {
        let origin = Path::new("/opt/python/bin");
        assert_eq!(expand_origin("$ORIGIN/../lib", origin), Path::new("/opt/python/bin/../lib"));
        assert_eq!(expand_origin("${ORIGIN}", origin), origin);
        assert_eq!(expand_origin("/lib", origin), Path::new("/lib"));
    }

    #[test]
    fn a_program_without_python_says_so() {
        let error = interpreter_image(Path::new("/bin/true"), Loaded::Later).expect_err("true is not Python");
        assert!(matches!(error, Error::NotPython { .. }), "{error}");
        let error = interpreter_image(Path::new("/etc/passwd"), Loaded::Later)
            .expect_err("a text file is not a program");
        assert!(matches!(error, Error::NotAProgram { .. }), "{error}");
        let error =
            interpreter_image(Path::new("/nowhere/python3"), Loaded::Later).expect_err("no such file");
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    }
}
