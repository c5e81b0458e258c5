//! Child processes: commands that end, commands in the background, signals.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The time after which a command is killed, and a wait fails.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Gives a Python program fixed hashes, no standard input, and no bytecode files.
pub fn make_deterministic(command: &mut Command) {
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONHASHSEED", "0").stdin(Stdio::null());
}

/// Runs a command to its end, in a process group of its own.
///
/// # Panics
///
/// If the command cannot be started, or does not end within [`TIMEOUT`].
pub fn run(command: &mut Command) -> Output {
    let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let group = child.id();
    let (sender, receiver) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if receiver.recv_timeout(TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal(&format!("-{group}"), "KILL");
        }
    });
    let output = child.wait_with_output().expect("the child ends");
    drop(sender);
    watchdog.join().expect("the watchdog does not panic");
    assert_ne!(output.status.signal(), Some(9), "{command:?} hung, or was killed");
    output
}

/// The standard output of a command, which must be UTF-8.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The standard error of a command.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command that runs in the background. Dropping it kills its process group.
pub struct Background(pub Child);

impl Background {
    pub fn start(command: &mut Command) -> Background {
        let child = command.process_group(0).spawn();
        Background(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Waits until the command ends.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of a command", || self.exit_status())
    }

    /// The exit status, if the command has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the child can be waited for")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Fails if the group has ended, as after a test that passed.
        let kill = format!("kill -s KILL -- -{} 2>/dev/null", self.0.id());
        let _ = Command::new("/bin/sh").args(["-c", &kill]).status();
        let _ = self.0.wait();
    }
}

/// Sends a signal to a process, or with a minus before the number to a process group.
pub fn signal(pid: &str, name: &str) {
    let status = Command::new("/bin/sh").args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", name, pid]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {name} {pid}");
}

/// Polls until `poll` returns a value.
///
/// # Panics
///
/// After [`TIMEOUT`], with `what` in the message.
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    for _ in 0..TIMEOUT.as_millis() / 10 {
        if let Some(value) = poll() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("timed out waiting for {what}");
}
