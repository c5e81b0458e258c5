//! The version of the CPython in an ELF file.

/// A version of CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct Version {
    pub major: u8,
    pub minor: u8,
    pub micro: u8,
}

/// A function that each minor version introduced. Versions before 3.11 do not export their number.
const BROUGHT: [(u8, &str); 4] = [
    (10, "PyModule_AddObjectRef"),
    (9, "PyFrame_GetBack"),
    (8, "PyConfig_InitPythonConfig"),
    (7, "PyImport_GetModule"),
];

impl Version {
    /// From `PY_VERSION_HEX`, which `Py_Version` holds since 3.11.
    pub fn from_hex(hex: u64) -> Version {
        Version { major: (hex >> 24) as u8, minor: (hex >> 16) as u8, micro: (hex >> 8) as u8 }
    }

    /// From what a file exports and the bytes of the file, in which `PY_VERSION` is a string. A
    /// micro version that is not there is 0.
    pub fn guess(exports: impl Fn(&str) -> bool, file: &[u8]) -> Option<Version> {
        let (minor, _) = BROUGHT.into_iter().find(|(_, function)| exports(function))?;
        let micro = find_micro(file, minor).unwrap_or(0);
        Some(Version { major: 3, minor, micro })
    }

    /// Whether the line marker has to be on for the entry marker to fire.
    pub fn entry_needs_line(self) -> bool {
        (self.major, self.minor) == (3, 11)
    }

    /// Whether the entry marker fires when a generator is made, too. No return follows on that one.
    pub fn entry_at_creation(self) -> bool {
        (self.major, self.minor) == (3, 15)
    }
}

/// The micro version in the first string of the file that is `PY_VERSION`: `3.9.2`, or `3.9.2+`
/// between releases.
fn find_micro(file: &[u8], minor: u8) -> Option<u8> {
    let prefix = format!("3.{minor}.");
    file.split(|&byte| byte == 0).find_map(|string| {
        let micro = string.strip_prefix(prefix.as_bytes())?;
        let micro = micro.strip_suffix(b"+").unwrap_or(micro);
        std::str::from_utf8(micro).ok()?.parse().ok()
    })
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_from_its_hexadecimal_number() {
        // Include/patchlevel.h of 3.11.2: 0x030b02f0.
        assert_eq!(Version::from_hex(0x030b_02f0).to_string(), "3.11.2");
    }

    #[test]
    fn an_old_version_from_its_functions_and_its_strings() {
        let old = ["PyImport_GetModule", "PyConfig_InitPythonConfig", "PyFrame_GetBack"];
        let guess = |count: usize, file: &[u8]| {
            Version::guess(|name| old[..count].contains(&name), file).map(|version| version.to_string())
        };
        assert_eq!(guess(3, b"3.9\0in 3.9.1\x003.9.7 (default)\0\x003.9.2\0"), Some("3.9.2".into()));
        assert_eq!(guess(2, b"\x003.8.18+\x003.9.2\0"), Some("3.8.18".into()));
        assert_eq!(guess(1, b"\x003.7."), Some("3.7.0".into()));
        assert_eq!(guess(0, b"\x003.6.1\0"), None);
    }
}
