//! What a test records with: a provider and an interpreter. The macros make a test for each of
//! several setups.

use std::ffi::{OsStr, OsString};

use super::{Python, Recording, is_root, skip};

/// A provider, and an interpreter that it can record.
#[derive(Clone, Debug)]
pub struct Setup {
    pub provider: &'static str,
    pub python: Python,
}

impl Setup {
    /// The agent on this version of Python.
    pub fn agent(version: &str) -> Option<Setup> {
        let python = Python::find(version).or_else(|| Python::in_container(version));
        if python.is_none() {
            skip(&format!("no Python {version}"));
        }
        python.map(|python| Setup { provider: "agent", python })
    }

    /// The agent on the newest Python.
    pub fn any() -> Option<Setup> {
        Python::any().map(|python| Setup { provider: "agent", python })
    }

    /// The static markers of Debian's Python 3.11.
    pub fn usdt() -> Option<Setup> {
        let python = Python::with_markers()?;
        is_root().then_some(Setup { provider: "usdt", python })
    }

    /// The static markers of this version of Python.
    pub fn usdt_of(version: &str) -> Option<Setup> {
        if version == "3.11" {
            return Setup::usdt();
        }
        let python = Python::in_container(version);
        if python.is_none() {
            skip(&format!("no Python {version} by scripts/pythons"));
        }
        python.filter(|_| is_root()).map(|python| Setup { provider: "usdt", python })
    }

    /// Records `PYTHON ARGUMENTS…`. Panics unless the recording succeeds.
    pub fn record<S: AsRef<OsStr>>(&self, options: &[&str], arguments: &[S]) -> Recording {
        let mut words: Vec<OsString> = options.iter().map(OsString::from).collect();
        words.extend(["--provider", self.provider, "--"].map(OsString::from));
        words.push(self.python.program.clone().into());
        words.extend(arguments.iter().map(OsString::from));
        let recording = Recording::of(&words);
        assert!(recording.output.status.success(), "{words:?}: {}", recording.stderr());
        recording
    }
}

/// Makes a test of each `fn NAME(&Setup)` for every version of Python that the agent supports.
macro_rules! on_every_agent {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                agent_3_8 agent("3.8"), agent_3_9 agent("3.9"), agent_3_10 agent("3.10"), agent_3_11 agent("3.11"),
                agent_3_12 agent("3.12"), agent_3_13 agent("3.13"), agent_3_14 agent("3.14"),
                agent_3_15 agent("3.15"));
        })+
    };
}
pub(crate) use on_every_agent;

/// Makes the tests of [`on_every_agent`], and one by the static markers.
macro_rules! on_every_python {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                agent_3_8 agent("3.8"), agent_3_9 agent("3.9"), agent_3_10 agent("3.10"), agent_3_11 agent("3.11"),
                agent_3_12 agent("3.12"), agent_3_13 agent("3.13"), agent_3_14 agent("3.14"),
                agent_3_15 agent("3.15"), usdt_3_11 usdt());
        })+
    };
}
pub(crate) use on_every_python;

/// Makes a test of each `fn NAME(&Setup)` for each way to record: profile functions (3.11),
/// `sys.monitoring` (3.13), and static markers.
macro_rules! in_every_way {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                agent_3_11 agent("3.11"), agent_3_13 agent("3.13"), usdt_3_11 usdt());
        })+
    };
}
pub(crate) use in_every_way;

/// Makes a test of each `fn NAME(&Setup)` for every Python with static markers.
macro_rules! on_every_marked_python {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                usdt_3_9 usdt_of("3.9"), usdt_3_11 usdt_of("3.11"), usdt_3_13 usdt_of("3.13"),
                usdt_3_14 usdt_of("3.14"), usdt_3_15 usdt_of("3.15"));
        })+
    };
}
pub(crate) use on_every_marked_python;

/// Makes a test of each `fn NAME(&Setup)` for every Python with static markers for function calls.
macro_rules! on_every_function_marker {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            $crate::support::tests_of!(super::$name:
                usdt_3_9 usdt_of("3.9"), usdt_3_11 usdt_of("3.11"), usdt_3_15 usdt_of("3.15"));
        })+
    };
}
pub(crate) use on_every_function_marker;

macro_rules! tests_of {
    ($run:path: $($test:ident $setup:ident($($version:literal)?)),+) => {
        $(#[test]
        fn $test() {
            $crate::support::Setup::$setup($($version)?).iter().for_each($run);
        })+
    };
}
pub(crate) use tests_of;
