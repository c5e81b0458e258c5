//! Lines of small traces, computed by hand.

use super::*;
use crate::{Filter, testing};

fn lines(script: &str) -> Lines {
    let (trace, _directory) = testing::trace(script, 4);
    Lines::read(&trace, &Filter::default()).expect("the trace is valid")
}

/// Each line as `line: hits entries returns self total`, with its callees, their calls and time.
fn draw(lines: &Lines) -> Vec<String> {
    let mut drawn = Vec::new();
    for file in &lines.files {
        drawn.push(format!("{} self {} total {}", file.file, file.self_ns, file.total_ns));
        for line in &file.lines {
            let LineTotals { line, hits, entries, returns, self_ns, total_ns, ref calls } = *line;
            let hits = hits.map_or("?".into(), |hits| hits.to_string());
            let mut text = format!("{line}: {hits} {entries} {returns} self {self_ns} total {total_ns}");
            for call in calls {
                let callee = &lines.callees[call.callee].label;
                text += &format!(", {callee} {} × {}", call.calls, call.total_ns);
            }
            drawn.push(text);
        }
    }
    drawn
}

#[test]
fn callees_are_in_the_total_of_the_line() {
    let script = "
        0  7/7  function__entry   m.py:1:f  1
        1  7/7  line              m.py:1:f  2
        3  7/7  function__entry   n.py:5:g  5
        4  7/7  line              n.py:5:g  6
        7  7/7  function__return  n.py:5:g  6
        8  7/7  line              m.py:1:f  3
        9  7/7  function__return  m.py:1:f  3
    ";
    assert_eq!(
        draw(&lines(script)),
        [
            "m.py self 5 total 9",
            "1: 0 1 0 self 1 total 1",
            "2: 1 0 0 self 3 total 7, g (n.py:5) 1 × 4",
            "3: 1 0 1 self 1 total 1",
            "n.py self 4 total 4",
            "5: 0 1 0 self 1 total 1",
            "6: 1 0 1 self 3 total 3",
        ]
    );
}

#[test]
fn a_recursive_line_counts_its_outermost_stay() {
    // f calls itself from line 2; a comprehension on that line is another code object.
    let script = "
        0   7/7  function__entry   m.py:1:f  1
        1   7/7  line              m.py:1:f  2
        2   7/7  function__entry   m.py:1:f  1
        3   7/7  line              m.py:1:f  2
        4   7/7  function__entry   m.py:2:f.<locals>.<listcomp>  2
        5   7/7  line              m.py:2:f.<locals>.<listcomp>  2
        7   7/7  function__return  m.py:2:f.<locals>.<listcomp>  2
        8   7/7  function__return  m.py:1:f  2
        10  7/7  function__return  m.py:1:f  2
    ";
    assert_eq!(
        draw(&lines(script)),
        [
            "m.py self 10 total 10",
            // Two separate stays: from 0 to 1, and from 2 to 3.
            "1: 0 2 0 self 2 total 2",
            "2: 3 1 3 self 8 total 9, f (m.py:1) 1 × 6, f.<locals>.<listcomp> (m.py:2) 1 × 3",
        ]
    );
}

#[test]
fn a_generator_resumes_at_its_yield_and_collections_are_in_totals() {
    let script = "
        0   7/7  function__entry   m.py:1:gen  1
        2   7/7  line              m.py:1:gen  2
        3   7/7  function__return  m.py:1:gen  2  -  yield
        9   7/7  function__entry   m.py:1:gen  2  -  resume
        10  7/7  gc__start         -  0  2
        14  7/7  gc__done          -  0  0
        15  7/7  line              m.py:1:gen  3
        16  7/7  function__return  m.py:1:gen  3
    ";
    assert_eq!(
        draw(&lines(script)),
        [
            // The 6 ns between yield and resume are charged to no line.
            "m.py self 6 total 10",
            "1: 0 1 0 self 2 total 2",
            "2: 1 1 1 self 3 total 7, (garbage collection) 1 × 4",
            "3: 1 0 1 self 1 total 1",
        ]
    );
}

#[test]
fn without_line_rows_all_time_is_on_the_line_of_the_entry() {
    let script = "
        0  7/7  function__entry   m.py:1:f  1
        3  7/7  function__entry   m.py:5:g  5
        7  7/7  function__return  m.py:5:g  6
        9  7/7  function__return  m.py:1:f  3
    ";
    let lines = lines(script);
    assert!(!lines.has_hits);
    assert_eq!(
        draw(&lines),
        [
            "m.py self 9 total 9",
            "1: ? 1 0 self 5 total 9, g (m.py:5) 1 × 4",
            "3: ? 0 1 self 0 total 0",
            "5: ? 1 0 self 4 total 4",
            "6: ? 0 1 self 0 total 0",
        ]
    );
}

#[test]
fn lines_of_a_function_without_an_entry_have_hits_and_no_time() {
    let script = "
        0  7/7  line              m.py:1:f  2
        3  7/7  function__entry   m.py:5:g  5
        4  7/7  function__return  m.py:5:g  5
        5  7/7  line              m.py:1:f  3
        9  7/7  function__return  m.py:1:f  3
    ";
    assert_eq!(
        draw(&lines(script)),
        [
            "m.py self 1 total 1",
            "2: 1 0 0 self 0 total 0",
            "3: 1 0 0 self 0 total 0",
            "5: 0 1 1 self 1 total 1",
        ]
    );
}

#[test]
fn an_entry_on_line_0_counts_for_the_first_line() {
    let script = "
        0  7/7  function__entry   m.py:1:<module>  0
        9  7/7  function__return  m.py:1:<module>  0
    ";
    assert_eq!(draw(&lines(script)), ["m.py self 9 total 9", "1: ? 1 0 self 9 total 9"]);
}
