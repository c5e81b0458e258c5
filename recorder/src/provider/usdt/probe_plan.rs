//! Selects the probes for the requested marker groups.
//!
//! Function and line markers bring helpers: a probe on the destructor of code objects, so that a
//! code's address is never taken for that of another code; and on CPython 3.11 one that keeps the
//! line marker's semaphore raised, without which entries do not fire, on a function that never
//! runs.

use pyrec_schema::{Marker, MarkerGroup};

use super::Error;
use super::argument::{Argument, Operand};
use super::elf_image::{ElfImage, InterpreterSymbols};
use super::layout::Layout;
use super::skeleton::types;
use super::stapsdt_note::StapsdtNote;
use super::version::Version;

/// A probe to attach.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The BPF program that it runs.
    pub program: Program,
    /// The file offset of the probed instruction.
    pub offset: u64,
    /// The file offset of the semaphore that is raised while the probe is attached.
    pub semaphore: Option<u64>,
    /// The description of the marker site for the BPF program.
    pub site: Option<types::site>,
}

/// The programs of `markers.bpf.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The handler of a marker.
    Marker(Marker),
    /// The handler of the destructor of code objects.
    CodeFreed,
    /// An empty program, for probes that only raise a semaphore.
    Noop,
}

/// The probes for these groups, in the order in which to place them: what keeps codes apart goes
/// first, and returns go before entries, since a return without an entry does less harm than an
/// entry without a return.
pub fn plan_probes(image: &ElfImage, groups: &[MarkerGroup]) -> Result<Vec<Probe>, Error> {
    let Some(python) = image.python else { return Err(Error::NotPython { path: image.path.clone() }) };
    check_groups(image, &python, groups)?;
    let in_code = groups.contains(&MarkerGroup::Function) || groups.contains(&MarkerGroup::Line);
    let layout = if in_code { Some(find_layout(image, &python)?) } else { None };
    let mut probes = Vec::new();
    if in_code {
        probes.push(helper_probe(image, Program::CodeFreed, Some(python.code_dealloc), None)?);
    }
    let needs_line = python.version.is_some_and(|version| version.entry_needs_line());
    if needs_line && groups.contains(&MarkerGroup::Function) && !groups.contains(&MarkerGroup::Line) {
        let line = image.notes.iter().find(|note| note.name == Marker::Line.name());
        probes.push(helper_probe(
            image,
            Program::Noop,
            python.never_run,
            line.and_then(|note| note.semaphore),
        )?);
    }
    let mut markers: Vec<Marker> = groups.iter().flat_map(|group| group.markers()).copied().collect();
    markers.sort_by_key(|marker| *marker == Marker::FunctionEntry);
    markers.dedup();
    for marker in markers {
        for note in image.notes.iter().filter(|note| note.name == marker.name()) {
            probes.push(marker_probe(image, &python, layout.as_ref(), marker, note)?);
        }
    }
    Ok(probes)
}

/// The groups that can be recorded with the markers of a file.
pub fn recordable_groups(image: &ElfImage) -> Vec<MarkerGroup> {
    MarkerGroup::ALL.into_iter().filter(|&group| plan_probes(image, &[group]).is_ok()).collect()
}

/// Checks that the file has all markers of the requested groups.
fn check_groups(image: &ElfImage, python: &InterpreterSymbols, groups: &[MarkerGroup]) -> Result<(), Error> {
    if image.notes.is_empty() {
        return Err(Error::NoMarkers { path: image.path.clone() });
    }
    let has = |marker: &Marker| image.notes.iter().any(|note| note.name == marker.name());
    // No CPython fires the instance markers, even if the file lists them.
    let can_record =
        |group: &&MarkerGroup| **group != MarkerGroup::Instance && group.markers().iter().all(has);
    let (present, missing): (Vec<MarkerGroup>, Vec<MarkerGroup>) = groups.iter().partition(can_record);
    if missing.is_empty() {
        return Ok(());
    }
    let list = |groups: &[MarkerGroup], between: &str| {
        groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(between)
    };
    Err(Error::MissingMarkers {
        path: image.path.clone(),
        version: version_text(python),
        missing: list(&missing, " and "),
        present: list(&present, ","),
    })
}

/// An empty probe at the entry point, which a running program never executes again.
pub fn entry_point_probe(image: &ElfImage) -> Result<Probe, Error> {
    helper_probe(image, Program::Noop, Some(image.entry_point), None)
}

