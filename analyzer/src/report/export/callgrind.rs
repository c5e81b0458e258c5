//! Valgrind's profile format, for `callgrind_annotate` and KCachegrind.
//!
//! ```text
//! fl=(1) /srv/run.py       file and function, by number once they are known
//! fn=(1) main
//! 12 5400                  line, own nanoseconds
//! cfl=(1)
//! cfn=(2) f
//! calls=3 20               calls, the callee's line
//! 12 9100                  the line that calls, nanoseconds in these calls
//! ```
//!
//! All time of a function stands at its first line: a call tree knows no others.

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use crate::Result;
use crate::escape::Plain;
use crate::measure::{Graph, GraphFunction, Trust};
use crate::report::trust_line;
use crate::tree;

/// Writes the functions and what they called.
pub fn write(graph: &Graph, out: &mut impl Write) -> Result<Trust> {
    writeln!(out, "# callgrind format\nversion: 1\ncreator: pyrec {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "cmd: {}", Plain(&graph.command.join(" ")))?;
    writeln!(out, "desc: {}", trust_line(&graph.trust))?;
    writeln!(out, "positions: line\nevents: ns")?;
    let all_ns = tree::sum(graph.functions.iter().map(|function| function.sum.self_ns));
    writeln!(out, "summary: {all_ns}")?;
    let (mut files, mut functions) = (Numbers::default(), Numbers::default());
    let mut edges = graph.edges.as_slice();
    for (place, function) in graph.functions.iter().enumerate() {
        writeln!(out)?;
        files.write("fl", file(function), out)?;
        functions.write("fn", name(function), out)?;
        let line = function.name.first_line;
        writeln!(out, "{line} {}", function.sum.self_ns)?;
        let of_it = edges.partition_point(|edge| edge.caller <= place);
        for edge in &edges[..of_it] {
            let callee = &graph.functions[edge.callee];
            files.write("cfl", file(callee), out)?;
            functions.write("cfn", name(callee), out)?;
            writeln!(out, "calls={} {}", edge.sum.calls, callee.name.first_line)?;
            writeln!(out, "{line} {}", edge.sum.total_ns)?;
        }
        edges = &edges[of_it..];
    }
    writeln!(out, "\ntotals: {all_ns}")?;
    Ok(graph.trust.clone())
}

/// What Valgrind says where there is no file.
fn file(function: &GraphFunction) -> String {
    function.name.file.as_deref().map_or("???".into(), |file| Plain(file).to_string())
}

/// Readers tell functions by their names alone, so those of one name get their places, too.
fn name(function: &GraphFunction) -> String {
    Plain(&function.name.function).to_string()
}

/// Names that were written once are written by their numbers from then on.
#[derive(Default)]
struct Numbers(FxHashMap<String, usize>);

impl Numbers {
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
