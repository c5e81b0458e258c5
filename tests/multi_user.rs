//! Protection of a recording from other users of the machine, and of a user's files from a recorder
//! under sudo.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::scripted_program::leaf_calls;
use support::{Background, pyrec, run, stderr, stdout};
use tempfile::TempDir;

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// Two users without a name.
const ANN: u32 = 54_321;
const BOB: u32 = 54_322;

/// A third one, so that tests can run at the same time.
const EVE: u32 = 54_323;

const SCRIPT: &str = "import os\ndef leaf(): pass\nfor _ in range(700): leaf()\nprint(os.getuid())\n";

/// A directory that several users, none of them root, may write to.
struct TwoUsers {
    folder: TempDir,
    python: PathBuf,
}

impl TwoUsers {
    /// Creates the directory. Skips the test without root, or without a Python that all users may
    /// run.
    fn new() -> Option<TwoUsers> {
        let python = PathBuf::from("/usr/bin/python3");
        if !support::is_root() {
            return None;
        }
        if !python.exists() {
            support::skip("no /usr/bin/python3");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777))
            .expect("the permissions are changed");
        fs::copy(env!("CARGO_BIN_EXE_pyrec"), folder.path().join("pyrec")).expect("the file is copied");
        fs::copy(support::program("forever.py"), folder.path().join("forever.py"))
            .expect("the file is copied");
        Some(TwoUsers { folder, python })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that runs as this user.
    fn command(&self, user: u32, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={user}"), format!("--regid={user}")];
        command.args(ids).args(["--clear-groups", "--no-new-privs", "--"]).arg(program);
        command.current_dir(self.folder.path()).env("HOME", self.folder.path()).env_remove("XDG_RUNTIME_DIR");
        command
    }

    fn record(&self, user: u32) -> Command {
        let mut record = self.command(user, &self.path("pyrec").to_string_lossy());
        record.arg("record");
        record
    }

    /// Whether a line of shell succeeds, run by this user.
    fn succeeds(&self, user: u32, line: &str) -> bool {
        run(self.command(user, "/bin/sh").args(["-c", line])).status.success()
    }
}

/// The session directory of a user's recorder.
fn session_directory_of(user: u32) -> PathBuf {
    support::wait_for("the session", || {
        let folders = fs::read_dir("/dev/shm").expect("the directory is readable");
        // Ignores directories of recorders that have ended.
        let is_in_use = |folder: &Path| {
            let recorder = fs::read_to_string(folder.join("lock")).unwrap_or_default();
            !recorder.is_empty() && Path::new("/proc").join(recorder).exists()
        };
        let mut directories = folders.flatten().filter(|folder| {
            folder.file_name().as_encoded_bytes().starts_with(b"pyrec-")
                && folder.metadata().is_ok_and(|metadata| metadata.uid() == user)
                && is_in_use(&folder.path())
        });
        directories.next().map(|folder| folder.path())
    })
}

/// Independent of the umask.
#[test]
fn only_its_user_may_read_a_trace() {
    let Some(setup) = support::Setup::any() else { return };
    for (options, mode) in [(&[][..], 0o600), (&["--rotate", "1s"], 0o700)] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut record = Command::new("/bin/sh");
        record.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_pyrec"), "record", "-q"]);
        record.args(options).arg(&setup.python.program).arg(support::program("forever.py"));
        let mut recorder = Background::start(record.arg("calls").current_dir(folder.path()));
        let calls = folder.path().join("calls");
        support::wait_for("calls", || (support::calls_in(&calls) > 1_000).then_some(()));
        support::signal(&recorder.pid(), "USR2");
        let snapshot = folder.path().join("pyrec.snapshot-1.parquet");
        support::wait_for("the snapshot", || snapshot.exists().then_some(()));
        support::signal(&recorder.pid(), "INT");
        recorder.wait();
        for trace in [folder.path().join("pyrec.parquet"), snapshot] {
            let mode_of = |path: &Path| fs::metadata(path).expect("the file exists").mode() & 0o777;
            assert_eq!(mode_of(&trace), mode, "{}", trace.display());
            for file in fs::read_dir(&trace).into_iter().flatten() {
                assert_eq!(
                    mode_of(&file.expect("the directory is readable").path()),
                    0o600,
                    "{}",
                    trace.display()
                );
            }
        }
    }
}

