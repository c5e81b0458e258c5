//! The capture script for SystemTap, and a tapset for scripts of one's own.

use pyrec_schema::Marker;

use super::{TargetPython, print_arguments, quoted};
use crate::capture_format::{Argument, END, HEADER};

/// Generates the capture script.
pub fn stap(python: &TargetPython) -> String {
    let usage = [
        "sudo stap -o capture.txt capture.stp -c 'python3 script.py'",
        "sudo stap -o capture.txt capture.stp -x PID     # Ctrl-C ends it",
    ];
    let mut script = format!("#!/usr/bin/stap\n{}\n", python.usage_comment("//", &usage));
    script += &format!(
        "probe begin {{\n    printf(\"{HEADER}\\tstap\\t%d\\t%d\\t{}\\n\", ktime_get_ns(), gettimeofday_ns())\n}}\n",
        python.header_fields()
    );
    for marker in python.markers() {
        let number = |argument| match argument {
            Argument::Int(at) | Argument::Long(at) | Argument::Text(at) => format!("$arg{at}"),
        };
        let text = |at: u8| format!("user_string2($arg{at}, \"\")");
        let (format, values) =
            print_arguments(marker, "%d", ["ktime_get_ns()", "pid()", "tid()"], number, text);
        script +=
            &format!("probe {} {{\n    printf(\"{format}\", {values})\n}}\n", probe_point(python, marker));
    }
    if python.needs_line_probe() {
        script += &format!("global lines\nprobe {} {{\n    lines++\n}}\n", probe_point(python, Marker::Line));
    }
    let lines = if python.needs_line_probe() { "    printf(\"# %d lines\\n\", lines)\n" } else { "" };
    script + &format!("probe end {{\n{lines}    printf(\"{END}\\n\")\n}}\n")
}

/// Generates the tapset `python.stp`: probe points by name, with the arguments as variables. It
/// replaces the tapset of that name among SystemTap's own, whose probes are for other builds of
/// Python.
pub fn tapset(python: &TargetPython) -> String {
    let mut script = format!(
        "// CPython {} in {}, by its static markers: python.function.entry and so on.\n\
         //\n//     sudo cp python.stp /usr/share/systemtap/tapset/python.stp\n//\n\
         // frameptr is always 0: the markers have no argument for the frame.\n",
        python.version.as_deref().unwrap_or("of an unknown version"),
        super::printable(python.image())
    );
    // If function.entry fires only with a line probe, a script must be able to probe line, too.
    for marker in python.markers().chain(python.needs_line_probe().then_some(Marker::Line)) {
        let (name, variables) = alias(marker);
        script += &format!("\nprobe python.{name} = {} {{\n", probe_point(python, marker));
        if marker == Marker::FunctionEntry && python.needs_line_probe() {
            script = script.replacen(
                "probe python.function.entry",
                "// This version fires it only while python.line is probed, too.\nprobe python.function.entry",
                1,
            );
        }
        for (variable, value) in variables {
            script += &format!("    {variable} = {value}\n");
        }
        script += "}\n";
    }
    script
}

/// The name of a marker in the tapset, and its variables.
fn alias(marker: Marker) -> (&'static str, &'static [(&'static str, &'static str)]) {
    const CODE: &[(&str, &str)] = &[
        ("filename", "user_string2($arg1, \"\")"),
        ("funcname", "user_string2($arg2, \"\")"),
        ("lineno", "$arg3"),
        ("frameptr", "0"),
    ];
    match marker {
        Marker::FunctionEntry => ("function.entry", CODE),
        Marker::FunctionReturn => ("function.return", CODE),
        Marker::Line => ("line", CODE),
        Marker::GcStart => ("gc.start", &[("generation", "$arg1")]),
        Marker::GcDone => ("gc.done", &[("collected", "$arg1")]),
        Marker::ImportStart => ("import.start", &[("modulename", "user_string2($arg1, \"\")")]),
        Marker::ImportDone => {
            ("import.done", &[("modulename", "user_string2($arg1, \"\")"), ("found", "$arg2")])
        }
        _ => ("audit", &[("event", "user_string2($arg1, \"\")")]),
    }
}

/// The probe point of a marker.
fn probe_point(python: &TargetPython, marker: Marker) -> String {
    let library = python.library.as_deref().map(|library| format!(".library(\"{}\")", quoted(library)));
    let (program, library) = (quoted(&python.program), library.unwrap_or_default());
    format!("process(\"{program}\"){library}.mark(\"{}\")", marker.name())
}