fn find_layout(image: &ElfImage, python: &InterpreterSymbols) -> Result<Layout, Error> {
    let unknown = || Error::UnknownLayout { path: image.path.clone(), version: version_text(python) };
    python.version.and_then(|version| Layout::of(version, python.offsets.as_ref())).ok_or_else(unknown)
}

/// The version as text, also if unknown.
pub fn version_text(python: &InterpreterSymbols) -> String {
    python.version.map_or_else(|| "of an unknown version".into(), |version| version.to_string())
}

fn helper_probe(
    image: &ElfImage,
    program: Program,
    address: Option<u64>,
    semaphore: Option<u64>,
) -> Result<Probe, Error> {
    let offset = address.and_then(|address| image.offset(address));
    let offset = offset.ok_or_else(|| unsupported(image, format!("there is no place for {program:?}")))?;
    Ok(Probe { program, offset, semaphore: semaphore_offset(image, semaphore)?, site: None })
}

fn marker_probe(
    image: &ElfImage,
    python: &InterpreterSymbols,
    layout: Option<&Layout>,
    marker: Marker,
    note: &StapsdtNote,
) -> Result<Probe, Error> {
    let outside = || unsupported(image, format!("its marker {marker} lies outside of the file"));
    Ok(Probe {
        program: Program::Marker(marker),
        offset: image.offset(note.address).ok_or_else(outside)?,
        semaphore: semaphore_offset(image, note.semaphore)?,
        site: Some(site(image, python, layout, note)?),
    })
}

fn semaphore_offset(image: &ElfImage, semaphore: Option<u64>) -> Result<Option<u64>, Error> {
    let outside = || unsupported(image, "a marker's semaphore lies outside of the file".into());
    semaphore.map(|address| image.offset(address).ok_or_else(outside)).transpose()
}

fn site(
    image: &ElfImage,
    python: &InterpreterSymbols,
    layout: Option<&Layout>,
    note: &StapsdtNote,
) -> Result<types::site, Error> {
    let unreadable = |one| unsupported(image, format!("its marker {} keeps an argument at {one}", note.name));
    let mut site = types::site::default();
    let arguments = Argument::parse_all(&note.arguments).map_err(unreadable)?;
    for (to, from) in site.arguments.iter_mut().zip(&arguments) {
        *to = argument(from);
    }
    let Some(layout) = layout else { return Ok(site) };
    let runtime = python.runtime.ok_or_else(|| unsupported(image, "it does not export _PyRuntime".into()))?;
    let distance = |address: u64| address.wrapping_sub(note.address) as i64;
    site.way_distance = distance(runtime + u64::from(layout.way[0]));
    site.code_type_distance = distance(python.code_type);
    site.way.copy_from_slice(&layout.way[1..]);
    site.steps = layout.steps.into();
    site.frame_code = layout.frame_code();
    site.frame_owner = layout.frame_owner;
    let at_creation = python.version.is_some_and(Version::entry_at_creation);
    site.entry_at_creation = (at_creation && note.name == Marker::FunctionEntry.name()).into();
    site.code_flags = layout.code_flags;
    site.code_first_line = layout.code_first_line;
    site.code_file = layout.code_file;
    site.code_name = layout.code_name;
    site.code_qualname = layout.code_qualname.unwrap_or(0);
    site.string_ascii = layout.string_ascii;
    site.string_data = layout.string_data;
    Ok(site)
}

/// The numbers of `enum operand` in `markers.bpf.c`.
fn argument(from: &Argument) -> types::argument {
    let mut to =
        types::argument { bytes: from.bytes, is_signed: from.signed.into(), ..types::argument::default() };
    match from.operand {
        Operand::Constant(constant) => {
            to.operand = 1;
            to.constant = constant;
        }
        Operand::Register(register) => {
            to.operand = 2;
            to.base = register.0;
        }
        Operand::Memory { displacement, base, index } => {
            to.operand = 3;
            to.constant = displacement;
            to.base = base.0;
            if let Some((index, scale)) = index {
                to.has_index = 1;
                to.index = index.0;
                to.scale = scale;
            }
        }
    }
    to
}

