//! Source files across runs, identified by names that do not depend on checkout, environment or
//! machine.
//!
//! ```text
//! 1. sys.path names the module                       /srv/app/shop/cart.py            shop.cart
//! 2. else the directory of the main script does      /home/a/run.py, /home/a/x.py     x
//!    or a library directory of every Python          …/site-packages/rich/text.py     rich.text
//! 3. else the longest common end of the paths        /opt/old/lib-x/y.txt, /opt/new/lib-x/y.txt
//! ```

use rustc_hash::FxHashMap;

use crate::measure::module_names::{ModuleNames, module_of_path};

/// Directories in which every Python installs packages.
const PACKAGE_DIRECTORIES: [&str; 2] = ["/site-packages/", "/dist-packages/"];

/// The index of a file in `AlignedFiles`.
pub type FileId = usize;

/// A source file, the same one in all runs that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlignedFile {
    /// The name of the module; none where it could not be derived.
    pub module: Option<String>,
    /// The path in the first run that has the file; empty where it is unknown.
    pub path: String,
}

/// The source files of all runs, each once.
#[derive(Debug, Default)]
pub struct AlignedFiles {
    files: Vec<AlignedFile>,
    by_module: FxHashMap<String, FileId>,
}

impl AlignedFiles {
    /// The file with that index.
    pub fn get(&self, id: FileId) -> &AlignedFile {
        &self.files[id]
    }

    /// The file of a module. Adds one with that path if there is none yet.
    pub fn of_module(&mut self, module: &str, path: &str) -> FileId {
        if let Some(&id) = self.by_module.get(module) {
            return id;
        }
        let id = self.push(Some(module.to_owned()), path);
        self.by_module.insert(module.to_owned(), id);
        id
    }

    fn push(&mut self, module: Option<String>, path: &str) -> FileId {
        self.files.push(AlignedFile { module, path: path.to_owned() });
        self.files.len() - 1
    }

    /// Adds the files of one run. Returns the file of each path.
    pub fn add(&mut self, paths: &[String], modules: &ModuleNames) -> FxHashMap<String, FileId> {
        let names: Vec<Option<String>> = paths.iter().map(|path| modules.name(path)).collect();
        let scripts = paths.iter().zip(&names).filter(|(_, name)| name.as_deref() == Some("__main__"));
        let script_directories: Vec<&str> =
            scripts.filter_map(|(path, _)| Some(path.rsplit_once('/')?.0)).collect();
        let mut ids = FxHashMap::default();
        let mut unnamed: Vec<&str> = Vec::new();
        for (path, name) in paths.iter().zip(names) {
            match name.or_else(|| library_module(path)).or_else(|| module_below(path, &script_directories)) {
                Some(module) => {
                    ids.insert(path.clone(), self.of_module(&module, path));
                }
                None => unnamed.push(path),
            }
        }
        ids.extend(self.add_unnamed(&unnamed));
        ids
    }

    /// Pairs files without a module name with those of earlier runs by the ends of their paths, the
    /// longest common end first. An end pairs two files only if no other file on either side has
    /// it.
    fn add_unnamed(&mut self, paths: &[&str]) -> Vec<(String, FileId)> {
        let mut candidates: Vec<FileId> =
            (0..self.files.len()).filter(|&id| self.files[id].module.is_none()).collect();
        let mut unpaired: Vec<&str> = paths.to_vec();
        let mut ids = Vec::new();
        let most_parts = paths.iter().map(|path| path.split('/').count()).max().unwrap_or(0);
        for parts in (1..=most_parts).rev() {
            let mut by_end: FxHashMap<&str, (Vec<&str>, Vec<FileId>)> = FxHashMap::default();
            for &path in &unpaired {
                by_end.entry(path_end(path, parts)).or_default().0.push(path);
            }
            for &id in &candidates {
                if let Some((_, ids)) = by_end.get_mut(path_end(&self.files[id].path, parts)) {
                    ids.push(id);
                }
            }
            let pairs = by_end.into_values().filter_map(|(paths, ids)| match (&paths[..], &ids[..]) {
                (&[path], &[id]) => Some((path, id)),
                _ => None,
            });
            let pairs: Vec<(&str, FileId)> = pairs.collect();
            unpaired.retain(|path| pairs.iter().all(|(paired, _)| paired != path));
            candidates.retain(|id| pairs.iter().all(|(_, paired)| paired != id));
            ids.extend(pairs.into_iter().map(|(path, id)| (path.to_owned(), id)));
        }
        ids.extend(unpaired.into_iter().map(|path| (path.to_owned(), self.push(None, path))));
        ids
    }
}

