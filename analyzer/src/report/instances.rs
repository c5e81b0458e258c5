//! The report of instances that were created, as text and JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::display::{Count, Time, plural};
use super::{json, table, trust_line};
use crate::escape::Printable;
use crate::measure::{ClassInstances, CreatingLine, Creations, Finalizer, Instances, Trust};

/// Options of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstancesOptions {
    /// The number of classes at most; `None` writes all.
    pub rows: Option<usize>,
}

/// The number of creating lines per class if the number of classes is limited.
const MAX_LINES: usize = 5;

const NOT_RECORDED: &str =
    "not recorded: objects that Python code did not create by calling a class, deletions without `__del__`";

/// Writes the classes with the lines that created instances, the finalizers that ran, and the trust
/// line.
pub fn write(instances: &Instances, options: &InstancesOptions, out: &mut impl Write) -> io::Result<()> {
    if instances.recorded == 0 {
        writeln!(
            out,
            "no instances were recorded; record them with `pyrec record --markers function,instance`"
        )?;
    } else if instances.classes.is_empty() {
        writeln!(
            out,
            "no instance in the selected part of the recording, of {} recorded",
            Count(instances.recorded)
        )?;
    } else {
        write_classes(instances, options, out)?;
        write_finalizers(instances, options, out)?;
        writeln!(out, "{NOT_RECORDED}")?;
    }
    writeln!(out, "{}", trust_line(&instances.trust))
}

fn write_classes(instances: &Instances, options: &InstancesOptions, out: &mut impl Write) -> io::Result<()> {
    let classes = choose(&instances.classes, options);
    let rows: Vec<[String; 6]> = classes.iter().flat_map(|class| class_rows(class, options)).collect();
    table::write(["created", "failed", "total", "mean", "max", "class, and who called it"], &rows, out)?;
    match instances.classes.len() - classes.len() {
        0 => Ok(()),
        1 => writeln!(out, "… and 1 more class"),
        more => writeln!(out, "… and {} more classes", Count(more as u64)),
    }
}

fn class_rows(class: &ClassInstances, options: &InstancesOptions) -> Vec<[String; 6]> {
    let unfinished = match class.creations.unfinished {
        0 => String::new(),
        unfinished => format!(", {} not finished", Count(unfinished)),
    };
    let mut rows = vec![row(&class.creations, format!("{}{unfinished}", Printable(&class.class)))];
    let max_lines = if options.rows.is_some() { MAX_LINES } else { usize::MAX };
    let lines = class.lines.iter().take(max_lines);
    rows.extend(lines.map(|line| row(&line.creations, format!("  {}", source_location(line)))));
    if let more @ 1.. = class.lines.len().saturating_sub(max_lines) {
        let [.., cell] = &mut rows[0];
        cell.push_str(&format!(", from {}", plural(more as u64, "more line")));
    }
    rows
}

fn row(creations: &Creations, cell: String) -> [String; 6] {
    let Creations { created, failed, total_ns, mean_ns, max_ns, .. } = *creations;
    let total_ns = mean_ns.map(|_| total_ns);
    let [total, mean, max] = [total_ns, mean_ns, max_ns].map(time);
    [Count(created).to_string(), Count(failed).to_string(), total, mean, max, cell]
}

fn source_location(line: &CreatingLine) -> String {
    line.place.as_ref().map_or("(no function)".into(), |location| Printable(&location.label).to_string())
}

fn time(ns: Option<u64>) -> String {
    ns.map_or("unknown".into(), |ns| Time(ns).to_string())
}

fn write_finalizers(
    instances: &Instances,
    options: &InstancesOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    if !instances.has_functions {
        return writeln!(
            out,
            "finalizers were not recorded; record them with `pyrec record --markers function,instance`"
        );
    }
    if instances.finalizers.is_empty() {
        return writeln!(out, "no `__del__` ran");
    }
    let finalizers = choose(&instances.finalizers, options);
    let row = |finalizer: &Finalizer| {
        let Finalizer { calls, total_ns, mean_ns, max_ns, .. } = *finalizer;
        let [total, mean, max] = [mean_ns.map(|_| total_ns), mean_ns, max_ns].map(time);
        [Count(calls).to_string(), total, mean, max, Printable(&finalizer.place.label).to_string()]
    };
    let rows: Vec<[String; 5]> = finalizers.iter().map(row).collect();
    table::write(["deleted", "total", "mean", "max", "finalizer"], &rows, out)?;
    match instances.finalizers.len() - finalizers.len() {
        0 => Ok(()),
        more => writeln!(out, "… and {}", plural(more as u64, "more finalizer")),
    }
}

fn choose<'a, T>(all: &'a [T], options: &InstancesOptions) -> &'a [T] {
    &all[..options.rows.unwrap_or(usize::MAX).min(all.len())]
}

