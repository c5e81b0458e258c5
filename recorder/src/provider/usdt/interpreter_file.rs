//! Finds the file with a program's interpreter: the program itself, or the libpython that it loads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::elf_image::ElfImage;

/// The default directories of the loader (ld.so(8), with Debian's folder per architecture).
const SYSTEM_FOLDERS: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib", "/lib64", "/lib", "/usr/lib"];

/// How the libraries of a program are located.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibrarySearch {
    /// In the process that runs the program.
    InProcess(i32),
    /// By the rules of the loader, for a program that is about to be started.
    AtLaunch,
}

/// An open file that contains an interpreter.
#[derive(Debug)]
pub struct InterpreterFile {
    /// Its contents. The path is relative to the root directory of the process.
    pub image: ElfImage,
    /// The open file, which may have been deleted or replaced since.
    pub file: File,
}

impl InterpreterFile {
    /// The interpreter that a process runs.
    pub fn of_process(pid: i32) -> Result<InterpreterFile, Error> {
        let link = format!("/proc/{pid}/exe");
        let program = std::fs::read_link(&link).map_err(|source| unreadable_process(pid, source))?;
        let file = File::open(&link).map_err(|source| unreadable_process(pid, source))?;
        InterpreterFile::of(&program, file, LibrarySearch::InProcess(pid))
    }

    /// The interpreter that a program would run.
    pub fn of_program(program: &Path) -> Result<InterpreterFile, Error> {
        let unreadable = |source| Error::Unreadable { path: program.into(), source };
        InterpreterFile::of(program, File::open(program).map_err(unreadable)?, LibrarySearch::AtLaunch)
    }

    fn of(program: &Path, file: File, search: LibrarySearch) -> Result<InterpreterFile, Error> {
        let image = ElfImage::of(program, &file)?;
        if image.python.is_some() {
            return Ok(InterpreterFile { image, file });
        }
        let needed = image.needed.iter().find(|name| is_libpython(name));
        let mapped = match search {
            LibrarySearch::InProcess(pid) => mapped_libpython(pid),
            LibrarySearch::AtLaunch => None,
        };
        let (path, file) = match (mapped, needed) {
            (Some(mapped), _) => mapped,
            (None, Some(library)) => {
                let missing = || Error::NoLibrary { path: program.into(), library: library.clone() };
                find_library(&image, library, search).ok_or_else(missing)?
            }
            (None, None) => return Err(Error::NotPython { path: program.into() }),
        };
        let image = ElfImage::of(&path, &file)?;
        if image.python.is_none() {
            return Err(Error::NotPython { path });
        }
        Ok(InterpreterFile { image, file })
    }
}

fn unreadable_process(pid: i32, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::Gone { pid },
        _ => Error::Unreadable { path: format!("/proc/{pid}/exe").into(), source },
    }
}

/// `libpython3.11.so.1.0` and its like, but not the stub `libpython3.so`, which has nothing in it.
fn is_libpython(name: &str) -> bool {
    name.strip_prefix("libpython3.")
        .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

/// The library as the process has it mapped, under the name that it had.
fn mapped_libpython(pid: i32) -> Option<(PathBuf, File)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let Mapping { range, inode, path } = libpython_in(&maps)?;
    // What is mapped, whatever lies under that name now; that takes a right that the name does not.
    let mapped = File::open(format!("/proc/{pid}/map_files/{range}"));
    let file = mapped.or_else(|_| {
        let file = File::open(format!("/proc/{pid}/root{path}"))?;
        let is_it = file.metadata()?.ino() == inode;
        if is_it { Ok(file) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
    });
    Some((path.into(), file.ok()?))
}

/// A line of `/proc/PID/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'text> {
    range: &'text str,
    inode: u64,
    path: &'text str,
}

/// The library in the text of `/proc/PID/maps`.
fn libpython_in(maps: &str) -> Option<Mapping<'_>> {
    maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        let mut words = line.split_ascii_whitespace();
        let (range, inode) = (words.next()?, words.nth(3)?.parse().ok()?);
        is_libpython(path.rsplit('/').next()?).then_some(Mapping { range, inode, path })
    })
}

/// The library where the loader would find it, in the root that the program has.
fn find_library(image: &ElfImage, name: &str, search: LibrarySearch) -> Option<(PathBuf, File)> {
    let (root, environment) = match search {
        LibrarySearch::InProcess(pid) => (format!("/proc/{pid}/root"), environment_of(pid)),
        LibrarySearch::AtLaunch => (String::new(), std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default()),
    };
    let origin = image.path.parent()?.to_path_buf();
    let run_path = image.run_path.iter().map(|folder| expand_origin(folder, &origin));
    let environment =
        std::env::split_paths(&environment).filter(|folder| folder.as_os_str() != OsStr::new(""));
    let system = SYSTEM_FOLDERS.iter().map(PathBuf::from);
    run_path.chain(environment).chain(system).map(|folder| folder.join(name)).find_map(|path| {
        let mut inside = OsString::from(&root);
        inside.push(&path);
        let file = File::open(inside).ok().filter(|file| file.metadata().is_ok_and(|it| it.is_file()))?;
        Some((path, file))
    })
}

fn environment_of(pid: i32) -> OsString {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|&byte| byte == 0);
    let found = variables.find_map(|variable| variable.strip_prefix(b"LD_LIBRARY_PATH="));
    OsString::from_vec(found.unwrap_or_default().to_vec())
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
        let library = Mapping {
            range: "7f0000000000-7f0000100000",
            inode: 12,
            path: "/opt/py thon/lib/libpython3.11.so.1.0",
        };
        assert_eq!(libpython_in(maps), Some(library));
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
        let of = |program: &str| InterpreterFile::of_program(Path::new(program));
        let error = of("/bin/true").expect_err("true is not Python");
        assert!(matches!(error, Error::NotPython { .. }), "{error}");
        let error = of("/etc/passwd").expect_err("a text file is not a program");
        assert!(matches!(error, Error::NotAProgram { .. }), "{error}");
        let error = of("/nowhere/python3").expect_err("no such file");
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    }
}
