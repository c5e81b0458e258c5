//! Two users of one machine, and what the one can do to a recording of the other; and a user who calls sudo.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::service::leaves;
use support::{Background, pyrec, run};
use tempfile::TempDir;

/// The user that has no rights of its own, but a name.
const NOBODY: u32 = 65534;

/// Two who have not even that.
const ANN: u32 = 54_321;
const BOB: u32 = 54_322;

/// Another, so that both tests can run at once.
const EVE: u32 = 54_323;

const SCRIPT: &str = "import os\ndef leaf(): pass\nfor _ in range(700): leaf()\nprint(os.getuid())\n";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two users of one machine, neither of them root, and a folder in which both may write.
struct Neighbours {
    folder: TempDir,
    python: PathBuf,
}

impl Neighbours {
    /// None where we cannot become somebody else, or they would have no Python.
    fn new() -> Option<Neighbours> {
        let python = PathBuf::from("/usr/bin/python3");
        if !support::is_root() {
            return None;
        }
        if !python.exists() {
            support::skipped("there is no /usr/bin/python3, which everybody may run");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("it is ours");
        fs::copy(env!("CARGO_BIN_EXE_pyrec"), folder.path().join("pyrec")).expect("room for the program");
        fs::copy(support::program("forever.py"), folder.path().join("forever.py")).expect("room");
        Some(Neighbours { folder, python })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of one of them, which has a temporary folder as everybody has.
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

    /// What a line of shell comes to when somebody types it.
    fn succeeds(&self, user: u32, line: &str) -> bool {
        run(self.command(user, "/bin/sh").args(["-c", line])).status.success()
    }
}

/// The directory in which a user's recorder meets its program.
fn session_of(user: u32) -> PathBuf {
    support::wait_for("the session", || {
        let folders = fs::read_dir("/dev/shm").expect("every system has it");
        // Not one that was left by a recorder that is no more.
        let lives = |folder: &Path| {
            let recorder = fs::read_to_string(folder.join("lock")).unwrap_or_default();
            !recorder.is_empty() && Path::new("/proc").join(recorder).exists()
        };
        let mut theirs = folders.flatten().filter(|folder| {
            folder.file_name().as_encoded_bytes().starts_with(b"pyrec-")
                && folder.metadata().is_ok_and(|it| it.uid() == user)
                && lives(&folder.path())
        });
        theirs.next().map(|folder| folder.path())
    })
}

/// Whatever everybody else's files are made like.
#[test]
fn a_recording_is_for_its_user_alone() {
    let Some(subject) = support::Subject::any() else { return };
    for (options, mode) in [(&[][..], 0o600), (&["--rotate", "1s"], 0o700)] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut record = Command::new("/bin/sh");
        record.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_pyrec"), "record", "-q"]);
        record.args(options).arg(&subject.python.program).arg(support::program("forever.py"));
        let mut recorder = Background::start(record.arg("calls").current_dir(folder.path()));
        let calls = folder.path().join("calls");
        support::wait_for("calls", || (support::calls_in(&calls) > 1_000).then_some(()));
        support::signal(&recorder.pid(), "USR2");
        let snapshot = folder.path().join("pyrec.snapshot-1.parquet");
        support::wait_for("the snapshot", || snapshot.exists().then_some(()));
        support::signal(&recorder.pid(), "INT");
        recorder.end();
        for trace in [folder.path().join("pyrec.parquet"), snapshot] {
            let mode_of = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
            assert_eq!(mode_of(&trace), mode, "{}", trace.display());
            for file in fs::read_dir(&trace).into_iter().flatten() {
                assert_eq!(mode_of(&file.expect("an entry").path()), 0o600, "{}", trace.display());
            }
        }
    }
}

#[test]
fn one_user_can_neither_read_nor_disturb_the_recording_of_another() {
    let Some(neighbours) = Neighbours::new() else { return };
    let mut record = neighbours.record(ANN);
    record.args(["-q", "-o", "ann.parquet"]).arg(&neighbours.python).args(["forever.py", "ann.calls"]);
    let mut recorder = Background::start(&mut record);
    let session = session_of(ANN);
    let calls = neighbours.path("ann.calls");
    support::wait_for("calls", || (support::calls_in(&calls) > 1_000).then_some(()));
    assert_eq!(fs::metadata(&session).expect("it is there").mode() & 0o7777, 0o700);
    let mut files: Vec<_> =
        fs::read_dir(&session).expect("we are root").map(|file| file.expect("so").path()).collect();
    // A journal goes when the next one comes.
    files.retain(|file| !file.to_string_lossy().contains("/journal-"));
    assert!(files.len() >= 4, "{files:?}");
    let library = session.join("libpyrec_agent.so");
    for file in files.iter().chain([&session, &library]) {
        let status = fs::metadata(file).expect("it is there");
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
            assert!(!neighbours.succeeds(BOB, &line), "{line}");
            assert!(file.exists(), "{line}");
        }
    }
    for line in [
        format!("kill {}", recorder.pid()),
        format!("cat /proc/{}/environ", recorder.pid()),
        format!("{} record -q -o bob.parquet -p {}", neighbours.path("pyrec").display(), recorder.pid()),
        "mv ann.parquet away.parquet".into(),
        "rm -f ann.parquet".into(),
        "echo garbage >> ann.parquet".into(),
    ] {
        assert!(!neighbours.succeeds(BOB, &line), "{line}");
    }
    support::signal(&recorder.pid(), "INT");
    recorder.end();
    let events = support::number(&support::json(&neighbours.path("ann.parquet"), "info"), "events");
    assert!(events >= 2 * support::calls_in(&calls), "{events}");
    assert!(!session.exists(), "nothing is left");
}

