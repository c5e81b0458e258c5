//! Reads the ELF file of an interpreter: stapsdt notes, symbols and segments.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use object::elf;
use object::read::elf::{ElfFile64, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};

use super::Error;
use super::debug_offsets::{DebugOffsets, FIELD_COUNT};
use super::layout::TYPE_DEALLOC;
use super::stapsdt_note::StapsdtNote;
use super::version::Version;

/// The type of notes that `sys/sdt.h` writes.
const NT_STAPSDT: u32 = 3;

/// Limit of the file size. No interpreter comes near it; the file may be hostile.
const MAX_BYTES: u64 = 512 << 20;

/// Limits of the number of notes, the number of needed libraries, and the length of a path.
const MAX_NOTES: usize = 1 << 14;
const MAX_LIBRARIES: usize = 1 << 10;
const MAX_PATH_BYTES: usize = 1 << 12;

/// The parts of an ELF file that attaching needs. Addresses are link-time addresses of the file.
#[derive(Clone, Debug, Default)]
pub struct ElfImage {
    /// The path of the file.
    pub path: PathBuf,
    /// CPython's markers; empty in a build without them.
    pub notes: Vec<StapsdtNote>,
    /// The symbols of the interpreter, if the file contains one.
    pub python: Option<InterpreterSymbols>,
    /// Names of the needed libraries.
    pub needed: Vec<String>,
    /// The `RUNPATH` or `RPATH` entries.
    pub run_path: Vec<String>,
    /// The entry point of the program.
    pub entry_point: u64,
    segments: Vec<Segment>,
}

/// Addresses and facts of an interpreter from its symbol table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterpreterSymbols {
    /// The version, if it can be determined.
    pub version: Option<Version>,
    /// `_PyRuntime`.
    pub runtime: Option<u64>,
    /// The layout that CPython publishes since 3.13.
    pub offsets: Option<DebugOffsets>,
    /// `PyCode_Type`.
    pub code_type: u64,
    /// The destructor of code objects: `PyCode_Type.tp_dealloc`.
    pub code_dealloc: u64,
    /// `Py_FrozenMain`, which is not executed by a normal interpreter.
    pub never_run: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    offset: u64,
    bytes: u64,
}

type Elf<'data> = ElfFile64<'data, Endianness>;

impl ElfImage {
    /// Reads the file.
    #[cfg(test)]
    pub fn read(path: &Path) -> Result<ElfImage, Error> {
        let file = File::open(path).map_err(|source| Error::Unreadable { path: path.into(), source })?;
        ElfImage::of(path, &file)
    }

    /// Reads an open file. A file without an interpreter or without markers is no error here.
    pub fn of(path: &Path, file: &File) -> Result<ElfImage, Error> {
        let unreadable = |source| Error::Unreadable { path: path.into(), source };
        let wrong = |reason: String| Error::NotAProgram { path: path.into(), reason };
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(wrong("no file of a program's size".into()));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        let elf = Elf::parse(bytes.as_slice()).map_err(|error| wrong(error.to_string()))?;
        if elf.architecture() != object::Architecture::X86_64 || !elf.is_little_endian() {
            return Err(wrong("made for another processor".into()));
        }
        let damaged = |error: object::read::Error| wrong(error.to_string());
        let (needed, run_path) = needs(&elf).map_err(damaged)?;
        Ok(ElfImage {
            path: path.into(),
            notes: notes(&elf).map_err(damaged)?,
            python: interpreter(&elf),
            needed,
            run_path,
            entry_point: elf.entry(),
            segments: segments(&elf),
        })
    }

    /// An interpreter's file that is loaded as it lies on the disk.
    #[cfg(test)]
    pub fn with(path: PathBuf, notes: Vec<StapsdtNote>, python: InterpreterSymbols) -> ElfImage {
        let segments = vec![Segment { address: 0, offset: 0, bytes: u64::MAX }];
        ElfImage { path, notes, python: Some(python), segments, ..ElfImage::default() }
    }

    /// Converts an address to a file offset.
    pub fn offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let distance = address.checked_sub(segment.address)?;
            segment.offset.checked_add(distance).filter(|_| distance < segment.bytes)
        })
    }
}

fn segments(elf: &Elf<'_>) -> Vec<Segment> {
    let segment = |segment: object::read::elf::ElfSegment64<'_, '_, Endianness>| {
        let (offset, bytes) = segment.file_range();
        Segment { address: segment.address(), offset, bytes }
    };
    elf.segments().map(segment).collect()
}

fn notes(elf: &Elf<'_>) -> object::read::Result<Vec<StapsdtNote>> {
    let endian = elf.endian();
    let base = elf.section_by_name(".stapsdt.base").map(|section| section.address());
    let (mut found, mut count) = (Vec::new(), 0);
    for section in elf.sections() {
        let Some(mut notes) = section.elf_section_header().notes(endian, elf.data())? else { continue };
        while let Some(note) = notes.next()? {
            count += 1;
            if count > MAX_NOTES {
                return Ok(found);
            }
            if note.name() == b"stapsdt" && note.n_type(endian).0 == NT_STAPSDT {
                found.extend(StapsdtNote::parse(note.desc(), base));
            }
        }
    }
    Ok(found)
}