/// Writes the same as JSON: `{"classes": […], "finalizers": […], "trust": {…}}`. `finalizers` is
/// null if functions were not recorded.
pub fn write_json(instances: &Instances, options: &InstancesOptions, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        classes: &'a [ClassInstances],
        finalizers: Option<&'a [Finalizer]>,
        trust: &'a Trust,
    }
    let finalizers = instances.has_functions.then(|| choose(&instances.finalizers, options));
    json::write(
        &Json { classes: choose(&instances.classes, options), finalizers, trust: &instances.trust },
        out,
    )
}

#[cfg(test)]
mod tests {
    //! Text and JSON of a small trace.

    use super::*;
    use crate::{Filter, testing};

    const SCRIPT: &str = "
        0     7/7  function__entry       /srv/run.py:1:main          1
        1000  7/7  instance__new__start  /srv/run.py:1:main          2  -  __main__.Till
        3500  7/7  instance__new__done   /srv/run.py:1:main          2  1  __main__.Till
        4000  7/7  instance__new__start  /srv/run.py:1:main          3  -  __main__.Till
        4500  7/7  instance__new__done   /srv/run.py:1:main          3  0  __main__.Till
        5000  7/7  function__entry       /srv/run.py:8:Till.__del__  8
        5100  7/7  function__return      /srv/run.py:8:Till.__del__  9
        5200  7/7  instance__new__start  /srv/run.py:1:main          4  -  evil\u{1b}[2J
        6000  7/7  function__return      /srv/run.py:1:main          5
    ";

    fn instances(script: &str) -> Instances {
        let (trace, _directory) = testing::trace(script, 4);
        Instances::read(&trace, &Filter::default(), &[]).expect("the trace is readable")
    }

    fn text(script: &str, rows: Option<usize>) -> String {
        let mut out = Vec::new();
        write(&instances(script), &InstancesOptions { rows }, &mut out).expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn each_class_has_the_lines_that_created_it() {
        assert_eq!(
            text(SCRIPT, None),
            "\
created  failed    total     mean      max  class, and who called it
      1       1  3.00 µs  1.50 µs  2.50 µs  __main__.Till
      1       0  2.50 µs  2.50 µs  2.50 µs    main (__main__:1), line 2
      0       1   500 ns   500 ns   500 ns    main (__main__:1), line 3
      0       0  unknown  unknown  unknown  evil\\u{1b}[2J, 1 not finished
      0       0  unknown  unknown  unknown    main (__main__:1), line 4
deleted   total    mean     max  finalizer
      1  100 ns  100 ns  100 ns  Till.__del__ (__main__:8)
not recorded: objects that Python code did not create by calling a class, deletions without `__del__`
trust: 9 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
        );
        assert!(text(SCRIPT, Some(1)).contains(", line 3\n… and 1 more class\ndeleted"));
    }

    #[test]
    fn the_lines_of_a_class_are_limited() {
        let call = |line: usize| {
            let [from, to] = [2 * line, 2 * line + 1];
            format!(
                "{from} 7/7 instance__new__start /srv/run.py:1:main {line} - C
                {to} 7/7 instance__new__done /srv/run.py:1:main {line} 1 C\n"
            )
        };
        let script: String = (1..=MAX_LINES + 2).map(call).collect();
        let some = text(&script, Some(30));
        assert!(some.contains("C, from 2 more lines\n") && !some.contains("line 6"), "{some}");
        assert!(text(&script, None).contains("line 7"));
        assert!(some.contains("finalizers were not recorded; "), "{some}");
    }

    #[test]
    fn an_empty_selection_has_a_message() {
        assert!(text("", None).starts_with(
            "no instances were recorded; record them with `pyrec record --markers function,inst"
        ));
        let none = SCRIPT.lines().filter(|line| !line.contains("__del__")).collect::<Vec<_>>().join("\n");
        assert!(text(&none, None).contains("\nno `__del__` ran\n"));
    }

    #[test]
    fn json_has_the_documented_keys() {
        let json = |script| -> serde_json::Value {
            let mut out = Vec::new();
            write_json(&instances(script), &InstancesOptions::default(), &mut out)
                .expect("a vector accepts all writes");
            serde_json::from_slice(&out).expect("the output is valid JSON")
        };
        let whole = json(SCRIPT);
        let location = |line| {
            serde_json::json!({"file": "/srv/run.py", "first_line": 1, "qualname": "main", "module": "__main__",
                               "line": line})
        };
        assert_eq!(
            whole["classes"][0],
            serde_json::json!({
                "class": "__main__.Till", "created": 1, "failed": 1, "unfinished": 0, "total_ns": 3000,
                "mean_ns": 1500, "max_ns": 2500,
                "lines": [
                    {"place": location(2), "created": 1, "failed": 0, "unfinished": 0, "total_ns": 2500,
                     "mean_ns": 2500, "max_ns": 2500},
                    {"place": location(3), "created": 0, "failed": 1, "unfinished": 0, "total_ns": 500,
                     "mean_ns": 500, "max_ns": 500}
                ]
            })
        );
        assert_eq!(
            (&whole["finalizers"][0]["calls"], &whole["finalizers"][0]["total_ns"]),
            (&1.into(), &100.into())
        );
        assert_eq!(json("")["finalizers"], serde_json::Value::Null);
    }
}
