//! The import graph of a crate: which source file uses items of which other one, read from `use`
//! declarations and `crate::…`/`super::…` paths.
//!
//! A name that a module file re-exports (`pub use piece::Piece`) counts as a use of the file that
//! defines it, so that `use crate::Piece` and `use crate::tree::piece::Piece` are the same edge.
//! Re-exports themselves are no edges, and neither is anything in the unit tests at the end of a
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module within its crate; empty for `lib.rs` and `main.rs`.
pub type Module = Vec<String>;

/// The files of a crate and their imports.
#[derive(Debug)]
pub struct Imports {
    files: BTreeMap<Module, PathBuf>,
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    /// Reads every `.rs` file below `source`, except unit tests (`tests.rs`, `tests/`) and
    /// generated files (`*.skel.rs`).
    pub fn of(source: &Path) -> Imports {
        let mut files = BTreeMap::new();
        collect(source, source, &mut files);
        assert!(!files.is_empty(), "{} contains no Rust file", source.display());
        let texts: BTreeMap<Module, String> =
            files.iter().map(|(module, file)| (module.clone(), code_of(file))).collect();
        let exports: BTreeMap<(Module, String), Module> =
            texts.iter().flat_map(|(module, text)| re_exports(module, text)).collect();
        let edges = texts.iter().map(|(module, text)| {
            let paths = used_paths(module, text, &files);
            let targets = paths.into_iter().filter_map(|path| {
                let path = resolve(path, &files, &exports);
                (0..=path.len()).rev().map(|len| path[..len].to_vec()).find(|path| files.contains_key(path))
            });
            (module.clone(), targets.filter(|target| target != module).collect())
        });
        let edges = edges.collect();
        Imports { files, edges }
    }

    /// The modules directly below the crate root, as files name them.
    pub fn top_level(&self) -> BTreeSet<String> {
        self.files.keys().filter_map(|module| module.first().cloned()).collect()
    }

    /// Every set of files that import each other, directly or through others. A module file
    /// (`mod.rs`) and the files of its own folder are one topic and may share a circle; two sibling
    /// files may not.
    pub fn circles(&self) -> Vec<BTreeSet<Module>> {
        let reachable: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, self.reachable_from(module))).collect();
        let mut circles = BTreeSet::new();
        for module in self.files.keys() {
            let circle: BTreeSet<Module> = reachable[module]
                .iter()
                .filter(|other| reachable[**other].contains(module))
                .map(|other| (*other).clone())
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reachable_from<'a>(&'a self, start: &'a Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(module) = open.pop() {
            let next = self.edges[module].iter().filter(|next| !is_parent_and_child(module, next));
            open.extend(next.filter(|next| reached.insert(*next)));
        }
        reached
    }

    /// Imports that go up in an order of top-level modules, given from the highest to the lowest,
    /// as sentences. An `error` module may import another one, to wrap its errors.
    pub fn upward(&self, order: &[&str]) -> Vec<String> {
        let rank =
            |module: &Module| order.iter().position(|name| Some(*name) == module.first().map(String::as_str));
        let mut faults = Vec::new();
        for (module, targets) in &self.edges {
            let Some(from) = rank(module) else { continue };
            for target in targets {
                let wraps_errors =
                    [module, target].iter().all(|path| path.last().is_some_and(|name| name == "error"));
                if rank(target).is_some_and(|to| to < from) && !wraps_errors {
                    faults.push(format!("{} imports {}", module.join("::"), target.join("::")));
                }
            }
        }
        faults
    }
}

/// Whether one of two modules is the module file of the other's folder.
fn is_parent_and_child(one: &Module, other: &Module) -> bool {
    let is_parent = |parent: &Module, child: &Module| {
        !parent.is_empty() && child.len() == parent.len() + 1 && child.starts_with(parent)
    };
    is_parent(one, other) || is_parent(other, one)
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<Module, PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the entry can be read").path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            // Unit tests may use anything.
        } else if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.to_string_lossy().ends_with(".skel.rs")
        {
            let relative = path.strip_prefix(root).expect("the file is below the root").with_extension("");
            let mut module: Module =
                relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|name| name == "mod")
                || matches!(module.join("/").as_str(), "lib" | "main")
            {
                module.pop();
            }
            files.insert(module, path);
        }
    }
}

/// A file's text without its comments and its unit tests.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("the source is UTF-8");
    let text = match text.find("#[cfg(test)]\nmod tests {") {
        Some(tests) => &text[..tests],
        None => &text,
    };
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The `use` declarations of a text: whether each is public, and its tree.
fn uses(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(line) = rest.lines().next() {
        let trimmed = line.trim_start();
        let declaration = trimmed.strip_prefix("use ").map(|tree| (false, tree)).or_else(|| {
            let after = trimmed.strip_prefix("pub")?;
            let after = if after.starts_with('(') { after.split_once(')')?.1 } else { after };
            after.trim_start().strip_prefix("use ").map(|tree| (true, tree))
        });
        if let Some((is_public, tree)) = declaration {
            let start = tree.as_ptr() as usize - rest.as_ptr() as usize;
            let len = rest[start..].find(';').unwrap_or(rest.len() - start);
            found.push((is_public, rest[start..start + len].to_string()));
            rest = &rest[start + len..];
        }
        rest = rest.split_once('\n').map_or("", |(_, after)| after);
    }
    found
}

