//! The capture script for bpftrace.

use super::{TargetPython, print_arguments, quoted};
use crate::capture_format::{Argument, END, HEADER, STRING_BYTES};

/// Generates the capture script. Its first line sets bpftrace's options, which are environment
/// variables.
pub fn bpftrace(python: &TargetPython) -> String {
    let usage = ["chmod +x capture.bt", "sudo ./capture.bt -p PID > capture.txt     # Ctrl-C ends it"];
    let mut script = format!(
        "#!/usr/bin/env -S BPFTRACE_STRLEN={STRING_BYTES} BPFTRACE_MAX_STRLEN={STRING_BYTES} \
         BPFTRACE_PERF_RB_PAGES=1024 bpftrace\n{}\n",
        python.usage_comment("//", &usage)
    );
    script += &format!(
        "BEGIN {{\n    printf(\"{HEADER}\\tbpftrace\\t%lld\\t%s000\\t{}\\n\", nsecs, strftime(\"%s%f\", nsecs));\n}}\n",
        python.header_fields()
    );
    let probe = |marker: &str| format!("usdt:\"{}\":python:{marker}", quoted(python.image()));
    for marker in python.markers() {
        let number = |argument| match argument {
            Argument::Int(at) => format!("(int32)arg{}", at - 1),
            Argument::Long(at) | Argument::Text(at) => format!("(int64)arg{}", at - 1),
        };
        let text = |at: u8| format!("str(arg{})", at - 1);
        let (format, values) = print_arguments(marker, "%lld", ["nsecs", "pid", "tid"], number, text);
        script += &format!("{} {{\n    printf(\"{format}\", {values});\n}}\n", probe(marker.name()));
    }
    if python.needs_line_probe() {
        script += &format!("{} /pid == 0/ {{\n    exit();\n}}\n", probe("line"));
    }
    script + &format!("END {{\n    printf(\"{END}\\n\");\n}}\n")
}
