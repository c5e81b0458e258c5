//! Everything that must be so before the first event.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;

use pyrec_schema::{Clock, Host, JournalLocation, Manifest};
use pyrec_wire::FunctionFilter;

use crate::os::clock::wall_anchor;
use crate::os::fs_credentials::as_user;
use crate::os::process_handle::ProcessHandle;
use crate::os::procfs;
use crate::os::user::User;
use crate::provider::Provider;
use crate::provider::agent::Agent;
use crate::provider::usdt::{self, Usdt, Work};
use crate::target::launch::ForkedProgram;
use crate::target::program;
use crate::target::target_process::{Child, TargetProcess};
use crate::{AttachError, Capture, Error, ProviderChoice, Result, Target};

/// A recording that could begin.
pub(crate) struct Prepared {
    pub provider: Box<dyn Provider>,
    pub target: PreparedTarget,
    pub manifest: Manifest,
}

/// What events are for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// Each becomes a row.
    Record,
    /// They are counted, by the provider itself where it can. What the program prints goes there.
    Count(Option<&'a File>),
}

impl<'a> Purpose<'a> {
    fn output(self) -> Option<&'a File> {
        match self {
            Purpose::Record => None,
            Purpose::Count(output) => output,
        }
    }

    /// What the kernel does with events.
    fn work(self) -> Work {
        match self {
            Purpose::Record => Work::Send,
            Purpose::Count(_) => Work::Count,
        }
    }
}

/// What is to be recorded.
pub(crate) enum PreparedTarget {
    /// Waits for our word to become the program.
    Program(ForkedProgram),
    /// Runs already.
    Running(TargetProcess),
}

impl PreparedTarget {
    /// Lets it run.
    pub fn release(self) -> Result<TargetProcess> {
        match self {
            PreparedTarget::Program(held) => held.release().map(Child::new).map(TargetProcess::Child),
            PreparedTarget::Running(subject) => Ok(subject),
        }
    }
}

impl Prepared {
    /// Chooses the provider and readies it and the target.
    pub fn prepare(
        capture: &Capture,
        purpose: Purpose<'_>,
        user: Option<&User>,
        is_given_up: &mut dyn FnMut() -> bool,
    ) -> Result<Prepared> {
        let choice = capture.provider;
        let filter = capture.filter()?;
        match &capture.target {
            Target::Command(words) => {
                let words = as_user(user, || program::command(words)).map_err(Error::credentials)??;
                if choice == ProviderChoice::Usdt {
                    launch_usdt(&words, capture, purpose, user)
                } else {
                    launch_agent(&words, capture, purpose, user)
                }
            }
            Target::Processes(pids) => {
                // ForkedProgram first, so that nobody else can come under their numbers.
                let processes = pids.iter().map(|&pid| ProcessHandle::open(pid)).collect();
                if let Some(&pid) = pids.iter().find(|&&pid| !procfs::exists(pid)) {
                    return Err(Error::NoProcess { pid });
                }
                let (provider, manifest) = attach(pids, capture, filter, purpose, is_given_up)?;
                let directory = pids.first().and_then(|pid| fs::read_link(format!("/proc/{pid}/cwd")).ok());
                Ok(Prepared {
                    provider,
                    target: PreparedTarget::Running(TargetProcess::Processes(processes)),
                    manifest: Manifest {
                        attached: pids.clone(),
                        directory: path_text(directory),
                        ..manifest
                    },
                })
            }
            Target::Machine => {
                if choice == ProviderChoice::Agent {
                    return Err(Error::MachineByAgent);
                }
                let usdt = Usdt::attach_machine(&capture.groups, purpose.work())?.filtered(filter);
                let manifest = manifest("usdt", "monotonic", capture);
                Ok(Prepared {
                    provider: Box::new(usdt),
                    target: PreparedTarget::Running(TargetProcess::Machine),
                    manifest,
                })
            }
        }
    }
}

