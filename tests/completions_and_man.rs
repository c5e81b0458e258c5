//! The completion script for bash, and the manual pages.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::{pyrec, run, stdout};

#[test]
fn bash_completes_commands_and_flags() {
    let script = run(pyrec("completions").arg("bash"));
    assert!(script.status.success());
    // On Tab, readline calls the registered function.
    let complete =
        "COMP_WORDS=(pyrec \"$1\"); COMP_CWORD=1; _pyrec pyrec \"$1\" pyrec; echo \"${COMPREPLY[@]}\"";
    for (typed, expected) in [("sta", "stats"), ("thr", "threads"), ("--ver", "--version")] {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("source /dev/stdin; {complete}"), "bash", typed]);
        let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        bash.stdin
            .take()
            .expect("standard input is piped")
            .write_all(&script.stdout)
            .expect("the write succeeds");
        let completed = bash.wait_with_output().expect("the child ends").stdout;
        assert_eq!(String::from_utf8_lossy(&completed).trim(), expected);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pages = directory.path().join("man1");
    assert!(run(pyrec("man").arg(&pages)).status.success());
    let help = stdout(&run(&mut pyrec("--help")));
    let commands: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once("  "))
        .map(|(name, _)| name)
        .collect();
    let is_command = |name: &&&str| name.chars().all(|letter| letter.is_ascii_lowercase());
    let commands: Vec<&str> = commands.iter().filter(is_command).copied().collect();
    assert!(commands.len() > 10, "{help}");
    for command in commands {
        let page = std::fs::read_to_string(pages.join(format!("pyrec-{command}.1")));
        assert!(page.expect("each command has a page").contains(".SH SYNOPSIS"), "{command}");
    }
}
