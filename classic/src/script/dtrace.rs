//! A script for DTrace: macOS, FreeBSD, illumos, and Linux with Oracle's.

use super::{Python, line};
use crate::layout::{END, Field, HEAD};

/// The script. `python$target` finds the markers wherever the process has them, in its program or in a library.
pub fn dtrace(python: &Python) -> String {
    let usage = [
        "sudo dtrace -s capture.d -c 'python3 script.py' -o capture.txt",
        "sudo dtrace -s capture.d -p PID -o capture.txt     # Ctrl-C ends it",
    ];
    let mut script = format!("#!/usr/sbin/dtrace -s\n{}\n", python.about("//", &usage).replace("//", " *"));
    script = script.replacen("\n *", "\n/*\n *", 1).trim_end().to_owned() + "\n */\n\n";
    // Of an unknown one nobody knows which markers are there.
    if python.version.is_none() {
        script += "#pragma D option zdefs\n";
    }
    script += "#pragma D option quiet\n#pragma D option strsize=1024\n#pragma D option bufsize=16m\n\
               #pragma D option switchrate=20hz\n\n";
    script += &format!(
        "dtrace:::BEGIN\n{{\n    printf(\"{HEAD}\\tdtrace\\t%d\\t%d\\t{}\\n\", timestamp, walltimestamp);\n}}\n",
        python.facts()
    );
    for marker in python.markers() {
        let number = |field| match field {
            Field::Int(at) => format!("(int)arg{}", at - 1),
            Field::Long(at) | Field::Text(at) => format!("(long)arg{}", at - 1),
        };
        let text = |at: u8| format!("arg{0} ? copyinstr(arg{0}) : \"\"", at - 1);
        let (format, values) = line(marker, "%d", ["timestamp", "pid", "tid"], number, text);
        let name = marker.name().replace("__", "-");
        script += &format!("python$target:::{name}\n{{\n    printf(\"{format}\", {values});\n}}\n");
    }
    if python.listens_to_line() {
        script += "python$target:::line\n{\n    lines++;\n}\n";
    }
    script + &format!("dtrace:::END\n{{\n    printf(\"{END}\\n\");\n}}\n")
}
