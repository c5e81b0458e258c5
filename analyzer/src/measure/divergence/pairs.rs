//! Which thread of one run is which of the other: their numbers say nothing, the system gives them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::hash::Hash;

/// A thread of a run, as far as it can be known again in the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which process it is of.
    pub process: i32,
    /// The command of that, without the way to what it names.
    pub command: String,
    /// The thread's name.
    pub name: String,
    /// What it did is known by this.
    pub shape: Hash,
    /// When it was first heard of.
    pub first_ns: i64,
}

/// Pairs the threads of two runs: those of processes with the same command, and among these those of the same name, first
/// those that did the same, the others in the order in which they began; what is left then, in that order alone. Gives
/// the places in both lists.
pub fn pair(old: &[Named], new: &[Named]) -> Vec<(usize, usize)> {
    let (old_processes, new_processes) = (processes(old), processes(new));
    // A process did what its first thread did.
    let process = |threads: &[Named], process: &Vec<usize>| {
        let Named { command, shape, .. } = &threads[process[0]];
        (command.clone(), *shape)
    };
    let pairs = by_name(
        &old_processes.iter().map(|at| process(old, at)).collect::<Vec<_>>(),
        &new_processes.iter().map(|at| process(new, at)).collect::<Vec<_>>(),
    );
    let mut threads = Vec::new();
    for (old_process, new_process) in pairs {
        let (old_threads, new_threads) = (&old_processes[old_process], &new_processes[new_process]);
        let thread = |threads: &[Named], at: usize| (threads[at].name.clone(), threads[at].shape);
        let pairs = by_name(
            &old_threads.iter().map(|&at| thread(old, at)).collect::<Vec<_>>(),
            &new_threads.iter().map(|&at| thread(new, at)).collect::<Vec<_>>(),
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

/// Pairs what has the same name and did the same, or did the same and has no name that is known in one of the runs; of the
/// rest what has the same name, the first with the first; and then what is left, in order.
fn by_name(old: &[(String, Hash)], new: &[(String, Hash)]) -> Vec<(usize, usize)> {
    let mut left = [(0..old.len()).collect(), (0..new.len()).collect()];
    let mut pairs = by(&mut left, |at| &old[at], |at| &new[at]);
    let nameless =
        |all: &[(String, Hash)], at: usize| Some(all[at].1).filter(|_| all[at].0.is_empty()).ok_or(at);
    pairs.extend(by(&mut left, |at| nameless(old, at), |at| Ok(new[at].1)));
    pairs.extend(by(&mut left, |at| Ok(old[at].1), |at| nameless(new, at)));
    pairs.extend(by(&mut left, |at| &old[at].0, |at| &new[at].0));
    pairs.extend(by(&mut left, |_| (), |_| ()));
    pairs.sort_unstable();
    pairs
}

/// Pairs what is left and the same in something, the first with the first.
fn by<K: Eq + std::hash::Hash>(
    [old, new]: &mut [Vec<usize>; 2],
    old_key: impl Fn(usize) -> K,
    new_key: impl Fn(usize) -> K,
) -> Vec<(usize, usize)> {
    let mut waiting: FxHashMap<K, VecDeque<usize>> = FxHashMap::default();
    new.iter().for_each(|&at| waiting.entry(new_key(at)).or_default().push_back(at));
    let mut pairs = Vec::new();
    old.retain(|&at| {
        let its = waiting.get_mut(&old_key(at)).and_then(VecDeque::pop_front);
        pairs.extend(its.map(|its| (at, its)));
        its.is_none()
    });
    *new = waiting.into_values().flatten().collect();
    new.sort_unstable();
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

    use super::super::head::{Finish, Head, Key, Start};
    use super::*;

    fn threads(threads: &[(i32, &str, &str)]) -> Vec<Named> {
        let thread = |(at, &(process, command, name)): (usize, &(i32, &str, &str))| Named {
            process,
            command: command.into(),
            name: name.into(),
            shape: Hash::default(),
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

    fn shape(key: Key) -> Hash {
        Hash::of(Head::new(key, Start::Called, Finish::Returned), [].into_iter())
    }

    /// Nobody names the threads of a pool, and the system starts them in any order.
    #[test]
    fn of_threads_with_one_name_those_that_did_the_same_are_pairs() {
        let pool = |keys: [Key; 3]| {
            let mut threads = threads(&[(7, "app", ""), (7, "app", ""), (7, "app", "")]);
            threads.iter_mut().zip(keys).for_each(|(thread, key)| thread.shape = shape(key));
            threads
        };
        assert_eq!(pair(&pool([1, 2, 3]), &pool([2, 9, 1])), [(0, 2), (1, 0), (2, 1)]);
    }

    /// A thread that ends at once may have no name yet that anybody could ask for.
    #[test]
    fn a_thread_without_a_name_is_the_one_that_did_the_same() {
        let pool = |names: [&str; 2], keys: [Key; 2]| {
            let mut threads = threads(&[(7, "app", names[0]), (7, "app", names[1])]);
            threads.iter_mut().zip(keys).for_each(|(thread, key)| thread.shape = shape(key));
            threads
        };
        assert_eq!(pair(&pool(["a", ""], [1, 2]), &pool(["", "a"], [1, 2])), [(0, 0), (1, 1)]);
        assert_eq!(pair(&pool(["a", ""], [1, 2]), &pool(["a", "b"], [2, 3])), [(0, 1), (1, 0)]);
        assert_eq!(pair(&pool(["a", "b"], [1, 2]), &pool(["a", "b"], [2, 1])), [(0, 0), (1, 1)]);
    }

    #[test]
    fn a_command_is_the_same_wherever_it_lies() {
        assert_eq!(plain_command("/usr/bin/python3 -m http.server"), "python3 -m http.server");
    }
}
