//! Names that are public because many programs and machines have them: the allowlist of the
//! redaction.

/// Names of users and machines that do not identify anyone.
const GENERIC_NAMES: [&str; 22] = [
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

/// The first components of the audit events that CPython raises.
const CPYTHON_AUDITS: [&str; 56] = [
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

/// Words that are in every trace beside the keys of its manifest, and words of Python itself.
pub const COMMON_WORDS: &str = "time_ns pid tid marker code line value text schema pyrec parquet arrow README.txt pyrec.parquet
    resume throw yield unwind user host dir python arg thread audit project home agent usdt tsc monotonic
    abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex copyright
    credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash
    help hex id input int isinstance issubclass iter len license list locals map max memoryview min next object oct open
    ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str sum super tuple type
    vars zip False None True and as assert async await break case class continue def del elif else except finally for
    from global if import in is lambda match nonlocal not or pass raise return try while with yield self cls args kwargs
    main name file path data utf-8 latin-1 ascii";

/// Whether the name of a user or a machine does not identify anyone.
pub fn is_generic(name: &str) -> bool {
    GENERIC_NAMES.contains(&name)
}

/// Whether CPython raises an audit event itself.
pub fn is_cpython_audit(name: &str) -> bool {
    CPYTHON_AUDITS.contains(&name.split('.').next().unwrap_or(name))
}

/// Whether a thread's name is a default of Python or of the system: `MainThread`, `Thread-1`,
/// `Thread-1 (work)`.
pub fn is_default_thread(name: &str) -> bool {
    let is_number =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let counted = |prefix: &str| name.strip_prefix(prefix).is_some_and(is_number);
    let running = name.strip_prefix("Thread-").and_then(|rest| rest.strip_suffix(')')?.split_once(" ("));
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    ["MainThread", "QueueFeederThread", "QueueManagerThread"].contains(&name)
        // The system names a thread after its executable.
        || name.strip_prefix("python").is_some_and(is_version)
        || ["Thread-", "Dummy-", "ThreadPoolExecutor-", "asyncio_"].into_iter().any(counted)
        || running.is_some_and(|(number, function)| is_number(number) && is_name(function))
}

#[cfg(test)]
mod tests {
    //! Public and private names.

    use super::*;

    #[test]
    fn default_names_are_public() {
        for name in [
            "MainThread",
            "Thread-3",
            "Thread-12 (work)",
            "ThreadPoolExecutor-0_1",
            "asyncio_3",
            "Dummy-1",
            "python3.11",
        ] {
            assert!(is_default_thread(name), "{name}");
        }
        for name in
            ["orders of acme", "Thread-", "Thread-x", "Thread-1 (a b)", "Thread-1 acme", "asyncio_acme", ""]
        {
            assert!(!is_default_thread(name), "{name}");
        }
        assert!(
            is_cpython_audit("open") && is_cpython_audit("socket.connect") && is_cpython_audit("os.putenv/2")
        );
        assert!(!is_cpython_audit("acme.login") && !is_cpython_audit("opened") && !is_cpython_audit(""));
        assert!(is_generic("root") && !is_generic("ann"));
    }
}
