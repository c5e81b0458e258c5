//! `pyrec doctor` as root, without privileges, and where nothing can be recorded.

#![cfg(feature = "record")]

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::{Python, Setup, is_root, pyrec, run, stdout};

fn diagnosis(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Asserts that exactly the checks with a problem have a remedy.
fn assert_remedies(diagnosis: &Value) {
    for list in ["checks", "pythons"] {
        for line in diagnosis[list].as_array().expect("an array") {
            assert_eq!(line["verdict"] == "fine", line["remedy"].is_null(), "{line}");
        }
    }
}

fn check<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let checks = diagnosis["checks"].as_array().expect("an array");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:?}"))
}

/// Runs the command without privileges, in a mount namespace that root has prepared by a shell
/// script.
fn run_unprivileged(prepare: &str) -> Output {
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .expect("a temporary directory");
    // Other users may have no access to the build directory.
    let program = folder.path().join("pyrec");
    std::fs::copy(env!("CARGO_BIN_EXE_pyrec"), &program).expect("the file is copied");
    let script =
        format!("{prepare}\nexec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" doctor --json");
    run(Command::new("unshare").args(["-m", "/bin/sh", "-ec", &script]).arg(&program))
}

#[test]
fn root_can_record_by_both_providers() {
    let Some(Setup { python, .. }) = Setup::usdt() else { return };
    let output = run(pyrec("doctor").arg("--json"));
    assert!(output.status.success());
    let diagnosis = diagnosis(&output);
    assert_eq!(diagnosis["works"], true);
    assert_remedies(&diagnosis);
    for name in ["uprobes", "tracefs", "agent"] {
        assert_eq!(check(&diagnosis, name)["verdict"], "fine", "{diagnosis:#}");
    }
    let pythons = diagnosis["pythons"].as_array().expect("an array");
    let debian = pythons.iter().find(|listed| listed["program"] == python.program.to_string_lossy().as_ref());
    let debian = debian.expect("Debian's Python is listed");
    assert_eq!((&debian["launched"], &debian["attached"]), (&"agent".into(), &"usdt".into()), "{debian}");
    let text = stdout(&run(&mut pyrec("doctor")));
    assert!(text.contains("✓ uprobes") && !text.contains('\x1b'), "{text}");
}

/// The output of the command on a terminal.
fn output_on_a_terminal(no_color: Option<&str>) -> String {
    let mut command = Command::new("script");
    command
        .args(["-qec", concat!(env!("CARGO_BIN_EXE_pyrec"), " doctor"), "/dev/null"])
        .env_remove("NO_COLOR");
    no_color.map(|value| command.env("NO_COLOR", value));
    stdout(&run(&mut command))
}

#[test]
fn a_terminal_gets_colours_unless_no_color_is_set_and_not_empty() {
    for (no_color, colours) in [(None, true), (Some(""), true), (Some("0"), false)] {
        let text = output_on_a_terminal(no_color);
        assert_eq!(text.contains("\x1b["), colours, "{no_color:?}: {text}");
    }
}

#[test]
fn without_privileges_the_agent_works_and_a_remedy_for_the_rest_is_named() {
    if !is_root() || Python::any().is_none() {
        return;
    }
    let output = run_unprivileged("");
    assert!(output.status.success(), "{output:?}");
    let diagnosis = diagnosis(&output);
    assert_remedies(&diagnosis);
    for name in ["rights", "uprobes"] {
        assert_eq!(check(&diagnosis, name)["verdict"], "limited", "{diagnosis:#}");
    }
    assert!(check(&diagnosis, "rights")["remedy"].as_str().is_some_and(|remedy| remedy.contains("sudo")));
}

#[test]
fn the_exit_status_is_1_where_nothing_can_be_recorded() {
    if !is_root() {
        return;
    }
    let output = run_unprivileged("mount -t tmpfs -o ro none /dev/shm; export TMPDIR=/nowhere");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let diagnosis = diagnosis(&output);
    assert_eq!(diagnosis["works"], false);
    assert_remedies(&diagnosis);
    assert_eq!(check(&diagnosis, "agent")["verdict"], "failing", "{diagnosis:#}");
}
