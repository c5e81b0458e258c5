//! Every call is in the trace, exactly once: counts per function equal those of an independent counter.
//!
//! The counter is `sys.setprofile` in a run of its own (`tests/counter`); a generator counts per resume on both sides.

#![cfg(feature = "record")]

mod support;

use std::path::{Path, PathBuf};

use support::calls::{assert_same, counted, profiled, recorded};
use support::venv::{Environment, benchmark};
use support::{Python, Subject, on_every_agent, on_every_python, program};

on_every_python!(a_real_program, the_matrix, richards, chaos);
on_every_agent!(a_real_programs_library, as_cprofile_counts);

/// Runs the program twice, counted and recorded, and compares what happened in files below the roots.
fn compare(subject: &Subject, arguments: &[PathBuf], roots: &[&str]) {
    let counted = counted(&subject.python, arguments, roots);
    let recorded = recorded(&subject.record(&[], arguments), roots);
    assert_same(&counted, &recorded);
}

fn programs() -> String {
    program("").to_string_lossy().into_owned()
}

fn a_real_program(subject: &Subject) {
    compare(subject, &[program("press.py"), "60".into()], &[&programs()]);
}

/// Also what the program calls in the standard library, and code that has no file. Not by the static markers: they
/// tell of the interpreter's own start too, in which the same modules are imported. In an empty environment, since
/// what is installed may run code when Python starts and ends.
fn a_real_programs_library(subject: &Subject) {
    let home = subject.python.says("sys.base_prefix");
    let environment = (!subject.python.is_made()).then(|| Environment::of(&subject.python));
    let program = environment.as_ref().map(|environment| environment.bin().join("python"));
    let program = program.unwrap_or_else(|| subject.python.program.clone());
    let subject = Subject { python: Python { program, ..subject.python.clone() }, ..subject.clone() };
    compare(&subject, &[self::program("press.py"), "5".into()], &[&programs(), &home, "<string>"]);
}

fn as_cprofile_counts(subject: &Subject) {
    let (arguments, roots) = ([program("press.py"), "10".into()], [programs()]);
    let roots = roots.each_ref().map(String::as_str);
    let profiled = profiled(&subject.python, &arguments, &roots);
    assert_same(&profiled, &recorded(&subject.record(&[], &arguments), &roots));
}

/// The static markers are watched in the launched process only, so there the parts that start others are left out.
fn the_matrix(subject: &Subject) {
    let alone = "recursion methods generators throws exceptions comprehensions lambdas decorators classes evaluated \
                 imports collections coroutines threads";
    let parts = if subject.provider == "usdt" { alone } else { "" };
    let mut arguments = vec![program("matrix.py")];
    arguments.extend(parts.split_whitespace().map(PathBuf::from));
    compare(subject, &arguments, &[&programs(), "<made>"]);
}

fn richards(subject: &Subject) {
    pyperformance(subject, "richards");
}

fn chaos(subject: &Subject) {
    pyperformance(subject, "chaos");
}

fn pyperformance(subject: &Subject, name: &str) {
    let Some(source) = benchmark(name) else { return };
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benchmark.py");
    let root = source.parent().expect("it lies in a folder").to_string_lossy().into_owned();
    compare(subject, &[driver, source, "1".into()], &[&root]);
}
