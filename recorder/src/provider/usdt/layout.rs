//! The memory layouts of CPython versions: the offsets on the path from `_PyRuntime` to a code
//! object's names.
//!
//! ```text
//! 3.8 – 3.10   _PyRuntime ─▶ thread state ─▶ frame ─▶ code ─▶ file, name
//! 3.11         _PyRuntime ─▶ thread state ─▶ cframe ─▶ frame ─▶ code ─▶ file, qualname
//! 3.15         _PyRuntime ─▶ interpreter ─▶ lock ─▶ thread state ─▶ frame ─▶ code ─▶ file, qualname
//! ```
//!
//! CPython 3.15 publishes its numbers. Those of the older ones are in the headers under
//! `Include/internal`; a test compiles them where they are installed. The recorder does not trust
//! any of them blindly: what they lead to must be a code object, by its type, and have the names
//! that the marker says.

use super::debug_offsets::DebugOffsets;
use super::version::Version;

/// Maximum number of pointers to follow from `_PyRuntime` to a code object.
pub const STEPS: usize = 5;

/// Offsets in bytes from the start of each structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// From `_PyRuntime` to the code that the thread with the lock executes: where the next pointer
    /// is in each structure. Those that are not needed come last and are 0.
    pub way: [u16; STEPS],
    /// Number of pointers on the path. The last one is where a frame has its code.
    pub steps: u8,
    /// The `owner` field of a frame, since 3.11.
    pub frame_owner: u16,
    /// `PyCodeObject.co_flags`.
    pub code_flags: u16,
    /// `PyCodeObject.co_firstlineno`.
    pub code_first_line: u16,
    /// `PyCodeObject.co_filename`.
    pub code_file: u16,
    /// `PyCodeObject.co_name`.
    pub code_name: u16,
    /// `PyCodeObject.co_qualname`, since 3.11.
    pub code_qualname: Option<u16>,
    /// Where the characters of a compact ASCII string start.
    pub string_ascii: u16,
    /// Where those of another compact string start, or the pointer to those of one that is not
    /// compact.
    pub string_data: u16,
}

/// `PyTypeObject.tp_dealloc`, the same in every CPython 3.
pub const TYPE_DEALLOC: u64 = 48;

const CPYTHON_3_8: Layout = Layout { way: [1368, 24, 32, 0, 0], ..CPYTHON_3_9 };

/// The layout of 3.9 and 3.10.
const CPYTHON_3_9: Layout = Layout {
    way: [568, 24, 32, 0, 0],
    steps: 3,
    frame_owner: 0,
    code_flags: 36,
    code_first_line: 40,
    code_file: 104,
    code_name: 112,
    code_qualname: None,
    string_ascii: 48,
    string_data: 72,
};

const CPYTHON_3_11: Layout = Layout {
    way: [576, 56, 8, 32, 0],
    steps: 4,
    frame_owner: 69,
    code_flags: 48,
    code_first_line: 72,
    code_file: 112,
    code_name: 120,
    code_qualname: Some(128),
    string_ascii: 48,
    string_data: 72,
};

/// `PyCodeObject.co_flags` of 3.15, which is not among the published numbers.
const CODE_FLAGS_3_15: u16 = 48;

impl Layout {
    /// The layout of a version, where it is known.
    pub fn of(version: Version, offsets: Option<&DebugOffsets>) -> Option<Layout> {
        match (version.major, version.minor) {
            (3, 8) => Some(CPYTHON_3_8),
            (3, 9 | 10) => Some(CPYTHON_3_9),
            (3, 11) => Some(CPYTHON_3_11),
            (3, 15) => Layout::published(offsets?),
            _ => None,
        }
    }

    fn published(offsets: &DebugOffsets) -> Option<Layout> {
        let short = |number: u64| u16::try_from(number).ok();
        Some(Layout {
            way: [
                short(offsets.runtime_interpreters_head)?,
                short(offsets.interpreter_ceval_gil)?,
                short(offsets.gil_last_holder)?,
                short(offsets.thread_current_frame)?,
                short(offsets.frame_executable)?,
            ],
            steps: 5,
            frame_owner: short(offsets.frame_owner)?,
            code_flags: CODE_FLAGS_3_15,
            code_first_line: short(offsets.code_first_line)?,
            code_file: short(offsets.code_file)?,
            code_name: short(offsets.code_name)?,
            code_qualname: Some(short(offsets.code_qualname)?),
            string_ascii: short(offsets.string_ascii)?,
            string_data: short(offsets.string_compact)?,
        })
    }

