//! Why functions cannot be recorded.

use crate::python::Raised;

/// The reason why the hooks for functions cannot be installed.
pub enum HookError {
    /// Every tool id of `sys.monitoring` is in use.
    NoToolId,
    /// This build of CPython has frames of another layout.
    FrameLayout,
    /// This build of CPython has C functions of another layout.
    CfunctionLayout,
    /// This build of CPython has classes of another layout.
    ClassLayout,
    /// CPython raised an exception.
    Raised,
}

impl From<Raised> for HookError {
    fn from(Raised: Raised) -> HookError {
        HookError::Raised
    }
}

impl HookError {
    /// The notice to the user.
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
