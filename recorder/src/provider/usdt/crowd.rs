//! The Pythons that a recording has met, each with its markers placed once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use pyrec_schema::{MarkerGroup, Python};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Error;
use super::kernel::Kernel;
use super::library::Interpreter;
use super::placing::Reach;
use super::plan::{self, Probe};
use crate::os::procfs::{FileId, file_id};
use crate::os::stopped_process::StoppedProcess;

/// Pythons whose markers are placed, and what is to be said of them.
#[derive(Default)]
pub struct Crowd {
    /// The files with the markers, and their probes in the order in which they were defined.
    files: FxHashMap<FileId, Range<usize>>,
    /// Programs that were met on the way, each with who ran it where that matters.
    programs: FxHashSet<(FileId, Option<i32>)>,
    /// Not told of yet.
    pub pythons: Vec<Python>,
    /// Not told of yet.
    pub notices: Vec<String>,
}

impl Crowd {
    /// Places what these Pythons have of the markers. A group that none of them has is an error.
    pub fn place(
        &mut self,
        kernel: &mut Kernel,
        interpreters: &[Interpreter],
        groups: &[MarkerGroup],
        reach: Reach<'_>,
    ) -> Result<(), Error> {
        let has = |interpreter: &Interpreter, group| plan::groups(&interpreter.image).contains(&group);
        let missing =
            |&&group: &&MarkerGroup| !interpreters.iter().any(|interpreter| has(interpreter, group));
        if groups.iter().any(|group| missing(&group)) {
            // Whatever the first one says of all that it was asked for.
            interpreters
                .iter()
                .try_for_each(|interpreter| plan::plan(&interpreter.image, groups).map(drop))?;
        }
        for interpreter in interpreters {
            if self.probes_of(interpreter).is_none() {
                let probes = self.place_new(kernel, interpreter, groups, reach)?;
                self.files.extend(id(interpreter).map(|id| (id, probes)));
            }
        }
        Ok(())
    }

    fn probes_of(&self, interpreter: &Interpreter) -> Option<Range<usize>> {
        self.files.get(&id(interpreter)?).cloned()
    }

    /// Places what a Python has of the markers. Returns the named probes among them.
    fn place_new(
        &mut self,
        kernel: &mut Kernel,
        interpreter: &Interpreter,
        groups: &[MarkerGroup],
        reach: Reach<'_>,
    ) -> Result<Range<usize>, Error> {
        let has = plan::groups(&interpreter.image);
        let (here, elsewhere): (Vec<MarkerGroup>, Vec<MarkerGroup>) =
            groups.iter().partition(|group| has.contains(group));
        let first = kernel.named_probes();
        let probes = plan::plan(&interpreter.image, &here)?;
        self.place_one(kernel, interpreter, &probes, reach)?;
        self.without(interpreter, &elsewhere);
        Ok(first..kernel.named_probes())
    }

    /// A process has become another program. If it is a Python that was not met before, its markers are placed: for the
    /// whole machine, or for everyone in the families, the process standing still meanwhile.
    pub fn meet(&mut self, kernel: &mut Kernel, pid: i32, groups: &[MarkerGroup], machine: bool) {
        // One that has ended is nobody any more.
        let Some(program) = file_id(Path::new(&format!("/proc/{pid}/exe"))) else { return };
        let all_at_once = machine || kernel.reaches_families();
        if !self.programs.insert((program, (!all_at_once).then_some(pid))) {
            return;
        }
        // Somebody else may have stopped it. Then it goes on, and its first events may be missing.
        let _held = (!machine).then(|| StoppedProcess::stop(pid).ok());
        let placed = Interpreter::of_process(pid)
            .and_then(|interpreter| self.place_late(kernel, &interpreter, pid, groups, machine));
        match placed {
            Ok(()) | Err(Error::NotPython { .. } | Error::NotAProgram { .. } | Error::Gone { .. }) => {}
            Err(error) => self.notices.push(format!("a program that was started is not recorded: {error}")),
        }
    }

    fn place_late(
        &mut self,
        kernel: &mut Kernel,
        interpreter: &Interpreter,
        pid: i32,
        groups: &[MarkerGroup],
        machine: bool,
    ) -> Result<(), Error> {
        if interpreter.image.notes.is_empty() {
            return Err(Error::NoMarkers { path: interpreter.image.path.clone() });
        }
        if machine {
            return self.place(kernel, std::slice::from_ref(interpreter), groups, Reach::Machine);
        }
        let mut reached = BTreeSet::from([pid]);
        let probes = match self.probes_of(interpreter) {
            Some(probes) => {
                kernel.reach(probes.clone(), &[pid])?;
                probes
            }
            None => self.place_new(kernel, interpreter, groups, Reach::Families(&[pid]))?,
        };
        if probes.is_empty() {
            // Not handed on: whoever runs this file next needs probes of their own.
            return Ok(());
        }
        self.files.extend(id(interpreter).map(|id| (id, probes.clone())));
        // Whoever is there gets them, too, and hands them on to all that start later.
        loop {
            let members = kernel.members();
            let new: Vec<i32> = members.difference(&reached).copied().collect();
            if new.is_empty() {
                return Ok(());
            }
            kernel.reach(probes.clone(), &new)?;
            reached.extend(new);
        }
    }

    fn place_one(
        &mut self,
        kernel: &mut Kernel,
        interpreter: &Interpreter,
        probes: &[Probe],
        reach: Reach<'_>,
    ) -> Result<(), Error> {
        kernel.place(interpreter.file.as_fd(), probes, reach)?;
        self.pythons.extend(interpreter.image.python.map(|python| Python {
            version: plan::version_text(&python),
            build: None,
            executable: Some(interpreter.image.path.to_string_lossy().into_owned()),
            path: Vec::new(),
        }));
        Ok(())
    }

    fn without(&mut self, interpreter: &Interpreter, missing: &[MarkerGroup]) {
        if missing.is_empty() {
            return;
        }
        let missing: Vec<&str> = missing.iter().map(|group| group.name()).collect();
        let path = interpreter.image.path.display();
        let version = interpreter.image.python.as_ref().map(plan::version_text).unwrap_or_default();
        let missing = missing.join(" and ");
        self.notices.push(format!(
            "{path} (CPython {version}) is recorded without its {missing} events: it has no such markers"
        ));
    }
}

/// Nothing where the file does not say it. Such a file is nobody's double.
fn id(interpreter: &Interpreter) -> Option<FileId> {
    interpreter.file.metadata().ok().map(|it| (it.dev(), it.ino()))
}
