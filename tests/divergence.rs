//! `pyrec diff --divergence` on real recordings: versions of a program, a flaky one, and what must make no difference.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Recording, Subject, in_every_way, number, pyrec, run};
use tempfile::TempDir;

in_every_way!(a_program_with_threads_generators_and_recursion_does_not_part_from_itself);

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

/// The same with a comment before, a name more, and a call more in the fourth round.
fn changed() -> String {
    let shop = SHOP.replace(
        "        basket.add(number)",
        "        if number == 3:\n            note(number)\n        basket.add(number)",
    );
    shop.replace("def main(", "# Tells.\ndef note(number):\n    pass\n\ndef main(")
}

/// The program in a directory of its own, recorded.
fn record(subject: &Subject, options: &[&str], text: &str, seed: &str) -> (Recording, TempDir) {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let program = directory.path().join("shop.py");
    fs::write(&program, text).expect("a file can be written");
    (subject.record(options, &[program, PathBuf::from(seed)]), directory)
}

fn part(old: &Path, new: &Path, options: &[&str]) -> String {
    let output =
        run(pyrec("diff").arg("--divergence").args(options).args(["--root", "main"]).args([old, new]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

fn json(old: &Recording, new: &Recording) -> Value {
    serde_json::from_str(&part(&old.trace(), &new.trace(), &["--json"])).expect("it is JSON")
}

fn names(calls: &Value) -> Vec<&str> {
    calls.as_array().expect("a list").iter().filter_map(|call| call["qualname"].as_str()).collect()
}

#[test]
fn a_call_more_is_found_in_another_version_in_another_directory() {
    let Some(subject) = Subject::any() else { return };
    let (old, _old) = record(&subject, &["--lines"], SHOP, "1");
    let (new, _new) = record(&subject, &["--lines"], &changed(), "1");
    let told = json(&old, &new);
    assert_eq!((number(&told, "kinds"), number(&told, "places")), (1, 1), "{told}");
    assert_eq!((number(&told, "calls_only_old"), number(&told, "calls_only_new")), (0, 1), "{told}");
    let place = &told["divergences"][0];
    let new_side = &place["new"];
    assert_eq!((names(&new_side["only"]), names(&new_side["stack"])), (vec!["note"], vec!["main"]), "{told}");
    // `main`, `Basket`, three rounds of `check`, `add` and `rounded`, and the fourth `check`.
    assert_eq!((number(&place["old"], "number"), number(new_side, "number")), (12, 12), "{told}");
    assert_eq!(names(&place["before"]), ["Basket.add", "check"]);
    assert_eq!(place["then"]["qualname"], "Basket.add");
    let line = |side: &Value| number(&side["stack"][0], "line");
    assert_eq!((line(&place["old"]), line(new_side)), (24, 29), "{told}");

    let text = part(&old.trace(), &new.trace(), &[]);
    for row in ["     + shop:29", "note(number)", "1. after 12 calls", "+ note ("] {
        let row = row.replace("shop:", "__main__:");
        assert!(text.contains(&row), "{row}: {text}");
    }
    assert!(text.contains("old: trust:") && text.contains("new: trust:"), "{text}");
}

#[test]
fn a_flaky_program_parts_where_it_raised() {
    let Some(subject) = Subject::any() else { return };
    let (good, _good) = record(&subject, &[], SHOP, "1");
    let (bad, _bad) = record(&subject, &[], SHOP, "2");
    let told = json(&good, &bad);
    let [first, second] = [0, 1].map(|at| &told["divergences"][at]);
    assert_eq!(names(&first["old"]["stack"]), ["check", "main"], "{told}");
    assert_eq!(
        (&first["old"]["ends"], &first["new"]["ends"]),
        (&"returned".into(), &"raised".into()),
        "{told}"
    );
    assert_eq!(names(&second["old"]["only"]), ["Basket.add", "Basket.rounded"], "{told}");
    assert_eq!((number(&told, "places"), number(&told, "calls_only_new")), (2, 0), "{told}");
    let text = part(&good.trace(), &bad.trace(), &["-n", "1"]);
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

fn a_program_with_threads_generators_and_recursion_does_not_part_from_itself(subject: &Subject) {
    let [(old, _old), (new, _new)] = [0, 1].map(|_| record(subject, &[], BUSY, ""));
    let output = run(pyrec("diff")
        .args(["--divergence", "--json", "--include", "shop.py"])
        .args([old.trace(), new.trace()]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(number(&told, "places"), 0, "{told}");
    assert_eq!(
        (&told["threads_only_old"], &told["threads_only_new"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    // `fib` of 0, 1, 2 … makes 1, 1, 3, 5, 9, 15, 25, 41, 67, 109 calls, which are 710 in the four loops of `work`.
    assert!(number(&told, "calls_old") > 710 && told["calls_old"] == told["calls_new"], "{told}");
}