#[test]
fn another_user_can_neither_read_nor_disturb_a_recording() {
    let Some(users) = TwoUsers::new() else { return };
    let mut record = users.record(ANN);
    record.args(["-q", "-o", "ann.parquet"]).arg(&users.python).args(["forever.py", "ann.calls"]);
    let mut recorder = Background::start(&mut record);
    let session = session_directory_of(ANN);
    let calls = users.path("ann.calls");
    support::wait_for("calls", || (support::calls_in(&calls) > 1_000).then_some(()));
    assert_eq!(fs::metadata(&session).expect("the file exists").mode() & 0o7777, 0o700);
    let mut files: Vec<_> = fs::read_dir(&session)
        .expect("the directory is readable")
        .map(|file| file.expect("the directory is readable").path())
        .collect();
    // A journal is removed when the next one begins.
    files.retain(|file| !file.to_string_lossy().contains("/journal-"));
    assert!(files.len() >= 4, "{files:?}");
    let library = session.join("libpyrec_agent.so");
    for file in files.iter().chain([&session, &library]) {
        let status = fs::metadata(file).expect("the file exists");
        assert_eq!((status.uid(), status.mode() & 0o077), (ANN, 0), "{}", file.display());
        let name = file.display();
        for line in [
            format!("cat {name}"),
            format!("ls {name}"),
            format!("echo garbage >> {name}"),
            format!("echo garbage > {name}/x.ring"),
            format!("ln -s /etc/passwd {name}/1-1.defs"),
            format!("mv {name} {name}.away"),
            format!("rm -rf {name}"),
            format!("flock -n {name} true"),
        ] {
            assert!(!users.succeeds(BOB, &line), "{line}");
            assert!(file.exists(), "{line}");
        }
    }
    for line in [
        format!("kill {}", recorder.pid()),
        format!("cat /proc/{}/environ", recorder.pid()),
        format!("{} record -q -o bob.parquet -p {}", users.path("pyrec").display(), recorder.pid()),
        "mv ann.parquet away.parquet".into(),
        "rm -f ann.parquet".into(),
        "echo garbage >> ann.parquet".into(),
    ] {
        assert!(!users.succeeds(BOB, &line), "{line}");
    }
    support::signal(&recorder.pid(), "INT");
    recorder.wait();
    let events = support::number(&support::json(&users.path("ann.parquet"), "info"), "events");
    assert!(events >= 2 * support::calls_in(&calls), "{events}");
    assert!(!session.exists(), "the session directory is still there");
}

/// The test fills another `/dev/shm`, in a mount namespace of its own.
#[test]
fn events_for_which_another_user_left_no_memory_are_lost_and_counted() {
    let Some(users) = TwoUsers::new() else { return };
    let mut record = Command::new("unshare");
    record.args(["--mount", "--propagation", "private", "/bin/sh", "-c"]);
    record.arg("mount -t tmpfs -o size=32m,mode=1777 tmpfs /dev/shm && exec \"$@\"").arg("sh");
    let recorder = users.record(ANN);
    record.arg(recorder.get_program()).args(recorder.get_args()).args(["-o", "filled.parquet"]);
    record.arg(&users.python).args(["forever.py", "filled.calls"]);
    record.current_dir(users.folder.path()).env("HOME", users.folder.path());
    let mut recorder = Background::start(record.stderr(Stdio::piped()));
    let calls = || support::calls_in(&users.path("filled.calls"));
    let wait_for_calls = |count: u64| {
        let before = calls();
        support::wait_for("calls", || (calls() > before + count).then_some(()));
    };
    wait_for_calls(1_000);
    let succeeds_inside = |user: u32, line: &str| {
        let mut command = Command::new("nsenter");
        let sh = users.command(user, "/bin/sh");
        command.args(["--mount", "--target", &recorder.pid()]).arg(sh.get_program()).args(sh.get_args());
        command.env_remove("XDG_RUNTIME_DIR");
        run(command.args(["-c", line])).status.success()
    };
    // Fills the memory three times, including what the recorder frees meanwhile.
    let fill = "for n in 1 2 3; do cat /dev/zero > /dev/shm/filler$n && exit 1; sleep 0.7; done";
    assert!(succeeds_inside(BOB, fill) && succeeds_inside(BOB, "test -s /dev/shm/filler1"));
    wait_for_calls(1_000_000);
    // A recording that begins now has its session directory in another place.
    let late = "./pyrec record -q -o late.parquet /usr/bin/python3 -c 'def f(): pass\nf()'";
    assert!(succeeds_inside(ANN, &format!("cd {} && {late}", users.folder.path().display())));
    assert_eq!(support::number(&support::json(&users.path("late.parquet"), "info"), "lost"), 0);
    assert!(succeeds_inside(BOB, "rm /dev/shm/filler*"));
    wait_for_calls(1_000);
    support::signal(&recorder.pid(), "INT");
    recorder.wait();
    let mut messages = String::new();
    let mut pipe = recorder.0.stderr.take().expect("standard error is piped");
    pipe.read_to_string(&mut messages).expect("standard error is UTF-8");
    assert_eq!(messages.matches("no room for the recorder's journal").count(), 1, "{messages}");
    let info = support::json(&users.path("filled.parquet"), "info");
    let all = support::number(&info, "events") + support::number(&info, "lost");
    assert!(all >= 2 * calls() && info["ended"]["how"] != "failed", "{} calls: {info}", calls());
}

