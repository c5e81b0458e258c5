//! What shells and `man` read of the command.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::{pyrec, run};

#[test]
fn bash_completes_commands_and_flags() {
    let script = run(pyrec("completions").arg("bash"));
    assert!(script.status.success());
    // What readline does when somebody types `pyrec sta` and Tab: it asks the registered function.
    let ask = "COMP_WORDS=(pyrec \"$1\"); COMP_CWORD=1; _pyrec pyrec \"$1\" pyrec; echo \"${COMPREPLY[@]}\"";
    for (typed, completed) in [("sta", "stats"), ("thr", "threads"), ("--ver", "--version")] {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("source /dev/stdin; {ask}"), "bash", typed]);
        let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash runs");
        bash.stdin.take().expect("it is piped").write_all(&script.stdout).expect("bash reads it");
        let said = bash.wait_with_output().expect("it ends").stdout;
        assert_eq!(String::from_utf8_lossy(&said).trim(), completed);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pages = directory.path().join("man1");
    assert!(run(pyrec("man").arg(&pages)).status.success());
    let help = run(&mut pyrec("--help")).stdout;
    let help = String::from_utf8(help).expect("it is UTF-8");
    let commands: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once("  "))
        .map(|(name, _)| name)
        .collect();
    let listed = |name: &&&str| name.chars().all(|letter| letter.is_ascii_lowercase());
    let commands: Vec<&str> = commands.iter().filter(listed).copied().collect();
    assert!(commands.len() > 10, "{help}");
    for command in commands {
        let page = std::fs::read_to_string(pages.join(format!("pyrec-{command}.1")));
        assert!(page.expect("each has its page").contains(".SH SYNOPSIS"), "{command}");
    }
}
