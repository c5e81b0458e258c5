//! `pyrec diff --divergence` of two versions of a program, of runs that differ, and of equal runs.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Recording, Setup, in_every_way, number, pyrec, run, stderr, stdout};
use tempfile::TempDir;

in_every_way!(equal_runs_with_threads_generators_and_recursion_do_not_diverge);

const SHOP: &str = "\
import sys

class Basket:
    def __init__(self):
        self.total = 0

    def add(self, price):
        self.total += self.rounded(price)

    def rounded(self, price):
        return round(price)

def check(number, seed):
    if number == 3 and seed == '2':
        raise ValueError(number)

def main(seed):
    basket = Basket()
    for number in range(5):
        try:
            check(number, seed)
        except ValueError:
            continue
        basket.add(number)
    return basket.total

main(sys.argv[1])
";

/// `SHOP` with another function, and a call of it in the fourth round.
fn changed_shop() -> String {
    let shop = SHOP.replace(
        "        basket.add(number)",
        "        if number == 3:\n            note(number)\n        basket.add(number)",
    );
    shop.replace("def main(", "# A comment.\ndef note(number):\n    pass\n\ndef main(")
}

/// Records a program in a directory of its own.
fn record(setup: &Setup, options: &[&str], text: &str, seed: &str) -> (Recording, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("shop.py");
    fs::write(&program, text).expect("the write succeeds");
    (setup.record(options, &[program, PathBuf::from(seed)]), directory)
}

fn divergences(old: &Path, new: &Path, options: &[&str]) -> String {
    let output =
        run(pyrec("diff").arg("--divergence").args(options).args(["--root", "main"]).args([old, new]));
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn json(old: &Recording, new: &Recording) -> Value {
    serde_json::from_str(&divergences(&old.trace(), &new.trace(), &["--json"])).expect("valid JSON")
}

fn names(calls: &Value) -> Vec<&str> {
    calls.as_array().expect("an array").iter().filter_map(|call| call["qualname"].as_str()).collect()
}

#[test]
fn an_added_call_is_found_in_another_version_in_another_directory() {
    let Some(setup) = Setup::any() else { return };
    let (old, _old) = record(&setup, &["--lines"], SHOP, "1");
    let (new, _new) = record(&setup, &["--lines"], &changed_shop(), "1");
    let diff = json(&old, &new);
    assert_eq!((number(&diff, "kinds"), number(&diff, "places")), (1, 1), "{diff}");
    assert_eq!((number(&diff, "calls_only_old"), number(&diff, "calls_only_new")), (0, 1), "{diff}");
    let place = &diff["divergences"][0];
    let new_side = &place["new"];
    assert_eq!((names(&new_side["only"]), names(&new_side["stack"])), (vec!["note"], vec!["main"]), "{diff}");
    // `main`, `Basket`, three rounds of `check`, `add` and `rounded`, and the fourth `check`.
    assert_eq!((number(&place["old"], "number"), number(new_side, "number")), (12, 12), "{diff}");
    assert_eq!(names(&place["before"]), ["Basket.add", "check"]);
    assert_eq!(place["then"]["qualname"], "Basket.add");
    let line = |side: &Value| number(&side["stack"][0], "line");
    assert_eq!((line(&place["old"]), line(new_side)), (24, 29), "{diff}");

    let text = divergences(&old.trace(), &new.trace(), &[]);
    for row in ["     + shop:29", "note(number)", "1. after 12 calls", "+ note ("] {
        let row = row.replace("shop:", "__main__:");
        assert!(text.contains(&row), "{row}: {text}");
    }
    assert!(text.contains("old: trust:") && text.contains("new: trust:"), "{text}");
}

#[test]
fn runs_diverge_at_the_call_that_raised() {
    let Some(setup) = Setup::any() else { return };
    let (good, _good) = record(&setup, &[], SHOP, "1");
    let (bad, _bad) = record(&setup, &[], SHOP, "2");
    let diff = json(&good, &bad);
    let [first, second] = [0, 1].map(|at| &diff["divergences"][at]);
    assert_eq!(names(&first["old"]["stack"]), ["check", "main"], "{diff}");
    assert_eq!(
        (&first["old"]["ends"], &first["new"]["ends"]),
        (&"returned".into(), &"raised".into()),
        "{diff}"
    );
    assert_eq!(names(&second["old"]["only"]), ["Basket.add", "Basket.rounded"], "{diff}");
    assert_eq!((number(&diff, "places"), number(&diff, "calls_only_new")), (2, 0), "{diff}");
    let text = divergences(&good.trace(), &bad.trace(), &["-n", "1"]);
    assert!(text.contains("     - returns\n     + raises\n") && text.contains("… and 1 more kind"), "{text}");
}

const BUSY: &str = "\
import threading

def numbers(count):
    for number in range(count):
        yield number

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def work(count):
    garbage = [[] for _ in range(2000)]
    for each in garbage:
        each.append(each)
    return sum(fib(number) for number in numbers(count))

def main():
    threads = [threading.Thread(target=work, args=(8 + at,), name=f'worker {at}') for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work(9)

main()
";

fn equal_runs_with_threads_generators_and_recursion_do_not_diverge(setup: &Setup) {
    let [(old, _old), (new, _new)] = [0, 1].map(|_| record(setup, &[], BUSY, ""));
    let output = run(pyrec("diff")
        .args(["--divergence", "--json", "--include", "shop.py"])
        .args([old.trace(), new.trace()]));
    assert!(output.status.success(), "{}", stderr(&output));
    let diff: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    assert_eq!(number(&diff, "places"), 0, "{diff}");
    assert_eq!(
        (&diff["threads_only_old"], &diff["threads_only_new"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    // `fib` of 0, 1, 2 … makes 1, 1, 3, 5, 9, 15, 25, 41, 67, 109 calls, which are 710 in the four
    // loops of `work`.
    assert!(number(&diff, "calls_old") > 710 && diff["calls_old"] == diff["calls_new"], "{diff}");
}
