//! Names that tell nothing of a program and its people, since every program has them.

/// Words that are no names of people and machines, though users and hosts are called so.
const NOBODY: [&str; 22] = [
    "admin",
    "administrator",
    "app",
    "build",
    "builder",
    "code",
    "daemon",
    "debian",
    "dev",
    "docker",
    "host",
    "local",
    "localhost",
    "nobody",
    "node",
    "python",
    "root",
    "runner",
    "test",
    "ubuntu",
    "user",
    "vagrant",
];

/// Modules of CPython that raise audit events, and the events without a module.
const AUDITS: [&str; 56] = [
    "_posixsubprocess",
    "_thread",
    "_winapi",
    "array",
    "builtins",
    "code",
    "compile",
    "cpython",
    "ctypes",
    "dbm",
    "ensurepip",
    "exec",
    "faulthandler",
    "fcntl",
    "ftplib",
    "function",
    "gc",
    "glob",
    "http",
    "imaplib",
    "import",
    "marshal",
    "mmap",
    "monitoring",
    "msvcrt",
    "nntplib",
    "object",
    "open",
    "os",
    "pathlib",
    "pdb",
    "pickle",
    "poplib",
    "posix",
    "pty",
    "pyexpat",
    "readline",
    "resource",
    "setopencodehook",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "syslog",
    "telnetlib",
    "tempfile",
    "time",
    "type",
    "urllib",
    "uuid",
    "webbrowser",
    "winreg",
];

/// What stands in every trace, beside the keys of its manifest, and words of Python itself.
pub const WORDS: &str = "time_ns pid tid marker code line value text schema pyrec parquet arrow README.txt pyrec.parquet
    resume throw yield unwind user host dir python arg thread audit project home agent usdt tsc monotonic
    abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex copyright
    credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash
    help hex id input int isinstance issubclass iter len license list locals map max memoryview min next object oct open
    ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str sum super tuple type
    vars zip False None True and as assert async await break case class continue def del elif else except finally for
    from global if import in is lambda match nonlocal not or pass raise return try while with yield self cls args kwargs
    main name file path data utf-8 latin-1 ascii";

/// Whether a user or a machine of that name is nobody in particular.
pub fn is_nobody(name: &str) -> bool {
    NOBODY.contains(&name)
}

/// Whether an audit event is one of CPython's own.
pub fn is_audit(name: &str) -> bool {
    AUDITS.contains(&name.split('.').next().unwrap_or(name))
}

/// Whether a thread has the name that Python gives to one that was given none: with the function that it runs, perhaps.
pub fn is_thread(name: &str) -> bool {
    let is_number =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let counted = |prefix: &str| name.strip_prefix(prefix).is_some_and(is_number);
    let running = name.strip_prefix("Thread-").and_then(|rest| rest.strip_suffix(')')?.split_once(" ("));
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    ["MainThread", "QueueFeederThread", "QueueManagerThread"].contains(&name)
        // What the system calls a thread that nobody named.
        || name.strip_prefix("python").is_some_and(is_version)
        || ["Thread-", "Dummy-", "ThreadPoolExecutor-", "asyncio_"].into_iter().any(counted)
        || running.is_some_and(|(number, function)| is_number(number) && is_name(function))
}

#[cfg(test)]
mod tests {
    //! Names of everybody's, and of somebody's.

    use super::*;

    #[test]
    fn pythons_own_names_are_known() {
        for name in [
            "MainThread",
            "Thread-3",
            "Thread-12 (work)",
            "ThreadPoolExecutor-0_1",
            "asyncio_3",
            "Dummy-1",
            "python3.11",
        ] {
            assert!(is_thread(name), "{name}");
        }
        for name in
            ["orders of acme", "Thread-", "Thread-x", "Thread-1 (a b)", "Thread-1 acme", "asyncio_acme", ""]
        {
            assert!(!is_thread(name), "{name}");
        }
        assert!(is_audit("open") && is_audit("socket.connect") && is_audit("os.putenv/2"));
        assert!(!is_audit("acme.login") && !is_audit("opened") && !is_audit(""));
        assert!(is_nobody("root") && !is_nobody("ann"));
    }
}
