//! Pairs the threads of two runs. Process and thread ids differ between runs, so names, commands
//! and calls decide.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::structural_hash::StructuralHash;

/// What a thread is recognized by in the other run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadIdentity {
    /// The process id, which groups the threads of one run.
    pub process: i32,
    /// The command of the process, without directories.
    pub command: String,
    /// The thread's name; empty where it is unknown.
    pub name: String,
    /// The hash of all its calls.
    pub calls: StructuralHash,
    /// The time of its first row.
    pub first_ns: i64,
}

/// Pairs the threads of two runs. Returns pairs of indices into both lists.
///
/// Processes are paired first, by command. The threads of each pair of processes are paired by
/// name. Among equal names, those with equal calls are preferred, then the order of their first
/// rows decides. What remains is paired in that order regardless of names.
pub fn pair_threads(old: &[ThreadIdentity], new: &[ThreadIdentity]) -> Vec<(usize, usize)> {
    let (old_processes, new_processes) = (processes(old), processes(new));
    // The calls of a process are those of its first thread.
    let process = |threads: &[ThreadIdentity], process: &Vec<usize>| {
        let ThreadIdentity { command, calls, .. } = &threads[process[0]];
        (command.clone(), *calls)
    };
    let pairs = pair_by_name(
        &old_processes.iter().map(|threads| process(old, threads)).collect::<Vec<_>>(),
        &new_processes.iter().map(|threads| process(new, threads)).collect::<Vec<_>>(),
    );
    let mut threads = Vec::new();
    for (old_process, new_process) in pairs {
        let (old_threads, new_threads) = (&old_processes[old_process], &new_processes[new_process]);
        let thread =
            |threads: &[ThreadIdentity], index: usize| (threads[index].name.clone(), threads[index].calls);
        let pairs = pair_by_name(
            &old_threads.iter().map(|&index| thread(old, index)).collect::<Vec<_>>(),
            &new_threads.iter().map(|&index| thread(new, index)).collect::<Vec<_>>(),
        );
        threads.extend(pairs.into_iter().map(|(old, new)| (old_threads[old], new_threads[new])));
    }
    threads
}

/// The threads of each process, by index. Processes and threads are in the order of their first
/// rows.
fn processes(threads: &[ThreadIdentity]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..threads.len()).collect();
    order.sort_by_key(|&index| threads[index].first_ns);
    let mut by_process = FxHashMap::default();
    let mut processes: Vec<Vec<usize>> = Vec::new();
    for index in order {
        let process = *by_process.entry(threads[index].process).or_insert_with(|| {
            processes.push(vec![]);
            processes.len() - 1
        });
        processes[process].push(index);
    }
    processes
}

/// Pairs items by name and calls, in passes from the strongest criterion to the weakest:
///
/// 1. equal name and calls;
/// 2. equal calls, if one of the two has no name;
/// 3. equal name;
/// 4. order.
fn pair_by_name(old: &[(String, StructuralHash)], new: &[(String, StructuralHash)]) -> Vec<(usize, usize)> {
    let mut unpaired = [(0..old.len()).collect(), (0..new.len()).collect()];
    let mut pairs = pair_by_key(&mut unpaired, |index| &old[index], |index| &new[index]);
    // An item with a name gets a key that equals no other.
    let calls_if_unnamed = |items: &[(String, StructuralHash)], index: usize| {
        Some(items[index].1).filter(|_| items[index].0.is_empty()).ok_or(index)
    };
    pairs.extend(pair_by_key(&mut unpaired, |index| calls_if_unnamed(old, index), |index| Ok(new[index].1)));
    pairs.extend(pair_by_key(&mut unpaired, |index| Ok(old[index].1), |index| calls_if_unnamed(new, index)));
    pairs.extend(pair_by_key(&mut unpaired, |index| &old[index].0, |index| &new[index].0));
    pairs.extend(pair_by_key(&mut unpaired, |_| (), |_| ()));
    pairs.sort_unstable();
    pairs
}

