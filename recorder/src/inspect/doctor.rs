//! Whether recording works on this machine, and what to do where it does not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pyrec_schema::MarkerGroup;
use rustix::process::{Resource, getrlimit};

use super::listing::{self, Listing};
use crate::os::capabilities::{Capability, CapabilitySet};
use crate::provider::usdt::{self, Usdt};
use crate::session::agent_library;

/// The oldest kernel that the static markers are read on.
const OLDEST_KERNEL: (u32, u32) = (5, 15);
/// The kernel that ceased to count BPF maps against the limit of locked memory.
const FREE_MAPS_KERNEL: (u32, u32) = (5, 11);
/// The minor versions that the agent enters, and those that it enters while they run.
const AGENT_MINORS: std::ops::RangeInclusive<u8> = 8..=15;
const ATTACH_MINORS: std::ops::RangeInclusive<u8> = 14..=15;

/// What was found.
#[derive(Debug)]
pub struct Diagnosis {
    /// RecordingFacts of the machine, one by one.
    pub checks: Vec<Check>,
    /// The Pythons here, and how each can be recorded.
    pub pythons: Vec<Patient>,
}

/// One fact, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is well.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, where something is not well.
    pub remedy: Option<String>,
}

/// Whether something is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is.
    Fine,
    /// Something works less well, or only in part.
    Limited,
    /// It does not work.
    Failing,
}

/// A Python, and who records it.
#[derive(Debug)]
pub struct Patient {
    /// Its markers.
    pub listing: Listing,
    /// Who records it when pyrec starts it.
    pub launched: Option<&'static str>,
    /// Who records it when it runs already.
    pub attached: Option<&'static str>,
    /// What to do, where nobody does in one of the cases.
    pub remedy: Option<String>,
}

impl Diagnosis {
    /// Whether a Python of this machine can be recorded.
    pub fn works(&self) -> bool {
        self.pythons.iter().any(|python| python.launched.is_some())
    }
}

/// Looks at everything. Places a probe on ourselves, where it is never hit, and removes it.
pub fn examine() -> Diagnosis {
    let kernel = kernel_version();
    let rights = CapabilitySet::effective();
    let agent = agent_check();
    let tried = Usdt::try_out();
    let checks = vec![
        kernel_check(kernel),
        rights_check(rights),
        uprobes_check(&tried),
        children_check(&tried),
        types_check(),
        paranoia_check(rights),
        bpf_setting_check(rights),
        locked_memory_check(kernel),
        ptrace_check(rights),
        agent.clone(),
    ];
    let agent_works = agent.verdict != Verdict::Failing;
    let pythons = listing::everywhere();
    let pythons = pythons.into_iter().map(|python| Patient::of(python, agent_works, tried.is_ok())).collect();
    Diagnosis { checks, pythons }
}

impl Patient {
    fn of(listing: Listing, agent_works: bool, usdt_works: bool) -> Patient {
        let entered = |minors: std::ops::RangeInclusive<u8>| {
            let minor = listing.version.map(|version| version.minor);
            (agent_works && minor.is_some_and(|minor| minors.contains(&minor))).then_some("agent")
        };
        let has_markers = !listing.groups.is_empty();
        let by_markers = (usdt_works && has_markers).then_some("usdt");
        let has_functions = listing.groups.contains(&MarkerGroup::Function);
        let attached = match has_functions {
            true => by_markers.or(entered(ATTACH_MINORS)),
            false => entered(ATTACH_MINORS).or(by_markers),
        };
        let launched = entered(AGENT_MINORS).or(by_markers);
        let remedy = match (launched, attached) {
            (Some(_), Some(_)) => None,
            (_, None) if has_markers => Some("to record one that runs: sudo pyrec record -p PID"),
            (Some(_), None) => Some("to record it, let pyrec start it: pyrec record CMD"),
            (None, _) => Some("take a CPython from 3.8 on, or one built with --with-dtrace"),
        };
        Patient { listing, launched, attached, remedy: remedy.map(String::from) }
    }
}

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>, remedy: &str) -> Check {
    let remedy = (verdict != Verdict::Fine).then(|| remedy.to_owned());
    Check { name, verdict, found: found.into(), remedy }
}

