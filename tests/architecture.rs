//! The invariants of `docs/architecture.md`, each kept by the test that bears its name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A longer file surely holds two nouns.
const MANY_LINES: usize = 500;

/// The packages of this workspace.
const OURS: [&str; 7] = [
    "pyrec",
    "pyrec-schema",
    "pyrec-recorder",
    "pyrec-analyzer",
    "pyrec-classic",
    "pyrec-wire",
    "pyrec-agent",
];

#[test]
fn only_schema_speaks_parquet() {
    assert_eq!(users_of(&["parquet", "arrow"]), ["pyrec-schema"]);
}

#[test]
fn only_the_recorder_speaks_bpf() {
    assert_eq!(users_of(&["libbpf-rs", "libbpf-sys", "libbpf-cargo"]), ["pyrec-recorder"]);
}

#[test]
fn recorder_and_analyzer_never_meet() {
    for (one, other) in [("pyrec-recorder", "pyrec-analyzer"), ("pyrec-analyzer", "pyrec-recorder")] {
        assert!(!dependencies(one, &["-e", "normal,build,dev"]).contains(other), "{one} needs {other}");
    }
}

#[test]
fn without_record_there_is_no_bpf_in_the_tree() {
    let reader = dependencies("pyrec", &["-e", "normal,build", "--no-default-features"]);
    let live: Vec<&String> =
        reader.iter().filter(|name| name.contains("bpf") || *name == "pyrec-recorder").collect();
    assert!(live.is_empty(), "{live:?}");
    assert!(reader.contains("pyrec-analyzer"), "the tree was read: {reader:?}");
}

#[test]
fn the_agent_carries_nothing_but_libc() {
    let agent = dependencies("pyrec-agent", &["-e", "normal"]);
    assert_eq!(agent.iter().collect::<Vec<_>>(), ["libc", "pyrec-wire"]);
    assert_eq!(dependencies("pyrec-wire", &["-e", "normal"]).len(), 0);
}

#[test]
fn within_the_analyzer_nothing_looks_back() {
    const LAYERS: [&str; 5] = ["order", "tree", "calls", "measure", "report"];
    for (depth, layer) in LAYERS.iter().enumerate() {
        for file in sources(&format!("analyzer/src/{layer}")) {
            let code = code_of(&file);
            for later in &LAYERS[depth + 1..] {
                assert!(!mentions(&code, later), "{} looks back at `{later}`", file.display());
            }
        }
    }
}

#[test]
fn only_reports_know_inferno() {
    let knowing = sources("analyzer/src").into_iter().filter(|file| code_of(file).contains("inferno"));
    let knowing: Vec<PathBuf> = knowing.collect();
    assert!(
        knowing.iter().all(|file| file.starts_with(Path::new(ROOT).join("analyzer/src/report"))),
        "{knowing:?}"
    );
    assert_eq!(users_of(&["inferno"]), ["pyrec-analyzer"]);
}

#[test]
fn nothing_after_a_provider_knows_which_one_it_was() {
    // What chooses one, what reports on them or on their failures, and what reads the rings of a killed recorder.
    let before = ["provider", "lib.rs", "prepare.rs", "error.rs", "inspect", "repair.rs"];
    let before = before.map(|name| Path::new(ROOT).join("recorder/src").join(name));
    for file in sources("recorder/src") {
        if !before.iter().any(|place| file.starts_with(place)) {
            let code = code_of(&file);
            let names =
                |provider| code.split("provider::").skip(1).any(|after| mentioned_first(after, provider));
            assert!(!names("agent") && !names("usdt"), "{} does", file.display());
        }
    }
}

#[test]
fn every_report_carries_the_trust_line() {
    let list = code_of(&Path::new(ROOT).join("analyzer/src/report/mod.rs"));
    let reports: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(reports.len() >= 4, "{list}");
    for report in reports {
        let files = sources(&format!("analyzer/src/report/{report}"));
        assert!(files.iter().any(|file| code_of(file).contains("trust_line(")), "{report} does not");
    }
}

#[test]
fn every_file_says_what_it_is() {
    let rooms = ["src", "schema", "recorder", "analyzer", "classic", "tests"];
    for file in rooms.into_iter().flat_map(sources) {
        // A generated file says what made it.
        if !file.to_string_lossy().ends_with(".skel.rs") {
            let text = fs::read_to_string(&file).expect("it is text");
            assert!(text.starts_with("//! "), "{} has no door-plate", file.display());
            assert!(text.lines().count() <= MANY_LINES, "{} holds more than one noun", file.display());
        }
    }
}

#[test]
fn every_invariant_in_the_document_has_its_test() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/architecture.md")).expect("it is there");
    let list = document.split("\n## Invariants\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let named = list
        .expect("there is a list")
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once(".**"));
    let named: BTreeSet<String> =
        named.map(|(name, _)| name.to_lowercase().replace(['`', ','], "").replace(' ', "_")).collect();
    let tests = include_str!("architecture.rs").split("#[test]\nfn ").skip(1);
    let tests =
        tests.filter_map(|test| test.split("()").next()).filter(|name| !name.contains("in_the_document"));
    assert_eq!(named, tests.map(String::from).collect());
}

/// Which of our packages name one of these as a dependency, sorted.
fn users_of(names: &[&str]) -> Vec<&'static str> {
    let uses = |ours: &&&str| {
        let direct = dependencies(ours, &["-e", "normal,build,dev", "--depth", "1", "--all-features"]);
        names.iter().any(|name| direct.contains(*name))
    };
    OURS.iter().filter(uses).copied().collect()
}

/// The names of what a package needs, itself left out.
fn dependencies(package: &str, options: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--prefix", "none", "--format", "{p}", "-p", package]).args(options);
    let output = cargo.current_dir(ROOT).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != package).map(String::from).collect()
}

/// The Rust files in a folder of this workspace; that folder may also be a single file.
fn sources(room: &str) -> Vec<PathBuf> {
    let room = Path::new(ROOT).join(room);
    let mut files = if room.is_dir() { sources_below(&room) } else { Vec::new() };
    files.extend([room.with_extension("rs")].into_iter().filter(|file| file.is_file()));
    assert!(!files.is_empty(), "there is nothing in {}", room.display());
    files
}

fn sources_below(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("it can be listed").map(|entry| entry.expect("it can be listed").path());
    let files = entries.flat_map(|path| if path.is_dir() { sources_below(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// A file's text without its comments.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("it is text");
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether code names a module at its crate's root: `crate::name` or `use crate::{…, name…}`.
fn mentions(code: &str, module: &str) -> bool {
    code.split("crate::").skip(1).any(|after| mentioned_first(after, module))
}

/// Whether what follows a `::` is that name, or a list in braces with that name in it.
fn mentioned_first(after: &str, module: &str) -> bool {
    let named = match after.strip_prefix('{') {
        Some(list) => list.split(';').next().unwrap_or(list),
        None => after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(after),
    };
    named.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == module)
}
