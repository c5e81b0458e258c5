//! Lines in each layout. Those of the classic tools are compared with examples from their
//! documentation.

use std::time::Duration;

use pyrec_schema::MarkerGroup;

use super::{TreeFormat, TreeOptions, write};
use crate::{Filter, testing};

fn lines(script: &str, filter: &Filter, options: &TreeOptions) -> String {
    let (trace, _directory) = testing::trace(script, 3);
    let mut out = Vec::new();
    write(&trace, filter, options, &mut out).expect("a vector accepts all writes");
    String::from_utf8(out).expect("the output is UTF-8")
}

fn root(name: &str) -> Filter {
    Filter { root: Some(name.parse().expect("the pattern is valid")), ..Filter::default() }
}

fn format(format: TreeFormat) -> TreeOptions {
    TreeOptions { format, ..TreeOptions::default() }
}

/// Normalizes a tracer's output as CPython's
/// `test_dtrace.py` does before the comparison with an `.expected` file: removes empty lines and
/// comments, sorts the others by time, and removes the time.
fn normalize(output: &str) -> String {
    let rows = output.lines().filter(|row| !row.is_empty() && !row.starts_with('#'));
    let mut rows: Vec<_> = rows.map(|row| row.split_once('\t').expect("a time, a tab")).collect();
    rows.sort_by_key(|(time, _)| time.parse::<i64>().expect("a time"));
    rows.into_iter().map(|(_, row)| format!("{row}\n")).collect()
}

const CALL_STACK: &str = "
    10  7/7  function__entry   /t/call_stack.py:1:<module>     1
    20  7/7  function__entry   /t/call_stack.py:23:start       23
    21  7/7  function__entry   /t/call_stack.py:1:function_1   1
    22  7/7  function__entry   /t/call_stack.py:9:function_3   9
    23  7/7  gc__start         -                               0   0
    24  7/7  gc__done          -                               0   0
    25  7/7  function__return  /t/call_stack.py:9:function_3   10
    26  7/7  function__return  /t/call_stack.py:1:function_1   2
    27  7/7  function__return  /t/call_stack.py:23:start       28
    28  7/7  function__entry   /t/call_stack.py:9:function_3   9
    29  7/7  function__return  /t/call_stack.py:9:function_3   10
    30  7/7  function__return  /t/call_stack.py:1:<module>     30
";

#[test]
fn dtrace_calls_equal_the_output_of_call_stack_d() {
    assert_eq!(
        lines(CALL_STACK, &root("start"), &format(TreeFormat::Dtrace)),
        "20\t function-entry:call_stack.py:start:23\n\
         21\t function-entry: call_stack.py:function_1:1\n\
         22\t function-entry:  call_stack.py:function_3:9\n\
         25\tfunction-return:  call_stack.py:function_3:10\n\
         26\tfunction-return: call_stack.py:function_1:2\n\
         27\tfunction-return:call_stack.py:start:28\n\
         # trust: 12 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event\n"
    );
}

#[test]
fn dtrace_collections_and_lines_equal_the_output_of_gc_d_and_line_d() {
    let only = |group| TreeOptions { markers: vec![group], ..format(TreeFormat::Dtrace) };
    assert_eq!(
        normalize(&lines(CALL_STACK, &root("start"), &only(MarkerGroup::Gc))),
        "gc-start:0\ngc-done:0\n"
    );

    let line = "
        1  7/7  function__entry   /t/line.py:1:<module>   1
        2  7/7  line              /t/line.py:1:<module>   1
        3  7/7  function__entry   /t/line.py:1:test_line  1
        4  7/7  line              /t/line.py:1:test_line  2
        5  7/7  function__entry   /t/codecs.py:5:encode   5
        6  7/7  line              /t/codecs.py:5:encode   6
        7  7/7  function__return  /t/codecs.py:5:encode   6
        8  7/7  line              /t/line.py:1:test_line  3
    ";
    let test_line = Filter { include: root("test_line").root.into_iter().collect(), ..Filter::default() };
    assert_eq!(
        normalize(&lines(line, &test_line, &only(MarkerGroup::Line))),
        "line:line.py:test_line:2\nline:line.py:test_line:3\n"
    );
}

