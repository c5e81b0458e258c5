//! Several recordings side by side, by process, machine or recording: the counts are those that the programs print.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Recording, Subject, pyrec, run};

/// Starts two children, and calls `work` as often as it is told, each child more often than the one before. All print
/// who they are and how often.
const SOURCE: &str = "\
import os, subprocess, sys
def work(): pass
count = int(sys.argv[1])
if len(sys.argv) == 2:
    for more in 1, 2:
        subprocess.run([sys.executable, '-c', os.environ['SOURCE'], str(count + more), 'child'], check=True)
for _ in range(count): work()
print(os.getpid(), count, flush=True)
";

/// A recording, and how often each of its processes called `work`.
struct Run {
    recording: Recording,
    counts: BTreeMap<i64, u64>,
}

impl Run {
    fn new(subject: &Subject, count: u64, options: &[&str]) -> Run {
        let source = format!("import os; os.environ['SOURCE'] = {SOURCE:?}\n{SOURCE}");
        let recording = subject.record(options, &["-c", &source, &count.to_string()]);
        let text = String::from_utf8(recording.output.stdout.clone()).expect("numbers");
        let row =
            |line: &str| line.split_once(' ').map(|(pid, count)| (pid.parse().ok(), count.parse().ok()));
        let rows = text.lines().map(|line| match row(line) {
            Some((Some(pid), Some(count))) => (pid, count),
            _ => panic!("{line:?}"),
        });
        let counts = rows.collect();
        Run { recording, counts }
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Calls of `work` by host, run and process.
fn grouped(traces: &[PathBuf], by: &str) -> BTreeMap<(Option<String>, Option<i64>), u64> {
    let inputs = traces.iter().flat_map(|trace| [Path::new("-i"), trace]);
    let done = run(pyrec("stats").args(inputs).args(["--json", "--by", by]));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let rows = json["groups"].as_array().expect("a list").iter().map(|group| {
        assert!(group["host"].is_string(), "{group}");
        let functions = group["functions"].as_array().expect("a list").iter();
        let work = functions.filter(|function| function["name"] == "work");
        let calls = work.map(|function| function["calls"].as_u64().expect("a number")).sum();
        ((group["run"].as_str().map(str::to_owned), group["pid"].as_i64()), calls)
    });
    rows.collect()
}

#[test]
fn each_process_and_each_run_has_its_own_calls() {
    let Some(subject) = Subject::any() else { return };
    // The second one is in several files.
    let runs = [Run::new(&subject, 3, &[]), Run::new(&subject, 10, &["--rotate", "4kB"])];
    let traces: Vec<PathBuf> = runs.iter().map(|run| run.recording.trace()).collect();
    assert!(runs.iter().all(|run| run.counts.len() == 3) && traces[1].is_dir());
    let mut first =
        std::fs::read_dir(&traces[1]).expect("a directory").map(|file| file.expect("a file").path());
    let files: Vec<PathBuf> = first.by_ref().collect();
    let name = files.iter().min().expect("it is not empty").to_string_lossy().into_owned();
    let second = if files.len() > 1 { format!("{name} and {} more", files.len() - 1) } else { name };
    let names = [traces[0].to_string_lossy().into_owned(), second];

    let by_process = runs.iter().zip(&names).flat_map(|(run, name)| {
        run.counts.iter().map(|(pid, count)| ((Some(name.clone()), Some(*pid)), *count))
    });
    assert_eq!(grouped(&traces, "process"), by_process.collect());
    let by_run = runs.iter().zip(&names).map(|(run, name)| ((Some(name.clone()), None), run.total()));
    assert_eq!(grouped(&traces, "run"), by_run.collect());
    let both = runs.iter().map(Run::total).sum();
    assert_eq!(grouped(&traces, "host"), BTreeMap::from([((None, None), both)]));
}

#[test]
fn a_flame_graph_has_a_box_for_each_process() {
    let Some(subject) = Subject::any() else { return };
    let one = Run::new(&subject, 3, &[]);
    let done = run(pyrec("flame")
        .arg("-i")
        .arg(one.recording.trace())
        .args(["--weight", "calls", "--by", "process", "-"]));
    let picture = String::from_utf8(done.stdout).expect("SVG is text");
    for pid in one.counts.keys() {
        assert!(picture.contains(&format!("<title>process {pid}: ")), "{pid}");
    }
}

#[test]
fn a_profile_has_no_groups() {
    let Some(subject) = Subject::any() else { return };
    let one = subject.record(&[], &["-c", ""]);
    let profile = one.directory.path().join("sum.parquet");
    assert!(run(pyrec("profile").arg("-i").arg(one.trace()).arg(&profile)).status.success());
    for command in ["stats", "flame"] {
        let refused = run(pyrec(command).arg("-i").arg(&profile).args(["--by", "host"]));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.lines().count() == 1, "{said}");
        assert!(
            said.contains("sum.parquet is a profile, in which processes, hosts and runs lie together"),
            "{said}"
        );
    }
}
