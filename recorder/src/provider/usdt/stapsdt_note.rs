//! A stapsdt note: the ELF note that `sys/sdt.h` writes for each site of a static marker.
//!
//! ```text
//! pc: u64 │ base: u64 │ semaphore: u64 │ provider \0 │ name \0 │ arguments \0
//! ```
//!
//! `pc` is the address of the site, and `base` the address of the section `.stapsdt.base` when the
//! file was linked. A marker may have several sites, each with its own note and argument locations.

/// The provider's name in CPython's notes.
const PROVIDER: &[u8] = b"python";

/// A site of a marker. Addresses are link-time addresses of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StapsdtNote {
    /// The marker's name.
    pub name: String,
    /// The address of the instruction to trap on.
    pub address: u64,
    /// The address of the semaphore that enables the marker, if it has one.
    pub semaphore: Option<u64>,
    /// The argument locations in assembler syntax.
    pub arguments: String,
}

impl StapsdtNote {
    /// Parses the body of a note. Returns `None` if the note is incomplete or belongs to another
    /// provider.
    ///
    /// `base` is the current address of the section `.stapsdt.base`, if the file has one. It
    /// differs from the `base` in the note if a tool such as prelink has moved the file. The
    /// addresses of the note are then adjusted by the difference.
    pub fn parse(body: &[u8], base: Option<u64>) -> Option<StapsdtNote> {
        let (numbers, strings) = body.split_at_checked(24)?;
        let number = |at: usize| numbers[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let (address, noted_base, semaphore) = (number(0)?, number(8)?, number(16)?);
        let moved = base.map_or(0, |base| base.wrapping_sub(noted_base));
        let mut strings = strings.split(|&byte| byte == 0);
        if strings.next()? != PROVIDER {
            return None;
        }
        let mut text = || strings.next().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (name, arguments) = (text()?, text()?);
        Some(StapsdtNote {
            name,
            address: address.wrapping_add(moved),
            semaphore: (semaphore != 0).then(|| semaphore.wrapping_add(moved)),
            arguments,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(numbers: [u64; 3], strings: &str) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).chain(strings.bytes()).collect()
    }

    #[test]
    fn a_note_as_the_assembler_writes_it() {
        // The values are from the output of `readelf -n` for Debian 12's python3.11.
        let body = body([0x4c779b, 0x8c99c0, 0xa7ed40], "python\0function__entry\08@%rbp 8@%r12 -4@%eax\0");
        let note = StapsdtNote {
            name: "function__entry".into(),
            address: 0x4c779b,
            semaphore: Some(0xa7ed40),
            arguments: "8@%rbp 8@%r12 -4@%eax".into(),
        };
        assert_eq!(StapsdtNote::parse(&body, Some(0x8c99c0)), Some(note.clone()));
        assert_eq!(StapsdtNote::parse(&body, None), Some(note));
    }

    #[test]
    fn addresses_follow_the_file_when_it_was_moved() {
        let body = body([0x1000, 0x2000, 0x3000], "python\0line\0\0");
        let note = StapsdtNote::parse(&body, Some(0x2100)).expect("a whole note");
        assert_eq!((note.address, note.semaphore), (0x1100, Some(0x3100)));
    }

    #[test]
    fn a_marker_without_a_semaphore_stays_without_one() {
        let note = StapsdtNote::parse(&body([0x1000, 0x2000, 0], "python\0line\0\0"), Some(0x2100))
            .expect("a whole note");
        assert_eq!(note.semaphore, None);
    }

    #[test]
    fn other_notes_and_halves_of_notes_are_none() {
        let whole = body([1, 2, 3], "python\0line\08@%rax\0");
        assert_eq!(StapsdtNote::parse(&body([1, 2, 3], "libc\0setjmp\08@%rdi\0"), None), None);
        for length in 0..24 + "python\0line".len() {
            assert_eq!(StapsdtNote::parse(&whole[..length], None), None, "{length}");
        }
    }
}