/// Each test has memory of its own to fill: another `/dev/shm`, that only these processes see.
#[test]
fn memory_that_another_user_fills_costs_events_that_are_counted_and_nothing_else() {
    let Some(neighbours) = Neighbours::new() else { return };
    let mut record = Command::new("unshare");
    record.args(["--mount", "--propagation", "private", "/bin/sh", "-c"]);
    record.arg("mount -t tmpfs -o size=32m,mode=1777 tmpfs /dev/shm && exec \"$@\"").arg("sh");
    let recorder = neighbours.record(ANN);
    record.arg(recorder.get_program()).args(recorder.get_args()).args(["-o", "filled.parquet"]);
    record.arg(&neighbours.python).args(["forever.py", "filled.calls"]);
    record.current_dir(neighbours.folder.path()).env("HOME", neighbours.folder.path());
    let mut recorder = Background::start(record.stderr(Stdio::piped()));
    let calls = || support::calls_in(&neighbours.path("filled.calls"));
    let go_on = |count: u64| {
        let then = calls();
        support::wait_for("calls", || (calls() > then + count).then_some(()));
    };
    go_on(1_000);
    let inside = |user: u32, line: &str| {
        let mut command = Command::new("nsenter");
        let sh = neighbours.command(user, "/bin/sh");
        command.args(["--mount", "--target", &recorder.pid()]).arg(sh.get_program()).args(sh.get_args());
        command.env_remove("XDG_RUNTIME_DIR");
        run(command.args(["-c", line])).status.success()
    };
    // Until nothing more fits, and what is given back meanwhile, too.
    let fill = "for n in 1 2 3; do cat /dev/zero > /dev/shm/filler$n && exit 1; sleep 0.7; done";
    assert!(inside(BOB, fill) && inside(BOB, "test -s /dev/shm/filler1"));
    go_on(1_000_000);
    // Who begins now meets the program elsewhere.
    let late = "./pyrec record -q -o late.parquet /usr/bin/python3 -c 'def f(): pass\nf()'";
    assert!(inside(ANN, &format!("cd {} && {late}", neighbours.folder.path().display())));
    assert_eq!(support::number(&support::json(&neighbours.path("late.parquet"), "info"), "lost"), 0);
    assert!(inside(BOB, "rm /dev/shm/filler*"));
    go_on(1_000);
    support::signal(&recorder.pid(), "INT");
    recorder.end();
    let mut said = String::new();
    recorder.0.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!(said.matches("no room for the recorder's journal").count(), 1, "{said}");
    let info = support::json(&neighbours.path("filled.parquet"), "info");
    let all = support::number(&info, "events") + support::number(&info, "lost");
    assert!(all >= 2 * calls() && info["ended"]["how"] != "failed", "{} calls: {info}", calls());
}

