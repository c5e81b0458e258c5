//! The report of imports, as text and JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Indent, Percent, Time, plural};
use super::{json, table, trust_line};
use crate::escape::Printable;
use crate::measure::{Import, Imports, Trust};

/// Writes every import, indented below the one that caused it, and the trust line. Unlike
/// `-X importtime` the order is that of the starts.
pub fn write(imports: &Imports, out: &mut impl Write) -> io::Result<()> {
    if imports.recorded == 0 {
        writeln!(out, "no imports were recorded; record them with `pyrec record --markers function,import`")?;
    } else if imports.imports.is_empty() {
        writeln!(
            out,
            "no import in the selected part of the recording, of {} recorded",
            Count(imports.recorded)
        )?;
    } else {
        let modules: Vec<String> = imports.imports.iter().map(module).collect();
        let width = modules
            .iter()
            .map(|module| module.chars().count())
            .max()
            .unwrap_or(0)
            .min(table::MAX_COLUMN_WIDTH);
        let row = |(import, module): (&Import, &String)| {
            let by = import.by.as_ref().map_or(String::new(), |by| Printable(&by.label).to_string());
            let cell = format!("{module:<width$}  {by}");
            [time(import, import.self_ns), time(import, import.total_ns), cell.trim_end().to_owned()]
        };
        let rows: Vec<[String; 3]> = imports.imports.iter().zip(&modules).map(row).collect();
        let module = format!("{:<width$}  by", "module");
        table::write(["self", "total", module.as_str()], &rows, out)?;
        let (total, share) = (Time(imports.total_ns), Percent(imports.total_ns, imports.run_ns));
        let count = plural(imports.recorded, "import");
        writeln!(out, "{count} took {total}, {share} of {}", Time(imports.run_ns))?;
    }
    writeln!(out, "{}", trust_line(&imports.trust))
}

fn time(import: &Import, ns: u64) -> String {
    if import.unmeasured == import.count { "unknown".into() } else { Time(ns).to_string() }
}

fn module(import: &Import) -> String {
    let mut module = format!("{}{}", Indent { levels: import.depth, columns: 2 }, Printable(&import.module));
    if import.count > 1 {
        module += &format!(" × {}", Count(import.count));
    }
    if import.not_found > 0 {
        module += " (not found)";
    }
    module
}

/// Writes the same as JSON: `{"imports": […], "total_ns", "run_ns", "trust": {…}}`.
pub fn write_json(imports: &Imports, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        imports: &'a [Import],
        total_ns: u64,
        run_ns: u64,
        trust: &'a Trust,
    }
    let Imports { imports, total_ns, run_ns, trust, .. } = imports;
    json::write(&Json { imports, total_ns: *total_ns, run_ns: *run_ns, trust }, out)
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::{Filter, testing};

    const SCRIPT: &str = "
        0      7/7  function__entry            /srv/run.py:1:<module>        1
        5000   7/7  line                       /srv/run.py:1:<module>        3
        10000  7/7  import__find__load__start  -                             0  -  json
        15000  7/7  function__entry            /lib/json/__init__.py:1:<module>  1
        20000  7/7  import__find__load__start  -                             0  -  json.x
        50000  7/7  import__find__load__done   -                             0  1  json.x
        60000  7/7  import__find__load__start  -                             0  -  _y
        62000  7/7  import__find__load__done   -                             0  0  _y
        63000  7/7  import__find__load__start  -                             0  -  _y
        66000  7/7  import__find__load__done   -                             0  0  _y
        95000  7/7  function__return           /lib/json/__init__.py:1:<module>  9
        90000  7/7  import__find__load__done   -                             0  1  json
        100000 7/7  import__find__load__start  -                             0  -  end\u{1b}less
    ";

    fn imports(script: &str) -> Imports {
        let (trace, _directory) = testing::trace(script, 4);
        Imports::read(&trace, &Filter::default()).expect("the trace is readable")
    }

    fn text(script: &str) -> String {
        let mut out = Vec::new();
        write(&imports(script), &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn nested_imports_are_indented() {
        assert_eq!(
            text(SCRIPT),
            "\x20  self    total  module                by
45.0 µs  80.0 µs  json                  <module> (__main__), line 3
30.0 µs  30.0 µs    json.x              <module> (json)
5.00 µs  5.00 µs    _y × 2 (not found)  <module> (json)
unknown  unknown  end\\u{1b}less         <module> (__main__), line 3
5 imports took 80.0 µs, 80.0 % of 100 µs
trust: 13 events, 0 lost, 2 repaired (1 call still open, 1 step back in time), exited with 0, tracing cost 31 ns per \
event
"
        );
    }

    #[test]
    fn an_empty_selection_has_a_message() {
        assert!(text("").starts_with("no imports were recorded; record them with `pyrec record --markers"));
    }

    #[test]
    fn json_has_the_documented_keys() {
        let mut out = Vec::new();
        write_json(&imports(SCRIPT), &mut out).expect("a vector accepts all writes");
        let json: serde_json::Value = serde_json::from_slice(&out).expect("the output is valid JSON");
        assert_eq!(
            json["imports"][2],
            serde_json::json!({
                "module": "_y", "depth": 1, "count": 2, "total_ns": 5000, "self_ns": 5000, "unmeasured": 0,
                "not_found": 2, "start_ns": 60000, "pid": 7, "tid": 7,
                "by": {"file": "/lib/json/__init__.py", "first_line": 1, "qualname": "<module>", "module": "json",
                       "line": null}
            })
        );
        assert_eq!((&json["total_ns"], &json["run_ns"]), (&80_000.into(), &100_000.into()));
    }
}
