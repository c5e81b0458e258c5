//! Export in Valgrind's callgrind format, for `callgrind_annotate` and KCachegrind.
//!
//! ```text
//! fl=(1) /srv/run.py       file and function; the number replaces the name from then on
//! fn=(1) main
//! 12 5400                  line, own nanoseconds
//! cfl=(1)
//! cfn=(2) f
//! calls=3 20               number of calls, first line of the callee
//! 12 9100                  line of the call, nanoseconds in these calls
//! ```
//!
//! A call tree has no times by line, so all time of a function is at its first line.

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use crate::Result;
use crate::escape::Printable;
use crate::measure::{CallGraph, GraphFunction, Trust};
use crate::report::trust_line;
use crate::tree;

/// Writes the functions and their callees.
pub fn write(graph: &CallGraph, out: &mut impl Write) -> Result<Trust> {
    writeln!(out, "# callgrind format\nversion: 1\ncreator: pyrec {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "cmd: {}", Printable(&graph.command.join(" ")))?;
    writeln!(out, "desc: {}", trust_line(&graph.trust))?;
    writeln!(out, "positions: line\nevents: ns")?;
    let all_ns = tree::saturating_sum(graph.functions.iter().map(|function| function.sum.self_ns));
    writeln!(out, "summary: {all_ns}")?;
    let (mut files, mut functions) = (NameTable::default(), NameTable::default());
    let mut edges = graph.edges.as_slice();
    for (caller, function) in graph.functions.iter().enumerate() {
        writeln!(out)?;
        files.write("fl", file(function), out)?;
        functions.write("fn", name(function), out)?;
        let line = function.name.first_line;
        writeln!(out, "{line} {}", function.sum.self_ns)?;
        let edge_count = edges.partition_point(|edge| edge.caller <= caller);
        for edge in &edges[..edge_count] {
            let callee = &graph.functions[edge.callee];
            files.write("cfl", file(callee), out)?;
            functions.write("cfn", name(callee), out)?;
            writeln!(out, "calls={} {}", edge.sum.calls, callee.name.first_line)?;
            writeln!(out, "{line} {}", edge.sum.total_ns)?;
        }
        edges = &edges[edge_count..];
    }
    writeln!(out, "\ntotals: {all_ns}")?;
    Ok(graph.trust.clone())
}

/// The file of a function; `???`, as in Valgrind, if it is unknown.
fn file(function: &GraphFunction) -> String {
    function.name.file.as_deref().map_or("???".into(), |file| Printable(file).to_string())
}

/// The name of a function. Readers of the format identify functions by name, so the graph adds the
/// source location to names that several functions share.
fn name(function: &GraphFunction) -> String {
    Printable(&function.name.function).to_string()
}

/// Numbers of names. A name is written in full the first time, and as its number from then on.
#[derive(Default)]
struct NameTable(FxHashMap<String, usize>);

impl NameTable {
    fn write(&mut self, key: &str, name: String, out: &mut impl Write) -> io::Result<()> {
        match self.0.get(&name) {
            Some(number) => writeln!(out, "{key}=({number})"),
            None => {
                let number = self.0.len() + 1;
                writeln!(out, "{key}=({number}) {name}")?;
                self.0.insert(name, number);
                Ok(())
            }
        }
    }
}
