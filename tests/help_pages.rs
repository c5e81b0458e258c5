//! The help pages, as a terminal of 100 columns shows them.
//!
//! After a change of a help text, `INSTA_UPDATE=always cargo test --test help_pages` updates the
//! files in `tests/snapshots`.

#![cfg(feature = "record")]

mod support;

use std::process::Command;

use support::{pyrec, run, stderr, stdout};

/// The output of a command with `--help`, at a width of 100 columns.
fn help(command: &mut Command) -> String {
    let output = run(command.arg("--help").env("COLUMNS", "100"));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    stdout(&output)
}

/// The commands on the page of `pyrec --help`.
fn commands() -> Vec<String> {
    let page = help(&mut Command::new(env!("CARGO_BIN_EXE_pyrec")));
    let lines = page.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  "));
    let names = lines.map(|(name, _)| name).filter(|name| name.chars().all(|c| c.is_ascii_lowercase()));
    names.map(str::to_owned).collect()
}

#[test]
fn help_pages_are_those_of_the_snapshots() {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        let page = help(&mut Command::new(env!("CARGO_BIN_EXE_pyrec")));
        insta::assert_snapshot!("help", page.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
        for name in commands() {
            insta::assert_snapshot!(format!("help_{name}"), help(&mut pyrec(&name)));
        }
    });
}

#[test]
fn every_command_has_a_help_page_of_at_most_100_columns() {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for name in commands {
        let page = help(&mut pyrec(&name));
        let too_long: Vec<&str> = page.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(too_long.is_empty(), "{name}: {too_long:#?}");
        assert!(page.contains("Usage: pyrec"), "{name}: {page}");
    }
}
