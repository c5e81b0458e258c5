//! `--by`: calls grouped by process, machine and recording equal the counts that the programs
//! print.

#![cfg(feature = "record")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Recording, Setup, pyrec, run, stderr, stdout};

/// Calls `work` as often as its argument says, and starts two children that call it more often.
/// Each process prints its PID and its number of calls.
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

/// A recording, and the number of calls of `work` by process.
struct Run {
    recording: Recording,
    counts: BTreeMap<i64, u64>,
}

impl Run {
    fn new(setup: &Setup, count: u64, options: &[&str]) -> Run {
        let source = format!("import os; os.environ['SOURCE'] = {SOURCE:?}\n{SOURCE}");
        let recording = setup.record(options, &["-c", &source, &count.to_string()]);
        let text = stdout(&recording.output);
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

/// Numbers of calls of `work`, by recording and process.
fn grouped(traces: &[PathBuf], by: &str) -> BTreeMap<(Option<String>, Option<i64>), u64> {
    let inputs = traces.iter().flat_map(|trace| [Path::new("-i"), trace]);
    let output = run(pyrec("stats").args(inputs).args(["--json", "--by", by]));
    assert!(output.status.success(), "{}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    let rows = json["groups"].as_array().expect("an array").iter().map(|group| {
        assert!(group["host"].is_string(), "{group}");
        let functions = group["functions"].as_array().expect("an array").iter();
        let work = functions.filter(|function| function["name"] == "work");
        let calls = work.map(|function| function["calls"].as_u64().expect("an integer")).sum();
        ((group["run"].as_str().map(str::to_owned), group["pid"].as_i64()), calls)
    });
    rows.collect()
}

#[test]
fn each_process_and_each_recording_has_its_own_calls() {
    let Some(setup) = Setup::any() else { return };
    // The second recording is in several files.
    let runs = [Run::new(&setup, 3, &[]), Run::new(&setup, 10, &["--rotate", "4kB"])];
    let traces: Vec<PathBuf> = runs.iter().map(|run| run.recording.trace()).collect();
    assert!(runs.iter().all(|run| run.counts.len() == 3) && traces[1].is_dir());
    let entries = std::fs::read_dir(&traces[1]).expect("the directory is readable").flatten();
    let files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let name = files.iter().min().expect("the directory has a file").to_string_lossy().into_owned();
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
    let Some(setup) = Setup::any() else { return };
    let one = Run::new(&setup, 3, &[]);
    let output = run(pyrec("flame")
        .arg("-i")
        .arg(one.recording.trace())
        .args(["--weight", "calls", "--by", "process", "-"]));
    let picture = stdout(&output);
    for pid in one.counts.keys() {
        assert!(picture.contains(&format!("<title>process {pid}: ")), "{pid}");
    }
}

#[test]
fn a_profile_cannot_be_grouped() {
    let Some(setup) = Setup::any() else { return };
    let one = setup.record(&[], &["-c", ""]);
    let profile = one.directory.path().join("sum.parquet");
    assert!(run(pyrec("profile").arg("-i").arg(one.trace()).arg(&profile)).status.success());
    for command in ["stats", "flame"] {
        let refused = run(pyrec(command).arg("-i").arg(&profile).args(["--by", "host"]));
        let stderr = stderr(&refused);
        assert!(!refused.status.success() && stderr.lines().count() == 1, "{stderr}");
        assert!(
            stderr.contains("sum.parquet is a profile, which does not keep processes, hosts and runs apart"),
            "{stderr}"
        );
    }
}