fn attach(
    pids: &[i32],
    capture: &Capture,
    filter: FunctionFilter,
    purpose: Purpose<'_>,
    is_given_up: &mut dyn FnMut() -> bool,
) -> Result<(Box<dyn Provider>, Manifest)> {
    let by_markers = || -> Result<(Box<dyn Provider>, Manifest), usdt::Error> {
        let usdt = Usdt::attach_processes(pids, &capture.groups, purpose.work())?.filtered(filter);
        Ok((Box::new(usdt), manifest("usdt", "monotonic", capture)))
    };
    let mut by_agent = || -> Result<(Box<dyn Provider>, Manifest)> {
        let &[pid] = pids else { return Err(AttachError::Several.into()) };
        let agent = Agent::attach(pid, capture, is_given_up)?;
        let session = Some(session(&agent));
        let manifest = Manifest { session, ..manifest("agent", agent.clock_name(), capture) };
        Ok((Box::new(agent), manifest))
    };
    match capture.provider {
        ProviderChoice::Usdt => Ok(by_markers()?),
        ProviderChoice::Agent => by_agent(),
        ProviderChoice::Auto => by_markers().or_else(|refusal| match (by_agent(), refusal) {
            // The markers are there, and the right to read them is all that is missing.
            (Err(Error::Attach(AttachError::TooOld { .. })), refusal @ usdt::Error::NoRights { .. }) => {
                Err(refusal.into())
            }
            (attached, _) => attached,
        }),
    }
}

fn launch_agent(
    words: &[OsString],
    capture: &Capture,
    purpose: Purpose<'_>,
    user: Option<&User>,
) -> Result<Prepared> {
    let mut agent = Agent::new(capture, user)?;
    let held = ForkedProgram::fork(words, &agent.environment(), user, purpose.output())?;
    agent.launched(held.pid());
    let session = Some(session(&agent));
    let manifest = Manifest { session, ..launched(words, manifest("agent", agent.clock_name(), capture)) };
    Ok(Prepared { provider: Box::new(agent), target: PreparedTarget::Program(held), manifest })
}

fn launch_usdt(
    words: &[OsString],
    capture: &Capture,
    purpose: Purpose<'_>,
    user: Option<&User>,
) -> Result<Prepared> {
    let program = &words[0];
    let no_binary = || Error::NoBinary { program: program.to_string_lossy().into_owned() };
    let binary =
        as_user(user, || program::binary(program)).map_err(Error::credentials)?.ok_or_else(no_binary)?;
    let held = ForkedProgram::fork(words, &[], user, purpose.output())?;
    let usdt = Usdt::attach_launched(&binary, held.pid(), &capture.groups, purpose.work())?
        .filtered(capture.filter()?);
    let manifest = launched(words, manifest("usdt", "monotonic", capture));
    Ok(Prepared { provider: Box::new(usdt), target: PreparedTarget::Program(held), manifest })
}

/// What is known of a program that we start ourselves.
fn launched(words: &[OsString], manifest: Manifest) -> Manifest {
    let command = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Manifest { command, directory: path_text(std::env::current_dir().ok()), ..manifest }
}

fn path_text(path: Option<PathBuf>) -> Option<String> {
    path.map(|path| path.to_string_lossy().into_owned())
}

/// Where the recording goes on if we are killed.
fn session(agent: &Agent) -> JournalLocation {
    JournalLocation { directory: agent.session().to_owned(), checkpoint: 0 }
}

fn manifest(provider: &str, clock: &str, capture: &Capture) -> Manifest {
    let (anchor_monotonic_ns, anchor_unix_ns) = wall_anchor();
    Manifest {
        provider: provider.into(),
        markers: capture.groups.iter().map(|group| group.name().into()).collect(),
        include: capture.include.clone(),
        exclude: capture.exclude.clone(),
        clock: Clock { source: clock.into(), anchor_monotonic_ns, anchor_unix_ns: Some(anchor_unix_ns) },
        host: host(),
        ..Manifest::unknown(concat!("pyrec ", env!("CARGO_PKG_VERSION")))
    }
}

/// The machine we run on.
fn host() -> Host {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Host {
        system: format!("{} {}", text(system.sysname()), text(system.release())),
        machine: text(system.machine()),
        processors: std::thread::available_parallelism().map_or(1, |count| count.get()),
        name: text(system.nodename()),
    }
}
