//! How a CPython lays its memory out, as far as the way from a thread to its code's names needs it.
//!
//! ```text
//! _PyRuntime ─▶ thread state ─▶ cframe ─▶ frame ─▶ code ─▶ file, qualname
//! ```
//!
//! The numbers are those of the headers under `Include/internal`; a test compiles them where they are installed.
//! The recorder does not trust them blindly: what they lead to must be a code object, by its type.

/// Distances in bytes from the start of each structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `_PyRuntimeState.gilstate.tstate_current`: the thread that holds the lock.
    pub runtime_thread: u16,
    /// `PyThreadState.cframe`.
    pub thread_cframe: u16,
    /// `_PyCFrame.current_frame`.
    pub cframe_frame: u16,
    /// `_PyInterpreterFrame.f_code`.
    pub frame_code: u16,
    /// `PyCodeObject.co_firstlineno`.
    pub code_first_line: u16,
    /// `PyCodeObject.co_filename`.
    pub code_file: u16,
    /// `PyCodeObject.co_qualname`.
    pub code_qualname: u16,
    /// Where the characters of a compact ASCII string start.
    pub string_ascii: u16,
    /// Where those of another compact string start.
    pub string_data: u16,
    /// `PyUnicodeObject.data`: the pointer to those of a string that is not compact.
    pub string_pointer: u16,
}

/// `PyTypeObject.tp_dealloc`, the same in every CPython 3.
pub const TYPE_DEALLOC: u64 = 48;

const CPYTHON_3_11: Layout = Layout {
    runtime_thread: 576,
    thread_cframe: 56,
    cframe_frame: 8,
    frame_code: 32,
    code_first_line: 72,
    code_file: 112,
    code_qualname: 128,
    string_ascii: 48,
    string_data: 72,
    string_pointer: 72,
};

impl Layout {
    /// The layout of a version, where it is known.
    pub fn of(version: Version) -> Option<Layout> {
        (version.major == 3 && version.minor == 11).then_some(CPYTHON_3_11)
    }
}

/// A version of CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct Version {
    pub major: u8,
    pub minor: u8,
    pub micro: u8,
}

impl Version {
    /// From `PY_VERSION_HEX`, which `Py_Version` holds since 3.11.
    pub fn from_hex(hex: u64) -> Version {
        Version { major: (hex >> 24) as u8, minor: (hex >> 16) as u8, micro: (hex >> 8) as u8 }
    }

    /// Whether the line marker has to be on for the entry marker to fire.
    pub fn entry_needs_line(self) -> bool {
        (self.major, self.minor) == (3, 11)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    /// Prints the numbers of the headers in the order of `Layout`'s fields.
    const PROGRAM: &str = r#"
        #define Py_BUILD_CORE
        #include <Python.h>
        #include <internal/pycore_runtime.h>
        #include <internal/pycore_frame.h>
        #include <stddef.h>
        int main(void)
        {
            size_t numbers[] = {
                offsetof(_PyRuntimeState, gilstate.tstate_current), offsetof(PyThreadState, cframe),
                offsetof(_PyCFrame, current_frame), offsetof(_PyInterpreterFrame, f_code),
                offsetof(PyCodeObject, co_firstlineno), offsetof(PyCodeObject, co_filename),
                offsetof(PyCodeObject, co_qualname), sizeof(PyASCIIObject), sizeof(PyCompactUnicodeObject),
                offsetof(PyUnicodeObject, data), offsetof(PyTypeObject, tp_dealloc),
            };
            for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
                printf("%zu ", numbers[i]);
        }"#;

    #[test]
    fn agrees_with_the_headers() {
        let headers = "/usr/include/python3.11";
        if !std::path::Path::new(headers).join("internal/pycore_frame.h").exists() {
            let reason = format_args!("no {headers} (apt-get install python3.11-dev)");
            let _ = writeln!(std::io::stderr(), "SKIPPED agrees_with_the_headers: {reason}");
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (source, program) = (folder.path().join("layout.c"), folder.path().join("layout"));
        std::fs::write(&source, PROGRAM).expect("room for a small file");
        let compiled =
            Command::new("cc").arg("-I").arg(headers).arg("-o").arg(&program).arg(&source).status();
        assert!(compiled.expect("a C compiler").success());
        let printed = Command::new(&program).output().expect("the program runs").stdout;
        let printed: Vec<u64> = String::from_utf8_lossy(&printed)
            .split_whitespace()
            .map(|number| number.parse().expect("a number"))
            .collect();
        let Layout { runtime_thread, thread_cframe, cframe_frame, frame_code, .. } = CPYTHON_3_11;
        let Layout { code_first_line, code_file, code_qualname, .. } = CPYTHON_3_11;
        let Layout { string_ascii, string_data, string_pointer, .. } = CPYTHON_3_11;
        let ours = [
            runtime_thread,
            thread_cframe,
            cframe_frame,
            frame_code,
            code_first_line,
            code_file,
            code_qualname,
            string_ascii,
            string_data,
            string_pointer,
        ];
        let ours: Vec<u64> = ours.into_iter().map(u64::from).chain([TYPE_DEALLOC]).collect();
        assert_eq!(ours, printed);
    }

    #[test]
    fn a_version_from_its_hexadecimal_number() {
        // Include/patchlevel.h of 3.11.2: 0x030b02f0.
        assert_eq!(Version::from_hex(0x030b_02f0).to_string(), "3.11.2");
    }
}
