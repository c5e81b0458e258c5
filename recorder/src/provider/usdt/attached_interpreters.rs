//! The interpreters that a recording has attached to. The probes of each file are attached once.

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

/// The interpreters with attached probes, and what is to be reported about them.
#[derive(Default)]
pub struct AttachedInterpreters {
    /// The inheritable probes of each interpreter file, as a range in the order of definition.
    probes_by_file: FxHashMap<FileId, Range<usize>>,
    /// Programs that were executed, so that each is examined once: per machine, or per process
    /// where probes are not inherited.
    seen_programs: FxHashSet<(FileId, Option<i32>)>,
    /// Interpreters that are not in the manifest yet.
    pub new_pythons: Vec<Python>,
    /// Notices that are not in the manifest yet.
    pub new_notices: Vec<String>,
}

impl AttachedInterpreters {
    /// Attaches probes for the requested groups to these interpreters.
    ///
    /// # Errors
    /// A group that none of them has; a probe that cannot be attached.
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
            // The error of the first interpreter that lacks one of the groups.
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

    /// Attaches probes for those of the groups that an interpreter has. Returns its inheritable
    /// probes.
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

    /// Handles an `exec` of a process. Attaches probes if the program is a Python that has none
    /// yet: for the whole machine, or for all followed processes, while the process is stopped.
    pub fn attach_on_exec(
        &mut self,
        bpf: &mut BpfObject,
        pid: i32,
        groups: &[MarkerGroup],
        is_machine_wide: bool,
    ) {
        // A process that has ended has no program.
        let Some(program) = file_id(Path::new(&format!("/proc/{pid}/exe"))) else { return };
        let all_at_once = is_machine_wide || bpf.can_follow_families();
        if !self.seen_programs.insert((program, (!all_at_once).then_some(pid))) {
            return;
        }
        // If it cannot be stopped, its first events may be missing.
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
            // Not inherited: the next process that runs this file needs its own probes.
            return Ok(());
        }
        self.probes_by_file.extend(file_id_of(interpreter).map(|id| (id, probes.clone())));
        // All followed processes get the probes, and processes that they start inherit them.
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

/// The identity of the file; `None` if unknown, and then it is attached to each time.
fn file_id_of(interpreter: &InterpreterFile) -> Option<FileId> {
    interpreter.file.metadata().ok().map(|it| (it.dev(), it.ino()))
}
