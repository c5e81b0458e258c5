//! Static markers for users who are not root, and for root who is somebody else.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use support::service::leaves;
use support::{Background, Subject, pyrec, run, skipped};
use tempfile::TempDir;

/// The user that has no rights of its own.
const NOBODY: u32 = 65534;

const SCRIPT: &str = "import os\ndef leaf(): pass\nfor _ in range(700): leaf()\nprint(os.getuid())\n";

/// The command and a script in a folder where somebody else may read and write.
struct Place {
    folder: TempDir,
    python: PathBuf,
}

impl Place {
    /// None where there is nothing to record, or we cannot become somebody else.
    fn new() -> Option<Place> {
        let python = Subject::usdt()?.python.program;
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        // Where the build lies, others may not look.
        fs::copy(env!("CARGO_BIN_EXE_pyrec"), folder.path().join("pyrec")).expect("room for the program");
        fs::write(folder.path().join("script.py"), SCRIPT).expect("room for a small file");
        Some(Place { folder, python })
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("pyrec.parquet")
    }

    /// Runs `pyrec record` as nobody, with these capabilities and no others.
    fn record(&self, capabilities: &[&str], words: &[&str]) -> Output {
        let capabilities: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command
            .arg(format!("--inh-caps=-all{capabilities}"))
            .arg(format!("--ambient-caps=-all{capabilities}"));
        command.arg(self.folder.path().join("pyrec")).args(["record", "--provider", "usdt"]).args(words);
        run(command.current_dir(self.folder.path()))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn two_capabilities_are_enough_for_a_program_and_its_own() {
    let Some(place) = Place::new() else { return };
    let python = place.python.to_string_lossy().into_owned();
    let output = place.record(&["bpf", "perfmon"], &[&python, "script.py"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{NOBODY}\n"));
    assert_eq!(leaves(&place.trace(), &[]), 700);
    assert_eq!(fs::metadata(place.trace()).expect("it is there").uid(), NOBODY);
    // What these rights do not give is said.
    assert!(said(&output).contains("children are not recorded"), "{output:?}");
}

#[test]
fn less_is_refused_in_one_sentence() {
    let Some(place) = Place::new() else { return };
    let python = place.python.to_string_lossy().into_owned();
    for capabilities in [&[][..], &["bpf"], &["perfmon"]] {
        let output = place.record(capabilities, &[&python, "script.py"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = said(&output);
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in ["CAP_BPF", "CAP_PERFMON", "sudo", "--provider agent"] {
            assert!(said.contains(word), "{said}");
        }
        assert!(!place.trace().exists(), "there was nothing to keep");
    }
}

#[test]
fn another_users_process_takes_one_more() {
    let Some(place) = Place::new() else { return };
    let python = Subject::usdt().expect("it was there just now").python;
    let process = Background::start(python.command().args(["-c", "import time; time.sleep(100)"]));
    let output = place.record(&["bpf", "perfmon"], &["-p", &process.pid()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = said(&output);
    assert!(said.lines().count() == 1 && said.contains("CAP_SYS_PTRACE"), "{said}");
}

#[test]
fn under_sudo_the_program_and_its_trace_are_the_users() {
    let Some(place) = Place::new() else { return };
    let ids = NOBODY.to_string();
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt"]).arg(&place.python).arg("script.py");
    command.envs([("SUDO_UID", &ids), ("SUDO_GID", &ids)]).current_dir(place.folder.path());
    let output = run(&mut command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{NOBODY}\n"), "{output:?}");
    assert_eq!(fs::metadata(place.trace()).expect("it is there").uid(), NOBODY);
    assert_eq!(leaves(&place.trace(), &[]), 700);
}

/// Records in a mount namespace of its own, after these commands.
fn record_behind(place: &Place, before: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-m", "/bin/sh", "-ec", &format!("{before}\nexec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_pyrec")).args(["record", "-q", "--provider", "usdt"]);
    run(command.arg(&place.python).arg("script.py").current_dir(place.folder.path()))
}

#[test]
fn neither_tracefs_nor_type_information_is_needed() {
    let Some(place) = Place::new() else { return };
    // Nothing where the kernel tells of itself. The probes' numbers are there, too.
    let hidden = "for place in /sys/kernel/tracing /sys/kernel/debug /sys/kernel/btf; do\n\
                  if test -d $place; then mount -t tmpfs -o ro none $place; fi; done";
    let output = record_behind(&place, hidden);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((said(&output).as_str(), leaves(&place.trace(), &[])), ("", 700));
}

#[test]
fn settings_that_cannot_be_changed_do_not_matter() {
    let Some(place) = Place::new() else { return };
    let fixed = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys\n\
                 if echo 2 >/proc/sys/kernel/perf_event_paranoid; then exit 9; fi 2>/dev/null";
    let output = record_behind(&place, fixed);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(leaves(&place.trace(), &[]), 700);
}

#[test]
fn rights_that_do_not_count_are_told_from_none() {
    let Some(place) = Place::new() else { return };
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(place.folder.path().join("pyrec"));
    command.args(["record", "--provider", "usdt"]).arg(&place.python).arg("script.py");
    let output = run(command.current_dir(place.folder.path()));
    let said = said(&output);
    if said.starts_with("unshare: ") {
        return skipped("user namespaces are not allowed here");
    }
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    for word in ["though the rights are there", "user namespace", "--provider agent"] {
        assert!(said.contains(word), "{said}");
    }
}
