//! The hooks for functions and lines: whichever this CPython has.

use crate::agent::{Agent, CFUNCTION, INSTANCE};
use crate::monitoring::{self, Monitoring};
use crate::profile::{self, Profile};
use crate::python::{Object, Raised};
use crate::{cfunctions, definitions, instances};

/// Hooks that are ready to be switched on.
pub enum Functions {
    Monitoring(Monitoring<'static>),
    Profile(Profile),
}

/// What keeps the hooks from being installed.
pub enum Failure {
    /// Every tool number of `sys.monitoring` is taken.
    NoTool,
    /// Frames are not laid out as in the CPython of this version.
    OtherFrames,
    /// Neither are functions in C.
    OtherCfunctions,
    /// Nor are classes.
    OtherClasses,
    /// CPython refused.
    Raised,
}

impl From<Raised> for Failure {
    fn from(Raised: Raised) -> Failure {
        Failure::Raised
    }
}

impl Failure {
    /// What the user is told.
    pub fn notice(&self) -> &'static str {
        match self {
            Failure::NoTool => {
                "Functions are not recorded: the program has taken all six tool numbers of sys.monitoring."
            }
            Failure::OtherFrames => {
                "Functions are not recorded: this build of CPython has frames of a layout of its own."
            }
            Failure::OtherCfunctions => {
                "Functions are not recorded: this build of CPython has functions in C of a layout of its own."
            }
            Failure::OtherClasses => {
                "Functions are not recorded: this build of CPython has classes of a layout of its own."
            }
            Failure::Raised => "Functions are not recorded: CPython refused the agent's hooks.",
        }
    }
}

/// Prepares what the recorder asks for. Nothing is switched on yet.
pub fn prepare(agent: &'static Agent) -> Result<Functions, Failure> {
    if agent.wants(CFUNCTION) && cfunctions::prepare(&agent.python).is_err() {
        return Err(Failure::OtherCfunctions);
    }
    if agent.wants(INSTANCE) {
        prepare_instances(agent)?;
    }
    if agent.python.version >= (3, 12) {
        monitoring::prepare(agent).map(Functions::Monitoring)
    } else {
        profile::prepare(agent).map(Functions::Profile)
    }
}

fn prepare_instances(agent: &'static Agent) -> Result<(), Failure> {
    if agent.python.version < (3, 12) {
        definitions::notice(agent, "Instances are not recorded: only CPython 3.12 and later tell of them.");
        return Ok(());
    }
    instances::prepare(&agent.python).map_err(|Raised| Failure::OtherClasses)
}

/// Takes all hooks away.
pub fn remove(agent: &'static Agent) {
    if agent.python.version >= (3, 12) {
        monitoring::remove(agent);
    } else {
        profile::remove(agent);
    }
}

impl Functions {
    /// Switches the hooks on, for good.
    pub fn switch_on(&self) -> Result<(), Raised> {
        match self {
            Functions::Monitoring(monitoring) => monitoring.switch_on(),
            Functions::Profile(profile) => profile.switch_on(),
        }
    }

    /// Runs `body` with the hooks on, for `code` at least.
    pub fn during<R>(&self, code: *mut Object, body: impl FnOnce() -> R) -> Result<R, Raised> {
        match self {
            Functions::Monitoring(monitoring) => {
                monitoring.switch_local(code, true)?;
                let result = body();
                monitoring.switch_local(code, false)?;
                Ok(result)
            }
            Functions::Profile(profile) => Ok(profile.during(body)),
        }
    }
}
