//! `pyrec share`: the zip file contains no secret, and every command reads it.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::call_counts::function;
use support::{Setup, json, number, program, pyrec, report, run, stderr, stdout};
use tempfile::TempDir;

/// Texts that a shared trace must not contain: the names of user and host, arguments, directories.
const SECRETS: [&str; 5] = ["wilhelmina", "hunter2secret", "acme", "diary", "zzyzx"];

/// A recording of `private.py` by a user with a home directory.
struct UserRecording {
    folder: TempDir,
}

impl UserRecording {
    fn new(options: &[&str]) -> Option<UserRecording> {
        let setup = Setup::any()?;
        let recording = UserRecording { folder: tempfile::tempdir().expect("a temporary directory") };
        fs::create_dir_all(recording.project()).expect("the directory is created");
        let text = fs::read_to_string(program("private.py")).expect("the file is readable");
        let text = format!("# by wilhelmina, in {}, on zzyzx\n{text}", recording.home().display());
        fs::write(recording.project().join("run.py"), text).expect("the write succeeds");
        let mut record = recording.pyrec("record");
        record.arg("-q").args(options).arg(&setup.python.program);
        recording.run(record.args(["run.py", "acme-corp", "--password=hunter2secret", "7"]));
        Some(recording)
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

    /// A command in the environment of the user.
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

/// Everything that the reports print of a trace: all rows, the description, and the threads.
fn contents(trace: &Path) -> String {
    let everything = "function,line,gc,import,audit,cfunction,source,lost,process__start,process__exit,thread__start,\
                      thread__exit,function__open";
    let rows = report(trace, "dump", &["--json", "--markers", everything]);
    rows + &report(trace, "info", &["--json"]) + &report(trace, "threads", &[])
}

#[test]
fn a_shared_trace_contains_no_secret() {
    let Some(recording) = UserRecording::new(&["--markers", "function,gc,import,audit"]) else { return };
    let before = contents(&recording.trace());
    for secret in SECRETS {
        assert!(before.contains(secret), "{secret} is not in the original trace");
    }
    for options in
        [&[][..], &["--with-sources"], &["--no-sources"], &["--time", "0s-1h"], &["--root", "work"]]
    {
        let shared = recording.share("out.zip", &[options, &["-f"]].concat());
        let after = contents(&shared);
        let bytes = String::from_utf8_lossy(&fs::read(&shared).expect("the file is readable")).into_owned();
        for secret in SECRETS {
            // Source text of the program keeps words that were not recognized as names.
            let is_text = ["zzyzx", "acme", "diary"].contains(&secret) && !options.contains(&"--no-sources");
            assert!(is_text || !after.contains(secret), "{options:?}: {secret} in {after}");
            assert!(is_text || !bytes.contains(secret), "{options:?}: {secret} in the bytes");
        }
    }
}

#[test]
fn every_command_reads_the_zip_file() {
    let Some(recording) = UserRecording::new(&["--lines", "--markers", "function,gc,import,audit"]) else {
        return;
    };
    let shared = recording.share("out.zip", &[]);
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
    let (before, after) = (json(&recording.trace(), "stats"), json(&shared, "stats"));
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
fn shares_with_one_key_have_the_same_tokens_and_those_with_two_keys_do_not() {
    let Some(recording) = UserRecording::new(&[]) else { return };
    let [first, second] = ["first.zip", "second.zip"]
        .map(|name| fs::read(recording.share(name, &[])).expect("the file is readable"));
    assert_eq!(first, second);
    let key = recording.home().join(".config/pyrec/share.key");
    let status = fs::metadata(&key).expect("the file exists");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&status.permissions()) & 0o777, 0o600);
    fs::remove_file(key).expect("the file is removed");
    assert_ne!(first, fs::read(recording.share("other.zip", &[])).expect("the file is readable"));
}

#[test]
fn a_dry_run_lists_what_would_be_removed_and_writes_no_file() {
    let Some(recording) = UserRecording::new(&[]) else { return };
    let text = stdout(&recording.run(recording.pyrec("share").arg("--dry-run")));
    for word in
        ["wilhelmina", "hunter2secret", "acme-corp", "/diary", "home directory", "argument", "trust: "]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!recording.project().join("pyrec.zip").exists());
    recording.share("pyrec.zip", &[]);
    let second = run(recording.pyrec("share").arg("pyrec.zip"));
    let stderr = stderr(&second);
    assert!(
        second.status.code() == Some(1) && stderr.contains("exists") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[test]
fn with_max_size_the_last_part_is_shared_as_a_slice() {
    let Some(setup) = Setup::any() else { return };
    let recording = setup.record(&[], &[program("press.py").as_os_str(), "20".as_ref()]);
    let folder = recording.directory.path();
    let share = |name: &str, options: &[&str]| {
        let output = run(pyrec("share").args(options).arg(name).current_dir(folder).env("HOME", folder));
        assert!(output.status.success(), "{output:?}");
        let path = folder.join(name);
        (fs::metadata(&path).expect("the file exists").len(), path, stdout(&output))
    };
    let (all_bytes, all, text) = share("all.zip", &[]);
    assert!(text.contains("The whole recording") && !text.contains("slice"), "{text}");
    assert!(text.contains("removed; a search of the new file"), "{text}");
    let (limit, size) = (all_bytes / 2, format!("{}B", all_bytes / 2));
    let (bytes, last, text) = share("last.zip", &["--max-size", &size]);
    assert!(bytes <= limit && bytes * 2 > limit, "{bytes} of {limit}");
    assert!(text.contains("A slice of the recording") && text.contains("the last"), "{text}");
    let slice = json(&last, "stats");
    assert!(slice["trust"]["slice"]["from_ns"].as_u64().is_some_and(|from_ns| from_ns > 0), "{slice}");
    assert!(report(&last, "info", &[]).contains("a slice: "));
    let profile = folder.join("last.profile");
    let profiled = run(pyrec("profile").arg("-i").arg(&last).arg(&profile));
    assert!(stdout(&profiled).contains("a slice: "), "{profiled:?}");
    assert_eq!(json(&profile, "stats")["trust"]["slice"], slice["trust"]["slice"]);
    // The slice has the calls that were open at its start, so no return is repaired.
    assert_eq!(number(&slice["trust"]["repaired"], "unmatched_returns"), 0, "{slice}");
    let events = |stats: &Value| number(&stats["trust"], "events");
    assert!(events(&slice) > 0 && events(&slice) < events(&json(&all, "stats")));
    let too_small =
        run(pyrec("share").args(["--max-size", "3kB", "x.zip"]).current_dir(folder).env("HOME", folder));
    assert_eq!(too_small.status.code(), Some(1));
    assert!(!folder.join("x.zip").exists());
}

#[test]
fn a_corrupt_zip_file_is_refused_in_one_sentence() {
    let Some(recording) = UserRecording::new(&[]) else { return };
    let shared = fs::read(recording.share("out.zip", &[])).expect("the file is readable");
    let corrupt = recording.project().join("corrupt.zip");
    let len = shared.len();
    let directory_at = u32::from_le_bytes(shared[len - 6..len - 2].try_into().expect("four bytes")) as usize;
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = shared.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let entry_at = directory_at
        + shared[directory_at..]
            .windows(4)
            .rposition(|bytes| bytes == b"PK\x01\x02")
            .expect("the zip file has an entry");
    let cases = [
        shared[..len / 2].to_vec(),
        shared[..len - 1].to_vec(),
        changed(len - 10, &[0xff; 4]),
        changed(len - 6, &[0xff; 4]),
        // The entry of the trace as compressed, encrypted, too long, at another offset, and under
        // another name.
        changed(entry_at + 10, &[8]),
        changed(entry_at + 8, &[1]),
        changed(entry_at + 20, &[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]),
        changed(entry_at + 42, &[0xff; 4]),
        changed(entry_at + 46, b"../rc"),
    ];
    for (at, bytes) in cases.into_iter().enumerate() {
        fs::write(&corrupt, bytes).expect("the write succeeds");
        let output = run(pyrec("info").arg("-i").arg(&corrupt));
        let stderr = stderr(&output);
        assert!(output.status.code() == Some(1) && stderr.lines().count() == 1, "{at}: {output:?}");
        assert!(
            stderr.contains("corrupt.zip: it is a zip file") && stderr.contains("unpack it"),
            "{at}: {stderr}"
        );
    }
}