/// The example of the documentation, which starts with seven open calls.
#[test]
fn stap_lines_equal_the_output_of_thread_indent() {
    let open: String =
        (0..7).map(|level| format!("{level} 8274/8274 function__entry Lib/x.py:1:f{level} 1\n")).collect();
    let script = format!(
        "0         8274/8274  process__start    -  0  1  /usr/bin/python x.py
         {open}
         11408000  8274/8274  function__entry   Lib/_abcoll.py:360:__contains__  362
         11414000  8274/8274  function__entry   Lib/os.py:425:__getitem__        425
         11418000  8274/8274  function__entry   Lib/os.py:490:encode             490
         11424000  8274/8274  function__return  Lib/os.py:490:encode             493
         11428000  8274/8274  function__return  Lib/os.py:425:__getitem__        426
         11433000  8274/8274  function__return  Lib/_abcoll.py:360:__contains__  366"
    );
    let text = lines(&script, &Filter::default(), &format(TreeFormat::Stap));
    assert_eq!(
        text.lines().skip(7).take(6).collect::<Vec<_>>().join("\n"),
        "11408 python(8274):        => __contains__ in Lib/_abcoll.py:362\n\
         11414 python(8274):         => __getitem__ in Lib/os.py:425\n\
         11418 python(8274):          => encode in Lib/os.py:490\n\
         11424 python(8274):          <= encode in Lib/os.py:493\n\
         11428 python(8274):         <= __getitem__ in Lib/os.py:426\n\
         11433 python(8274):        <= __contains__ in Lib/_abcoll.py:366"
    );
    assert!(text.starts_with("0 python(8274): => f0 in Lib/x.py:1\n0 python(8274):  => f1"), "{text}");
}

#[test]
fn a_call_without_inner_lines_takes_one_line() {
    let script = "
        1000  7/7  function__entry            /t/a.py:1:<module>  1
        1500  7/7  import__find__load__start  -                   0  -  json
        2000  7/7  function__entry            /t/a.py:3:C.f       3
        4500  7/7  function__return           /t/a.py:3:C.f       4
        5000  7/7  function__entry            /t/a.py:9:g         9
        5100  7/7  gc__start                  -                   0  2
        5200  7/7  gc__done                   -                   0  30
        5250  7/7  function__return           /t/a.py:9:g         10  -  yield
        5500  7/7  import__find__load__done   -                   0  1  json
        6000  7/7  function__return           /t/a.py:1:<module>  5
    ";
    assert_eq!(
        lines(script, &Filter::default(), &TreeOptions::default()),
        "  0.000000000        7           → <module>  a.py:1
  0.000000500        7             import json
  0.000001000        7   2.50 µs   C.f  a.py:3
  0.000004000        7             → g  a.py:9
  0.000004100        7    100 ns     garbage collection  generation 2
  0.000004250        7    250 ns   ← g  a.py:10  yield
  0.000004500        7             import json  done
  0.000005000        7   5.00 µs ← <module>  a.py:5
trust: 10 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
"
    );
}

/// The damage of `lost.script` and more.
#[test]
fn damage_is_shown_where_it_happened() {
    let script = "
        0    7/7  function__return  /t/a.py:1:x  2
        1    7/7  function__entry   /t/a.py:3:a  3
        2    7/7  function__entry   /t/a.py:5:b  5
        3    7/7  function__return  /t/a.py:3:a  4
        4    7/7  function__entry   /t/a.py:3:a  3
        14   7/7  lost              -            0  40  4
        15   7/7  function__entry   /t/a.py:7:c  7
        16   7/7  function__return  /t/a.py:3:a  4
        17   7/7  function__entry   /t/a.py:9:d  9
        18   7/7  thread__exit      -            0
    ";
    assert_eq!(
        lines(script, &Filter::default(), &TreeOptions::default()),
        "  0.000000000        7           ← x  a.py:2  its entry was not seen
  0.000000001        7           → a  a.py:3
  0.000000002        7             → b  a.py:5
  0.000000003        7             × b  a.py:5  never returned
  0.000000003        7      2 ns ← a  a.py:4
  0.000000004        7           → a  a.py:3
  0.000000014        7           ┄ 40 events lost in 10 ns ┄
  0.000000015        7           → c  a.py:7
  0.000000016        7           × c  a.py:7  never returned
  0.000000016        7           ← a  a.py:4  across a loss
  0.000000017        7           → d  a.py:9
  0.000000018        7           × d  a.py:9  still open
  0.000000018        7           thread 7 ends
trust: 8 events, 40 lost, 4 repaired (2 orphan entries, 1 unmatched return, 1 call still open), exited with 0, \
tracing cost 31 ns per event
"
    );
}

