//! The capture script for DTrace: macOS, FreeBSD, illumos, and Oracle's DTrace for Linux.

use super::{TargetPython, print_arguments};
use crate::capture_format::{Argument, END, HEADER};

/// Generates the capture script. `python$target` finds the markers in the program and in any
/// library of the process.
pub fn dtrace(python: &TargetPython) -> String {
    let usage = [
        "sudo dtrace -s capture.d -c 'python3 script.py' -o capture.txt",
        "sudo dtrace -s capture.d -p PID -o capture.txt     # Ctrl-C ends it",
    ];
    let mut script =
        format!("#!/usr/sbin/dtrace -s\n{}\n", python.usage_comment("//", &usage).replace("//", " *"));
    script = script.replacen("\n *", "\n/*\n *", 1).trim_end().to_owned() + "\n */\n\n";
    // Accepts probes without a match, since an unknown version may lack some of the markers.
    if python.version.is_none() {
        script += "#pragma D option zdefs\n";
    }
    script += "#pragma D option quiet\n#pragma D option strsize=1024\n#pragma D option bufsize=16m\n\
               #pragma D option switchrate=20hz\n\n";
    script += &format!(
        "dtrace:::BEGIN\n{{\n    printf(\"{HEADER}\\tdtrace\\t%d\\t%d\\t{}\\n\", timestamp, walltimestamp);\n}}\n",
        python.header_fields()
    );
    for marker in python.markers() {
        let number = |argument| match argument {
            Argument::Int(at) => format!("(int)arg{}", at - 1),
            Argument::Long(at) | Argument::Text(at) => format!("(long)arg{}", at - 1),
        };
        let text = |at: u8| format!("arg{0} ? copyinstr(arg{0}) : \"\"", at - 1);
        let (format, values) = print_arguments(marker, "%d", ["timestamp", "pid", "tid"], number, text);
        let name = marker.name().replace("__", "-");
        script += &format!("python$target:::{name}\n{{\n    printf(\"{format}\", {values});\n}}\n");
    }
    if python.needs_line_probe() {
        script += "python$target:::line\n{\n    lines++;\n}\n";
    }
    script + &format!("dtrace:::END\n{{\n    printf(\"{END}\\n\");\n}}\n")
}
