//! Which thread of one run is which of the other: their numbers say nothing, the system gives them.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Something of a run that has a name, in the order in which it was first heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which process, and which thread of it.
    pub process: i32,
    /// Its command, without the way to what it names.
    pub command: String,
    /// The thread's name.
    pub name: String,
    /// When it was first heard of.
    pub first_ns: i64,
}

/// Pairs the threads of two runs: those of processes with the same command, and among these those of the same name, in
/// the order in which they began; what is left then, in that order alone. Gives the places in both lists.
pub fn pair(old: &[Named], new: &[Named]) -> Vec<(usize, usize)> {
    let (old_processes, new_processes) = (processes(old), processes(new));
    let command = |threads: &[Named], process: &Vec<usize>| threads[process[0]].command.clone();
    let pairs = by_name(
        &old_processes.iter().map(|process| command(old, process)).collect::<Vec<_>>(),
        &new_processes.iter().map(|process| command(new, process)).collect::<Vec<_>>(),
    );
    let mut threads = Vec::new();
    for (old_process, new_process) in pairs {
        let (old_threads, new_threads) = (&old_processes[old_process], &new_processes[new_process]);
        let name = |threads: &[Named], at: &usize| threads[*at].name.clone();
        let pairs = by_name(
            &old_threads.iter().map(|at| name(old, at)).collect::<Vec<_>>(),
            &new_threads.iter().map(|at| name(new, at)).collect::<Vec<_>>(),
        );
        threads.extend(pairs.into_iter().map(|(old, new)| (old_threads[old], new_threads[new])));
    }
    threads
}

/// The threads of each process, both in the order in which they were first heard of.
fn processes(threads: &[Named]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..threads.len()).collect();
    order.sort_by_key(|&at| threads[at].first_ns);
    let mut places = FxHashMap::default();
    let mut processes: Vec<Vec<usize>> = Vec::new();
    for at in order {
        let place = *places.entry(threads[at].process).or_insert_with(|| {
            processes.push(vec![]);
            processes.len() - 1
        });
        processes[place].push(at);
    }
    processes
}

/// Pairs what has the same name, the first with the first; then what is left, in order.
fn by_name<N: Eq + Hash>(old: &[N], new: &[N]) -> Vec<(usize, usize)> {
    let mut waiting: FxHashMap<&N, VecDeque<usize>> = FxHashMap::default();
    new.iter().enumerate().for_each(|(at, name)| waiting.entry(name).or_default().push_back(at));
    let mut pairs = Vec::new();
    let mut left = Vec::new();
    for (at, name) in old.iter().enumerate() {
        match waiting.get_mut(name).and_then(VecDeque::pop_front) {
            Some(its) => pairs.push((at, its)),
            None => left.push(at),
        }
    }
    let mut others: Vec<usize> = waiting.into_values().flatten().collect();
    others.sort_unstable();
    pairs.extend(left.into_iter().zip(others));
    pairs.sort_unstable();
    pairs
}

/// A command without the way to what it names: `/usr/bin/python3 /tmp/x/app.py` is `python3 app.py`.
pub fn plain_command(command: &str) -> String {
    let base = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    command.split_whitespace().map(base).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    //! Names first, then order.

    use super::*;

    fn threads(threads: &[(i32, &str, &str)]) -> Vec<Named> {
        let thread = |(at, &(process, command, name)): (usize, &(i32, &str, &str))| Named {
            process,
            command: command.into(),
            name: name.into(),
            first_ns: at as i64,
        };
        threads.iter().enumerate().map(thread).collect()
    }

    #[test]
    fn threads_are_paired_by_process_and_name_then_by_order() {
        let old = threads(&[
            (7, "app", "Main"),
            (7, "app", "b"),
            (7, "app", "a"),
            (8, "job", "Main"),
            (7, "app", "x"),
        ]);
        let new = threads(&[
            (3, "job", "Main"),
            (2, "app", "Main"),
            (2, "app", "a"),
            (2, "app", "y"),
            (2, "app", "b"),
        ]);
        assert_eq!(pair(&old, &new), [(0, 1), (1, 4), (2, 2), (4, 3), (3, 0)]);
        assert_eq!(pair(&old[..2], &new[..1]), [(0, 0)]);
        assert_eq!(pair(&[], &new), []);
    }

    #[test]
    fn a_command_is_the_same_wherever_it_lies() {
        assert_eq!(plain_command("/usr/bin/python3 -m http.server"), "python3 -m http.server");
    }
}
