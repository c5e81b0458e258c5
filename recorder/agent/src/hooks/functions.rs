//! The hooks for functions and lines: `sys.monitoring`, or before 3.12 a profile function.

use crate::context::{Context, MarkerGroup};
use crate::hooks::error::HookError;
use crate::hooks::monitoring::{self, Monitoring};
use crate::hooks::profile::{self, ProfileHooks};
use crate::hooks::{cfunctions, instances, setprofile_proxy, thread_hook};
use crate::python::{PyObject, Raised};
use crate::ring::definitions;

/// Hooks that are prepared, to be enabled.
pub enum FunctionHooks {
    Monitoring(Monitoring<'static>),
    Profile(ProfileHooks),
}

/// Prepares the hooks for what the session records, and enables none.
pub fn prepare(context: &'static Context) -> Result<FunctionHooks, HookError> {
    let session = context.session();
    if session.has_group(MarkerGroup::Cfunction) {
        cfunctions::prepare(&context.python).map_err(|Raised| HookError::CfunctionLayout)?;
    }
    if session.has_group(MarkerGroup::Instance) {
        prepare_instances(context)?;
    }
    if context.python.version >= (3, 12) {
        monitoring::prepare(context).map(FunctionHooks::Monitoring)
    } else {
        let hooks = profile::prepare(context)?;
        thread_hook::install(context)?;
        setprofile_proxy::install(context)?;
        Ok(FunctionHooks::Profile(hooks))
    }
}

fn prepare_instances(context: &'static Context) -> Result<(), HookError> {
    if context.python.version < (3, 12) {
        definitions::notice(
            context.session(),
            "Instances are not recorded: only CPython 3.12 and later report them.",
        );
        return Ok(());
    }
    instances::prepare(&context.python).map_err(|Raised| HookError::ClassLayout)
}

/// Disables and removes the hooks.
pub fn remove(context: &'static Context) {
    if context.python.version >= (3, 12) {
        monitoring::remove(context);
    } else {
        profile::remove(context);
    }
}

impl FunctionHooks {
    /// Enables the hooks.
    pub fn enable(&self) -> Result<(), Raised> {
        match self {
            FunctionHooks::Monitoring(monitoring) => monitoring.enable(),
            FunctionHooks::Profile(profile) => profile.enable(),
        }
    }

    /// Runs `body` with the hooks enabled, at least for `code`.
    pub fn with_enabled<R>(&self, code: *mut PyObject, body: impl FnOnce() -> R) -> Result<R, Raised> {
        match self {
            FunctionHooks::Monitoring(monitoring) => {
                monitoring.set_enabled_for(code, true)?;
                let result = body();
                monitoring.set_enabled_for(code, false)?;
                Ok(result)
            }
            FunctionHooks::Profile(profile) => Ok(profile.with_enabled(body)),
        }
    }
}
