//! Launching the program: fork, wait until the recorder is ready, then exec.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::os::user::User;
use crate::{Error, Result};

/// A forked process that waits before it executes the program, so that probes can be placed first.
/// Dropping it ends the process.
pub(crate) struct ForkedProgram {
    pid: i32,
    name: String,
    /// The process executes the program when a byte is written here, and exits when it is closed.
    release: Option<PipeWriter>,
    /// [`Command::spawn`] returns after exec, so it runs on a thread of its own.
    spawning: Option<JoinHandle<io::Result<Child>>>,
}

impl ForkedProgram {
    /// Forks. The program will have the recorder's environment and these variables in addition, and
    /// run as this user. It has the recorder's standard streams; or with `output`, it writes there
    /// and reads nothing.
    pub fn fork(
        words: &[OsString],
        environment: &[(&str, OsString)],
        user: Option<&User>,
        output: Option<&File>,
    ) -> Result<ForkedProgram> {
        let failed = || Error::system("start the program");
        let (pid_reader, pid_writer) = io::pipe().map_err(failed())?;
        let (release_reader, release) = io::pipe().map_err(failed())?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(failed()(io::Error::from(io::ErrorKind::InvalidInput)));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(output) = output {
            let copy = || output.try_clone().map_err(failed());
            command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
        }
        command.envs(user.iter().flat_map(|user| user.environment()));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let file_limit = getrlimit(Resource::Nofile);
        let user = user.cloned();
        let write_end = release.as_raw_fd();
        // SAFETY: between fork and exec the closure only makes system calls, on numbers and on
        // memory and descriptors that the forked process inherited. It allocates nothing and takes
        // no locks.
        unsafe {
            command.pre_exec(move || {
                // With this copy open, the pipe would not be closed when the recorder exits.
                libc::close(write_end);
                wait_for_release(&pid_writer, &release_reader)?;
                setrlimit(Resource::Nofile, file_limit)?;
                user.as_ref().map_or(Ok(()), User::switch_process)
            });
        }
        raise_file_limit(file_limit);
        let spawning = Some(std::thread::spawn(move || command.spawn()));
        let name = program.to_string_lossy().into_owned();
        let mut forked = ForkedProgram { pid: 0, name, release: Some(release), spawning };
        forked.pid = match read_pid(pid_reader) {
            Ok(pid) => pid,
            Err(_) => {
                return Err(forked.exec().err().unwrap_or_else(|| failed()(io::ErrorKind::Other.into())));
            }
        };
        Ok(forked)
    }

    /// The pid, which exec keeps.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Executes the program.
    pub fn exec(mut self) -> Result<Child> {
        if let Some(mut release) = self.release.take() {
            // An error means that the process has died; then spawn returns the reason.
            let _ = release.write_all(&[1]);
        }
        let program = std::mem::take(&mut self.name);
        self.join().map_err(|source| Error::Launch { program, source })
    }

    fn join(&mut self) -> io::Result<Child> {
        let joined_before = || Err(io::ErrorKind::NotFound.into());
        self.spawning.take().map_or_else(joined_before, |spawning| {
            spawning.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for ForkedProgram {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.join();
    }
}

/// Runs in the forked process: sends its pid, and waits. Fails if the pipe is closed.
fn wait_for_release(mut pid_writer: &PipeWriter, mut release: &PipeReader) -> io::Result<()> {
    pid_writer.write_all(&rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes())?;
    release.read_exact(&mut [0])
}

fn read_pid(mut reader: PipeReader) -> io::Result<i32> {
    let mut pid = [0; 4];
    reader.read_exact(&mut pid)?;
    Ok(i32::from_ne_bytes(pid))
}

/// Raises the recorder's soft limit of open files to the hard limit, because the recorder opens a
/// file per recorded thread. The program gets the original limit.
fn raise_file_limit(limit: Rlimit) {
    // If it is refused, opening a ring fails with very many threads, which is an error of its own.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_program_runs_after_exec_and_has_its_environment() {
        let script = words(&["sh", "-c", "test \"$A\" = b && exit 3"]);
        let forked = ForkedProgram::fork(&script, &[("A", "b".into())], None, None).expect("it forks");
        let pid = forked.pid();
        let command_line = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("the process exists");
        assert!(!command_line.starts_with("sh\0"), "the shell runs before exec was called");
        let mut child = forked.exec().expect("the shell runs");
        assert_eq!((child.id() as i32, child.wait().expect("the shell exits").code()), (pid, Some(3)));
    }

    #[test]
    fn a_program_that_cannot_run_is_an_error() {
        let forked = ForkedProgram::fork(&words(&["/no/such/program"]), &[], None, None).expect("it forks");
        let error = forked.exec().expect_err("there is no such program").to_string();
        assert!(error.contains("/no/such/program") && error.contains("no such program"), "{error}");
    }

    #[test]
    fn dropping_ends_the_process() {
        let forked = ForkedProgram::fork(&words(&["sleep", "100"]), &[], None, None).expect("it forks");
        let process = format!("/proc/{}", forked.pid());
        assert!(fs::exists(&process).expect("/proc can be read"));
        drop(forked);
        assert!(!fs::exists(&process).expect("/proc can be read"));
    }
}
