//! The invariants of `docs/architecture.md`, each kept by the test of the same name.

mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use imports::Imports;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The packages of this workspace.
const PACKAGES: [&str; 7] = [
    "pyrec",
    "pyrec-schema",
    "pyrec-recorder",
    "pyrec-analyzer",
    "pyrec-classic",
    "pyrec-wire",
    "pyrec-agent",
];

/// The source folders of the workspace.
const SOURCES: [&str; 7] = [
    "src",
    "schema/src",
    "recorder/src",
    "recorder/agent/src",
    "recorder/wire/src",
    "analyzer/src",
    "classic/src",
];

/// The top-level modules of each layered crate, from the highest to the lowest: a module imports
/// only from those after it.
///
/// A crate's `error` module is exempt where it wraps the `error` module of a higher folder.
const LAYERS: [(&str, &[&str]); 4] = [
    ("schema/src", &["tables", "reader", "writer", "file", "encode", "format", "model", "limits", "error"]),
    (
        "recorder/src",
        &[
            "inspect",
            "repair",
            "top",
            "recording",
            "prepare",
            "provider",
            "target",
            "session",
            "output",
            "options",
            "os",
            "bpf",
            "test_support",
            "error",
        ],
    ),
    ("recorder/agent/src", &["bootstrap", "lifecycle", "hooks", "record", "ring", "context", "python", "os"]),
    (
        "analyzer/src",
        &[
            "report", "share", "measure", "calls", "testing", "tree", "order", "filter", "script", "escape",
            "error",
        ],
    ),
];

#[test]
fn only_schema_depends_on_parquet() {
    assert_eq!(dependents(&["parquet", "arrow"]), ["pyrec-schema"]);
}

#[test]
fn only_the_recorder_depends_on_bpf() {
    assert_eq!(dependents(&["libbpf-rs", "libbpf-sys", "libbpf-cargo"]), ["pyrec-recorder"]);
}

#[test]
fn recorder_and_analyzer_are_independent() {
    for (one, other) in [("pyrec-recorder", "pyrec-analyzer"), ("pyrec-analyzer", "pyrec-recorder")] {
        assert!(!dependencies(one, &["-e", "normal,build,dev"]).contains(other), "{one} needs {other}");
    }
}

#[test]
fn without_record_there_is_no_bpf_dependency() {
    let reader = dependencies("pyrec", &["-e", "normal,build", "--no-default-features"]);
    let live: Vec<&String> =
        reader.iter().filter(|name| name.contains("bpf") || *name == "pyrec-recorder").collect();
    assert!(live.is_empty(), "{live:?}");
    assert!(reader.contains("pyrec-analyzer"), "the tree was read: {reader:?}");
}

#[test]
fn the_agent_depends_on_nothing_but_libc() {
    let agent = dependencies("pyrec-agent", &["-e", "normal"]);
    assert_eq!(agent.iter().collect::<Vec<_>>(), ["libc", "pyrec-wire"]);
    assert_eq!(dependencies("pyrec-wire", &["-e", "normal"]).len(), 0);
}

#[test]
fn no_file_imports_itself_through_others() {
    for source in SOURCES {
        let circles = Imports::of(&Path::new(ROOT).join(source)).circles();
        assert!(circles.is_empty(), "{source}: these files import each other: {circles:?}");
    }
}

#[test]
fn modules_import_only_from_lower_layers() {
    for (source, order) in LAYERS {
        let imports = Imports::of(&Path::new(ROOT).join(source));
        let listed: BTreeSet<String> = order.iter().map(ToString::to_string).collect();
        assert_eq!(imports.top_level(), listed, "{source}: the order in LAYERS names every module");
        let upward = imports.upward(order);
        assert!(upward.is_empty(), "{source}: {upward:#?}");
    }
}

#[test]
fn only_reports_depend_on_inferno() {
    let users = sources("analyzer/src").into_iter().filter(|file| code_of(file).contains("inferno"));
    let users: Vec<PathBuf> = users.collect();
    assert!(
        users.iter().all(|file| file.starts_with(Path::new(ROOT).join("analyzer/src/report"))),
        "{users:?}"
    );
    assert_eq!(dependents(&["inferno"]), ["pyrec-analyzer"]);
}

#[test]
fn code_after_a_provider_is_independent_of_it() {
    // What prepares a provider, reports on providers or their failures, or reads the rings of a
    // killed recorder.
    let before = ["provider", "lib.rs", "prepare.rs", "error.rs", "inspect", "repair.rs"];
    let before = before.map(|name| Path::new(ROOT).join("recorder/src").join(name));
    for file in sources("recorder/src") {
        if !before.iter().any(|path| file.starts_with(path)) {
            let code = code_of(&file);
            for provider in ["agent", "usdt"] {
                assert!(
                    !code.contains(&format!("provider::{provider}")),
                    "{} names {provider}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_report_prints_the_trust_line() {
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
fn every_file_has_a_header_comment() {
    let folders = ["src", "schema", "recorder", "analyzer", "classic", "tests"];
    for file in folders.into_iter().flat_map(sources) {
        // Generated files state what generated them.
        if !file.to_string_lossy().ends_with(".skel.rs") {
            let text = fs::read_to_string(&file).expect("the source is UTF-8");
            assert!(text.starts_with("//! "), "{} has no `//!` header", file.display());
        }
    }
}

#[test]
fn every_invariant_in_the_document_has_its_test() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/architecture.md"))
        .expect("docs/architecture.md exists");
    let list = document.split("\n## Invariants\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let named = list
        .expect("the document lists its invariants")
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once(".**"));
    let named: BTreeSet<String> =
        named.map(|(name, _)| name.to_lowercase().replace(['`', ','], "").replace(' ', "_")).collect();
    let tests = include_str!("main.rs").split("#[test]\nfn ").skip(1);
    let tests =
        tests.filter_map(|test| test.split("()").next()).filter(|name| !name.contains("in_the_document"));
    assert_eq!(named, tests.map(String::from).collect());
}

/// The packages of this workspace that depend directly on one of these, sorted.
fn dependents(names: &[&str]) -> Vec<&'static str> {
    let uses = |package: &&&str| {
        let direct = dependencies(package, &["-e", "normal,build,dev", "--depth", "1", "--all-features"]);
        names.iter().any(|name| direct.contains(*name))
    };
    PACKAGES.iter().filter(uses).copied().collect()
}

/// The names of all dependencies of a package, without itself.
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
fn sources(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join(folder);
    let mut files = if folder.is_dir() { sources_below(&folder) } else { Vec::new() };
    files.extend([folder.with_extension("rs")].into_iter().filter(|file| file.is_file()));
    assert!(!files.is_empty(), "there is nothing in {}", folder.display());
    files
}

fn sources_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("the entry can be read").path());
    let files = entries.flat_map(|path| if path.is_dir() { sources_below(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// A file's text without its comments.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("the source is UTF-8");
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}
