//! Divergences of generated and hand-written runs, compared with a reference implementation.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::testing;

/// A call of a numbered function, with its callees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node(u32, Vec<Node>);

impl Node {
    fn calls(&self) -> u64 {
        1 + self.1.iter().map(Node::calls).sum::<u64>()
    }

    /// Appends the depth and function of each call in preorder.
    fn flatten(&self, depth: u32, to: &mut Vec<(u32, u32)>) {
        to.push((depth, self.0));
        self.1.iter().for_each(|node| node.flatten(depth + 1, to));
    }

    /// The caller of the call with that number, and its index among the caller's callees.
    fn caller_of(&mut self, number: u64) -> Option<(&mut Node, usize)> {
        let mut next = 1;
        let index = self.1.iter().position(|node| {
            let is_in = number < next + node.calls();
            next += if is_in { 0 } else { node.calls() };
            is_in
        })?;
        if next == number { Some((self, index)) } else { self.1[index].caller_of(number - next) }
    }
}

/// The fewest calls that must be removed from both trees to make them equal, by dynamic programming
/// over pairs of calls.
fn min_removals(old: &Node, new: &Node, cache: &mut HashMap<(Node, Node), u64>) -> u64 {
    if let Some(&removals) = cache.get(&(old.clone(), new.clone())) {
        return removals;
    }
    let mut table = vec![vec![0; new.1.len() + 1]; old.1.len() + 1];
    for row in 0..=old.1.len() {
        for column in 0..=new.1.len() {
            let removed = row.checked_sub(1).map(|row| table[row][column] + old.1[row].calls());
            let added = column.checked_sub(1).map(|column| table[row][column] + new.1[column].calls());
            let paired = row
                .checked_sub(1)
                .zip(column.checked_sub(1))
                .filter(|&(row, column)| old.1[row].0 == new.1[column].0);
            let paired = paired
                .map(|(row, column)| table[row][column] + min_removals(&old.1[row], &new.1[column], cache));
            table[row][column] = [removed, added, paired].into_iter().flatten().min().unwrap_or(0);
        }
    }
    let removals = table[old.1.len()][new.1.len()];
    cache.insert((old.clone(), new.clone()), removals);
    removals
}

/// The script of a thread with these calls, with one row at each of 0, 1, 2 … ns.
fn script(root: &Node, tid: i32) -> String {
    fn rows(node: &Node, tid: i32, out: &mut Vec<String>) {
        for call in &node.1 {
            let row = |marker: &str| {
                format!("  7/{tid}  function__{marker}  /srv/run.py:{0}:f{0}  1\n", call.0 + 1)
            };
            out.push(row("entry"));
            rows(call, tid, out);
            out.push(row("return"));
        }
    }
    let mut out = Vec::new();
    rows(root, tid, &mut out);
    out.iter().enumerate().map(|(time_ns, row)| format!("{time_ns}{row}")).collect()
}

fn read(old: &str, new: &str, row_group_rows: usize) -> Divergences {
    read_with(old, new, row_group_rows, &Filter::default())
}

fn read_with(old: &str, new: &str, row_group_rows: usize, filter: &Filter) -> Divergences {
    let ((old, _old), (new, _new)) =
        (testing::trace(old, row_group_rows), testing::trace(new, row_group_rows));
    Divergences::read([&old, &new], [&Sources::default(); 2], filter, &[], 100).expect("the traces are valid")
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = (0..4u32).prop_map(|function| Node(function, vec![]));
    leaf.prop_recursive(4, 24, 4, |node| {
        (0..4u32, prop::collection::vec(node, 0..4)).prop_map(|(function, calls)| Node(function, calls))
    })
}

fn root() -> impl Strategy<Value = Node> {
    prop::collection::vec(node(), 1..4).prop_map(|calls| Node(0, calls))
}

/// The number of calls before the first difference of the two preorder sequences.
fn first_mismatch(old: &Node, new: &Node) -> u64 {
    let [old, new] = [old, new].map(|node| {
        let mut flat = Vec::new();
        node.1.iter().for_each(|node| node.flatten(0, &mut flat));
        flat
    });
    old.iter().zip(&new).take_while(|(old, new)| old == new).count() as u64
}