fn interpreter(elf: &Elf<'_>) -> Option<InterpreterSymbols> {
    let symbol = |name: &str| {
        let named = |symbol: &object::read::elf::ElfSymbol64<'_, '_, Endianness>| symbol.name() == Ok(name);
        elf.dynamic_symbols()
            .find(|symbol| symbol.is_definition() && named(symbol))
            .map(|symbol| symbol.address())
    };
    let code_type = symbol("PyCode_Type")?;
    let runtime = symbol("_PyRuntime");
    let exported = symbol("Py_Version").and_then(|at| number_at(elf, at)).map(Version::from_hex);
    Some(InterpreterSymbols {
        version: exported.or_else(|| Version::guess(|name| symbol(name).is_some(), elf.data())),
        runtime,
        offsets: runtime.and_then(|at| bytes_at(elf, at, FIELD_COUNT * 8)).and_then(DebugOffsets::parse),
        code_type,
        code_dealloc: pointer_at(elf, code_type.checked_add(TYPE_DEALLOC)?)?,
        never_run: symbol("Py_FrozenMain"),
    })
}

/// The pointer at an address after relocation, as a link-time address.
fn pointer_at(elf: &Elf<'_>, address: u64) -> Option<u64> {
    let relocated = elf
        .dynamic_relocations()
        .and_then(|mut relocations| relocations.find(|(at, _)| *at == address))
        .map(|(_, relocation)| relocation.addend() as u64);
    relocated.or_else(|| number_at(elf, address)).filter(|&pointer| pointer != 0)
}

fn number_at(elf: &Elf<'_>, address: u64) -> Option<u64> {
    bytes_at(elf, address, 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn bytes_at<'data>(elf: &Elf<'data>, address: u64, count: usize) -> Option<&'data [u8]> {
    elf.segments().find_map(|segment| segment.data_range(address, count as u64).ok().flatten())
}

fn needs(elf: &Elf<'_>) -> object::read::Result<(Vec<String>, Vec<String>)> {
    let table = elf.elf_dynamic_table()?;
    let (mut needed, mut run_path) = (Vec::new(), Vec::new());
    for entry in &table {
        let text = || -> object::read::Result<String> {
            let bytes = table.string(entry)?;
            Ok(String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_PATH_BYTES)]).into_owned())
        };
        match entry.tag {
            elf::DT_NEEDED if needed.len() < MAX_LIBRARIES => needed.push(text()?),
            elf::DT_RUNPATH | elf::DT_RPATH if run_path.len() < MAX_LIBRARIES => {
                run_path.extend(text()?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok((needed, run_path))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};
    use std::process::Command;

    use super::*;

    /// A program of this machine with a byte changed here and there, most of them where the tables
    /// are.
    #[test]
    fn a_damaged_program_is_an_error_or_another_program() {
        let path = Path::new("/bin/true");
        let Ok(whole) = std::fs::read(path) else { return };
        let mut file = tempfile::tempfile().expect("a temporary file");
        for at in (0..whole.len()).step_by(23).chain(0..1_024) {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= change;
                file.set_len(0).and_then(|()| file.rewind()).expect("it is empty again");
                file.write_all(&damaged).and_then(|()| file.rewind()).expect("it is written");
                drop(ElfImage::of(path, &file).map_err(|error| error.to_string()));
            }
        }
    }

    #[test]
    fn what_is_no_file_of_a_program_is_not_read() {
        let endless = File::open("/dev/zero").expect("it can be read");
        assert!(matches!(ElfImage::of(Path::new("zero"), &endless), Err(Error::NotAProgram { .. })));
        let huge = tempfile::tempfile().expect("a temporary file");
        huge.set_len(1 << 40).expect("a hole");
        assert!(matches!(ElfImage::of(Path::new("huge"), &huge), Err(Error::NotAProgram { .. })));
    }

    #[test]
    fn finds_what_readelf_finds() {
        let path = Path::new("/usr/bin/python3.11");
        let Ok(notes) = Command::new("readelf").args(["-n", "--wide"]).arg(path).output() else {
            return crate::test_support::skip("no readelf");
        };
        if !path.exists() {
            return crate::test_support::skip(format_args!("no {}", path.display()));
        }
        let text = String::from_utf8_lossy(&notes.stdout);
        let theirs: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("Name: ")).collect();
        let image = ElfImage::read(path).expect("an ELF file");
        assert_eq!(image.notes.iter().map(|note| note.name.as_str()).collect::<Vec<_>>(), theirs);
        for note in &image.notes {
            let semaphore = note.semaphore.expect("it has one");
            let place = format!("Location: 0x{:016x}, ", note.address);
            assert!(text.contains(&place), "{place}");
            assert!(text.contains(&format!("Semaphore: 0x{semaphore:016x}")));
            assert!(text.contains(&format!("Arguments: {}", note.arguments)));
            assert!(image.offset(note.address).is_some() && image.offset(semaphore).is_some());
        }
        let python = image.python.expect("an interpreter");
        assert_eq!(python.version.map(|version| (version.major, version.minor)), Some((3, 11)));
    }
}
