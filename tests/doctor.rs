//! `pyrec doctor` as root, as somebody without rights, and where nothing works.

#![cfg(feature = "record")]

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::{Python, Subject, is_root, pyrec, run};

fn diagnosis(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Every line that is not fine says what to do.
fn assert_remedies(diagnosis: &Value) {
    for list in ["checks", "pythons"] {
        for line in diagnosis[list].as_array().expect("a list") {
            assert_eq!(line["verdict"] == "fine", line["remedy"].is_null(), "{line}");
        }
    }
}

fn check<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let checks = diagnosis["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:?}"))
}

/// The command as somebody without rights, after what root prepares in a mount namespace of its own.
fn as_nobody(prepare: &str) -> Output {
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .expect("a temporary directory");
    // Where the build lies, others may not look.
    let program = folder.path().join("pyrec");
    std::fs::copy(env!("CARGO_BIN_EXE_pyrec"), &program).expect("room for the program");
    let script =
        format!("{prepare}\nexec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" doctor --json");
    run(Command::new("unshare").args(["-m", "/bin/sh", "-ec", &script]).arg(&program))
}

#[test]
fn root_can_record_by_either_provider() {
    let Some(Subject { python, .. }) = Subject::usdt() else { return };
    let output = run(pyrec("doctor").arg("--json"));
    assert!(output.status.success());
    let diagnosis = diagnosis(&output);
    assert_eq!(diagnosis["works"], true);
    assert_remedies(&diagnosis);
    for name in ["uprobes", "tracefs", "agent"] {
        assert_eq!(check(&diagnosis, name)["verdict"], "fine", "{diagnosis:#}");
    }
    let pythons = diagnosis["pythons"].as_array().expect("a list");
    let debian = pythons.iter().find(|one| one["program"] == python.program.to_string_lossy().as_ref());
    let debian = debian.expect("it is among them");
    assert_eq!((&debian["launched"], &debian["attached"]), (&"agent".into(), &"usdt".into()), "{debian}");
    let text = String::from_utf8(run(&mut pyrec("doctor")).stdout).expect("it is text");
    assert!(text.contains("✓ uprobes") && !text.contains('\x1b'), "{text}");
}

/// What a terminal would show.
fn in_a_terminal(no_color: Option<&str>) -> String {
    let mut command = Command::new("script");
    command
        .args(["-qec", concat!(env!("CARGO_BIN_EXE_pyrec"), " doctor"), "/dev/null"])
        .env_remove("NO_COLOR");
    no_color.map(|value| command.env("NO_COLOR", value));
    String::from_utf8(run(&mut command).stdout).expect("it is text")
}

#[test]
fn a_terminal_has_colours_unless_no_color_is_there_and_not_empty() {
    for (no_color, colours) in [(None, true), (Some(""), true), (Some("0"), false)] {
        let text = in_a_terminal(no_color);
        assert_eq!(text.contains("\x1b["), colours, "{no_color:?}: {text}");
    }
}

#[test]
fn without_rights_the_agent_is_left_and_the_way_to_the_rest_is_told() {
    if !is_root() || Python::any().is_none() {
        return;
    }
    let output = as_nobody("");
    assert!(output.status.success(), "{output:?}");
    let diagnosis = diagnosis(&output);
    assert_remedies(&diagnosis);
    for name in ["rights", "uprobes"] {
        assert_eq!(check(&diagnosis, name)["verdict"], "limited", "{diagnosis:#}");
    }
    assert!(check(&diagnosis, "rights")["remedy"].as_str().is_some_and(|remedy| remedy.contains("sudo")));
}

#[test]
fn where_nothing_can_be_recorded_it_fails() {
    if !is_root() {
        return;
    }
    let output = as_nobody("mount -t tmpfs -o ro none /dev/shm; export TMPDIR=/nowhere");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let diagnosis = diagnosis(&output);
    assert_eq!(diagnosis["works"], false);
    assert_remedies(&diagnosis);
    assert_eq!(check(&diagnosis, "agent")["verdict"], "failing", "{diagnosis:#}");
}