#[test]
fn files_and_links_of_another_user_at_the_paths_of_a_recording_are_refused() {
    let Some(users) = TwoUsers::new() else { return };
    let script = users.path("script.py");
    fs::write(&script, SCRIPT).expect("the write succeeds");
    assert!(users.succeeds(BOB, "ln -s /tmp/pyrec-nowhere-to-be ann.parquet && ln -s bobs pyrec.parquet"));
    let record = |options: &[&str]| {
        let mut record = users.record(EVE);
        record.env("TMPDIR", users.folder.path()).args(options).arg(&users.python).arg("script.py");
        run(&mut record)
    };
    let output = record(&["-o", "ann.parquet"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("exists"), "{output:?}");
    // The directory is sticky, so files of another user cannot be renamed.
    for options in [&["-f", "-o", "ann.parquet"][..], &[]] {
        let output = record(options);
        assert!(output.status.code() == Some(1) && stderr(&output).contains("cannot rename"), "{output:?}");
    }
    // Other tools find the exposed library in a directory with a predictable name.
    let predictable = format!("pyrec-{EVE}");
    for (line, undo) in [
        (format!("mkdir -m 777 {predictable}"), format!("rmdir {predictable}")),
        (format!("mkdir bobs; ln -s bobs {predictable}"), format!("rm {predictable}")),
        (format!("cp pyrec {predictable}"), format!("rm {predictable}")),
    ] {
        assert!(users.succeeds(BOB, &line), "{line}");
        let output = record(&["--expose-markers", "-o", "ann2.parquet"]);
        assert!(
            output.status.code() == Some(1) && stderr(&output).contains(&predictable),
            "{line}: {output:?}"
        );
        assert!(!users.path("ann2.parquet").exists(), "{line}");
        assert!(users.succeeds(BOB, &undo), "{undo}");
    }
    // The library is not put into a directory in which other users can replace it.
    let writable = users.path("writable");
    fs::create_dir(&writable).expect("the directory is created");
    fs::set_permissions(&writable, fs::Permissions::from_mode(0o777)).expect("the permissions are changed");
    let mut exposed = users.record(EVE);
    exposed.env("TMPDIR", &writable).args(["--expose-markers", "-o", "ann3.parquet"]);
    let output = run(exposed.arg(&users.python).arg("script.py"));
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("other users can replace"),
        "{output:?}"
    );
    let output = record(&["-q", "-o", "ann4.parquet"]);
    assert_eq!(stdout(&output), format!("{EVE}\n"), "{output:?}");
    assert_eq!(leaf_calls(&users.path("ann4.parquet"), &[]), 700);
}

#[test]
fn under_sudo_files_are_read_and_written_with_the_permissions_of_the_invoking_user() {
    let Some(users) = TwoUsers::new() else { return };
    // Only root may read this file. The program claims that its code is from there.
    let secret = users.path("secret.py");
    fs::write(&secret, "password = 'hunter2secret'\n").expect("the write succeeds");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the permissions are changed");
    let path = secret.to_string_lossy().into_owned();
    let script = format!("{SCRIPT}exec(compile('def f(): pass\\nf()', {path:?}, 'exec'))\n");
    fs::write(users.path("script.py"), script).expect("the write succeeds");
    let as_nobody = |options: &[&str]| {
        let ids = NOBODY.to_string();
        let mut record = pyrec("record");
        record.envs([("SUDO_UID", &ids), ("SUDO_GID", &ids)]).current_dir(users.folder.path());
        run(record.arg("-q").args(options).arg(&users.python).arg("script.py"))
    };
    let output = as_nobody(&["-o", "nobody.parquet"]);
    assert_eq!(stdout(&output), format!("{NOBODY}\n"), "{output:?}");
    let trace = users.path("nobody.parquet");
    assert_eq!(fs::metadata(&trace).expect("the file exists").uid(), NOBODY);
    let rows = support::report(&trace, "dump", &["--markers", "source,function"]);
    assert!(rows.contains("secret.py:1:f") && !rows.contains("hunter2secret"), "{rows}");
    // A directory without write permission gets no trace, and a file of another user is not
    // replaced.
    let own = users.path("own");
    fs::create_dir(&own).expect("the directory is created");
    let output = as_nobody(&["-o", "own/x.parquet"]);
    assert!(output.status.code() == Some(1) && !own.join("x.parquet").exists(), "{output:?}");
    fs::write(users.path("root.parquet"), "").expect("the write succeeds");
    let output = as_nobody(&["-f", "-o", "root.parquet"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("cannot rename"), "{output:?}");
}