/// Compares two runs, and checks what holds for any two: the result does not depend on the length
/// of row groups, the counts add up, and the first divergence is at the first difference of the
/// sequences.
fn check(old: &Node, new: &Node, rows: usize) -> Result<Divergences, TestCaseError> {
    let (old_rows, new_rows) = (script(old, 7), script(new, 9));
    let result = read(&old_rows, &new_rows, rows);
    prop_assert_eq!(&result, &read(&old_rows, &new_rows, 1_000));
    prop_assert_eq!(result.calls, [old.calls() - 1, new.calls() - 1]);
    prop_assert_eq!(
        result.calls[0] - result.only[0],
        result.calls[1] - result.only[1],
        "the other calls are in common"
    );
    prop_assert_eq!(result.places == 0, old == new);
    if let Some(first) = result.first.first() {
        let mismatch = first_mismatch(old, new);
        prop_assert_eq!(first.old.number, first.new.number);
        let longest = first.old.only_calls.max(first.new.only_calls);
        prop_assert!(first.old.number <= mismatch && mismatch <= first.old.number + longest);
        for (side, root) in [(&first.old, old), (&first.new, new)] {
            let rows = script(root, 7);
            // The next row of that side: the entry of the call with that number, or the end of the
            // call before it.
            let time_ns = side.time_ns.expect("the point was found") as usize;
            let row = rows.lines().nth(time_ns).expect("the script has the row");
            let entries = rows.lines().take(time_ns).filter(|row| row.contains("entry")).count() as u64;
            prop_assert_eq!(entries, side.number, "{}", row);
            if side.only_count > 0 {
                prop_assert!(
                    row.contains("entry") && row.contains(&format!(":{} ", side.only[0].function.qualname)),
                    "{}",
                    row
                );
            }
        }
    }
    Ok(result)
}

proptest! {
    // Fewer cases, since each writes and reads several files.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn any_two_runs_diverge_where_their_calls_differ(old in root(), new in root(), rows in 1..20usize) {
        let result = check(&old, &new, rows)?;
        let min_removals = min_removals(&old, &new, &mut HashMap::new());
        prop_assert!(result.only.iter().sum::<u64>() >= min_removals, "below the minimum");
    }

    #[test]
    fn one_additional_call_is_found(
        old in root(), extra in node(), at in any::<prop::sample::Index>(), rows in 1..20usize, is_removed: bool,
    ) {
        let number = 1 + at.index(old.calls() as usize - 1) as u64;
        let mut new = old.clone();
        let (caller, place) = new.caller_of(number).expect("the number is below the number of calls");
        caller.1.insert(place, extra.clone());
        let result = if is_removed { check(&new, &old, rows)? } else { check(&old, &new, rows)? };
        let only = if is_removed { [extra.calls(), 0] } else { [0, extra.calls()] };
        prop_assert_eq!((result.places, result.only), (1, only));
        prop_assert!(result.first[0].old.number <= number - 1 + old.calls());
        prop_assert_eq!(min_removals(&old, &new, &mut HashMap::new()), extra.calls());
    }

    #[test]
    fn one_replaced_call_is_found(
        old in root(), other in node(), at in any::<prop::sample::Index>(), rows in 1..20usize,
    ) {
        let number = 1 + at.index(old.calls() as usize - 1) as u64;
        let mut new = old.clone();
        let (caller, place) = new.caller_of(number).expect("the number is below the number of calls");
        // A call of another function, since one of the same function would be paired.
        let other = Node(other.0 + 10, other.1);
        let replaced = std::mem::replace(&mut caller.1[place], other.clone());
        let result = check(&old, &new, rows)?;
        prop_assert_eq!((result.places, result.only), (1, [replaced.calls(), other.calls()]));
        prop_assert_eq!(result.first[0].old.number, number - 1);
    }

    #[test]
    fn a_run_does_not_diverge_from_itself(root in root(), rows in 1..20usize) {
        prop_assert_eq!(check(&root, &root, rows)?.first, vec![]);
    }
}

