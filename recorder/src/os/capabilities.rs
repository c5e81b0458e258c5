//! What the kernel lets us do.

use std::fs;

/// A right, by its number in `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// CAP_SYS_PTRACE: to look into processes of other users.
    SysPtrace = 19,
    /// CAP_SYS_ADMIN: everything that no right of its own was made for.
    SysAdmin = 21,
    /// CAP_PERFMON: to place probes.
    Perfmon = 38,
    /// CAP_BPF: to load programs into the kernel.
    Bpf = 39,
}

impl Right {
    /// Those that matter to recording.
    pub const ALL: [Right; 4] = [Right::Bpf, Right::Perfmon, Right::SysPtrace, Right::SysAdmin];

    /// Its name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Right::SysPtrace => "CAP_SYS_PTRACE",
            Right::SysAdmin => "CAP_SYS_ADMIN",
            Right::Perfmon => "CAP_PERFMON",
            Right::Bpf => "CAP_BPF",
        }
    }
}

/// A bit for each right that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights(pub u64);

impl Rights {
    /// Our own.
    pub fn ours() -> Rights {
        Rights::of(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// Those in the text of `/proc/PID/status`.
    fn of(status: &str) -> Rights {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        Rights(line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0))
    }

    /// Whether this one is among them. CAP_SYS_ADMIN was there before the others for BPF, and includes them.
    pub fn has(self, right: Right) -> bool {
        let bit = |right: Right| self.0 >> right as u32 & 1 == 1;
        let included = matches!(right, Right::Perfmon | Right::Bpf) && bit(Right::SysAdmin);
        bit(right) || included
    }
}

/// Why the kernel refuses somebody who has the rights, as far as it says.
pub(crate) fn barrier() -> &'static str {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    barrier_in(&text("/proc/self/uid_map"), &text("/sys/kernel/security/lockdown"))
}

fn barrier_in(uid_map: &str, lockdown: &str) -> &'static str {
    // The first namespace maps every number to itself.
    let is_first = uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    if !is_first && !uid_map.is_empty() {
        "they are those of a user namespace, where they do not count: run it outside of the container"
    } else if lockdown.contains("[confidentiality]") {
        "it is locked down for confidentiality: start it with lockdown=integrity"
    } else {
        "a security module or a filter of system calls is in the way, as in a container that is not privileged"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn barriers_by_what_the_kernel_says() {
        let (first, mapped) = ("         0          0 4294967295\n", "         0       1000          1\n");
        let table = [
            (mapped, "", "user namespace"),
            (first, "none integrity [confidentiality]\n", "locked down"),
            (first, "none [integrity] confidentiality\n", "security module"),
            (first, "", "security module"),
        ];
        for (uid_map, lockdown, word) in table {
            assert!(barrier_in(uid_map, lockdown).contains(word), "{word}");
        }
    }

    #[test]
    fn rights_in_a_status() {
        // CAP_BPF and CAP_PERFMON, by capsh --decode=000000c000000000.
        let rights = Rights::of("CapPrm:\tffffffffffffffff\nCapEff:\t000000c000000000\n");
        assert_eq!(Right::ALL.map(|right| rights.has(right)), [true, true, false, false]);
        let admin = Rights(1 << 21);
        assert_eq!(Right::ALL.map(|right| admin.has(right)), [true, true, false, true]);
        assert_eq!(Rights::of("Name:\tx\n"), Rights(0));
    }
}