    /// The field of a frame that refers to its code object.
    pub fn frame_code(&self) -> u16 {
        self.way[usize::from(self.steps) - 1]
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;

    /// Prints the numbers of the headers in the order of `Layout`'s fields.
    const PROGRAM: &str = r#"
        #define Py_BUILD_CORE
        #include <Python.h>
        #include <stddef.h>
        #if PY_VERSION_HEX >= 0x030b0000
        #include <internal/pycore_runtime.h>
        #include <internal/pycore_frame.h>
        #define WAY offsetof(PyThreadState, cframe), offsetof(_PyCFrame, current_frame), \
                    offsetof(_PyInterpreterFrame, f_code), 0, 4, offsetof(_PyInterpreterFrame, owner)
        #define QUALNAME offsetof(PyCodeObject, co_qualname)
        #else
        #if PY_VERSION_HEX >= 0x03090000
        #include <internal/pycore_runtime.h>
        #else
        #include <internal/pycore_pystate.h>
        #endif
        #include <frameobject.h>
        #define WAY offsetof(PyThreadState, frame), offsetof(PyFrameObject, f_code), 0, 0, 3, 0
        #define QUALNAME 0
        #endif
        int main(void)
        {
            size_t numbers[] = {
                offsetof(_PyRuntimeState, gilstate.tstate_current), WAY, offsetof(PyCodeObject, co_flags),
                offsetof(PyCodeObject, co_firstlineno), offsetof(PyCodeObject, co_filename),
                offsetof(PyCodeObject, co_name), QUALNAME, sizeof(PyASCIIObject), sizeof(PyCompactUnicodeObject),
                offsetof(PyUnicodeObject, data), offsetof(PyTypeObject, tp_dealloc),
            };
            for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
                printf("%zu ", numbers[i]);
        }"#;

    /// The folder with the headers of a version, from the system or from pyenv.
    fn headers(minor: u8) -> Option<PathBuf> {
        let name = format!("python3.{minor}");
        let pyenv = std::env::home_dir()?.join(".pyenv/versions");
        let versions = std::fs::read_dir(pyenv).into_iter().flatten().flatten();
        let include = |version: std::fs::DirEntry| version.path().join("include").join(&name);
        let candidates = versions.map(include).chain([Path::new("/usr/include").join(&name)]);
        candidates.into_iter().find(|folder| folder.join("internal/pycore_pystate.h").exists())
    }

    fn numbers_of_headers(headers: &Path) -> Vec<u64> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (source, program) = (folder.path().join("layout.c"), folder.path().join("layout"));
        std::fs::write(&source, PROGRAM).expect("room for a small file");
        let compiled =
            Command::new("cc").arg("-I").arg(headers).arg("-o").arg(&program).arg(&source).status();
        assert!(compiled.expect("a C compiler").success());
        let printed = Command::new(&program).output().expect("the program runs").stdout;
        let printed = String::from_utf8_lossy(&printed);
        printed.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }

    #[test]
    fn agrees_with_the_headers() {
        for minor in [8, 9, 10, 11] {
            let Some(headers) = headers(minor) else {
                let reason =
                    format_args!("no headers of CPython 3.{minor} (apt-get install python3.{minor}-dev)");
                crate::test_support::skip(reason);
                continue;
            };
            let layout = Layout::of(Version { major: 3, minor, micro: 0 }, None).expect("it is known");
            let Layout { way, steps, frame_owner, code_flags, code_first_line, code_file, code_name, .. } =
                layout;
            let rest = [u16::from(steps), frame_owner, code_flags, code_first_line, code_file, code_name];
            let qualname = layout.code_qualname.unwrap_or(0);
            let strings = [qualname, layout.string_ascii, layout.string_data, layout.string_data];
            let ours = way.iter().chain(&rest).chain(&strings).copied().map(u64::from);
            assert_eq!(
                ours.chain([TYPE_DEALLOC]).collect::<Vec<_>>(),
                numbers_of_headers(&headers),
                "3.{minor}"
            );
        }
    }

    #[test]
    fn a_version_that_publishes_nothing_has_no_layout() {
        for minor in [7, 12, 13, 14, 15, 16] {
            assert_eq!(Layout::of(Version { major: 3, minor, micro: 0 }, None), None, "3.{minor}");
        }
    }
}
