//! A script for bpftrace.

use super::{Python, line, quoted};
use crate::layout::{END, Field, HEAD, STRING_BYTES};

/// The script. Its first line sets what bpftrace takes from the environment.
pub fn bpftrace(python: &Python) -> String {
    let usage = ["chmod +x capture.bt", "sudo ./capture.bt -p PID > capture.txt     # Ctrl-C ends it"];
    let mut script = format!(
        "#!/usr/bin/env -S BPFTRACE_STRLEN={STRING_BYTES} BPFTRACE_MAX_STRLEN={STRING_BYTES} \
         BPFTRACE_PERF_RB_PAGES=1024 bpftrace\n{}\n",
        python.about("//", &usage)
    );
    script += &format!(
        "BEGIN {{\n    printf(\"{HEAD}\\tbpftrace\\t%lld\\t%s000\\t{}\\n\", nsecs, strftime(\"%s%f\", nsecs));\n}}\n",
        python.facts()
    );
    let place = |marker: &str| format!("usdt:\"{}\":python:{marker}", quoted(python.image()));
    for marker in python.markers() {
        let number = |field| match field {
            Field::Int(at) => format!("(int32)arg{}", at - 1),
            Field::Long(at) | Field::Text(at) => format!("(int64)arg{}", at - 1),
        };
        let text = |at: u8| format!("str(arg{})", at - 1);
        let (format, values) = line(marker, "%lld", ["nsecs", "pid", "tid"], number, text);
        script += &format!("{} {{\n    printf(\"{format}\", {values});\n}}\n", place(marker.name()));
    }
    if python.listens_to_line() {
        script += &format!("{} /pid == 0/ {{\n    exit();\n}}\n", place("line"));
    }
    script + &format!("END {{\n    printf(\"{END}\\n\");\n}}\n")
}
