//! CPython's own test suite, run under the recorder: tests that pass alone must pass recorded.

#![cfg(feature = "record")]

mod support;

use std::process::Command;

use support::{Python, pyrec, run, skip, stdout};

/// Quick modules that test what the agent hooks.
const QUICK_MODULES: [&str; 6] = [
    "test_generators",
    "test_scope",
    "test_with",
    "test_contextlib",
    "test_sys_setprofile",
    "test_sys_settrace",
];

/// Modules for `python -m test`. `docs/design/agent.md` explains why test_dis, test_frame,
/// test_monitoring and test_pdb are left out.
const MODULES: [&str; 44] = [
    "test_asyncgen",
    "test_atexit",
    "test_audit",
    "test_bdb",
    "test_class",
    "test_code",
    "test_compile",
    "test_context",
    "test_contextlib",
    "test_contextlib_async",
    "test_coroutines",
    "test_cprofile",
    "test_dataclasses",
    "test_decorators",
    "test_descr",
    "test_exceptions",
    "test_except_star",
    "test_faulthandler",
    "test_fork1",
    "test_functools",
    "test_gc",
    "test_generators",
    "test_import",
    "test_inspect",
    "test_profile",
    "test_raise",
    "test_runpy",
    "test_scope",
    "test_signal",
    "test_super",
    "test_sys",
    "test_sys_setprofile",
    "test_sys_settrace",
    "test_thread",
    "test_threading",
    "test_threading_local",
    "test_threadsignals",
    "test_trace",
    "test_traceback",
    "test_type_params",
    "test_weakref",
    "test_with",
    "test_yield_from",
    "test_zipapp",
];

/// Parts of modules that take long, for `python -m unittest`.
const PARTS: [&str; 5] = [
    "test.test_asyncio.test_futures",
    "test.test_asyncio.test_subprocess",
    "test.test_asyncio.test_tasks",
    // The names before and since 3.12.
    "test.test_multiprocessing_spawn.WithProcessesTestProcess",
    "test.test_multiprocessing_spawn.test_processes.WithProcessesTestProcess",
];

mod quick_modules_pass {
    use super::*;

    #[test]
    fn with_profile_functions() {
        assert_pass_recorded(&Python::find("3.11"), &QUICK_MODULES, &[]);
    }

    #[test]
    fn with_sys_monitoring() {
        assert_pass_recorded(&Python::find("3.13"), &QUICK_MODULES, &[]);
    }
}

macro_rules! all_modules_pass {
    ($($name:ident $version:literal),+) => {
        $(#[test]
        #[ignore = "it takes minutes; `make soak` runs it"]
        fn $name() {
            assert_pass_recorded(&Python::find($version), &MODULES, &PARTS);
        })+
    };
}

mod all_modules_pass {
    use super::*;

    all_modules_pass!(on_3_8 "3.8", on_3_9 "3.9", on_3_10 "3.10", on_3_11 "3.11", on_3_12 "3.12", on_3_13 "3.13",
        on_3_14 "3.14", on_3_15 "3.15");
}

/// Asserts that every module that passes alone passes recorded. A module that this Python lacks
/// fails both ways.
fn assert_pass_recorded(python: &Option<Python>, modules: &[&str], parts: &[&str]) {
    let Some(python) = python.as_ref().filter(|python| has_test_suite(python)) else {
        return skip("no such Python with CPython's test suite");
    };
    let half = modules.len() / 2;
    let modules = modules.iter().map(|module| ["-m", "test", "-q", module]);
    let parts = parts.iter().map(|part| ["-m", "unittest", "-q", part]);
    let mut failed = Vec::new();
    let mut passed = 0;
    for words in modules.chain(parts) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut record = pyrec("record");
        record.args(["-q", "--"]).arg(&python.program).args(words).current_dir(directory.path());
        let recorded = run(&mut record);
        if recorded.status.success() {
            passed += 1;
        } else if run(python.command().args(words).current_dir(directory.path())).status.success() {
            failed.push(format!("{}: {}\n{}", words[3], recorded.status, stdout(&recorded)));
        }
    }
    assert!(failed.is_empty(), "{python:?}: {}", failed.join("\n"));
    assert!(passed > half, "{python:?}: only {passed} pass, alone or recorded");
}

fn has_test_suite(python: &Python) -> bool {
    let mut command = Command::new(&python.program);
    run(command.args(["-c", "import test.test_generators, test.support"])).status.success()
}