/// The last components of a path; all of it if it has fewer.
fn path_end(path: &str, parts: usize) -> &str {
    let start = path.rmatch_indices('/').nth(parts - 1).map_or(0, |(slash, _)| slash + 1);
    &path[start..]
}

/// The module of a file in a package directory or in the standard library.
fn library_module(path: &str) -> Option<String> {
    let rest = PACKAGE_DIRECTORIES.iter().find_map(|directory| Some(path.rsplit_once(directory)?.1));
    module_of_path(rest.or_else(|| below_standard_library(path))?)
}

/// The part of a path after `/lib/python3.13/`.
fn below_standard_library(path: &str) -> Option<&str> {
    let (version, rest) = path.rsplit_once("/python3")?.1.split_once('/')?;
    let is_version =
        version.trim_start_matches('.').trim_end_matches('t').chars().all(|c| c.is_ascii_digit());
    is_version.then_some(rest)
}

/// The module of a file below the directory of the main script, which Python puts on `sys.path`.
fn module_below(path: &str, directories: &[&str]) -> Option<String> {
    directories.iter().find_map(|directory| module_of_path(path.strip_prefix(directory)?.strip_prefix('/')?))
}

#[cfg(test)]
mod tests {
    //! The same files under different paths.

    use super::*;

    /// Aligns the files of several runs, each given by its command, `sys.path` and paths. Returns
    /// the ids of each run.
    fn align(runs: &[(&str, &[&str], &[&str])]) -> (AlignedFiles, Vec<Vec<FileId>>) {
        let mut aligned = AlignedFiles::default();
        let ids = runs.iter().map(|(command, path, files)| {
            let words: Vec<&str> = command.split_whitespace().collect();
            let modules = ModuleNames::of(&crate::testing::manifest(&words, path));
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            let found = aligned.add(&files, &modules);
            files.iter().map(|file| found[file]).collect()
        });
        let ids = ids.collect();
        (aligned, ids)
    }

    fn module(aligned: &AlignedFiles, id: FileId) -> Option<&str> {
        aligned.get(id).module.as_deref()
    }

    #[test]
    fn the_checkout_directory_is_not_part_of_the_identity() {
        let (aligned, ids) = align(&[
            (
                "python old/demo.py",
                &["/w/old", "/a/lib/python3.13"],
                &["/w/old/demo.py", "/w/old/x.py", "/a/lib/python3.13/re.py"],
            ),
            (
                "python new/demo.py",
                &["/w/new", "/b/lib/python3.13"],
                &["/w/new/demo.py", "/w/new/x.py", "/b/lib/python3.13/re.py"],
            ),
        ]);
        assert_eq!(ids[0], ids[1]);
        assert_eq!(
            [0, 1, 2].map(|at| module(&aligned, ids[0][at])),
            [Some("__main__"), Some("x"), Some("re")]
        );
    }

    #[test]
    fn without_sys_path_library_directories_name_modules() {
        let (aligned, ids) = align(&[(
            "python demo.py",
            &[],
            &[
                "/w/demo.py",
                "/w/shop/__init__.py",
                "/venv/lib/python3.11/site-packages/rich/text.py",
                "/usr/lib/python3/dist-packages/apt/cache.py",
                "/usr/lib/python3.11/json/decoder.py",
                "/usr/lib/python3.13t/re/__init__.py",
                "/usr/lib/python3-config/x.py",
            ],
        )]);
        let names: Vec<Option<&str>> = ids[0].iter().map(|&id| module(&aligned, id)).collect();
        let expected = ["__main__", "shop", "rich.text", "apt.cache", "json.decoder", "re"].map(Some);
        assert_eq!(names[..6], expected);
        assert_eq!(names[6], None);
    }

    #[test]
    fn unnamed_files_are_paired_by_the_ends_of_their_paths() {
        let (_, ids) = align(&[
            ("x", &[], &["/old/a/tool.py", "/old/b/tool.py", "/old/only.py", "<template>"]),
            ("x", &[], &["/new/b/tool.py", "<template>", "/new/a/tool.py", "/new/other.py"]),
        ]);
        assert_eq!((ids[0][0], ids[0][1], ids[0][3]), (ids[1][2], ids[1][0], ids[1][1]));
        assert!(!ids[0].contains(&ids[1][3]));
        // Two candidates for one file: neither is paired.
        let (_, ids) = align(&[("x", &[], &["/old/a/t.py"]), ("x", &[], &["/new/b/t.py", "/new/c/t.py"])]);
        assert!(!ids[1].contains(&ids[0][0]));
    }
}
