//! The number of recorded calls of each function equals that of an independent counter.
//!
//! The counter uses `sys.setprofile` in a separate run (`tests/counter`). Both count each resume of
//! a generator.

#![cfg(feature = "record")]

mod support;

use std::path::{Path, PathBuf};

use support::call_counts::{assert_same, counted, profiled, recorded};
use support::venv::{Environment, benchmark};
use support::{Python, Setup, on_every_agent, on_every_python, program};

on_every_python!(calls_of_a_program, calls_of_every_kind_of_code, calls_of_richards, calls_of_chaos);
on_every_agent!(calls_of_a_program_and_the_library, calls_as_cprofile_counts_them);

/// Runs a program twice, counted and recorded, and compares the calls in files whose paths start
/// with one of the roots.
fn compare(setup: &Setup, arguments: &[PathBuf], roots: &[&str]) {
    let counted = counted(&setup.python, arguments, roots);
    let recorded = recorded(&setup.record(&[], arguments), roots);
    assert_same(&counted, &recorded);
}

fn programs() -> String {
    program("").to_string_lossy().into_owned()
}

fn calls_of_a_program(setup: &Setup) {
    compare(setup, &[program("press.py"), "60".into()], &[&programs()]);
}

/// Includes calls in the standard library, and of code without a file. By the agent only: static
/// markers also fire during the start of the interpreter, which the counter does not see. In an
/// empty virtual environment, since installed packages may run code when Python starts and ends.
fn calls_of_a_program_and_the_library(setup: &Setup) {
    let home = setup.python.evaluate("sys.base_prefix");
    let environment = (!setup.python.is_in_container()).then(|| Environment::of(&setup.python));
    let program = environment.as_ref().map(|environment| environment.bin().join("python"));
    let program = program.unwrap_or_else(|| setup.python.program.clone());
    let setup = Setup { python: Python { program, ..setup.python.clone() }, ..setup.clone() };
    compare(&setup, &[self::program("press.py"), "5".into()], &[&programs(), &home, "<string>"]);
}

fn calls_as_cprofile_counts_them(setup: &Setup) {
    let (arguments, roots) = ([program("press.py"), "10".into()], [programs()]);
    let roots = roots.each_ref().map(String::as_str);
    let profiled = profiled(&setup.python, &arguments, &roots);
    assert_same(&profiled, &recorded(&setup.record(&[], &arguments), &roots));
}

/// The counter covers child processes only as the agent does, so by static markers the parts that
/// start processes are left out.
fn calls_of_every_kind_of_code(setup: &Setup) {
    let without_children = "recursion methods generators throws exceptions comprehensions lambdas decorators classes evaluated \
                 imports collections coroutines threads";
    let parts = if setup.provider == "usdt" { without_children } else { "" };
    let mut arguments = vec![program("matrix.py")];
    arguments.extend(parts.split_whitespace().map(PathBuf::from));
    compare(setup, &arguments, &[&programs(), "<made>"]);
}

fn calls_of_richards(setup: &Setup) {
    compare_benchmark(setup, "richards");
}

fn calls_of_chaos(setup: &Setup) {
    compare_benchmark(setup, "chaos");
}

fn compare_benchmark(setup: &Setup, name: &str) {
    let Some(source) = benchmark(name) else { return };
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benchmark.py");
    let root = source.parent().expect("the file is in a directory").to_string_lossy().into_owned();
    compare(setup, &[driver, source, "1".into()], &[&root]);
}
