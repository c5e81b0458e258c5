//! Where runs part, against a plain second opinion.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::testing;

/// A call of one of a few functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node(u32, Vec<Node>);

impl Node {
    fn calls(&self) -> u64 {
        1 + self.1.iter().map(Node::calls).sum::<u64>()
    }

    /// The calls in their order, each as its depth and its function.
    fn flat(&self, depth: u32, into: &mut Vec<(u32, u32)>) {
        into.push((depth, self.0));
        self.1.iter().for_each(|node| node.flat(depth + 1, into));
    }

    /// The call of that number, and where it is among its caller's.
    fn caller_of(&mut self, number: u64) -> Option<(&mut Node, usize)> {
        let mut next = 1;
        let at = self.1.iter().position(|node| {
            let is_in = number < next + node.calls();
            next += if is_in { 0 } else { node.calls() };
            is_in
        })?;
        if next == number { Some((self, at)) } else { self.1[at].caller_of(number - next) }
    }
}

/// The fewest calls that must be left out of both so that the rest is alike: the table over all pairs of calls.
fn fewest(old: &Node, new: &Node, known: &mut HashMap<(Node, Node), u64>) -> u64 {
    if let Some(&fewest) = known.get(&(old.clone(), new.clone())) {
        return fewest;
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
            let paired =
                paired.map(|(row, column)| table[row][column] + fewest(&old.1[row], &new.1[column], known));
            table[row][column] = [removed, added, paired].into_iter().flatten().min().unwrap_or(0);
        }
    }
    let fewest = table[old.1.len()][new.1.len()];
    known.insert((old.clone(), new.clone()), fewest);
    fewest
}

/// A thread that made those calls, row for row at 0, 1, 2 …, with a name that is its own.
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
    Divergences::read([&old, &new], [&Sources::default(); 2], filter, &[], 100).expect("whole traces")
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

/// Where the two sequences of calls are not the same any more.
fn first_mismatch(old: &Node, new: &Node) -> u64 {
    let [old, new] = [old, new].map(|node| {
        let mut flat = Vec::new();
        node.1.iter().for_each(|node| node.flat(0, &mut flat));
        flat
    });
    old.iter().zip(&new).take_while(|(old, new)| old == new).count() as u64
}

