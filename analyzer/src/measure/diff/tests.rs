//! Comparisons of small traces, with numbers that can be added up by hand.

use pyrec_schema::Trace;
use tempfile::TempDir;

use super::*;
use crate::testing;

/// Compares the traces of scripts with all options.
fn diff(old: &[&str], new: &[&str], renames: &[&str]) -> Diff {
    try_diff(old, new, renames).expect("the traces can be compared")
}

fn try_diff(old: &[&str], new: &[&str], renames: &[&str]) -> Result<Diff> {
    let traces = |side: &[&str]| -> (Vec<Trace>, Vec<TempDir>) {
        side.iter().map(|text| testing::trace(text, 2)).unzip()
    };
    let ((old, _old), (new, _new)) = (traces(old), traces(new));
    let renames = renames.iter().map(|text| text.parse().expect("the rename is valid")).collect();
    Diff::read(
        &old,
        &new,
        &DiffOptions { renames, lines: true, imports: true, gc: true, ..DiffOptions::default() },
    )
}

/// Calls and self times of both sides, by label.
fn functions(diff: &Diff) -> Vec<(String, [u64; 4])> {
    let functions = diff.alignment.functions.iter().zip(&diff.functions);
    let mut rows: Vec<_> = functions
        .map(|(function, CallsDiff { calls, self_ns, .. })| {
            let own = &self_ns.samples;
            (function.label(), [calls.old_median(), calls.new_median(), own.old_median(), own.new_median()])
        })
        .collect();
    rows.sort();
    rows
}

fn row(label: &str, numbers: [u64; 4]) -> (String, [u64; 4]) {
    (label.to_owned(), numbers)
}

/// The rows of a call that takes `took` ns.
fn call(at: u64, code: &str, took: u64) -> String {
    format!("{at} 7/7 function__entry {code} 1\n{} 7/7 function__return {code} 1\n", at + took)
}

#[test]
fn functions_are_matched_by_module_and_qualified_name() {
    let old =
        call(0, "/srv/run.py:3:C.f", 10) + &call(20, "/lib/g.py:5:g", 5) + &call(30, "/lib/g.py:9:gone", 1);
    let new =
        call(0, "/srv/run.py:7:C.f", 30) + &call(40, "/lib/g.py:5:g", 5) + &call(50, "/lib/g.py:5:g", 5);
    assert_eq!(
        functions(&diff(&[&old], &[&new], &[])),
        [
            // The function moved, and its label has the new line.
            row("C.f (__main__:7)", [1, 1, 10, 30]),
            row("g (g:5)", [1, 2, 5, 10]),
            row("gone (g:9)", [1, 0, 1, 0]),
        ]
    );
}

#[test]
fn a_recording_compared_with_itself_has_no_changes() {
    let script = call(0, "/srv/run.py:3:f", 10) + &call(20, "/srv/run.py:3:f.<locals>.<lambda>", 5);
    let diff = diff(&[&script], &[&script], &[]);
    assert!(diff.functions.iter().all(|calls| calls.calls.verdict() == CountVerdict::Same));
    assert!(diff.paths.iter().all(|path| !path.calls.has_changed()));
    assert!(diff.comparability.is_comparable());
}

const LAMBDA: &str = "/srv/run.py:LINE:f.<locals>.<lambda>";

fn lambda(at: u64, line: u32, took: u64) -> String {
    call(at, &LAMBDA.replace("LINE", &line.to_string()), took)
}

/// ```text
/// old   1 a = lambda: 0          new   1 import x
///       2 b = lambda: 1                2 a = lambda: 0
///                                      3 c = lambda: 2
///                                      4 b = lambda: 1
/// ```
#[test]
fn functions_with_one_name_are_told_apart_by_their_lines() {
    let source = |text: &str| format!("99 7/7 source /srv/run.py:: 0 1 {text}\n");
    let [old_text, new_text] = [
        r"a\s=\slambda:\s0\nb\s=\slambda:\s1\n",
        r"import\sx\na\s=\slambda:\s0\nc\s=\slambda:\s2\nb\s=\slambda:\s1\n",
    ];
    let old = lambda(0, 1, 10) + &lambda(20, 2, 20) + &source(old_text);
    let new = lambda(0, 2, 10) + &lambda(20, 3, 30) + &lambda(60, 4, 20) + &source(new_text);
    let both = diff(&[&old], &[&new], &[]);
    assert_eq!(
        functions(&both),
        [
            row("f.<locals>.<lambda> (__main__:2)", [1, 1, 10, 10]),
            row("f.<locals>.<lambda> (__main__:3)", [0, 1, 0, 30]),
            row("f.<locals>.<lambda> (__main__:4)", [1, 1, 20, 20]),
        ]
    );
    let mut ordinals: Vec<_> =
        both.alignment.functions.iter().map(|function| (function.first_line, function.ordinal)).collect();
    ordinals.sort();
    assert_eq!(ordinals, [(Some(2), 1), (Some(3), 2), (Some(4), 3)]);

    // Two lines of one text are two functions, even if each run entered only one of them.
    let (first, second) = (lambda(0, 1, 10) + &source(old_text), lambda(0, 2, 10) + &source(old_text));
    assert_eq!(diff(&[&first], &[&second], &[]).functions.len(), 2);
    // Without a text, functions are matched in order.
    assert_eq!(diff(&[&lambda(0, 1, 10)], &[&lambda(0, 2, 10)], &[]).functions.len(), 1);
}

