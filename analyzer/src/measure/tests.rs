//! Totals, folded stacks and trace facts of small traces, with numbers that can be added up by
//! hand.

use std::time::Duration;

use super::{Folded, FunctionTotals, PauseTotals, Totals, TraceInfo, Weight};
use crate::testing::calls;
use crate::{CallTree, Filter};

/// ```text
/// 0        1   2   4   8   16  32       33  35   45  46       50
/// ├<module>┼─f─┼─f─┼─g─┼─f─┼─f─┼<module>┼─g─┼─gc─┼─g─┼<module>┤
/// ```
const RECURSION: &str = "
    0   7/7  function__entry   /srv/run.py:1:<module>  0
    1   7/7  function__entry   /srv/run.py:3:C.f       3
    2   7/7  function__entry   /srv/run.py:3:C.f       3
    4   7/7  function__entry   /lib/g.py:5:g           5
    8   7/7  function__return  /lib/g.py:5:g           6
    16  7/7  function__return  /srv/run.py:3:C.f       4
    32  7/7  function__return  /srv/run.py:3:C.f       4
    33  7/7  function__entry   /lib/g.py:5:g           5
    35  7/7  gc__start         -                       0  2
    45  7/7  gc__done          -                       0  9
    46  7/7  function__return  /lib/g.py:5:g           6
    50  7/7  function__return  /srv/run.py:1:<module>  9
";

fn recursion(filter: &Filter) -> CallTree {
    calls(RECURSION, filter)
}

#[test]
fn a_recursive_call_counts_once_in_the_total() {
    let totals = Totals::of(&recursion(&Filter::default()));
    let rows: Vec<_> = totals
        .functions
        .iter()
        .map(|function| {
            let FunctionTotals { calls, total_ns, self_ns, min_ns, mean_ns, max_ns, .. } = function;
            (function.label(), *calls, *total_ns, *self_ns, (*min_ns, *mean_ns, *max_ns))
        })
        .collect();
    assert_eq!(
        rows,
        [
            // 4..8 and 33..46, the pause from 35 to 45 in its total alone; the mean of 4 and 13
            // rounded down.
            ("g (g:5)".into(), 2, 17, 7, (Some(4), Some(8), Some(13))),
            // 0..1, 32..33, 46..50.
            ("<module> (__main__)".into(), 1, 50, 6, (Some(50), Some(50), Some(50))),
            // 1..32 in all. The inner call is 2..16, without g's 4..8.
            ("C.f (__main__:3)".into(), 2, 31, 27, (Some(14), Some(22), Some(31))),
        ]
    );
    assert_eq!(totals.gc, PauseTotals { count: 1, total_ns: 10 });
}

#[test]
fn totals_have_pauses_and_tracing_cost_per_function() {
    let totals = Totals::of(&recursion(&Filter::default()));
    let rows: Vec<_> =
        totals.functions.iter().map(|each| (each.name.as_str(), each.gc_ns, each.tracing_ns)).collect();
    // 30.6 ns per row: g has four rows and the two of a pause, <module> all twelve, and the outer f
    // six.
    assert_eq!(rows, [("g", 10, Some(184)), ("<module>", 0, Some(367)), ("f", 0, Some(184))]);

    let mut unknown = recursion(&Filter::default());
    unknown.manifest.cost_per_event_ns = None;
    assert!(Totals::of(&unknown).functions.iter().all(|function| function.tracing_ns.is_none()));
}