const NESTED: &str = "
    0   7/7  function__entry   /t/a.py:1:a  1
    1   7/7  function__entry   /t/b.py:5:b  5
    3   7/7  function__entry   /t/c.py:9:c  9
    6   7/7  function__return  /t/c.py:9:c  9
    7   8/8  function__entry   /t/c.py:9:c  9
    8   8/8  function__return  /t/c.py:9:c  9
    10  7/7  function__return  /t/b.py:5:b  6
    15  7/7  function__return  /t/a.py:1:a  2
";

/// The lines of `NESTED` in DTrace's layout, without the times.
fn nested(filter: Filter, depth: Option<usize>) -> Vec<String> {
    let options = TreeOptions { depth, ..format(TreeFormat::Dtrace) };
    let text = normalize(&lines(NESTED, &filter, &options));
    text.lines().map(|line| line.trim_start().trim_start_matches("function-").to_owned()).collect()
}

#[test]
fn filtered_calls_do_not_indent_their_callees() {
    let pattern = |text: &str| vec![text.parse().expect("the pattern is valid")];
    assert_eq!(
        nested(Filter { exclude: pattern("b"), tids: vec![7], ..Filter::default() }, None),
        ["entry:a.py:a:1", "entry: c.py:c:9", "return: c.py:c:9", "return:a.py:a:2"]
    );
    assert_eq!(
        nested(Filter { include: pattern("c.py"), pids: vec![8], ..Filter::default() }, None),
        ["entry:c.py:c:9", "return:c.py:c:9"]
    );
    assert_eq!(
        nested(root("b"), None),
        ["entry:b.py:b:5", "entry: c.py:c:9", "return: c.py:c:9", "return:b.py:b:6"]
    );
    assert_eq!(nested(root("b"), Some(1)), ["entry:b.py:b:5", "return:b.py:b:6"]);
    assert_eq!(nested(Filter::default(), Some(0)), [""; 0]);
}

#[test]
fn calls_shorter_than_min_time_get_no_line() {
    let filter = Filter { min_time: Duration::from_nanos(9), ..Filter::default() };
    assert_eq!(
        nested(filter, None),
        ["entry:a.py:a:1", "entry: b.py:b:5", "return: b.py:b:6", "return:a.py:a:2"]
    );
}

#[test]
fn a_time_range_keeps_the_levels() {
    let filter = Filter {
        time: Some("2ns-9ns".parse().expect("the range is valid")),
        tids: vec![7],
        ..Filter::default()
    };
    assert_eq!(nested(filter, None), ["entry:  c.py:c:9", "return:  c.py:c:9"]);
}

#[test]
fn lines_of_all_threads_are_in_the_order_of_time() {
    // The order of a drain: all of thread 7, then all of thread 8, over several row groups.
    let script = "
        0  7/7  function__entry   /t/a.py:1:a  1
        9  7/7  function__return  /t/a.py:1:a  2
        3  7/8  function__entry   /t/b.py:5:b  5
        5  7/8  function__return  /t/b.py:5:b  6
    ";
    let text = lines(script, &Filter::default(), &format(TreeFormat::Dtrace));
    let times: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('\t')?.0)).collect();
    assert_eq!(times, ["0", "3", "5", "9"]);
}

#[test]
fn control_characters_in_names_are_escaped() {
    let script = "
        0  7/7  function__entry            /t/\u{1b}[2J.py:1:f\u{202e}\u{7}  1
        1  7/7  import__find__load__start  -                   0  -  \u{9b}m
    ";
    for format in [TreeFormat::Pyrec, TreeFormat::Dtrace, TreeFormat::Stap] {
        let options = TreeOptions { format, markers: MarkerGroup::ALL.to_vec(), ..TreeOptions::default() };
        let text = lines(script, &Filter::default(), &options);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}', '\u{9b}']), "{text}");
        assert!(text.contains("\\u{1b}[2J.py"), "{text}");
    }
}