#[test]
fn renames_match_moved_functions() {
    let old = call(0, "/lib/cart.py:3:Cart.add", 10) + &call(20, "/lib/cart.py:9:total", 1);
    let new = call(0, "/lib/basket.py:3:Basket.add", 10) + &call(20, "/lib/basket.py:9:total", 1);
    assert_eq!(diff(&[&old], &[&new], &[]).functions.len(), 4);
    let renames = ["cart:Cart=basket:Basket", "cart=basket"];
    assert_eq!(
        functions(&diff(&[&old], &[&new], &renames)),
        [row("Basket.add (basket:3)", [1, 1, 10, 10]), row("total (basket:9)", [1, 1, 1, 1])]
    );
    let error = try_diff(&[&old], &[&new], &["card=basket"]).expect_err("no module is named card");
    assert!(error.to_string().contains("`--map card=basket`"), "{error}");
}

/// ```text
/// old   f ─ g ─ f        new   f ─ f
/// ```
#[test]
fn call_paths_of_both_sides_are_merged() {
    let [f, g] = ["/srv/run.py:3:f", "/srv/run.py:5:g"];
    let nested = |codes: &[&str]| {
        let entries =
            codes.iter().enumerate().map(|(at, code)| format!("{at} 7/7 function__entry {code} 1\n"));
        let returns = codes.iter().rev().zip(10..);
        let returns = returns.map(|(code, at)| format!("{at} 7/7 function__return {code} 1\n"));
        entries.chain(returns).collect::<String>()
    };
    let diff = diff(&[&nested(&[f, g, f])], &[&nested(&[f, f])], &[]);
    let mut paths: Vec<(String, [u64; 4])> = diff
        .paths
        .iter()
        .map(|path| {
            let callers = std::iter::successors(Some(path), |path| path.parent.map(|at| &diff.paths[at]));
            let names: Vec<&str> =
                callers.map(|path| diff.alignment.functions[path.function].qualname.as_str()).collect();
            let CallsDiff { calls, total_ns, .. } = &path.calls;
            let total = &total_ns.samples;
            let numbers = [calls.old_median(), calls.new_median(), total.old_median(), total.new_median()];
            (names.into_iter().rev().collect::<Vec<_>>().join(" "), numbers)
        })
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            row("f", [1, 1, 12, 11]),
            row("f f", [0, 1, 0, 9]),
            row("f g", [1, 0, 10, 0]),
            row("f g f", [1, 0, 8, 0]),
        ]
    );
    // The total of f has its inner call once.
    let f =
        diff.alignment.functions.iter().position(|function| function.qualname == "f").expect("f was called");
    assert_eq!((diff.functions[f].total_ns.samples.old[0], diff.functions[f].calls.old[0]), (12, 2));
    assert_eq!((diff.whole.calls.old[0], diff.whole.total_ns.samples.new[0]), (3, 11));
}

#[test]
fn lines_are_matched_across_versions() {
    let run = |lines: &[(u64, u32)], text: &str| {
        let hits = lines.iter().map(|(at, line)| format!("{at} 7/7 line /srv/run.py:1:f {line}\n"));
        let hits: String = hits.collect();
        format!(
            "0 7/7 function__entry /srv/run.py:1:f 1\n{hits}90 7/7 function__return /srv/run.py:1:f 1\n\
             99 7/7 source /srv/run.py:: 0 1 {text}\n"
        )
    };
    let old = run(&[(10, 2), (30, 3)], r"def\sf():\n\sa()\n\sb()\n");
    let new = run(&[(10, 2), (30, 3), (50, 4), (60, 4)], r"def\sf():\n\sa()\n\sc()\n\sb()\n");
    let diff = diff(&[&old], &[&new], &[]);
    let lines: Vec<_> = diff
        .lines
        .iter()
        .filter(|line| line.hits.distance() + line.hits.new_median() > 0)
        .map(|line| {
            let source = diff.alignment.line_text(line.file_id, line.line).unwrap_or_default();
            (diff.line_label(line), source.trim(), line.hits.old_median(), line.hits.new_median())
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("__main__:2".into(), "a()", 1, 1),
            ("__main__:3".into(), "c()", 0, 1),
            ("__main__:3 → 4".into(), "b()", 1, 2)
        ]
    );
}

