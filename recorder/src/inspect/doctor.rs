//! The checks of `pyrec doctor`: whether recording works on this machine, and what to do if not.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use pyrec_schema::MarkerGroup;
use rustix::process::{Resource, getrlimit};

use super::listing::{self, MarkerListing};
use crate::os::capabilities::{Capability, CapabilitySet};
use crate::provider::usdt::{self, Usdt};
use crate::session::agent_library;
use crate::session::file_names::DIRECTORY_PREFIX;

/// The oldest kernel on which static markers can be recorded.
const MIN_KERNEL: (u32, u32) = (5, 15);

/// The first kernel that does not count BPF maps against the limit of locked memory.
const UNCOUNTED_MAPS_KERNEL: (u32, u32) = (5, 11);

/// The limit of locked memory that suffices for the BPF maps, in bytes.
const MIN_LOCKED_BYTES: u64 = 64 << 20;

/// The minor versions of CPython 3 that the agent supports.
const AGENT_MINORS: RangeInclusive<u8> = 8..=15;

/// The minor versions of CPython 3 that the agent can attach to.
const ATTACH_MINORS: RangeInclusive<u8> = 14..=15;

/// The result of all checks.
#[derive(Debug)]
pub struct Diagnosis {
    /// Checks of the machine.
    pub checks: Vec<Check>,
    /// The Pythons of the machine, and how each can be recorded.
    pub pythons: Vec<PythonSupport>,
}

/// The result of a check of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The subject of the check.
    pub name: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// The fact that was found.
    pub found: String,
    /// What to do, unless the verdict is fine.
    pub remedy: Option<String>,
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Recording is not limited by it.
    Fine,
    /// Something cannot be recorded, or not as well.
    Limited,
    /// Recording is not possible.
    Failing,
}

/// How a Python can be recorded.
#[derive(Debug)]
pub struct PythonSupport {
    /// The Python, and its static markers.
    pub listing: MarkerListing,
    /// The provider if pyrec launches it.
    pub launched: Option<&'static str>,
    /// The provider if it runs already.
    pub attached: Option<&'static str>,
    /// What to do, if there is no provider in one of the cases.
    pub remedy: Option<String>,
}

impl Diagnosis {
    /// Whether a Python of this machine can be recorded when launched.
    pub fn works(&self) -> bool {
        self.pythons.iter().any(|python| python.launched.is_some())
    }
}

/// Runs all checks. One of them places a probe in pyrec itself, in code that never runs, and
/// removes it.
pub fn diagnose() -> Diagnosis {
    let kernel = kernel_version();
    let capabilities = CapabilitySet::effective();
    let agent = agent_check();
    let trial = Usdt::self_test();
    let checks = vec![
        kernel_check(kernel),
        capabilities_check(capabilities),
        uprobes_check(&trial),
        tracefs_check(&trial),
        btf_check(),
        perf_events_check(capabilities),
        unprivileged_bpf_check(capabilities),
        locked_memory_check(kernel),
        ptrace_check(capabilities),
        agent.clone(),
    ];
    let agent_works = agent.verdict != Verdict::Failing;
    let pythons = listing::all_pythons();
    let pythons =
        pythons.into_iter().map(|python| PythonSupport::of(python, agent_works, trial.is_ok())).collect();
    Diagnosis { checks, pythons }
}

impl PythonSupport {
    fn of(listing: MarkerListing, agent_works: bool, usdt_works: bool) -> PythonSupport {
        let by_agent = |minors: RangeInclusive<u8>| {
            let minor = listing.version.map(|version| version.minor);
            (agent_works && minor.is_some_and(|minor| minors.contains(&minor))).then_some("agent")
        };
        let has_markers = !listing.groups.is_empty();
        let by_markers = (usdt_works && has_markers).then_some("usdt");
        let has_functions = listing.groups.contains(&MarkerGroup::Function);
        let attached = match has_functions {
            true => by_markers.or(by_agent(ATTACH_MINORS)),
            false => by_agent(ATTACH_MINORS).or(by_markers),
        };
        let launched = by_agent(AGENT_MINORS).or(by_markers);
        let remedy = match (launched, attached) {
            (Some(_), Some(_)) => None,
            (_, None) if has_markers => Some("to record a running process: sudo pyrec record -p PID"),
            (Some(_), None) => Some("to record it, launch it: pyrec record CMD"),
            (None, _) => Some("use CPython 3.8 or later, or a build configured with --with-dtrace"),
        };
        PythonSupport { listing, launched, attached, remedy: remedy.map(String::from) }
    }
}

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>, remedy: &str) -> Check {
    let remedy = (verdict != Verdict::Fine).then(|| remedy.to_owned());
    Check { name, verdict, found: found.into(), remedy }
}

fn verdict(is_fine: bool, otherwise: Verdict) -> Verdict {
    if is_fine { Verdict::Fine } else { otherwise }
}

