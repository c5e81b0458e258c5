//! Static markers with some capabilities, under sudo, and in user namespaces.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use support::scripted_program::leaf_calls;
use support::{Background, Setup, pyrec, run, skip, stderr, stdout};
use tempfile::TempDir;

/// The user `nobody`.
const NOBODY: u32 = 65534;

const SCRIPT: &str = "import os\ndef leaf(): pass\nfor _ in range(700): leaf()\nprint(os.getuid())\n";

/// A directory that every user may write to, with a copy of the command and a script.
struct Sandbox {
    folder: TempDir,
    python: PathBuf,
}

impl Sandbox {
    /// Creates the directory. Skips the test without root or static markers.
    fn new() -> Option<Sandbox> {
        let python = Setup::usdt()?.python.program;
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))
            .expect("the permissions are changed");
        // Other users may have no access to the build directory.
        fs::copy(env!("CARGO_BIN_EXE_pyrec"), folder.path().join("pyrec")).expect("the file is copied");
        fs::write(folder.path().join("script.py"), SCRIPT).expect("the write succeeds");
        Some(Sandbox { folder, python })
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("pyrec.parquet")
    }

    /// Runs `pyrec record` as nobody, with exactly these capabilities.
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

#[test]
fn cap_bpf_and_cap_perfmon_suffice_for_a_launched_program() {
    let Some(sandbox) = Sandbox::new() else { return };
    let python = sandbox.python.to_string_lossy().into_owned();
    let output = sandbox.record(&["bpf", "perfmon"], &[&python, "script.py"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), format!("{NOBODY}\n"));
    assert_eq!(leaf_calls(&sandbox.trace(), &[]), 700);
    assert_eq!(fs::metadata(sandbox.trace()).expect("the file exists").uid(), NOBODY);
    // A message states what the capabilities do not allow.
    assert!(stderr(&output).contains("children are not recorded"), "{output:?}");
}

#[test]
fn with_fewer_capabilities_the_missing_ones_are_named() {
    let Some(sandbox) = Sandbox::new() else { return };
    let python = sandbox.python.to_string_lossy().into_owned();
    for capabilities in [&[][..], &["bpf"], &["perfmon"]] {
        let output = sandbox.record(capabilities, &[&python, "script.py"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = stderr(&output);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for word in ["CAP_BPF", "CAP_PERFMON", "sudo", "--provider agent"] {
            assert!(stderr.contains(word), "{stderr}");
        }
        assert!(!sandbox.trace().exists(), "a trace was written");
    }
}

#[test]
fn a_process_of_another_user_needs_cap_sys_ptrace() {
    let Some(sandbox) = Sandbox::new() else { return };
    let python = Setup::usdt().expect("the sandbox was created with it").python;
    let process = Background::start(python.command().args(["-c", "import time; time.sleep(100)"]));
    let output = sandbox.record(&["bpf", "perfmon"], &["-p", &process.pid()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = stderr(&output);
    assert!(stderr.lines().count() == 1 && stderr.contains("CAP_SYS_PTRACE"), "{stderr}");
}

#[test]
fn under_sudo_program_and_trace_belong_to_the_invoking_user() {
    let Some(sandbox) = Sandbox::new() else { return };
    let ids = NOBODY.to_string();
    let mut command = pyrec("record");
    command.args(["-q", "--provider", "usdt"]).arg(&sandbox.python).arg("script.py");
    command.envs([("SUDO_UID", &ids), ("SUDO_GID", &ids)]).current_dir(sandbox.folder.path());
    let output = run(&mut command);
    assert_eq!(stdout(&output), format!("{NOBODY}\n"), "{output:?}");
    assert_eq!(fs::metadata(sandbox.trace()).expect("the file exists").uid(), NOBODY);
    assert_eq!(leaf_calls(&sandbox.trace(), &[]), 700);
}

/// Records in a new mount namespace, after these shell commands.
fn record_in_namespace(sandbox: &Sandbox, before: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-m", "/bin/sh", "-ec", &format!("{before}\nexec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_pyrec")).args(["record", "-q", "--provider", "usdt"]);
    run(command.arg(&sandbox.python).arg("script.py").current_dir(sandbox.folder.path()))
}

#[test]
fn recording_needs_neither_tracefs_nor_btf() {
    let Some(sandbox) = Sandbox::new() else { return };
    // Hides the directories in which the kernel describes itself, its probes included.
    let hidden = "for directory in /sys/kernel/tracing /sys/kernel/debug /sys/kernel/btf; do\n\
                  if test -d $directory; then mount -t tmpfs -o ro none $directory; fi; done";
    let output = record_in_namespace(&sandbox, hidden);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((stderr(&output).as_str(), leaf_calls(&sandbox.trace(), &[])), ("", 700));
}

#[test]
fn recording_needs_no_change_of_kernel_settings() {
    let Some(sandbox) = Sandbox::new() else { return };
    let fixed = "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys\n\
                 if echo 2 >/proc/sys/kernel/perf_event_paranoid; then exit 9; fi 2>/dev/null";
    let output = record_in_namespace(&sandbox, fixed);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(leaf_calls(&sandbox.trace(), &[]), 700);
}

#[test]
fn capabilities_of_a_user_namespace_are_named_as_insufficient() {
    let Some(sandbox) = Sandbox::new() else { return };
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(sandbox.folder.path().join("pyrec"));
    command.args(["record", "--provider", "usdt"]).arg(&sandbox.python).arg("script.py");
    let output = run(command.current_dir(sandbox.folder.path()));
    let stderr = stderr(&output);
    if stderr.starts_with("unshare: ") {
        return skip("user namespaces are disabled");
    }
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    for word in ["though the rights are there", "user namespace", "--provider agent"] {
        assert!(stderr.contains(word), "{stderr}");
    }
}