#[test]
fn imports_and_collections_are_compared() {
    let import = |at: u64, name: &str| {
        format!(
            "{at} 7/7 import__find__load__start - 0 - {name}\n{} 7/7 import__find__load__done - 0 1 {name}\n",
            at + 5
        )
    };
    let collection = |at: u64| format!("{at} 7/7 gc__start - 0 2\n{} 7/7 gc__done - 0 30\n", at + 5);
    let diff =
        diff(&[&(import(0, "json") + &collection(20))], &[&(import(0, "json") + &import(10, "re"))], &[]);
    let imports: Vec<_> = diff
        .imports
        .iter()
        .map(|import| (import.modules.join(" "), import.count.old_median(), import.count.new_median()))
        .collect();
    assert_eq!(imports, [("json".into(), 1, 1), ("re".into(), 0, 1)]);
    let [gc] = &diff.gc[..] else { panic!("not one generation: {:?}", diff.gc) };
    assert_eq!((gc.generation, gc.pauses.old[0], gc.pauses.new[0], gc.found.old[0]), (Some(2), 1, 0, 30));
}

#[test]
fn measures_that_were_not_read_are_empty() {
    let script = call(0, "/srv/run.py:3:f", 1);
    let ((old, _old), (new, _new)) = (testing::trace(&script, 2), testing::trace(&script, 2));
    let diff = Diff::read(&[old], &[new], &DiffOptions::default()).expect("the traces can be compared");
    assert!(diff.lines.is_empty() && diff.files.is_empty() && diff.imports.is_empty() && diff.gc.is_empty());
    assert_eq!((diff.functions.len(), diff.has_hits), (1, false));
}

#[test]
fn rules_limit_counts_and_times() {
    let old = call(0, "/srv/run.py:3:parse_a", 100) + &call(200, "/srv/run.py:5:parse_b", 100);
    let new = old.clone() + &call(400, "/srv/run.py:5:parse_b", 5);
    let violations = |old: &[&str], new: &[&str], rule: &str| -> Vec<Option<String>> {
        let rule: Rule = rule.parse().expect("the rule is valid");
        let breaches = rule.breaches(&diff(old, new, &[])).expect("the pattern matches");
        breaches.into_iter().map(|breach| breach.what).collect()
    };
    let b = || Some("parse_b (__main__:5)".to_owned());
    let one = |rule| violations(&[&old], &[&new], rule);
    assert_eq!(one("calls:parse_*:+0%"), [b()]);
    assert_eq!(one("calls:parse_*:+99%"), [b()]);
    assert_eq!(one("calls:parse_*:+100%"), []);
    assert_eq!(one("calls:+1"), []);
    assert_eq!(one("calls:+0"), [None]);
    assert_eq!(one("calls:parse_a:+0%"), []);
    // With one run a side, times are checked as measured.
    assert_eq!(one("self:parse_*:+4%"), [b()]);
    assert_eq!(one("self:parse_*:+5ns"), []);
    assert_eq!(one("total:+2%"), [None]);
    assert_eq!(one("total:+3%"), []);

    let run = |took| call(0, "/srv/run.py:3:f", took);
    let [a, b, c] = [1_000, 1_100, 1_200].map(run);
    let [x, y, z] = [1_250, 1_300, 1_600].map(run);
    let [far, farther, farthest] = [9_000, 9_100, 9_200].map(run);
    assert_eq!(violations(&[&a, &b, &c], &[&x, &y, &z], "self:f:+0%"), []);
    assert_eq!(violations(&[&a, &b, &c], &[&far, &farther, &farthest], "self:f:+100%").len(), 1);
    assert_eq!(violations(&[&a, &b, &c], &[&far, &farther, &farthest], "self:f:+900%"), []);
}

#[test]
fn errors_explain_invalid_rules() {
    for (rule, why) in [
        ("calls", "no colon"),
        ("speed:+1%", "calls, self, total, hits, imports, pauses, gc"),
        ("calls:f:10%", "+10%"),
        ("calls:f:+x%", "+10%"),
        ("calls:f:+5ms", "+10%"),
        ("self:f:+5", "+10%"),
        ("calls:f:+inf%", "+10%"),
        ("calls:[:+1%", "`[`"),
        ("calls::+1%", "empty"),
        ("gc:f:+1%", "no pattern"),
    ] {
        let error = rule.parse::<Rule>().expect_err(rule).to_string();
        assert!(error.starts_with(&format!("`{rule}` is not a rule")) && error.contains(why), "{error}");
    }
    let script = call(0, "/srv/run.py:3:f", 1);
    let diff = diff(&[&script], &[&script], &[]);
    for (rule, why) in [("calls:g:+0%", "nothing in these"), ("hits:+0%", "--lines")] {
        let rule: Rule = rule.parse().expect("the rule is valid");
        let error = rule.breaches(&diff).expect_err("the rule cannot be checked").to_string();
        assert!(error.contains(rule.as_str()) && error.contains(why), "{error}");
    }
}