/// The paths of a use tree, each with the name that it binds: `a::{b, c::d as e}` is `a::b` as `b`
/// and `a::c::d` as `e`.
fn expand(tree: &str) -> Vec<(Vec<String>, String)> {
    let segments = |text: &str| -> Vec<String> {
        text.split("::").map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
    };
    let Some((head, body)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
        let path = segments(path);
        let name =
            if alias.is_empty() { path.last().cloned().unwrap_or_default() } else { alias.trim().into() };
        return vec![(path, name)];
    };
    let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
    let mut depth = 0;
    let parts = body.split(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    let prefix = segments(head);
    parts.flat_map(expand).map(|(path, name)| ([prefix.clone(), path].concat(), name)).collect()
}

/// A path as one from the crate root; none if it begins with the name of another crate or a local
/// module.
fn from_root(module: &Module, path: &[String]) -> Option<Module> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module.as_slice(), &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(supers)?], &path[supers..]].concat()),
        _ => None,
    }
}

fn re_exports(module: &Module, text: &str) -> Vec<((Module, String), Module)> {
    let public = uses(text).into_iter().filter(|(is_public, _)| *is_public);
    let paths = public.flat_map(|(_, tree)| expand(&tree));
    let exports = paths.map(|(path, name)| {
        let target = from_root(module, &path).unwrap_or_else(|| [module.as_slice(), &path].concat());
        ((module.clone(), name), target)
    });
    exports.collect()
}

/// What a file names of its crate, as paths from the root.
fn used_paths(module: &Module, text: &str, files: &BTreeMap<Module, PathBuf>) -> Vec<Module> {
    let mut paths = Vec::new();
    let private = uses(text).into_iter().filter(|(is_public, _)| !is_public);
    for (path, _) in private.flat_map(|(_, tree)| expand(&tree)) {
        paths.extend(from_root(module, &path).or_else(|| {
            let child = [module.as_slice(), &path[..1]].concat();
            (path.len() > 1 && files.contains_key(&child)).then(|| [module.as_slice(), &path].concat())
        }));
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let is_word =
                text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            let is_reexport =
                text[..at].lines().last().is_some_and(|line| line.trim_start().starts_with("pub use"));
            if !is_word && !is_reexport {
                let len = text[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let path = &text[at..len.map_or(text.len(), |len| at + len)];
                let path: Vec<String> =
                    path.split("::").filter(|part| !part.is_empty()).map(String::from).collect();
                paths.extend(from_root(module, &path));
            }
        }
    }
    paths
}

/// Follows re-exports to the module that defines the item.
fn resolve(
    path: Module,
    files: &BTreeMap<Module, PathBuf>,
    exports: &BTreeMap<(Module, String), Module>,
) -> Module {
    let mut path = path;
    // A chain of re-exports is no longer than the crate is deep.
    for _ in 0..8 {
        let step = (0..path.len()).find_map(|len| {
            let is_file = files.contains_key(&path[..=len]);
            let target = exports.get(&(path[..len].to_vec(), path[len].clone()))?;
            (!is_file).then(|| [target.as_slice(), &path[len + 1..]].concat())
        });
        match step {
            Some(next) => path = next,
            None => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate with these files.
    fn crate_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Imports) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
            fs::write(path, text).expect("the file can be written");
        }
        let imports = Imports::of(folder.path());
        (folder, imports)
    }

    #[test]
    fn a_circle_through_a_re_export_is_found() {
        let (_folder, imports) = crate_of(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\npub use b::B;\n"),
            ("a.rs", "use crate::{c::C, B};\npub struct A(B, C);\n"),
            ("b.rs", "pub struct B;\nfn f() -> crate::a::A { todo!() }\n"),
            ("c.rs", "pub struct C;\n#[cfg(test)]\nmod tests { use crate::a::A; }\n"),
        ]);
        let circle = [vec!["a".to_string()], vec!["b".to_string()]];
        assert_eq!(imports.circles(), [circle.into_iter().collect::<BTreeSet<Module>>()]);
    }

    #[test]
    fn siblings_of_a_folder_may_use_its_module_file_but_not_each_other_in_turn() {
        let parent = ("tree/mod.rs", "mod node;\nmod stack;\nuse node::Node;\npub struct Tree(Node);\n");
        let (_folder, imports) = crate_of(&[
            ("lib.rs", "mod tree;\n"),
            parent,
            ("tree/node.rs", "use super::Tree;\n"),
            ("tree/stack.rs", ""),
        ]);
        assert!(imports.circles().is_empty(), "{:?}", imports.circles());
        let (_folder, imports) = crate_of(&[
            ("lib.rs", "mod tree;\n"),
            parent,
            ("tree/node.rs", "use super::stack::{Deep, Stack as Other};\n"),
            ("tree/stack.rs", "use super::node::Node;\n"),
        ]);
        assert_eq!(imports.circles().len(), 1, "{imports:?}");
    }

    #[test]
    fn an_import_of_a_higher_folder_is_found() {
        let (_folder, imports) = crate_of(&[
            ("lib.rs", "mod high;\nmod low;\n"),
            ("high/mod.rs", "use crate::low::read;\n"),
            ("low.rs", "pub fn read() { crate::high::write() }\n"),
        ]);
        assert_eq!(imports.upward(&["high", "low"]), ["low imports high"]);
        assert!(imports.upward(&["low", "high"]) == ["high imports low"], "the order is what decides");
    }
}