/// A hundred calls of 1 to 100 µs, so the exact percentiles are known.
#[test]
fn percentiles_of_many_calls() {
    let call = |number: u32| {
        let (from, to) = (1_000_000 * number, 1_000_000 * number + 1_000 * number);
        format!("{from} 7/7 function__entry f.py:1:f 1\n{to} 7/7 function__return f.py:1:f 1\n")
    };
    let of = |filter: &Filter| {
        let calls = calls(&(1..=100).map(call).collect::<String>(), filter);
        let [function] = &Totals::of(&calls).functions[..] else { panic!("not one function") };
        (function.min_ns, function.p50_ns, function.p95_ns, function.p99_ns, function.max_ns)
    };
    let (min, p50, p95, p99, max) = of(&Filter::default());
    assert_eq!((min, max), (Some(1_000), Some(100_000)));
    for (found, exact_ns) in [(p50, 50_000), (p95, 95_000), (p99, 99_000_u64)] {
        assert!(found.is_some_and(|ns| ns.abs_diff(exact_ns) <= exact_ns / 64), "{found:?} {exact_ns}");
    }
    // Durations are kept for all calls of a function, so percentiles inside another function are
    // unknown.
    let inside = Filter { root: Some("f".parse().expect("the pattern is valid")), ..Filter::default() };
    assert_eq!(of(&inside), (Some(1_000), None, None, None, Some(100_000)));
}

#[test]
fn self_times_add_up_to_the_measured_time() {
    let totals = Totals::of(&recursion(&Filter::default()));
    let own: u64 = totals.functions.iter().map(|function| function.self_ns).sum();
    assert_eq!(own + totals.gc.total_ns, 50);
}

#[test]
fn functions_below_the_minimum_time_are_left_out() {
    let filter = Filter { min_time: Duration::from_nanos(18), ..Filter::default() };
    let totals = Totals::of(&recursion(&filter));
    assert!(totals.functions.iter().all(|function| function.name != "g"));
    assert_eq!(totals.functions.len(), 2);

    let folded = Folded::of(&recursion(&filter), Weight::Time);
    let drawn: Vec<_> = folded.frames.iter().map(|frame| (frame.label.as_str(), frame.own)).collect();
    // <module> 6 and g's second call with its pause, 13; the inner f took 14, so it is part of the
    // outer one.
    assert_eq!(drawn, [("<module> (__main__)", 19), ("C.f (__main__:3)", 31)]);
}

#[test]
fn frames_are_weighted_by_self_time_or_calls() {
    let calls = recursion(&Filter::default());
    let shape = |weight| {
        let folded = Folded::of(&calls, weight);
        folded.frames.into_iter().map(|frame| (frame.parent, frame.own)).collect::<Vec<_>>()
    };
    // <module> ─ f ─ f ─ g, and <module> ─ g ─ a pause.
    let parents = [None, Some(0), Some(1), Some(2), Some(0), Some(4)];
    let with = |owns: [u64; 6]| parents.into_iter().zip(owns).collect::<Vec<_>>();
    assert_eq!(shape(Weight::Time), with([6, 17, 10, 4, 3, 10]));
    assert_eq!(shape(Weight::Calls), with([1, 1, 1, 1, 1, 0]));
    assert_eq!(Folded::of(&calls, Weight::Time).totals(), [50, 31, 14, 4, 13, 10]);
}

#[test]
fn frames_are_weighted_by_collections() {
    let folded = Folded::of(&recursion(&Filter::default()), Weight::Gc);
    let heavy: Vec<_> = folded.frames.iter().filter(|frame| frame.own > 0).collect();
    assert_eq!((heavy.len(), heavy[0].label.as_str(), heavy[0].own), (1, "(garbage collection)", 10));
    assert_eq!(folded.totals(), [10, 0, 0, 0, 10, 10]);
}