fn kernel_check(version: Option<(u32, u32)>) -> Check {
    let is_fine = version.is_some_and(|version| version >= MIN_KERNEL) && cfg!(target_arch = "x86_64");
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let found =
        format!("{} {} on {}", text(system.sysname()), text(system.release()), text(system.machine()));
    let remedy = "static markers need Linux 5.15 or later on x86-64; use --provider agent";
    check("kernel", verdict(is_fine, Verdict::Limited), found, remedy)
}

fn capabilities_check(capabilities: CapabilitySet) -> Check {
    let (present, missing): (Vec<Capability>, Vec<Capability>) =
        Capability::ALL.into_iter().partition(|&capability| capabilities.has(capability));
    let names: Vec<&str> = present.iter().map(|capability| capability.name()).collect();
    let found = if names.is_empty() { "no capabilities".into() } else { names.join(", ") };
    let remedy = match capabilities.has(Capability::Bpf) && capabilities.has(Capability::Perfmon) {
        true if capabilities.has(Capability::SysAdmin) => {
            "recording processes of other users needs CAP_SYS_PTRACE: use sudo"
        }
        true => {
            "recording child processes needs CAP_SYS_ADMIN, those of other users CAP_SYS_PTRACE: use sudo"
        }
        false => {
            "to record static markers, use sudo, or give pyrec the capabilities: \
             sudo setcap cap_bpf,cap_perfmon=ep $(which pyrec)"
        }
    };
    check("rights", verdict(missing.is_empty(), Verdict::Limited), found, remedy)
}

fn uprobes_check(trial: &Result<Option<io::Error>, usdt::Error>) -> Check {
    match trial {
        Ok(_) => check("uprobes", Verdict::Fine, "a BPF program was loaded and a probe placed", ""),
        Err(error) => check("uprobes", Verdict::Limited, error.to_string(), "use --provider agent"),
    }
}

/// Probes in child processes are placed through tracefs.
fn tracefs_check(trial: &Result<Option<io::Error>, usdt::Error>) -> Check {
    let mounted = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let mount = mounted.into_iter().find(|mount| Path::new(mount).join("uprobe_events").exists());
    let found = mount.unwrap_or("not mounted; not needed as root");
    match trial {
        Ok(None) => check("tracefs", Verdict::Fine, found, ""),
        Ok(Some(error)) => check(
            "tracefs",
            Verdict::Limited,
            format!("{found}: {error}"),
            "recording child processes by static markers needs root: use sudo",
        ),
        Err(_) => check("tracefs", Verdict::Limited, found, "not needed with --provider agent"),
    }
}

fn btf_check() -> Check {
    let exists = Path::new("/sys/kernel/btf/vmlinux").exists();
    let found = if exists { "the kernel has BTF" } else { "the kernel has no BTF, and none is needed" };
    check("kernel types", Verdict::Fine, found, "")
}

fn perf_events_check(capabilities: CapabilitySet) -> Check {
    let level = setting("/proc/sys/kernel/perf_event_paranoid");
    let found = match &level {
        Some(level) => format!("kernel.perf_event_paranoid is {level}"),
        None => "the kernel has no perf events".into(),
    };
    let is_fine = capabilities.has(Capability::Perfmon) && level.is_some();
    let remedy = "CAP_PERFMON suffices for static markers, whatever the setting: use sudo";
    check("perf events", verdict(is_fine, Verdict::Limited), found, remedy)
}

fn unprivileged_bpf_check(capabilities: CapabilitySet) -> Check {
    let level = setting("/proc/sys/kernel/unprivileged_bpf_disabled");
    let found = match &level {
        Some(level) => format!("kernel.unprivileged_bpf_disabled is {level}"),
        None => "the kernel has no such setting".into(),
    };
    let remedy = "CAP_BPF suffices for static markers, whatever the setting: use sudo";
    check("BPF", verdict(capabilities.has(Capability::Bpf), Verdict::Limited), found, remedy)
}

fn locked_memory_check(kernel: Option<(u32, u32)>) -> Check {
    let limit = getrlimit(Resource::Memlock).current;
    let is_counted = kernel.is_some_and(|version| version < UNCOUNTED_MAPS_KERNEL);
    let text = limit.map_or_else(|| "unlimited".into(), |bytes| format!("{} KiB", bytes / 1024));
    let found = if is_counted { text } else { format!("{text}; this kernel does not count BPF maps") };
    let is_fine = !is_counted || limit.is_none_or(|bytes| bytes >= MIN_LOCKED_BYTES);
    check("locked memory", verdict(is_fine, Verdict::Limited), found, "raise it: ulimit -l unlimited")
}

