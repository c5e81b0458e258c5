//! What leaves the house in a shared recording, and that every command reads it.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::calls::function;
use support::{Subject, json, number, program, pyrec, report, run};
use tempfile::TempDir;

/// What must not be in a shared recording: a user, what that user typed and named, and where.
const SECRETS: [&str; 5] = ["wilhelmina", "hunter2secret", "acme", "diary", "zzyzx"];

/// A recording of `private.py` by a user who has a home.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(options: &[&str]) -> Option<Desk> {
        let subject = Subject::any()?;
        let desk = Desk { folder: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir_all(desk.project()).expect("it is made");
        let text = fs::read_to_string(program("private.py")).expect("it is there");
        let text = format!("# by wilhelmina, in {}, on zzyzx\n{text}", desk.home().display());
        fs::write(desk.project().join("run.py"), text).expect("room for a small file");
        let mut record = desk.pyrec("record");
        record.arg("-q").args(options).arg(&subject.python.program);
        desk.run(record.args(["run.py", "acme-corp", "--password=hunter2secret", "7"]));
        Some(desk)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home/wilhelmina")
    }

    fn project(&self) -> PathBuf {
        self.home().join("shop")
    }

    fn trace(&self) -> PathBuf {
        self.project().join("pyrec.parquet")
    }

    /// The command as that user types it.
    fn pyrec(&self, command: &str) -> Command {
        let mut pyrec = pyrec(command);
        pyrec.env("HOME", self.home()).env("USER", "wilhelmina").env_remove("XDG_CONFIG_HOME");
        pyrec.current_dir(self.project());
        pyrec
    }

    fn run(&self, command: &mut Command) -> Output {
        let output = run(command);
        assert!(output.status.success(), "{command:?}: {output:?}");
        output
    }

    fn share(&self, name: &str, options: &[&str]) -> PathBuf {
        self.run(self.pyrec("share").args(options).arg(name));
        self.project().join(name)
    }
}

/// All that can be read in a trace: every row, its facts, and what the threads are called.
fn contents(trace: &Path) -> String {
    let everything = "function,line,gc,import,audit,cfunction,source,lost,process__start,process__exit,thread__start,\
                      thread__exit,function__open";
    let rows = report(trace, "dump", &["--json", "--markers", everything]);
    rows + &report(trace, "info", &["--json"]) + &report(trace, "threads", &[])
}

#[test]
fn nothing_secret_leaves_the_house() {
    let Some(desk) = Desk::new(&["--markers", "function,gc,import,audit"]) else { return };
    let before = contents(&desk.trace());
    for secret in SECRETS {
        assert!(before.contains(secret), "{secret} is not in the recording itself");
    }
    for options in
        [&[][..], &["--with-sources"], &["--no-sources"], &["--time", "0s-1h"], &["--root", "work"]]
    {
        let shared = desk.share("out.zip", &[options, &["-f"]].concat());
        let after = contents(&shared);
        let bytes = String::from_utf8_lossy(&fs::read(&shared).expect("it is there")).into_owned();
        for secret in SECRETS {
            // Words in the program's own text stay where they are not what was found to be a name.
            let is_text = ["zzyzx", "acme", "diary"].contains(&secret) && !options.contains(&"--no-sources");
            assert!(is_text || !after.contains(secret), "{options:?}: {secret} in {after}");
            assert!(is_text || !bytes.contains(secret), "{options:?}: {secret} in its bytes");
        }
    }
}

#[test]
fn every_command_reads_it_as_it_is() {
    let Some(desk) = Desk::new(&["--lines", "--markers", "function,gc,import,audit"]) else { return };
    let shared = desk.share("out.zip", &[]);
    for (command, options) in [
        ("info", &[][..]),
        ("stats", &["-n", "5"]),
        ("heat", &[]),
        ("tree", &["--fold"]),
        ("worst", &["leaf"]),
        ("gc", &[]),
        ("imports", &[]),
        ("audit", &[]),
        ("threads", &[]),
        ("dump", &[]),
        ("flame", &["-"]),
        ("export", &["collapsed", "-"]),
    ] {
        assert!(!report(&shared, command, options).is_empty(), "{command}");
    }
    let (before, after) = (json(&desk.trace(), "stats"), json(&shared, "stats"));
    for name in ["leaf", "work", "main", "hidden"] {
        for key in ["calls", "self_ns", "total_ns"] {
            assert_eq!(function(&after, name)[key], function(&before, name)[key], "{name} {key}");
        }
    }
    assert_eq!(function(&after, "main")["file"], "/project/run.py");
    assert_eq!(before["trust"], after["trust"]);
    let heat = json(&shared, "heat");
    assert!(heat["files"].as_array().is_some_and(|files| !files.is_empty()), "{heat}");
}

