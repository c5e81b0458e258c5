//! The modules of this crate form layers, and each uses only the layers below it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules at the crate's root, from the lowest layer to the highest.
const LAYERS: [&str; 9] =
    ["error", "limits", "model", "format", "encode", "file", "writer", "reader", "tables"];

/// The Rust files of a module, which is a folder or a single file.
fn files_of(module: &Path) -> Vec<PathBuf> {
    if !module.is_dir() {
        return vec![module.with_extension("rs")];
    }
    let entries = fs::read_dir(module).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| files_of(&path.with_extension(""))).collect()
}

/// What follows `crate::` in the code of a file, for each time that it occurs outside comments.
fn crate_paths(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join("\n");
    let first_name =
        |path: &str| path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().into();
    code.split("crate::").skip(1).map(first_name).collect()
}

#[test]
fn a_module_uses_only_lower_layers() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (height, layer) in LAYERS.iter().enumerate() {
        for file in files_of(&source.join(layer)) {
            for path in crate_paths(&file) {
                let allowed = &LAYERS[..=height];
                assert!(allowed.contains(&path.as_str()), "{} uses crate::{path}", file.display());
            }
        }
    }
}

#[test]
fn every_module_of_the_crate_has_a_layer() {
    let library = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let mut modules: Vec<&str> = modules.collect();
    let mut layers = LAYERS.to_vec();
    modules.sort_unstable();
    layers.sort_unstable();
    assert_eq!(modules, layers);
}