fn ptrace_check(capabilities: CapabilitySet) -> Check {
    let level = setting("/proc/sys/kernel/yama/ptrace_scope");
    let is_fine =
        capabilities.has(Capability::SysPtrace) || level.as_deref().is_none_or(|level| level == "0");
    let found = match &level {
        Some(level) => format!("kernel.yama.ptrace_scope is {level}"),
        None => "processes of the same user (the kernel has no Yama)".into(),
    };
    let remedy = "attaching to processes that pyrec has not launched needs CAP_SYS_PTRACE: use sudo";
    check("ptrace", verdict(is_fine, Verdict::Limited), found, remedy)
}

/// Whether there is a directory for the rings, and one from which the agent can be loaded.
fn agent_check() -> Check {
    let shared_memory = Path::new("/dev/shm");
    let directories = [shared_memory.to_owned(), std::env::temp_dir()];
    let trials = directories.map(|directory| (directory.clone(), unpacks_in(&directory)));
    let writable = trials.iter().find(|(_, is_loadable)| is_loadable.is_ok());
    let loadable = trials.iter().find(|(_, is_loadable)| matches!(is_loadable, Ok(true)));
    match (writable, loadable) {
        (Some((rings, _)), Some((library, _))) => {
            let found = format!("rings in {}, the agent's library in {}", rings.display(), library.display());
            let is_fine = rings == shared_memory;
            let remedy = "rings on a disk are slow: mount a tmpfs on /dev/shm";
            check("agent", verdict(is_fine, Verdict::Limited), found, remedy)
        }
        (Some((directory, _)), None) => {
            let found = format!("code cannot be loaded from {} (it is mounted noexec)", directory.display());
            check("agent", Verdict::Failing, found, "set TMPDIR to a directory that is not mounted noexec")
        }
        _ => check(
            "agent",
            Verdict::Failing,
            "no directory for rings can be created",
            "set TMPDIR to a directory that you can write to",
        ),
    }
}

/// Whether code can be loaded from a directory; an error if files cannot be created there.
fn unpacks_in(parent: &Path) -> io::Result<bool> {
    let directory = tempfile::Builder::new().prefix(DIRECTORY_PREFIX).tempdir_in(parent)?;
    agent_library::unpack(directory.path()).map(|(_, is_loadable)| is_loadable)
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel_version() -> Option<(u32, u32)> {
    parse_version(&rustix::system::uname().release().to_string_lossy())
}

/// The first two numbers of a kernel release.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::usdt::Version;

    #[test]
    fn kernel_versions_are_parsed() {
        for (release, version) in [("6.18.44-fc-v509", (6, 18)), ("5.15.0", (5, 15)), ("6.1-rc3", (6, 1))] {
            assert_eq!(parse_version(release), Some(version), "{release}");
        }
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn a_check_has_a_remedy_unless_it_is_fine() {
        let refused = || Err(usdt::Error::Malformed);
        for capabilities in
            [0, u64::MAX, 1 << Capability::Bpf as u32 | 1 << Capability::Perfmon as u32].map(CapabilitySet)
        {
            let checks = [
                kernel_check(Some((4, 19))),
                capabilities_check(capabilities),
                uprobes_check(&refused()),
                tracefs_check(&refused()),
                tracefs_check(&Ok(Some(io::ErrorKind::PermissionDenied.into()))),
                perf_events_check(capabilities),
                unprivileged_bpf_check(capabilities),
                ptrace_check(capabilities),
            ];
            for check in checks {
                assert_eq!(check.verdict == Verdict::Fine, check.remedy.is_none(), "{check:?}");
            }
        }
    }

    fn python(minor: u8, groups: &[MarkerGroup]) -> MarkerListing {
        MarkerListing {
            program: "/usr/bin/python3".into(),
            interpreter: "/usr/bin/python3".into(),
            version: Some(Version { major: 3, minor, micro: 0 }),
            processes: vec![],
            markers: vec![],
            absent: vec![],
            groups: groups.to_vec(),
        }
    }

    #[test]
    fn the_provider_depends_on_version_markers_and_rights() {
        let markers = [MarkerGroup::Gc, MarkerGroup::Import];
        let all = [MarkerGroup::Function, MarkerGroup::Gc, MarkerGroup::Import];
        let table = [
            (python(11, &all), true, true, Some("agent"), Some("usdt")),
            (python(11, &all), true, false, Some("agent"), None),
            (python(11, &[]), true, true, Some("agent"), None),
            (python(13, &markers), true, true, Some("agent"), Some("usdt")),
            (python(14, &markers), true, true, Some("agent"), Some("agent")),
            (python(15, &all), false, true, Some("usdt"), Some("usdt")),
            (python(7, &[]), true, true, None, None),
        ];
        for (listing, agent, usdt, launched, attached) in table {
            let python = PythonSupport::of(listing, agent, usdt);
            assert_eq!((python.launched, python.attached), (launched, attached), "{python:?}");
            assert_eq!(python.remedy.is_none(), launched.is_some() && attached.is_some(), "{python:?}");
        }
    }
}
