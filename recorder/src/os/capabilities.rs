//! Linux capabilities of this process, and the reasons why the kernel may refuse BPF in spite of
//! them.

use std::fs;

/// A capability that recording can need. The discriminant is its number in
/// `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    /// CAP_SYS_PTRACE: access to processes of other users.
    SysPtrace = 19,
    /// CAP_SYS_ADMIN: system administration in general. It includes CAP_PERFMON and CAP_BPF.
    SysAdmin = 21,
    /// CAP_PERFMON: placing probes.
    Perfmon = 38,
    /// CAP_BPF: loading BPF programs.
    Bpf = 39,
}

impl Capability {
    /// Every capability that recording can need.
    pub const ALL: [Capability; 4] =
        [Capability::Bpf, Capability::Perfmon, Capability::SysPtrace, Capability::SysAdmin];

    /// The name of the kernel's constant.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        }
    }
}

/// A set of capabilities, as a mask with a bit per capability number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// The effective capabilities of this process.
    pub fn effective() -> CapabilitySet {
        CapabilitySet::parse(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// Parses the line `CapEff:` of `/proc/PID/status`. The set is empty if there is none.
    fn parse(status: &str) -> CapabilitySet {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        CapabilitySet(line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0))
    }

    /// Whether the set contains or implies a capability. CAP_SYS_ADMIN implies CAP_PERFMON and
    /// CAP_BPF, which were split off from it in Linux 5.8.
    pub fn has(self, capability: Capability) -> bool {
        let bit = |capability: Capability| self.0 >> capability as u32 & 1 == 1;
        let is_implied =
            matches!(capability, Capability::Perfmon | Capability::Bpf) && bit(Capability::SysAdmin);
        bit(capability) || is_implied
    }
}

/// The likely reason why the kernel refuses BPF to a process that has the capabilities for it, and
/// what to do.
pub(crate) fn denial_reason() -> &'static str {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    denial_reason_in(&text("/proc/self/uid_map"), &text("/sys/kernel/security/lockdown"))
}

fn denial_reason_in(uid_map: &str, lockdown: &str) -> &'static str {
    // The initial user namespace maps every uid to itself.
    let is_initial = uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    if !is_initial && !uid_map.is_empty() {
        "capabilities within a user namespace do not suffice: run pyrec outside the container"
    } else if lockdown.contains("[confidentiality]") {
        "the kernel is locked down for confidentiality: boot it with lockdown=integrity"
    } else {
        "a security module or a filter of system calls is in the way, as in an unprivileged container"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denial_reasons_follow_namespace_and_lockdown() {
        let (initial, mapped) = ("         0          0 4294967295\n", "         0       1000          1\n");
        let table = [
            (mapped, "", "user namespace"),
            (initial, "none integrity [confidentiality]\n", "locked down"),
            (initial, "none [integrity] confidentiality\n", "security module"),
            (initial, "", "security module"),
        ];
        for (uid_map, lockdown, expected) in table {
            let reason = denial_reason_in(uid_map, lockdown);
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn effective_capabilities_are_parsed_and_sys_admin_implies_bpf() {
        // CAP_BPF and CAP_PERFMON, by capsh --decode=000000c000000000.
        let set = CapabilitySet::parse("CapPrm:\tffffffffffffffff\nCapEff:\t000000c000000000\n");
        assert_eq!(Capability::ALL.map(|capability| set.has(capability)), [true, true, false, false]);
        let admin = CapabilitySet(1 << 21);
        assert_eq!(Capability::ALL.map(|capability| admin.has(capability)), [true, true, false, true]);
        assert_eq!(CapabilitySet::parse("Name:\tx\n"), CapabilitySet(0));
    }
}