/// Pairs unpaired items with equal keys in order, and removes them from `unpaired`.
fn pair_by_key<K: Eq + std::hash::Hash>(
    [old, new]: &mut [Vec<usize>; 2],
    old_key: impl Fn(usize) -> K,
    new_key: impl Fn(usize) -> K,
) -> Vec<(usize, usize)> {
    let mut new_by_key: FxHashMap<K, VecDeque<usize>> = FxHashMap::default();
    new.iter().for_each(|&index| new_by_key.entry(new_key(index)).or_default().push_back(index));
    let mut pairs = Vec::new();
    old.retain(|&old_index| {
        let new_index = new_by_key.get_mut(&old_key(old_index)).and_then(VecDeque::pop_front);
        pairs.extend(new_index.map(|new_index| (old_index, new_index)));
        new_index.is_none()
    });
    *new = new_by_key.into_values().flatten().collect();
    new.sort_unstable();
    pairs
}

/// A command without directories: `/usr/bin/python3 /tmp/x/app.py` is `python3 app.py`.
pub fn command_without_directories(command: &str) -> String {
    let base_name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    command.split_whitespace().map(base_name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    //! The order of the criteria.

    use super::super::call_key::{CallKey, CallOutcome, CallStart, FunctionKey};
    use super::*;

    fn threads(threads: &[(i32, &str, &str)]) -> Vec<ThreadIdentity> {
        let thread = |(index, &(process, command, name)): (usize, &(i32, &str, &str))| ThreadIdentity {
            process,
            command: command.into(),
            name: name.into(),
            calls: StructuralHash::default(),
            first_ns: index as i64,
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
        assert_eq!(pair_threads(&old, &new), [(0, 1), (1, 4), (2, 2), (4, 3), (3, 0)]);
        assert_eq!(pair_threads(&old[..2], &new[..1]), [(0, 0)]);
        assert_eq!(pair_threads(&[], &new), []);
    }

    fn hash(function: FunctionKey) -> StructuralHash {
        let key = CallKey::new(function, CallStart::Called, CallOutcome::Returned);
        StructuralHash::of(key, [].into_iter())
    }

    /// The threads of a pool have no names, and start in any order.
    #[test]
    fn threads_with_one_name_are_paired_by_their_calls() {
        let pool = |keys: [FunctionKey; 3]| {
            let mut threads = threads(&[(7, "app", ""), (7, "app", ""), (7, "app", "")]);
            threads.iter_mut().zip(keys).for_each(|(thread, key)| thread.calls = hash(key));
            threads
        };
        assert_eq!(pair_threads(&pool([1, 2, 3]), &pool([2, 9, 1])), [(0, 2), (1, 0), (2, 1)]);
    }

    /// A thread can end before its name is set.
    #[test]
    fn a_thread_without_a_name_is_paired_by_its_calls() {
        let pool = |names: [&str; 2], keys: [FunctionKey; 2]| {
            let mut threads = threads(&[(7, "app", names[0]), (7, "app", names[1])]);
            threads.iter_mut().zip(keys).for_each(|(thread, key)| thread.calls = hash(key));
            threads
        };
        assert_eq!(pair_threads(&pool(["a", ""], [1, 2]), &pool(["", "a"], [1, 2])), [(0, 0), (1, 1)]);
        assert_eq!(pair_threads(&pool(["a", ""], [1, 2]), &pool(["a", "b"], [2, 3])), [(0, 1), (1, 0)]);
        assert_eq!(pair_threads(&pool(["a", "b"], [1, 2]), &pool(["a", "b"], [2, 1])), [(0, 0), (1, 1)]);
    }

    #[test]
    fn directories_of_a_command_are_ignored() {
        assert_eq!(command_without_directories("/usr/bin/python3 -m http.server"), "python3 -m http.server");
    }
}