fn unsupported(image: &ElfImage, reason: String) -> Error {
    Error::Unsupported { path: image.path.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &str, address: u64) -> StapsdtNote {
        let semaphore = Some(0x2000 + address);
        StapsdtNote {
            name: name.into(),
            address: 0x1000 + address,
            semaphore,
            arguments: "8@%rbp 8@%r12 -4@%eax".into(),
        }
    }

    /// A file that is loaded as it lies on the disk.
    fn image(version: [u8; 3], names: &[&str]) -> ElfImage {
        let [major, minor, micro] = version;
        let notes = names.iter().zip(0..).map(|(name, at)| note(name, at)).collect();
        let python = InterpreterSymbols {
            version: Some(Version { major, minor, micro }),
            runtime: Some(0x5000),
            offsets: None,
            code_type: 0x6000,
            code_dealloc: 0x1100,
            never_run: Some(0x1300),
        };
        ElfImage::with("/opt/python".into(), notes, python)
    }

    const ALL_3_11: [&str; 8] = [
        "audit",
        "gc__start",
        "gc__done",
        "line",
        "import__find__load__start",
        "import__find__load__done",
        "function__entry",
        "function__return",
    ];

    fn programs(probes: &[Probe]) -> Vec<Program> {
        probes.iter().map(|probe| probe.program).collect()
    }

    #[test]
    fn functions_of_3_11_raise_the_semaphore_of_lines_without_a_trap_on_them() {
        let probes =
            plan_probes(&image([3, 11, 2], &ALL_3_11), &[MarkerGroup::Function]).expect("it has them");
        let [entry, back] = [Marker::FunctionEntry, Marker::FunctionReturn].map(Program::Marker);
        let order = [Program::CodeFreed, Program::Noop, back, entry];
        assert_eq!(programs(&probes), order);
        assert_eq!((probes[1].offset, probes[1].semaphore), (0x1300, Some(0x2003)));
        assert_eq!((probes[3].offset, probes[3].semaphore), (0x1006, Some(0x2006)));
        let site = probes[3].site.expect("it has arguments");
        assert_eq!(site.way_distance, 0x5000 + 576 - 0x1006);
        assert_eq!(site.code_type_distance, 0x6000 - 0x1006);
        assert_eq!((site.arguments[2].base, site.arguments[2].bytes, site.arguments[2].is_signed), (0, 4, 1));
    }

    #[test]
    fn lines_that_are_wanted_raise_their_own_semaphore() {
        let probes = plan_probes(&image([3, 11, 2], &ALL_3_11), &[MarkerGroup::Line, MarkerGroup::Function])
            .expect("it has them");
        assert!(!programs(&probes).contains(&Program::Noop));
        assert!(programs(&probes).contains(&Program::Marker(Marker::Line)));
        // Entries last: a return without an entry does less harm than the reverse.
        assert_eq!(probes.last().map(|probe| probe.program), Some(Program::Marker(Marker::FunctionEntry)));
    }

    #[test]
    fn collections_need_no_way_to_the_code() {
        let names = ["gc__start", "gc__done"];
        let probes = plan_probes(&image([3, 13, 1], &names), &[MarkerGroup::Gc]).expect("it has them");
        assert_eq!(programs(&probes), [Marker::GcStart, Marker::GcDone].map(Program::Marker));
    }

    #[test]
    fn a_marker_at_several_addresses_gets_a_probe_at_each() {
        let names = ["audit", "audit", "audit", "audit"];
        let probes = plan_probes(&image([3, 15, 2], &names), &[MarkerGroup::Audit]).expect("it has them");
        assert_eq!(
            probes.iter().map(|probe| probe.offset).collect::<Vec<_>>(),
            [0x1000, 0x1001, 0x1002, 0x1003]
        );
    }

    #[test]
    fn says_what_is_missing_and_what_to_do() {
        let message = |image: &ElfImage, groups: &[MarkerGroup]| {
            plan_probes(image, groups).expect_err("it lacks them").to_string()
        };
        assert_eq!(
            message(&image([3, 12, 0], &[]), &MarkerGroup::DEFAULT),
            "/opt/python has no markers: it was built without --with-dtrace; use --provider agent"
        );
        let some = ["gc__start", "gc__done", "import__find__load__start", "import__find__load__done"];
        assert_eq!(
            message(&image([3, 13, 1], &some), &MarkerGroup::DEFAULT),
            "/opt/python (CPython 3.13.1) has no function markers; use --provider agent, or record what there is: \
             --markers gc,import"
        );
        assert_eq!(
            message(&image([3, 13, 1], &some), &[MarkerGroup::Function, MarkerGroup::Line]),
            "/opt/python (CPython 3.13.1) has no function and line markers; use --provider agent"
        );
        let both = ["function__entry", "function__return"];
        assert!(message(&image([3, 16, 0], &both), &[MarkerGroup::Function]).contains("lays out its frames"));
        let mut odd = image([3, 11, 2], &ALL_3_11);
        odd.notes[6].arguments = "8@%xmm0".into();
        assert!(message(&odd, &[MarkerGroup::Function]).contains("keeps an argument at 8@%xmm0"));
    }
}
