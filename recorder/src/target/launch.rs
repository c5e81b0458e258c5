//! Starting the program.

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

/// A program that is forked but waits before it becomes itself, so that markers can be attached to it first.
pub(crate) struct ForkedProgram {
    pid: i32,
    name: String,
    /// Gone once the word is given.
    go: Option<PipeWriter>,
    /// [`Command::spawn`] returns only when the program runs, so it waits in a thread of its own.
    spawning: Option<JoinHandle<io::Result<Child>>>,
}

impl ForkedProgram {
    /// Forks. The program gets our environment and these variables, and runs as this user. It has our standard streams, or
    /// prints into that file and has nothing to read.
    pub fn fork(
        words: &[OsString],
        environment: &[(&str, OsString)],
        user: Option<&User>,
        output: Option<&File>,
    ) -> Result<ForkedProgram> {
        let failed = || Error::system("start the program");
        let (pid_reader, pid_writer) = io::pipe().map_err(failed())?;
        let (go_reader, go) = io::pipe().map_err(failed())?;
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
        let files = getrlimit(Resource::Nofile);
        let user = user.cloned();
        let write_end = go.as_raw_fd();
        // SAFETY: between fork and exec the closure only makes system calls on descriptors that it owns or that the
        // forked process inherited, and initgroups, which glibc allows in a child of a threaded process.
        unsafe {
            command.pre_exec(move || {
                // Our own copy of the writing end would keep the pipe open when the recorder gives up.
                libc::close(write_end);
                wait_for_go(&pid_writer, &go_reader)?;
                setrlimit(Resource::Nofile, files)?;
                user.as_ref().map_or(Ok(()), User::switch_process)
            });
        }
        raise_file_limit(files);
        let spawning = Some(std::thread::spawn(move || command.spawn()));
        let name = program.to_string_lossy().into_owned();
        let mut held = ForkedProgram { pid: 0, name, go: Some(go), spawning };
        held.pid = match read_pid(pid_reader) {
            Ok(pid) => pid,
            Err(_) => {
                return Err(held.release().err().unwrap_or_else(|| failed()(io::ErrorKind::Other.into())));
            }
        };
        Ok(held)
    }

    /// Its number, which stays the same when it becomes the program.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it become the program.
    pub fn release(mut self) -> Result<Child> {
        if let Some(mut go) = self.go.take() {
            // It may have died: then spawn says so.
            let _ = go.write_all(&[1]);
        }
        let program = std::mem::take(&mut self.name);
        self.join().map_err(|source| Error::Launch { program, source })
    }

    fn join(&mut self) -> io::Result<Child> {
        let gone = || Err(io::ErrorKind::NotFound.into());
        self.spawning.take().map_or_else(gone, |spawning| {
            spawning.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for ForkedProgram {
    /// Without the word it ends, and tells the thread that waits for it.
    fn drop(&mut self) {
        drop(self.go.take());
        let _ = self.join();
    }
}

fn wait_for_go(mut pid_writer: &PipeWriter, mut go: &PipeReader) -> io::Result<()> {
    pid_writer.write_all(&rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes())?;
    go.read_exact(&mut [0])
}

fn read_pid(mut reader: PipeReader) -> io::Result<i32> {
    let mut pid = [0; 4];
    reader.read_exact(&mut pid)?;
    Ok(i32::from_ne_bytes(pid))
}

/// Each thread of the program takes a descriptor here. The program itself keeps the limit that it had.
fn raise_file_limit(files: Rlimit) {
    // Refused: then we run out of them only with very many threads, and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn waits_and_then_runs_with_its_environment() {
        let script = words(&["sh", "-c", "test \"$A\" = b && exit 3"]);
        let held = ForkedProgram::fork(&script, &[("A", "b".into())], None, None).expect("it forks");
        let pid = held.pid();
        let waiting = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it is there");
        assert!(!waiting.starts_with("sh\0"), "it is not the program yet");
        let mut child = held.release().expect("it runs");
        assert_eq!((child.id() as i32, child.wait().expect("it ends").code()), (pid, Some(3)));
    }

    #[test]
    fn a_program_that_cannot_run_is_an_error() {
        let held = ForkedProgram::fork(&words(&["/no/such/program"]), &[], None, None).expect("it forks");
        let error = held.release().expect_err("there is no such program").to_string();
        assert!(error.contains("/no/such/program") && error.contains("no such program"), "{error}");
    }

    #[test]
    fn is_gone_when_it_is_not_released() {
        let held = ForkedProgram::fork(&words(&["sleep", "100"]), &[], None, None).expect("it forks");
        let process = format!("/proc/{}", held.pid());
        assert!(std::fs::exists(&process).expect("proc is there"));
        drop(held);
        assert!(!std::fs::exists(&process).expect("proc is there"));
    }
}
