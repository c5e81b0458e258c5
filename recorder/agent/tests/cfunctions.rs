//! Every call of a C function is recorded once, with the function's name.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use pyrec_wire::RecordKind;
use support::{
    CFUNCTION, FUNCTION, Process, Python, Recording, RecordingOptions, Trace, program, pythons, run,
};

const VERSIONS: [u32; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

fn record(python: &Python, arguments: &[&str]) -> Trace {
    let recording =
        Recording::start(RecordingOptions { groups: FUNCTION | CFUNCTION, ..RecordingOptions::default() });
    run(recording.command(&python.path).args(arguments));
    recording.finish()
}

/// The C functions that were called inside a Python function: name, and whether the record is the
/// call or its end.
fn calls_inside(process: &Process, function: &str) -> Vec<(String, bool)> {
    let (codes, texts) = (process.codes(), process.texts());
    let mut found = Vec::new();
    let mut is_inside = false;
    for record in process.records() {
        match record.kind().expect("known") {
            RecordKind::Call if codes[&record.id()].2 == function => is_inside = true,
            RecordKind::Return if codes[&record.id()].2 == function => is_inside = false,
            kind @ (RecordKind::CfunctionCall | RecordKind::CfunctionReturn) if is_inside => {
                found.push((texts[&record.id()].clone(), kind == RecordKind::CfunctionCall));
            }
            _ => {}
        }
    }
    found
}

fn counted_by_setprofile(python: &Python) -> BTreeMap<(String, bool), u64> {
    let output = run(Command::new(&python.path).arg(program("cfunctions.py")).arg("--count"));
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    let counts = text.lines().map(|line| {
        let [name, starts, count] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        ((name.to_owned(), starts == "1"), count.parse().expect("a number"))
    });
    counts.collect()
}

#[test]
fn each_call_is_recorded_once() {
    for python in pythons(&VERSIONS) {
        let trace = record(&python, &[program("cfunctions.py").to_str().expect("its path is UTF-8")]);
        assert_eq!(trace.notices(), Vec::<&str>::new());
        let mut counts = BTreeMap::<(String, bool), u64>::new();
        for (name, starts) in calls_inside(&trace.processes[0], "work") {
            let plain = name.rsplit('.').next().unwrap_or(&name);
            *counts.entry((plain.to_owned(), starts)).or_default() += 1;
        }
        let expected = counted_by_setprofile(&python);
        assert!(expected.len() > 20, "{expected:?}");
        assert_eq!(counts, expected, "{python:?}");
    }
}

#[test]
fn names_have_the_defining_module_or_class() {
    let expected = [
        "len",
        "time.time",
        "list.append",
        "list.extend",
        "sorted",
        "dict.fromkeys",
        "str.maketrans",
        "str.join",
        "str.format",
        "collections.deque.append",
        "int.from_bytes",
    ];
    for python in pythons(&VERSIONS) {
        let trace = record(&python, &[program("cfunctions.py").to_str().expect("its path is UTF-8")]);
        let names: BTreeSet<String> =
            calls_inside(&trace.processes[0], "work").into_iter().map(|(name, _)| name).collect();
        for name in expected {
            assert!(names.contains(name), "{name}: {names:?} on {python:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with("__main__")), "{names:?}");
    }
}

#[test]
fn each_end_matches_the_innermost_call() {
    let source = "\
import sys, threading, types
def work():
    types.MethodType(len, [1])()
    sorted([2, 1], key=lambda n: abs(n))
    try: sorted([2, 1], key=lambda n: [].index(n))
    except ValueError: pass
    sys.setprofile(sys.getprofile())
    list(map(abs, [1]))
    def generate():
        yield abs(1)
    list(generate())
    thread = threading.Thread(target=abs, args=(1,))
    thread.start()
    thread.join()
    'a'.join(str(n) for n in range(3))
work()
";
    for python in pythons(&VERSIONS) {
        let trace = record(&python, &["-c", source]);
        let process = &trace.processes[0];
        for ring in &process.rings {
            let texts = process.texts();
            let mut open = Vec::<&str>::new();
            for record in &ring.records {
                match record.kind() {
                    Some(RecordKind::CfunctionCall) => open.push(&texts[&record.id()]),
                    Some(RecordKind::CfunctionReturn) => {
                        assert_eq!(open.pop(), Some(texts[&record.id()].as_str()), "{python:?}");
                    }
                    _ => {}
                }
            }
            assert_eq!(open, Vec::<&str>::new(), "{python:?}");
        }
    }
}

#[test]
fn a_forked_child_defines_the_names_again() {
    let source = "\
import os
def work():
    len('a')
    'x'.upper()
work()
if os.fork() == 0:
    work()
    os._exit(0)
os.wait()
";
    for python in pythons(&VERSIONS) {
        let trace = record(&python, &["-c", source]);
        let names = trace.processes.iter().map(|process| calls_inside(process, "work"));
        let expected = ["len", "len", "str.upper", "str.upper"];
        let is_expected =
            |names: Vec<(String, bool)>| names.iter().map(|(name, _)| name.as_str()).eq(expected);
        assert!(trace.processes.len() == 2 && names.into_iter().all(is_expected), "{python:?}");
    }
}

#[test]
fn a_method_definition_that_takes_a_freed_ones_address_has_its_own_name() {
    // An extension that frees a `PyMethodDef` and creates another one may get the same address.
    // Here the definition is overwritten.
    let source = "\
import ctypes
class PyMethodDef(ctypes.Structure):
    _fields_ = [('name', ctypes.c_void_p), ('method', ctypes.c_void_p), ('flags', ctypes.c_int),
                ('doc', ctypes.c_void_p)]
METH_NOARGS = 4
method = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 7)
new_function = ctypes.pythonapi.PyCFunction_NewEx
new_function.argtypes = ctypes.POINTER(PyMethodDef), ctypes.c_void_p, ctypes.c_void_p
new_function.restype = ctypes.py_object
names = [ctypes.create_string_buffer(name) for name in (b'first', b'second', b'third')]
definition = PyMethodDef(None, ctypes.cast(method, ctypes.c_void_p).value, METH_NOARGS, None)
def work(function):
    function()
    function()
for name in names:
    definition.name = ctypes.addressof(name)
    work(new_function(definition, None, None))
";
    for python in pythons(&VERSIONS) {
        let trace = record(&python, &["-c", source]);
        let calls = calls_inside(&trace.processes[0], "work");
        let names: Vec<&str> =
            calls.iter().filter(|(_, is_call)| *is_call).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["first", "first", "second", "second", "third", "third"], "{python:?}");
    }
}
