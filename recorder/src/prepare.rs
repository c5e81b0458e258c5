//! Preparing a recording: the choice of the provider, the target, and the initial manifest.

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
use crate::provider::agent::AgentProvider;
use crate::provider::usdt::{self, Mode, Usdt};
use crate::target::launch::ForkedProgram;
use crate::target::program;
use crate::target::target_process::{LaunchedProgram, TargetProcess};
use crate::{AttachError, Capture, Error, ProviderChoice, Result, Target};

/// A recording that is ready to start.
pub(crate) struct Prepared {
    pub provider: Box<dyn Provider>,
    pub target: PreparedTarget,
    pub manifest: Manifest,
}

/// What the events are used for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// Every event becomes a row.
    Record,
    /// Events are counted, by the provider itself if it can. A launched program writes its output
    /// to this file, if there is one.
    Count(Option<&'a File>),
}

impl<'a> Purpose<'a> {
    fn output(self) -> Option<&'a File> {
        match self {
            Purpose::Record => None,
            Purpose::Count(output) => output,
        }
    }

    /// What the BPF program does with events.
    fn bpf_mode(self) -> Mode {
        match self {
            Purpose::Record => Mode::Stream,
            Purpose::Count(_) => Mode::Count,
        }
    }
}

/// A target that is ready to be recorded.
pub(crate) enum PreparedTarget {
    /// A program that has not been executed yet.
    Forked(ForkedProgram),
    /// Processes that run already.
    Running(TargetProcess),
}

impl PreparedTarget {
    /// Executes the program, if it is to be launched.
    pub fn start(self) -> Result<TargetProcess> {
        match self {
            PreparedTarget::Forked(program) => {
                program.exec().map(LaunchedProgram::new).map(TargetProcess::Child)
            }
            PreparedTarget::Running(target) => Ok(target),
        }
    }
}

