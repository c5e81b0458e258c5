//! The Pythons that a recording has met, each with its markers placed once.

use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use pyrec_schema::{Group, Python};
use rustc_hash::FxHashSet;

use super::Error;
use super::kernel::Kernel;
use super::library::Interpreter;
use super::placing::Reach;
use super::plan::{self, Probe};

/// Pythons whose markers are placed, and what is to be said of them.
#[derive(Default)]
pub struct Crowd {
    /// The files, by device and inode.
    files: FxHashSet<(u64, u64)>,
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
        groups: &[Group],
        reach: Reach<'_>,
    ) -> Result<(), Error> {
        let has = |interpreter: &Interpreter, group| plan::groups(&interpreter.image).contains(&group);
        let missing = |&&group: &&Group| !interpreters.iter().any(|interpreter| has(interpreter, group));
        if groups.iter().any(|group| missing(&group)) {
            // Whatever the first one says of all that it was asked for.
            interpreters
                .iter()
                .try_for_each(|interpreter| plan::plan(&interpreter.image, groups).map(drop))?;
        }
        for interpreter in interpreters {
            let (here, elsewhere): (Vec<Group>, Vec<Group>) =
                groups.iter().partition(|&&group| has(interpreter, group));
            if self.is_new(interpreter) {
                let probes = plan::plan(&interpreter.image, &here)?;
                self.place_one(kernel, interpreter, &probes, reach)?;
                self.without(interpreter, &elsewhere);
            }
        }
        Ok(())
    }

    fn is_new(&mut self, interpreter: &Interpreter) -> bool {
        // Without its facts, a file is nobody's double.
        interpreter.file.metadata().map_or(true, |it| self.files.insert((it.dev(), it.ino())))
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

    fn without(&mut self, interpreter: &Interpreter, missing: &[Group]) {
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