fn verdict(fine: bool, otherwise: Verdict) -> Verdict {
    if fine { Verdict::Fine } else { otherwise }
}

fn kernel_check(version: Option<(u32, u32)>) -> Check {
    let fine = version.is_some_and(|version| version >= OLDEST_KERNEL) && cfg!(target_arch = "x86_64");
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let found =
        format!("{} {} on {}", text(system.sysname()), text(system.release()), text(system.machine()));
    let remedy = "markers are read on Linux 5.15 or later on x86-64; record programs by --provider agent";
    check("kernel", verdict(fine, Verdict::Limited), found, remedy)
}

fn rights_check(rights: CapabilitySet) -> Check {
    let (here, missing): (Vec<Capability>, Vec<Capability>) =
        Capability::ALL.into_iter().partition(|&right| rights.has(right));
    let list = |rights: &[Capability]| rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(", ");
    let found = if here.is_empty() { "an ordinary user".into() } else { list(&here) };
    let remedy = match rights.has(Capability::Bpf) && rights.has(Capability::Perfmon) {
        true if rights.has(Capability::SysAdmin) => {
            "processes of other users are recorded only with CAP_SYS_PTRACE: use sudo"
        }
        true => {
            "children of a process are recorded only with CAP_SYS_ADMIN, other users' only with CAP_SYS_PTRACE"
        }
        false => {
            "to read markers, run it with sudo, or give the file the rights: \
             sudo setcap cap_bpf,cap_perfmon=ep $(which pyrec)"
        }
    };
    check("rights", verdict(missing.is_empty(), Verdict::Limited), found, remedy)
}

fn uprobes_check(tried: &Result<Option<io::Error>, usdt::Error>) -> Check {
    match tried {
        Ok(_) => check("uprobes", Verdict::Fine, "a BPF program was loaded and a probe placed", ""),
        Err(error) => {
            check("uprobes", Verdict::Limited, error.to_string(), "record programs by --provider agent")
        }
    }
}

fn children_check(tried: &Result<Option<io::Error>, usdt::Error>) -> Check {
    let mounted = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].into_iter();
    let mounted = mounted.filter(|place| Path::new(place).join("uprobe_events").exists()).collect::<Vec<_>>();
    let place = mounted.first().map_or("not mounted, which does not matter to root", |place| place);
    match tried {
        Ok(None) => check("tracefs", Verdict::Fine, place, ""),
        Ok(Some(error)) => check(
            "tracefs",
            Verdict::Limited,
            format!("{place}: {error}"),
            "with the markers, children of a process are recorded only by root: use sudo",
        ),
        Err(_) => check("tracefs", Verdict::Limited, place, "not needed by --provider agent"),
    }
}

fn types_check() -> Check {
    let here = Path::new("/sys/kernel/btf/vmlinux").exists();
    let found = if here { "the kernel describes its types (BTF)" } else { "none, and none is needed" };
    check("kernel types", Verdict::Fine, found, "")
}

fn paranoia_check(rights: CapabilitySet) -> Check {
    let level = setting("/proc/sys/kernel/perf_event_paranoid");
    let fine = rights.has(Capability::Perfmon);
    let found = match &level {
        Some(level) => format!("kernel.perf_event_paranoid is {level}"),
        None => "this kernel has none".into(),
    };
    let state = verdict(fine && level.is_some(), Verdict::Limited);
    check("perf events", state, found, "whatever it is, CAP_PERFMON is enough for the markers: use sudo")
}

fn bpf_setting_check(rights: CapabilitySet) -> Check {
    let level = setting("/proc/sys/kernel/unprivileged_bpf_disabled");
    let fine = rights.has(Capability::Bpf);
    let found = match &level {
        Some(level) => format!("kernel.unprivileged_bpf_disabled is {level}"),
        None => "this kernel does not say".into(),
    };
    check(
        "BPF",
        verdict(fine, Verdict::Limited),
        found,
        "whatever it is, CAP_BPF is enough for the markers: use sudo",
    )
}