#[test]
fn what_another_user_put_in_the_way_is_refused() {
    let Some(neighbours) = Neighbours::new() else { return };
    let script = neighbours.path("script.py");
    fs::write(&script, SCRIPT).expect("room for a small file");
    assert!(
        neighbours.succeeds(BOB, "ln -s /tmp/pyrec-nowhere-to-be ann.parquet && ln -s bobs pyrec.parquet")
    );
    let record = |options: &[&str]| {
        let mut record = neighbours.record(EVE);
        record.env("TMPDIR", neighbours.folder.path()).args(options).arg(&neighbours.python).arg("script.py");
        run(&mut record)
    };
    let output = record(&["-o", "ann.parquet"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("exists"), "{output:?}");
    // In a folder where everybody may write, nobody may move what is another's.
    for options in [&["-f", "-o", "ann.parquet"][..], &[]] {
        let output = record(options);
        assert!(output.status.code() == Some(1) && said(&output).contains("cannot rename"), "{output:?}");
    }
    // The place where other tools find the agent has a name that everybody knows.
    let known = format!("pyrec-{EVE}");
    for (line, away) in [
        (format!("mkdir -m 777 {known}"), format!("rmdir {known}")),
        (format!("mkdir bobs; ln -s bobs {known}"), format!("rm {known}")),
        (format!("cp pyrec {known}"), format!("rm {known}")),
    ] {
        assert!(neighbours.succeeds(BOB, &line), "{line}");
        let output = record(&["--expose-markers", "-o", "ann2.parquet"]);
        assert!(output.status.code() == Some(1) && said(&output).contains(&known), "{line}: {output:?}");
        assert!(!neighbours.path("ann2.parquet").exists(), "{line}");
        assert!(neighbours.succeeds(BOB, &away), "{away}");
    }
    // A folder whose entries everybody may replace is no place for a library that is to be loaded.
    let open = neighbours.path("open");
    fs::create_dir(&open).expect("it is made");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let mut exposed = neighbours.record(EVE);
    exposed.env("TMPDIR", &open).args(["--expose-markers", "-o", "ann3.parquet"]);
    let output = run(exposed.arg(&neighbours.python).arg("script.py"));
    assert!(
        output.status.code() == Some(1) && said(&output).contains("other users can replace"),
        "{output:?}"
    );
    let output = record(&["-q", "-o", "ann4.parquet"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{EVE}\n"), "{output:?}");
    assert_eq!(leaves(&neighbours.path("ann4.parquet"), &[]), 700);
}

#[test]
fn under_sudo_no_file_is_touched_that_the_user_may_not_touch() {
    let Some(neighbours) = Neighbours::new() else { return };
    // Only root may read it, and a program may say that its code comes from there.
    let secret = neighbours.path("secret.py");
    fs::write(&secret, "password = 'hunter2secret'\n").expect("room for a small file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let path = secret.to_string_lossy().into_owned();
    let script = format!("{SCRIPT}exec(compile('def f(): pass\\nf()', {path:?}, 'exec'))\n");
    fs::write(neighbours.path("script.py"), script).expect("room for a small file");
    let as_nobody = |options: &[&str]| {
        let ids = NOBODY.to_string();
        let mut record = pyrec("record");
        record.envs([("SUDO_UID", &ids), ("SUDO_GID", &ids)]).current_dir(neighbours.folder.path());
        run(record.arg("-q").args(options).arg(&neighbours.python).arg("script.py"))
    };
    let output = as_nobody(&["-o", "theirs.parquet"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{NOBODY}\n"), "{output:?}");
    let trace = neighbours.path("theirs.parquet");
    assert_eq!(fs::metadata(&trace).expect("it is there").uid(), NOBODY);
    let rows = support::report(&trace, "dump", &["--markers", "source,function"]);
    assert!(rows.contains("secret.py:1:f") && !rows.contains("hunter2secret"), "{rows}");
    // Where they may not write, there is no recording; what is another's is not replaced.
    let own = neighbours.path("own");
    fs::create_dir(&own).expect("it is made");
    let output = as_nobody(&["-o", "own/x.parquet"]);
    assert!(output.status.code() == Some(1) && !own.join("x.parquet").exists(), "{output:?}");
    fs::write(neighbours.path("roots.parquet"), "").expect("room");
    let output = as_nobody(&["-f", "-o", "roots.parquet"]);
    assert!(output.status.code() == Some(1) && said(&output).contains("cannot rename"), "{output:?}");
}