#[test]
fn two_shares_of_one_user_can_be_compared_and_those_of_two_cannot() {
    let Some(desk) = Desk::new(&[]) else { return };
    let [one, same] =
        ["one.zip", "same.zip"].map(|name| fs::read(desk.share(name, &[])).expect("it is there"));
    assert_eq!(one, same);
    let key = desk.home().join(".config/pyrec/share.key");
    let status = fs::metadata(&key).expect("it was made");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&status.permissions()) & 0o777, 0o600);
    fs::remove_file(key).expect("it is ours");
    assert_ne!(one, fs::read(desk.share("other.zip", &[])).expect("it is there"));
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let Some(desk) = Desk::new(&[]) else { return };
    let told = desk.run(desk.pyrec("share").arg("--dry-run"));
    let told = String::from_utf8(told.stdout).expect("it is text");
    for word in
        ["wilhelmina", "hunter2secret", "acme-corp", "/diary", "home directory", "argument", "trust: "]
    {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!desk.project().join("pyrec.zip").exists());
    desk.share("pyrec.zip", &[]);
    let again = run(desk.pyrec("share").arg("pyrec.zip"));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && said.contains("exists") && said.lines().count() == 1, "{said}");
}

#[test]
fn the_last_that_fits_is_shared_and_says_so() {
    let Some(subject) = Subject::any() else { return };
    let recording = subject.record(&[], &[program("press.py").as_os_str(), "20".as_ref()]);
    let folder = recording.directory.path();
    let share = |name: &str, options: &[&str]| {
        let output = run(pyrec("share").args(options).arg(name).current_dir(folder).env("HOME", folder));
        assert!(output.status.success(), "{output:?}");
        let path = folder.join(name);
        (
            fs::metadata(&path).expect("it is there").len(),
            path,
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (all_bytes, all, said) = share("all.zip", &[]);
    assert!(said.contains("The whole recording") && !said.contains("slice"), "{said}");
    assert!(said.contains("removed; a search of the new file"), "{said}");
    let (limit, size) = (all_bytes / 2, format!("{}B", all_bytes / 2));
    let (bytes, last, said) = share("last.zip", &["--max-size", &size]);
    assert!(bytes <= limit && bytes * 2 > limit, "{bytes} of {limit}");
    assert!(said.contains("A slice of the recording") && said.contains("the last"), "{said}");
    let slice = json(&last, "stats");
    assert!(slice["trust"]["slice"]["from_ns"].as_u64().is_some_and(|from_ns| from_ns > 0), "{slice}");
    assert!(report(&last, "info", &[]).contains("a slice: "));
    let profile = folder.join("last.profile");
    let profiled = run(pyrec("profile").arg("-i").arg(&last).arg(&profile));
    assert!(String::from_utf8_lossy(&profiled.stdout).contains("a slice: "), "{profiled:?}");
    assert_eq!(json(&profile, "stats")["trust"]["slice"], slice["trust"]["slice"]);
    // Its tree begins where that of all does, and what is not a call any more is no repair.
    assert_eq!(number(&slice["trust"]["repaired"], "unmatched_returns"), 0, "{slice}");
    let events = |stats: &Value| number(&stats["trust"], "events");
    assert!(events(&slice) > 0 && events(&slice) < events(&json(&all, "stats")));
    let too_small =
        run(pyrec("share").args(["--max-size", "3kB", "x.zip"]).current_dir(folder).env("HOME", folder));
    assert_eq!(too_small.status.code(), Some(1));
    assert!(!folder.join("x.zip").exists());
}

#[test]
fn a_zip_file_of_somebody_else_is_refused_in_one_sentence() {
    let Some(desk) = Desk::new(&[]) else { return };
    let shared = fs::read(desk.share("out.zip", &[])).expect("it is there");
    let bad = desk.project().join("bad.zip");
    let len = shared.len();
    let list_at = u32::from_le_bytes(shared[len - 6..len - 2].try_into().expect("four bytes")) as usize;
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = shared.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let line_at =
        list_at + shared[list_at..].windows(4).rposition(|bytes| bytes == b"PK\x01\x02").expect("a list");
    let cases = [
        shared[..len / 2].to_vec(),
        shared[..len - 1].to_vec(),
        changed(len - 10, &[0xff; 4]),
        changed(len - 6, &[0xff; 4]),
        // The trace packed, encrypted, longer than the file, elsewhere, and under another name.
        changed(line_at + 10, &[8]),
        changed(line_at + 8, &[1]),
        changed(line_at + 20, &[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]),
        changed(line_at + 42, &[0xff; 4]),
        changed(line_at + 46, b"../rc"),
    ];
    for (at, bytes) in cases.into_iter().enumerate() {
        fs::write(&bad, bytes).expect("room");
        let output = run(pyrec("info").arg("-i").arg(&bad));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.lines().count() == 1, "{at}: {output:?}");
        assert!(said.contains("bad.zip: it is a zip file") && said.contains("unpack it"), "{at}: {said}");
    }
}
