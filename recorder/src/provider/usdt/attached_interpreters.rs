//! The Pythons that a recording has met, each with its markers placed once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use pyrec_schema::{MarkerGroup, Python};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Error;
use super::attached_probes::AttachScope;
use super::bpf_object::BpfObject;
use super::interpreter_file::InterpreterFile;
use super::probe_plan::{self, Probe};
use crate::os::procfs::{FileId, file_id};
use crate::os::stopped_process::StoppedProcess;

/// Pythons whose markers are placed, and what is to be said of them.
#[derive(Default)]
pub struct AttachedInterpreters {
    /// The files with the markers, and their probes in the order in which they were defined.
    probes_by_file: FxHashMap<FileId, Range<usize>>,
    /// Programs that were met on the way, each with who ran it where that matters.
    seen_programs: FxHashSet<(FileId, Option<i32>)>,
    /// Not told of yet.
    pub new_pythons: Vec<Python>,
    /// Not told of yet.
    pub new_notices: Vec<String>,
}

impl AttachedInterpreters {
    /// Places what these Pythons have of the markers. A group that none of them has is an error.
    pub fn attach(
        &mut self,
        bpf: &mut BpfObject,
        interpreters: &[InterpreterFile],
        groups: &[MarkerGroup],
        scope: AttachScope<'_>,
    ) -> Result<(), Error> {
        let has = |interpreter: &InterpreterFile, group| {
            probe_plan::recordable_groups(&interpreter.image).contains(&group)
        };
        let missing =
            |&&group: &&MarkerGroup| !interpreters.iter().any(|interpreter| has(interpreter, group));
        if groups.iter().any(|group| missing(&group)) {
            // Whatever the first one says of all that it was asked for.
            interpreters
                .iter()
                .try_for_each(|interpreter| probe_plan::plan_probes(&interpreter.image, groups).map(drop))?;
        }
        for interpreter in interpreters {
            if self.probes_of(interpreter).is_none() {
                let probes = self.attach_new(bpf, interpreter, groups, scope)?;
                self.probes_by_file.extend(file_id_of(interpreter).map(|id| (id, probes)));
            }
        }
        Ok(())
    }

    fn probes_of(&self, interpreter: &InterpreterFile) -> Option<Range<usize>> {
        self.probes_by_file.get(&file_id_of(interpreter)?).cloned()
    }

    /// Places what a Python has of the markers. Returns the named probes among them.
    fn attach_new(
        &mut self,
        bpf: &mut BpfObject,
        interpreter: &InterpreterFile,
        groups: &[MarkerGroup],
        scope: AttachScope<'_>,
    ) -> Result<Range<usize>, Error> {
        let has = probe_plan::recordable_groups(&interpreter.image);
        let (here, elsewhere): (Vec<MarkerGroup>, Vec<MarkerGroup>) =
            groups.iter().partition(|group| has.contains(group));
        let first = bpf.inheritable_probes();
        let probes = probe_plan::plan_probes(&interpreter.image, &here)?;
        self.attach_probes(bpf, interpreter, &probes, scope)?;
        self.note_missing_groups(interpreter, &elsewhere);
        Ok(first..bpf.inheritable_probes())
    }

    /// A process has become another program. If it is a Python that was not met before, its markers are placed: for the
    /// whole machine, or for everyone in the families, the process standing still meanwhile.
    pub fn attach_on_exec(
        &mut self,
        bpf: &mut BpfObject,
        pid: i32,
        groups: &[MarkerGroup],
        is_machine_wide: bool,
    ) {
        // One that has ended is nobody any more.
        let Some(program) = file_id(Path::new(&format!("/proc/{pid}/exe"))) else { return };
        let all_at_once = is_machine_wide || bpf.can_follow_families();
        if !self.seen_programs.insert((program, (!all_at_once).then_some(pid))) {
            return;
        }
        // Somebody else may have stopped it. Then it goes on, and its first events may be missing.
        let _stopped = (!is_machine_wide).then(|| StoppedProcess::stop(pid).ok());
        let attached = InterpreterFile::of_process(pid)
            .and_then(|interpreter| self.attach_running(bpf, &interpreter, pid, groups, is_machine_wide));
        match attached {
            Ok(()) | Err(Error::NotPython { .. } | Error::NotAProgram { .. } | Error::Gone { .. }) => {}
            Err(error) => {
                self.new_notices.push(format!("a program that was started is not recorded: {error}"))
            }
        }
    }

    fn attach_running(
        &mut self,
        bpf: &mut BpfObject,
        interpreter: &InterpreterFile,
        pid: i32,
        groups: &[MarkerGroup],
        is_machine_wide: bool,
    ) -> Result<(), Error> {
        if interpreter.image.notes.is_empty() {
            return Err(Error::NoMarkers { path: interpreter.image.path.clone() });
        }
        if is_machine_wide {
            return self.attach(bpf, std::slice::from_ref(interpreter), groups, AttachScope::Machine);
        }
        let mut reached = BTreeSet::from([pid]);
        let probes = match self.probes_of(interpreter) {
            Some(probes) => {
                bpf.extend(probes.clone(), &[pid])?;
                probes
            }
            None => self.attach_new(bpf, interpreter, groups, AttachScope::ProcessFamilies(&[pid]))?,
        };
        if probes.is_empty() {
            // Not handed on: whoever runs this file next needs probes of their own.
            return Ok(());
        }
        self.probes_by_file.extend(file_id_of(interpreter).map(|id| (id, probes.clone())));
        // Whoever is there gets them, too, and hands them on to all that start later.
        loop {
            let members = bpf.family_members();
            let new: Vec<i32> = members.difference(&reached).copied().collect();
            if new.is_empty() {
                return Ok(());
            }
            bpf.extend(probes.clone(), &new)?;
            reached.extend(new);
        }
    }

    fn attach_probes(
        &mut self,
        bpf: &mut BpfObject,
        interpreter: &InterpreterFile,
        probes: &[Probe],
        scope: AttachScope<'_>,
    ) -> Result<(), Error> {
        bpf.attach(interpreter.file.as_fd(), probes, scope)?;
        self.new_pythons.extend(interpreter.image.python.map(|python| Python {
            version: probe_plan::version_text(&python),
            build: None,
            executable: Some(interpreter.image.path.to_string_lossy().into_owned()),
            path: Vec::new(),
        }));
        Ok(())
    }

    fn note_missing_groups(&mut self, interpreter: &InterpreterFile, missing: &[MarkerGroup]) {
        if missing.is_empty() {
            return;
        }
        let missing: Vec<&str> = missing.iter().map(|group| group.name()).collect();
        let path = interpreter.image.path.display();
        let version = interpreter.image.python.as_ref().map(probe_plan::version_text).unwrap_or_default();
        let missing = missing.join(" and ");
        self.new_notices.push(format!(
            "{path} (CPython {version}) is recorded without its {missing} events: it has no such markers"
        ));
    }
}

/// Nothing where the file does not say it. Such a file is nobody's double.
fn file_id_of(interpreter: &InterpreterFile) -> Option<FileId> {
    interpreter.file.metadata().ok().map(|it| (it.dev(), it.ino()))
}