/// Each divergence in one line: stack, one-sided calls and outcomes of each side, the next call in
/// common.
fn draw(result: &Divergences) -> Vec<String> {
    let call = |call: &CallSummary| format!("{}{}", ">".repeat(call.depth), call.function.qualname);
    let side = |side: &DivergenceSide| {
        let only: Vec<String> = side.only.iter().map(call).collect();
        let ends = side.ends.map_or(String::new(), |ends| format!(" {ends:?}"));
        format!("[{}]{ends}", only.join(" "))
    };
    let place = |place: &Divergence| {
        let stack: Vec<&str> = place.old.stack.iter().map(|place| place.qualname.as_str()).collect();
        let (old, new, number) = (side(&place.old), side(&place.new), place.old.number);
        let then =
            place.then.as_ref().map_or(String::new(), |call| format!(" then {}", call.function.qualname));
        format!("{number} in {}: {old} {new}{then} × {}", stack.join(" "), place.places)
    };
    result.first.iter().map(place).collect()
}

/// Rows of one thread at 0, 1, 2 … ns: `+f` is an entry, `-f` a return, `-f!` an exception, `-f?` a
/// yield, `f:3` a line, and anything else the name of a marker.
fn thread(words: &str, tid: i32) -> String {
    let row = |word: &str| match word.split_at(1) {
        ("+", name) => format!("function__entry /srv/run.py:1:{name} 1"),
        ("-", name) => {
            let how = match name.as_bytes().last() {
                Some(b'!') => " - unwind",
                Some(b'?') => " - yield",
                _ => "",
            };
            format!("function__return /srv/run.py:1:{} 1{how}", name.trim_end_matches(['!', '?']))
        }
        _ => match word.split_once(':') {
            Some((name, line)) => format!("line /srv/run.py:1:{name} {line}"),
            None => format!("{word} - 0 3 0"),
        },
    };
    let rows = words.split_whitespace().map(row).enumerate();
    rows.map(|(time_ns, row)| format!("{time_ns} 7/{tid} {row}\n")).collect()
}

#[test]
fn divergences_are_described() {
    for (old, new, expected) in [
        ("+a +b -b -a", "+a +b -b -a", &[][..]),
        ("+a +b -b -a", "+a +b -b +c -c -a", &["2 in a: [] Returned [c] Returned × 1"]),
        ("+a +b -b +c -c -a", "+a +c -c -a", &["1 in a: [b] [] then c × 1"]),
        ("+a +b +c -c -b -a", "+a +b +d -d -b -a", &["2 in b a: [c] Returned [d] Returned × 1"]),
        ("+a -a +b -b", "+a -a", &["1 in : [b] Returned [] Returned × 1"]),
        // The same call is missing in each of three calls.
        (
            "+a +f +g -g -f +f +g -g -f +f +g -g -f -a",
            "+a +f -f +f -f +f -f -a",
            &["2 in f a: [g] Returned [] Returned × 3"],
        ),
        // An exception is reported where it is raised, not in each caller that it propagates
        // through.
        (
            "+a +b +c -c -b +d -d -a",
            "+a +b +c -c! -b! -a!",
            &["3 in c b a: [] Returned [] Raised × 1", "3 in a: [d] Returned [] Raised × 1"],
        ),
        // A generator is resumed once more.
        ("+a +g -g? +g -g -a", "+a +g -g? +g -g? +g -g -a", &["2 in a: [] [g] then g × 1"]),
        // Nothing is reported of a thread after the end of one recording.
        ("+a +b +c -c -b +d -d -a +e -e", "+a +b", &["2 in b a: [c] Returned [] StillOpen × 1"]),
        ("+a +b -b", "+a +b -b", &[]),
        // Garbage collections and the calls in them are ignored.
        ("+a gc__start +x -x gc__done +b -b -a", "+a +b gc__start gc__done -b -a", &[]),
        // A return without an entry is ignored.
        ("-z +a -a", "+a -a", &[]),
        // An entry that never returned was no call.
        ("+a +g +b -b -a", "+a +b -b -a", &[]),
        // The entry of g turns out to be no call only after the call of c.
        ("+a +g +b -b +c -c -a", "+a +b -b -a", &["2 in g a: [c] Returned [] Returned × 1"]),
    ] {
        for rows in [1, 2, 100] {
            assert_eq!(draw(&read(&thread(old, 7), &thread(new, 9), rows)), expected, "{old} against {new}");
        }
    }
}
