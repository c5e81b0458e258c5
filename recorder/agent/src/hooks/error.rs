//! Errors of installing the hooks for functions.

use crate::python::Raised;

/// The reason why the hooks for functions cannot be installed.
pub enum HookError {
    /// Every tool id of `sys.monitoring` is in use.
    NoToolId,
    /// The layout of frames in this build of CPython is not the one that the agent expects.
    FrameLayout,
    /// The layout of C function objects in this build is not the one that the agent expects.
    CfunctionLayout,
    /// The layout of classes in this build is not the one that the agent expects.
    ClassLayout,
    /// CPython raised an exception while the hooks were installed.
    Raised,
}

impl From<Raised> for HookError {
    fn from(Raised: Raised) -> HookError {
        HookError::Raised
    }
}

impl HookError {
    /// Returns the text of the notice to the user.
    pub fn notice(&self) -> &'static str {
        match self {
            HookError::NoToolId => {
                "Functions are not recorded: the program uses all six tool ids of sys.monitoring."
            }
            HookError::FrameLayout => {
                "Functions are not recorded: this build of CPython has another layout of frames."
            }
            HookError::CfunctionLayout => {
                "Functions are not recorded: this build of CPython has another layout of C functions."
            }
            HookError::ClassLayout => {
                "Functions are not recorded: this build of CPython has another layout of classes."
            }
            HookError::Raised => "Functions are not recorded: CPython refused the agent's hooks.",
        }
    }
}