/// Row groups of any length give the same; where the first place is, the sequences do part.
fn check(old: &Node, new: &Node, rows: usize) -> Result<Divergences, TestCaseError> {
    let (old_rows, new_rows) = (script(old, 7), script(new, 9));
    let told = read(&old_rows, &new_rows, rows);
    prop_assert_eq!(&told, &read(&old_rows, &new_rows, 1_000));
    prop_assert_eq!(told.calls, [old.calls() - 1, new.calls() - 1]);
    prop_assert_eq!(told.calls[0] - told.only[0], told.calls[1] - told.only[1], "the rest is alike");
    prop_assert_eq!(told.places == 0, old == new);
    if let Some(first) = told.first.first() {
        let mismatch = first_mismatch(old, new);
        prop_assert_eq!(first.old.number, first.new.number);
        let longest = first.old.only_calls.max(first.new.only_calls);
        prop_assert!(first.old.number <= mismatch && mismatch <= first.old.number + longest);
        for (side, root) in [(&first.old, old), (&first.new, new)] {
            let rows = script(root, 7);
            // The next row of that side: the entry of the call of that number, or what ends the one before.
            let time_ns = side.time_ns.expect("it was found") as usize;
            let row = rows.lines().nth(time_ns).expect("a row");
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
    Ok(told)
}

proptest! {
    // Each case writes and reads several files.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn any_two_runs_part_where_their_calls_do(old in root(), new in root(), rows in 1..20usize) {
        let told = check(&old, &new, rows)?;
        let fewest = fewest(&old, &new, &mut HashMap::new());
        prop_assert!(told.only.iter().sum::<u64>() >= fewest, "fewer than there can be");
    }

    #[test]
    fn a_call_that_one_run_makes_more_is_found(
        old in root(), extra in node(), at in any::<prop::sample::Index>(), rows in 1..20usize, is_removed: bool,
    ) {
        let number = 1 + at.index(old.calls() as usize - 1) as u64;
        let mut new = old.clone();
        let (caller, place) = new.caller_of(number).expect("there are so many calls");
        caller.1.insert(place, extra.clone());
        let told = if is_removed { check(&new, &old, rows)? } else { check(&old, &new, rows)? };
        let only = if is_removed { [extra.calls(), 0] } else { [0, extra.calls()] };
        prop_assert_eq!((told.places, told.only), (1, only));
        prop_assert!(told.first[0].old.number <= number - 1 + old.calls());
        prop_assert_eq!(fewest(&old, &new, &mut HashMap::new()), extra.calls());
    }

    #[test]
    fn a_call_in_the_place_of_another_is_found(
        old in root(), other in node(), at in any::<prop::sample::Index>(), rows in 1..20usize,
    ) {
        let number = 1 + at.index(old.calls() as usize - 1) as u64;
        let mut new = old.clone();
        let (caller, place) = new.caller_of(number).expect("there are so many calls");
        // Another function: a call of the same one may part inside.
        let other = Node(other.0 + 10, other.1);
        let replaced = std::mem::replace(&mut caller.1[place], other.clone());
        let told = check(&old, &new, rows)?;
        prop_assert_eq!((told.places, told.only), (1, [replaced.calls(), other.calls()]));
        prop_assert_eq!(told.first[0].old.number, number - 1);
    }

    #[test]
    fn a_run_does_not_part_from_itself(root in root(), rows in 1..20usize) {
        prop_assert_eq!(check(&root, &root, rows)?.first, vec![]);
    }
}

/// Each side of each place: what is only there and how that ends, by name.
fn places(told: &Divergences) -> Vec<String> {
    let call = |call: &Outline| format!("{}{}", ">".repeat(call.depth), call.function.qualname);
    let side = |side: &Side| {
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
    told.first.iter().map(place).collect()
}

/// Rows of one thread at 0, 1, 2 …: `+f` is a call, `-f` its end, `-f!` by an exception, `-f?` a yield, `f:3` a line,
/// anything else a row but for its time.
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
fn what_each_run_did_next_is_told() {
    for (old, new, expected) in [
        ("+a +b -b -a", "+a +b -b -a", &[][..]),
        ("+a +b -b -a", "+a +b -b +c -c -a", &["2 in a: [] Returned [c] Returned × 1"]),
        ("+a +b -b +c -c -a", "+a +c -c -a", &["1 in a: [b] [] then c × 1"]),
        ("+a +b +c -c -b -a", "+a +b +d -d -b -a", &["2 in b a: [c] Returned [d] Returned × 1"]),
        ("+a -a +b -b", "+a -a", &["1 in : [b] Returned [] Returned × 1"]),
        // In each of three calls the same is missing.
        (
            "+a +f +g -g -f +f +g -g -f +f +g -g -f -a",
            "+a +f -f +f -f +f -f -a",
            &["2 in f a: [g] Returned [] Returned × 3"],
        ),
        // An exception is told where it comes from, not in each caller that it leaves.
        (
            "+a +b +c -c -b +d -d -a",
            "+a +b +c -c! -b! -a!",
            &["3 in c b a: [] Returned [] Raised × 1", "3 in a: [d] Returned [] Raised × 1"],
        ),
        // A generator that is resumed once more.
        ("+a +g -g? +g -g -a", "+a +g -g? +g -g? +g -g -a", &["2 in a: [] [g] then g × 1"]),
        // Where the recording of one ends, nothing more is told of the thread.
        ("+a +b +c -c -b +d -d -a +e -e", "+a +b", &["2 in b a: [c] Returned [] StillOpen × 1"]),
        ("+a +b -b", "+a +b -b", &[]),
        // Collections come when they do, and what they run is left out.
        ("+a gc__start +x -x gc__done +b -b -a", "+a +b gc__start gc__done -b -a", &[]),
        // A return without an entry is nobody's.
        ("-z +a -a", "+a -a", &[]),
        // An entry that never returned was no call.
        ("+a +g +b -b -a", "+a +b -b -a", &[]),
        // While c was called nobody could know.
        ("+a +g +b -b +c -c -a", "+a +b -b -a", &["2 in g a: [c] Returned [] Returned × 1"]),
    ] {
        for rows in [1, 2, 100] {
            assert_eq!(
                places(&read(&thread(old, 7), &thread(new, 9), rows)),
                expected,
                "{old} against {new}"
            );
        }
    }
}
