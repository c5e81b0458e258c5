//! A script for SystemTap, and the tapset for those who write their own.

use pyrec_schema::Marker;

use super::{Python, line, quoted};
use crate::layout::{END, Field, HEAD};

/// The script.
pub fn stap(python: &Python) -> String {
    let usage = [
        "sudo stap -o capture.txt capture.stp -c 'python3 script.py'",
        "sudo stap -o capture.txt capture.stp -x PID     # Ctrl-C ends it",
    ];
    let mut script = format!("#!/usr/bin/stap\n{}\n", python.about("//", &usage));
    script += &format!(
        "probe begin {{\n    printf(\"{HEAD}\\tstap\\t%d\\t%d\\t{}\\n\", ktime_get_ns(), gettimeofday_ns())\n}}\n",
        python.facts()
    );
    for marker in python.markers() {
        let number = |field| match field {
            Field::Int(at) | Field::Long(at) | Field::Text(at) => format!("$arg{at}"),
        };
        let text = |at: u8| format!("user_string2($arg{at}, \"\")");
        let (format, values) = line(marker, "%d", ["ktime_get_ns()", "pid()", "tid()"], number, text);
        script += &format!("probe {} {{\n    printf(\"{format}\", {values})\n}}\n", place(python, marker));
    }
    if python.listens_to_line() {
        script += &format!("global lines\nprobe {} {{\n    lines++\n}}\n", place(python, Marker::Line));
    }
    let lines = if python.listens_to_line() { "    printf(\"# %d lines\\n\", lines)\n" } else { "" };
    script + &format!("probe end {{\n{lines}    printf(\"{END}\\n\")\n}}\n")
}

/// `python.stp`: probe points by name, with the arguments as variables. It takes the place of the file of that name among
/// SystemTap's own tapsets, whose probes are those of other Pythons.
pub fn tapset(python: &Python) -> String {
    let mut script = format!(
        "// CPython {} in {}, by its static markers: python.function.entry and so on.\n\
         //\n//     sudo cp python.stp /usr/share/systemtap/tapset/python.stp\n//\n\
         // frameptr is always 0: the markers do not tell the frame.\n",
        python.version.as_deref().unwrap_or("of an unknown version"),
        super::printable(python.image())
    );
    // What entries need is there, too, so that a script can probe it beside them.
    for marker in python.markers().chain(python.listens_to_line().then_some(Marker::Line)) {
        let (name, variables) = alias(marker);
        script += &format!("\nprobe python.{name} = {} {{\n", place(python, marker));
        if marker == Marker::FunctionEntry && python.listens_to_line() {
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

/// A marker's name in the tapset, and its variables.
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
fn place(python: &Python, marker: Marker) -> String {
    let library = python.library.as_deref().map(|library| format!(".library(\"{}\")", quoted(library)));
    let (program, library) = (quoted(&python.program), library.unwrap_or_default());
    format!("process(\"{program}\"){library}.mark(\"{}\")", marker.name())
}