impl Prepared {
    /// Chooses the provider, and prepares it and the target. `is_cancelled` is called at intervals
    /// while a process is being attached to.
    pub fn new(
        capture: &Capture,
        purpose: Purpose<'_>,
        user: Option<&User>,
        is_cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<Prepared> {
        // Compiled first, so that an invalid glob is an error before anything is started. The agent
        // compiles the globs itself.
        let filter = capture.filter()?;
        match &capture.target {
            Target::Command(words) => {
                let words =
                    as_user(user, || program::resolve_command(words)).map_err(Error::credentials)??;
                match capture.provider {
                    ProviderChoice::Usdt => launch_with_usdt(&words, capture, filter, purpose, user),
                    ProviderChoice::Agent | ProviderChoice::Auto => {
                        launch_with_agent(&words, capture, purpose, user)
                    }
                }
            }
            Target::Processes(pids) => attach_to_processes(pids, capture, filter, purpose, is_cancelled),
            Target::Machine => {
                if capture.provider == ProviderChoice::Agent {
                    return Err(Error::MachineByAgent);
                }
                let usdt = Usdt::attach_machine(&capture.groups, purpose.bpf_mode())?.with_filter(filter);
                Ok(Prepared {
                    provider: Box::new(usdt),
                    target: PreparedTarget::Running(TargetProcess::Machine),
                    manifest: initial_manifest("usdt", "monotonic", capture),
                })
            }
        }
    }
}

fn attach_to_processes(
    pids: &[i32],
    capture: &Capture,
    filter: FunctionFilter,
    purpose: Purpose<'_>,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> Result<Prepared> {
    // Opened first, so that a later process with one of these pids is not mistaken for the target.
    let handles = pids.iter().map(|&pid| ProcessHandle::open(pid)).collect();
    if let Some(&pid) = pids.iter().find(|&&pid| !procfs::exists(pid)) {
        return Err(Error::NoProcess { pid });
    }
    let (provider, manifest) = attach(pids, capture, filter, purpose, is_cancelled)?;
    let directory = pids.first().and_then(|pid| fs::read_link(format!("/proc/{pid}/cwd")).ok());
    Ok(Prepared {
        provider,
        target: PreparedTarget::Running(TargetProcess::Processes(handles)),
        manifest: Manifest { attached: pids.to_vec(), directory: path_text(directory), ..manifest },
    })
}

fn attach(
    pids: &[i32],
    capture: &Capture,
    filter: FunctionFilter,
    purpose: Purpose<'_>,
    is_cancelled: &mut dyn FnMut() -> bool,
) -> Result<(Box<dyn Provider>, Manifest)> {
    let with_usdt = || -> Result<(Box<dyn Provider>, Manifest), usdt::Error> {
        let usdt = Usdt::attach_processes(pids, &capture.groups, purpose.bpf_mode())?.with_filter(filter);
        Ok((Box::new(usdt), initial_manifest("usdt", "monotonic", capture)))
    };
    let mut with_agent = || -> Result<(Box<dyn Provider>, Manifest)> {
        let &[pid] = pids else { return Err(AttachError::SeveralProcesses.into()) };
        let agent = AgentProvider::attach(pid, capture, is_cancelled)?;
        let manifest = agent_manifest(&agent, capture);
        Ok((Box::new(agent), manifest))
    };
    match capture.provider {
        ProviderChoice::Usdt => Ok(with_usdt()?),
        ProviderChoice::Agent => with_agent(),
        ProviderChoice::Auto => with_usdt().or_else(|usdt_error| match (with_agent(), usdt_error) {
            // The Python has markers and is too old for the agent, so rights are all that is
            // missing.
            (Err(Error::Attach(AttachError::TooOld { .. })), error @ usdt::Error::NoRights { .. }) => {
                Err(error.into())
            }
            (attached, _) => attached,
        }),
    }
}

fn launch_with_agent(
    words: &[OsString],
    capture: &Capture,
    purpose: Purpose<'_>,
    user: Option<&User>,
) -> Result<Prepared> {
    let mut agent = AgentProvider::new(capture, user)?;
    let program = ForkedProgram::fork(words, &agent.environment(), user, purpose.output())?;
    agent.set_launched(program.pid());
    let manifest = launched_manifest(words, agent_manifest(&agent, capture));
    Ok(Prepared { provider: Box::new(agent), target: PreparedTarget::Forked(program), manifest })
}

fn launch_with_usdt(
    words: &[OsString],
    capture: &Capture,
    filter: FunctionFilter,
    purpose: Purpose<'_>,
    user: Option<&User>,
) -> Result<Prepared> {
    let name = &words[0];
    let no_binary = || Error::NoBinary { program: name.to_string_lossy().into_owned() };
    let binary = as_user(user, || program::find_binary(name)).map_err(Error::credentials)?;
    let binary = binary.ok_or_else(no_binary)?;
    let program = ForkedProgram::fork(words, &[], user, purpose.output())?;
    let usdt = Usdt::attach_launched(&binary, program.pid(), &capture.groups, purpose.bpf_mode())?;
    let manifest = launched_manifest(words, initial_manifest("usdt", "monotonic", capture));
    Ok(Prepared {
        provider: Box::new(usdt.with_filter(filter)),
        target: PreparedTarget::Forked(program),
        manifest,
    })
}

/// Adds the facts about a launched program.
fn launched_manifest(words: &[OsString], manifest: Manifest) -> Manifest {
    let command = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Manifest { command, directory: path_text(std::env::current_dir().ok()), ..manifest }
}

fn path_text(path: Option<PathBuf>) -> Option<String> {
    path.map(|path| path.to_string_lossy().into_owned())
}

/// The manifest of the agent provider. It names the session directory, for repair.
fn agent_manifest(agent: &AgentProvider, capture: &Capture) -> Manifest {
    let session = JournalLocation { directory: agent.session_path().to_owned(), checkpoint: 0 };
    Manifest { session: Some(session), ..initial_manifest("agent", agent.clock_name(), capture) }
}

fn initial_manifest(provider: &str, clock: &str, capture: &Capture) -> Manifest {
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

/// The machine that the recorder runs on.
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