/// The lines of a script with folded repeats, from the column of the duration on.
fn folded(script: &str) -> Vec<String> {
    let text =
        lines(script, &Filter::default(), &TreeOptions { fold_repeats: true, ..TreeOptions::default() });
    let rows = text.lines().filter(|line| !line.starts_with("trust"));
    rows.map(|line| line.chars().skip(22).collect::<String>()).collect()
}

#[test]
fn repeated_calls_are_folded() {
    // `f` calls `g` three, two and four times; then `h`; then `f` calls `g` twice and once.
    let mut script = String::from("0 7/7 function__entry a.py:1:main 1\n");
    let mut time_ns = 0;
    let mut call = |name: &str, inner: &[&str]| {
        time_ns += 1;
        script += &format!("{time_ns} 7/7 function__entry a.py:3:{name} 3\n");
        for name in inner {
            script += &format!("{} 7/7 function__entry a.py:9:{name} 9\n", time_ns + 1);
            time_ns += 3;
            script += &format!("{time_ns} 7/7 function__return a.py:9:{name} 9\n");
        }
        time_ns += 1;
        script += &format!("{time_ns} 7/7 function__return a.py:3:{name} 4\n");
    };
    call("f", &["g", "g", "g"]);
    call("f", &["g", "g"]);
    call("f", &["g", "g", "g", "g"]);
    call("h", &[]);
    call("f", &["g", "g"]);
    call("f", &["g"]);
    script += &format!("{} 7/7 function__return a.py:1:main 2\n", time_ns + 1);
    let row = |duration: &str, call: &str| format!(" {duration:>9} {call}");
    assert_eq!(
        folded(&script),
        [
            row("", "→ main  a.py:1"),
            row("", "  → f  a.py:3"),
            row("2 ns", "    g  a.py:9"),
            row("4 ns", "    … 2 × g  a.py:9"),
            row("10 ns", "  ← f  a.py:4"),
            // 7 ns and 13 ns.
            row("20 ns", "  … 2 × f  a.py:3"),
            row("1 ns", "  h  a.py:3"),
            row("", "  → f  a.py:3"),
            row("2 ns", "    g  a.py:9"),
            row("2 ns", "    … 1 × g  a.py:9"),
            row("7 ns", "  ← f  a.py:4"),
            row("", "  → f  a.py:3"),
            row("2 ns", "    g  a.py:9"),
            row("4 ns", "  ← f  a.py:4"),
            row("49 ns", "← main  a.py:2"),
        ]
    );
}

#[test]
fn a_call_with_too_many_lines_is_not_folded() {
    let mut script = String::from("0 7/7 function__entry a.py:1:main 1\n");
    // No two consecutive calls in `main` are equal.
    for at in 0..300 {
        let (from, name) = (2 * at + 1, if at % 2 == 0 { "f" } else { "g" });
        script += &format!("{from} 7/7 function__entry a.py:5:{name} 5\n");
        script += &format!("{} 7/7 function__return a.py:5:{name} 5\n", from + 1);
    }
    script += "900 7/7 function__return a.py:1:main 1\n";
    let plain = lines(&script, &Filter::default(), &TreeOptions::default());
    let fold =
        lines(&script, &Filter::default(), &TreeOptions { fold_repeats: true, ..TreeOptions::default() });
    assert_eq!(fold, plain);
}

#[test]
fn damage_is_not_folded() {
    for (name, script) in testing::all("script") {
        let repeats = |line: &str| match line.split_once("… ") {
            Some((_, rest)) => rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0),
            None => 1,
        };
        let text = |fold| {
            lines(&script, &Filter::default(), &TreeOptions { fold_repeats: fold, ..TreeOptions::default() })
        };
        let lines_with = |text: &str, damage: &str| text.lines().filter(|line| line.contains(damage)).count();
        let (plain, fold) = (text(false), text(true));
        for damage in ["never returned", "still open", "not seen", "lost in", "across a loss"] {
            assert_eq!(lines_with(&plain, damage), lines_with(&fold, damage), "{name}: {damage}");
        }
        assert!(fold.lines().map(repeats).sum::<usize>() <= plain.lines().count(), "{name}");
    }
}