fn locked_memory_check(kernel: Option<(u32, u32)>) -> Check {
    let limit = getrlimit(Resource::Memlock).current;
    let matters = kernel.is_some_and(|version| version < FREE_MAPS_KERNEL);
    let text = limit.map_or_else(|| "unlimited".into(), |bytes| format!("{} KiB", bytes / 1024));
    let found = if matters { text } else { format!("{text}; BPF does not count against it on this kernel") };
    let fine = !matters || limit.is_none_or(|bytes| bytes >= 64 << 20);
    check("locked memory", verdict(fine, Verdict::Limited), found, "raise it: ulimit -l unlimited")
}

fn ptrace_check(rights: CapabilitySet) -> Check {
    let level = setting("/proc/sys/kernel/yama/ptrace_scope");
    let fine = rights.has(Capability::SysPtrace) || level.as_deref().is_none_or(|level| level == "0");
    let found = match &level {
        Some(level) => format!("kernel.yama.ptrace_scope is {level}"),
        None => "no restriction but the user (no Yama)".into(),
    };
    let remedy = "processes that you did not start can be attached to only with CAP_SYS_PTRACE: use sudo";
    check("ptrace", verdict(fine, Verdict::Limited), found, remedy)
}

/// Whether the agent finds a place for its rings and one to be loaded from.
fn agent_check() -> Check {
    let shared = Path::new("/dev/shm");
    let places = [shared.to_owned(), std::env::temp_dir()];
    let tried: Vec<(PathBuf, io::Result<bool>)> =
        places.into_iter().map(|place| (place.clone(), unpacks_in(&place))).collect();
    let writable = tried.iter().find(|(_, loads)| loads.is_ok());
    let loadable = tried.iter().find(|(_, loads)| matches!(loads, Ok(true)));
    match (writable, loadable) {
        (Some((rings, _)), Some((library, _))) => {
            let found = format!("rings in {}, the agent's library in {}", rings.display(), library.display());
            let state = verdict(rings == shared, Verdict::Limited);
            check("agent", state, found, "rings on a disk are slow: mount a tmpfs on /dev/shm")
        }
        (Some((place, _)), None) => {
            let found = format!("code cannot be loaded from {} (it is mounted noexec)", place.display());
            check(
                "agent",
                Verdict::Failing,
                found,
                "set TMPDIR to a directory from which programs can be run",
            )
        }
        _ => check(
            "agent",
            Verdict::Failing,
            "no directory for its rings can be made",
            "set TMPDIR to a directory that you can write to",
        ),
    }
}

fn unpacks_in(place: &Path) -> io::Result<bool> {
    let directory = tempfile::Builder::new().prefix("pyrec-").tempdir_in(place)?;
    agent_library::unpack(directory.path()).map(|(_, loads)| loads)
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel_version() -> Option<(u32, u32)> {
    parse_version(&rustix::system::uname().release().to_string_lossy())
}

/// The first two numbers of a kernel's release.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::usdt::Version;

    #[test]
    fn versions_of_kernels() {
        for (release, version) in [("6.18.44-fc-v509", (6, 18)), ("5.15.0", (5, 15)), ("6.1-rc3", (6, 1))] {
            assert_eq!(parse_version(release), Some(version), "{release}");
        }
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn every_line_that_is_not_fine_has_a_remedy() {
        let refused = || Err(usdt::Error::Malformed);
        for rights in
            [0, u64::MAX, 1 << Capability::Bpf as u32 | 1 << Capability::Perfmon as u32].map(CapabilitySet)
        {
            let checks = [
                kernel_check(Some((4, 19))),
                rights_check(rights),
                uprobes_check(&refused()),
                children_check(&refused()),
                children_check(&Ok(Some(io::ErrorKind::PermissionDenied.into()))),
                paranoia_check(rights),
                bpf_setting_check(rights),
                ptrace_check(rights),
            ];
            for check in checks {
                assert_eq!(check.verdict == Verdict::Fine, check.remedy.is_none(), "{check:?}");
            }
        }
    }

    fn python(minor: u8, groups: &[MarkerGroup]) -> Listing {
        Listing {
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
    fn each_python_gets_its_provider() {
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
            let patient = Patient::of(listing, agent, usdt);
            assert_eq!((patient.launched, patient.attached), (launched, attached), "{patient:?}");
            assert_eq!(patient.remedy.is_none(), launched.is_some() && attached.is_some(), "{patient:?}");
        }
    }
}