#[test]
fn reversed_paths_begin_with_the_innermost_function() {
    let calls = recursion(&Filter::default());
    let shape = |least| {
        let folded = Folded::of(&calls, Weight::Time).reversed(least, 9);
        let totals = folded.totals();
        let paths = folded.frames.iter().enumerate().map(|(at, frame)| {
            let mut path = vec![frame.label.split(' ').next().unwrap_or_default()];
            let mut below = frame.parent;
            while let Some(parent) = below {
                path.push(folded.frames[parent].label.split(' ').next().unwrap_or_default());
                below = folded.frames[parent].parent;
            }
            path.reverse();
            (path.join(" < "), totals[at], frame.own)
        });
        let mut paths: Vec<_> = paths.collect();
        paths.sort();
        paths
    };
    let row = |path: &str, total: u64, own: u64| (path.to_owned(), total, own);
    assert_eq!(
        shape(0),
        [
            row("(garbage", 10, 0),
            row("(garbage < g", 10, 0),
            row("(garbage < g < <module>", 10, 10),
            row("<module>", 6, 6),
            // 10 in the inner f, called from the outer one, and 17 in the outer one.
            row("C.f", 27, 0),
            row("C.f < <module>", 17, 17),
            row("C.f < C.f", 10, 0),
            row("C.f < C.f < <module>", 10, 10),
            row("g", 7, 0),
            row("g < <module>", 3, 3),
            row("g < C.f", 4, 0),
            row("g < C.f < C.f", 4, 0),
            row("g < C.f < C.f < <module>", 4, 4),
        ]
    );
    assert_eq!(
        shape(7),
        [
            row("(garbage", 10, 0),
            row("(garbage < g", 10, 0),
            row("(garbage < g < <module>", 10, 10),
            row("C.f", 27, 0),
            row("C.f < <module>", 17, 17),
            row("C.f < C.f", 10, 0),
            row("C.f < C.f < <module>", 10, 10),
            row("g", 7, 7),
        ]
    );
}

#[test]
fn frames_are_found_by_name_or_file() {
    let calls = recursion(&Filter::default());
    let mut folded = Folded::of(&calls, Weight::Time);
    folded.find(&"lib/*".parse().expect("the pattern is valid"), &calls);
    let matches: Vec<bool> = folded.frames.iter().map(|frame| frame.is_found).collect();
    assert_eq!(matches, [false, false, false, true, true, false]);
}

#[test]
fn every_thread_has_a_root() {
    let script = "
        0   7/7  thread__start     -               0  -  MainThread
        0   7/7  function__entry   /srv/run.py:1:a 1
        5   7/7  function__return  /srv/run.py:1:a 1
        0   7/8  function__entry   /srv/run.py:1:a 1
        7   7/8  function__return  /srv/run.py:1:a 1
    ";
    let shape = |filter: &Filter, script: &str| -> Vec<(Option<usize>, String, u64)> {
        let (trace, _directory) = crate::testing::trace(script, 2);
        let (calls, threads) = CallTree::read_by_thread(&trace, filter).expect("the trace is valid");
        let folded = Folded::by_thread(&calls, &threads, Weight::Time);
        folded.frames.into_iter().map(|frame| (frame.parent, frame.label, frame.own)).collect()
    };
    let row = |parent, label: &str, own| (parent, label.to_owned(), own);
    let a = "a (__main__:1)";
    assert_eq!(
        shape(&Filter::default(), script),
        [
            row(None, "thread 7 MainThread", 0),
            row(Some(0), a, 5),
            row(None, "thread 8", 0),
            row(Some(2), a, 7)
        ]
    );
    let one = Filter { tids: vec![8], ..Filter::default() };
    assert_eq!(shape(&one, script), [row(None, "thread 8", 0), row(Some(0), a, 7)]);
    let processes = shape(&one, &script.replace("7/8", "8/8"));
    assert_eq!(processes[0].1, "thread 8 of process 8");
}

#[test]
fn trace_info_counts_markers_threads_and_processes() {
    let two = "
        5   7/7  process__start    -               0  1  python3 run.py
        10  7/7  function__entry   /srv/run.py:1:a 1
        12  7/8  function__entry   /srv/run.py:5:b 5
        15  8/8  gc__start         -               0  0
        40  9/9  thread__start     -               0
    ";
    let info = TraceInfo::of(&calls(two, &Filter::default()));
    assert_eq!((info.threads, info.processes, info.duration_ns), (3, 2, Some(5)));
    let markers: Vec<_> = info.markers.iter().map(|(marker, count)| (marker.name(), *count)).collect();
    assert_eq!(
        markers,
        [("function__entry", 2), ("gc__start", 1), ("process__start", 1), ("thread__start", 1)]
    );
    assert_eq!(info.trust.events, 3);
    assert_eq!(info.trust.repaired.still_open, 3);
    assert_eq!(TraceInfo::of(&calls("", &Filter::default())).duration_ns, None);
}
