//! Which probes to place for what is asked for.
//!
//! Function and line markers bring helpers: a probe on the destructor of code objects and one on the start of an
//! interpreter, so that a code's address is never taken for that of another code; and on CPython 3.11 one that
//! keeps the line marker's semaphore raised, without which entries do not fire, on a function that never runs.

use pyrec_schema::{Group, Marker};

use super::Error;
use super::argument::{Argument, Operand};
use super::image::{Image, Interpreter};
use super::layout::Layout;
use super::note::Note;
use super::skeleton::types;

/// A probe to place.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What runs there.
    pub program: Program,
    /// Where it is in the file.
    pub offset: u64,
    /// Where the counter is in the file that must be raised while the probe is placed.
    pub semaphore: Option<u64>,
    /// What the program must know of the place.
    pub site: Option<types::site>,
}

/// The programs of `markers.bpf.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one for a marker.
    Marker(Marker),
    /// Forgets a code object.
    CodeFreed,
    /// Forgets all of them.
    InterpreterStart,
    /// Does nothing.
    Nothing,
}

/// The probes for these groups, in the order in which to place them: what keeps codes apart goes first, and
/// returns go before entries, since a return without an entry does less harm than an entry without a return.
pub fn plan(image: &Image, groups: &[Group]) -> Result<Vec<Probe>, Error> {
    let Some(python) = image.python else { return Err(Error::NotPython { path: image.path.clone() }) };
    check_groups(image, &python, groups)?;
    let in_code = groups.contains(&Group::Function) || groups.contains(&Group::Line);
    let layout = if in_code { Some(find_layout(image, &python)?) } else { None };
    let mut probes = Vec::new();
    if in_code {
        probes.push(helper(image, Program::CodeFreed, Some(python.code_dealloc), None)?);
        probes.push(helper(image, Program::InterpreterStart, python.initialize, None)?);
    }
    let needs_line = python.version.is_some_and(|version| version.entry_needs_line());
    if needs_line && groups.contains(&Group::Function) && !groups.contains(&Group::Line) {
        let line = image.notes.iter().find(|note| note.name == Marker::Line.name());
        probes.push(helper(image, Program::Nothing, python.never_run, line.and_then(|note| note.semaphore))?);
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

/// Every group that was asked for must have all its markers.
fn check_groups(image: &Image, python: &Interpreter, groups: &[Group]) -> Result<(), Error> {
    if image.notes.is_empty() {
        return Err(Error::NoMarkers { path: image.path.clone() });
    }
    let has = |marker: &Marker| image.notes.iter().any(|note| note.name == marker.name());
    let (present, missing): (Vec<Group>, Vec<Group>) =
        groups.iter().partition(|group| group.markers().iter().all(has));
    if missing.is_empty() {
        return Ok(());
    }
    let list = |groups: &[Group], between: &str| {
        groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(between)
    };
    Err(Error::MissingMarkers {
        path: image.path.clone(),
        version: version_text(python),
        missing: list(&missing, " and "),
        present: list(&present, ","),
    })
}

fn find_layout(image: &Image, python: &Interpreter) -> Result<Layout, Error> {
    let unknown = || Error::UnknownLayout { path: image.path.clone(), version: version_text(python) };
    python.version.and_then(Layout::of).ok_or_else(unknown)
}

/// The version in words, also where the file does not say it.
pub fn version_text(python: &Interpreter) -> String {
    python.version.map_or_else(|| "older than 3.11".into(), |version| version.to_string())
}

fn helper(
    image: &Image,
    program: Program,
    address: Option<u64>,
    semaphore: Option<u64>,
) -> Result<Probe, Error> {
    let offset = address.and_then(|address| image.offset(address));
    let offset = offset.ok_or_else(|| unsupported(image, format!("there is no place for {program:?}")))?;
    Ok(Probe { program, offset, semaphore: semaphore_offset(image, semaphore)?, site: None })
}

fn marker_probe(
    image: &Image,
    python: &Interpreter,
    layout: Option<&Layout>,
    marker: Marker,
    note: &Note,
) -> Result<Probe, Error> {
    let outside = || unsupported(image, format!("its marker {marker} lies outside of the file"));
    Ok(Probe {
        program: Program::Marker(marker),
        offset: image.offset(note.address).ok_or_else(outside)?,
        semaphore: semaphore_offset(image, note.semaphore)?,
        site: Some(site(image, python, layout, note)?),
    })
}

fn semaphore_offset(image: &Image, semaphore: Option<u64>) -> Result<Option<u64>, Error> {
    let outside = || unsupported(image, "a marker's semaphore lies outside of the file".into());
    semaphore.map(|address| image.offset(address).ok_or_else(outside)).transpose()
}

fn site(
    image: &Image,
    python: &Interpreter,
    layout: Option<&Layout>,
    note: &Note,
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
    site.thread_state_distance = distance(runtime + u64::from(layout.runtime_thread));
    site.code_type_distance = distance(python.code_type);
    site.state_cframe = layout.thread_cframe;
    site.cframe_frame = layout.cframe_frame;
    site.frame_code = layout.frame_code;
    site.code_first_line = layout.code_first_line;
    site.code_file = layout.code_file;
    site.code_qualname = layout.code_qualname;
    site.string_ascii = layout.string_ascii;
    site.string_data = layout.string_data;
    site.string_pointer = layout.string_pointer;
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

fn unsupported(image: &Image, reason: String) -> Error {
    Error::Unsupported { path: image.path.clone(), reason }
}
