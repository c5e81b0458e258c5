//! Where code is, by names that are the same in every checkout, environment and machine.
//!
//! ```text
//! 1. sys.path names the module                       /srv/app/shop/cart.py               shop.cart
//! 2. else the folder of what was run does            /home/a/run.py beside it: x.py      x
//!    or a folder that everybody has                  …/site-packages/rich/text.py        rich.text
//! 3. else the end of the path, as much as is alike   /opt/old/lib-x/y.txt, /opt/new/lib-x/y.txt
//! ```

use rustc_hash::FxHashMap;

use crate::measure::module::{Modules, dotted};

/// Folders below which every Python has its modules.
const LIBRARIES: [&str; 2] = ["/site-packages/", "/dist-packages/"];

/// The number of a place.
pub type PlaceId = usize;

/// A module, or a file that is in no known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The module.
    pub module: Option<String>,
    /// The file, as it was first seen; empty where it is unknown.
    pub file: String,
}

/// The places of all runs, each once.
#[derive(Debug, Default)]
pub struct Places {
    places: Vec<Place>,
    modules: FxHashMap<String, PlaceId>,
}

impl Places {
    /// The place of that number.
    pub fn get(&self, id: PlaceId) -> &Place {
        &self.places[id]
    }

    /// The place of a module.
    pub fn of_module(&mut self, module: &str, file: &str) -> PlaceId {
        if let Some(&place) = self.modules.get(module) {
            return place;
        }
        let place = self.push(Some(module.to_owned()), file);
        self.modules.insert(module.to_owned(), place);
        place
    }

    fn push(&mut self, module: Option<String>, file: &str) -> PlaceId {
        self.places.push(Place { module, file: file.to_owned() });
        self.places.len() - 1
    }

    /// The places of one run's files.
    pub fn add(&mut self, files: &[String], modules: &Modules) -> FxHashMap<String, PlaceId> {
        let named: Vec<Option<String>> = files.iter().map(|file| modules.name(file)).collect();
        let mains = files.iter().zip(&named).filter(|(_, name)| name.as_deref() == Some("__main__"));
        let beside: Vec<&str> = mains.filter_map(|(file, _)| Some(file.rsplit_once('/')?.0)).collect();
        let mut found = FxHashMap::default();
        let mut nameless: Vec<&str> = Vec::new();
        for (file, name) in files.iter().zip(named) {
            match name.or_else(|| in_library(file)).or_else(|| below(file, &beside)) {
                Some(module) => {
                    found.insert(file.clone(), self.of_module(&module, file));
                }
                None => nameless.push(file),
            }
        }
        found.extend(self.add_nameless(&nameless));
        found
    }

    /// Finds the nameless files among those of earlier runs, by the ends of their paths: the longest that are alike
    /// first, and only where they leave no doubt.
    fn add_nameless(&mut self, files: &[&str]) -> Vec<(String, PlaceId)> {
        let mut known: Vec<PlaceId> =
            (0..self.places.len()).filter(|&place| self.places[place].module.is_none()).collect();
        let mut waiting: Vec<&str> = files.to_vec();
        let mut found = Vec::new();
        let longest = files.iter().map(|file| file.split('/').count()).max().unwrap_or(0);
        for parts in (1..=longest).rev() {
            let mut ends: FxHashMap<&str, (Vec<&str>, Vec<PlaceId>)> = FxHashMap::default();
            for &file in &waiting {
                ends.entry(end(file, parts)).or_default().0.push(file);
            }
            for &place in &known {
                if let Some((_, places)) = ends.get_mut(end(&self.places[place].file, parts)) {
                    places.push(place);
                }
            }
            let pairs = ends.into_values().filter_map(|(files, places)| match (&files[..], &places[..]) {
                (&[file], &[place]) => Some((file, place)),
                _ => None,
            });
            let pairs: Vec<(&str, PlaceId)> = pairs.collect();
            waiting.retain(|file| pairs.iter().all(|(paired, _)| paired != file));
            known.retain(|place| pairs.iter().all(|(_, paired)| paired != place));
            found.extend(pairs.into_iter().map(|(file, place)| (file.to_owned(), place)));
        }
        found.extend(waiting.into_iter().map(|file| (file.to_owned(), self.push(None, file))));
        found
    }
}

/// The last parts of a path; all of it if it has fewer.
fn end(path: &str, parts: usize) -> &str {
    let at = path.rmatch_indices('/').nth(parts - 1).map_or(0, |(at, _)| at + 1);
    &path[at..]
}

/// The module of a file that lies where every Python has its libraries.
fn in_library(file: &str) -> Option<String> {
    let rest = LIBRARIES.iter().find_map(|folder| Some(file.rsplit_once(folder)?.1));
    dotted(rest.or_else(|| standard(file))?)
}

/// What follows `/lib/python3.13/`.
fn standard(file: &str) -> Option<&str> {
    let (version, rest) = file.rsplit_once("/python3")?.1.split_once('/')?;
    let is_version =
        version.trim_start_matches('.').trim_end_matches('t').chars().all(|c| c.is_ascii_digit());
    is_version.then_some(rest)
}

/// The module of a file that lies below the folder of what was run, which Python puts on its path.
fn below(file: &str, folders: &[&str]) -> Option<String> {
    folders.iter().find_map(|folder| dotted(file.strip_prefix(folder)?.strip_prefix('/')?))
}

#[cfg(test)]
mod tests {
    //! The same places by different paths.

    use super::*;

    /// What the files of several runs are called, each run's by the number of its places.
    fn places(runs: &[(&str, &[&str], &[&str])]) -> (Places, Vec<Vec<PlaceId>>) {
        let mut places = Places::default();
        let ids = runs.iter().map(|(command, path, files)| {
            let words: Vec<&str> = command.split_whitespace().collect();
            let modules = Modules::of(&crate::testing::manifest(&words, path));
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            let found = places.add(&files, &modules);
            files.iter().map(|file| found[file]).collect()
        });
        let ids = ids.collect();
        (places, ids)
    }

    fn module(places: &Places, id: PlaceId) -> Option<&str> {
        places.get(id).module.as_deref()
    }

    #[test]
    fn a_checkout_is_not_part_of_a_name() {
        let (places, ids) = places(&[
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
            [0, 1, 2].map(|at| module(&places, ids[0][at])),
            [Some("__main__"), Some("x"), Some("re")]
        );
    }

    #[test]
    fn without_a_path_common_folders_name_modules() {
        let (places, ids) = places(&[(
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
        let names: Vec<Option<&str>> = ids[0].iter().map(|&id| module(&places, id)).collect();
        let expected = ["__main__", "shop", "rich.text", "apt.cache", "json.decoder", "re"].map(Some);
        assert_eq!(names[..6], expected);
        assert_eq!(names[6], None);
    }

    #[test]
    fn nameless_files_are_found_by_the_ends_of_their_paths() {
        let (_, ids) = places(&[
            ("x", &[], &["/old/a/tool.py", "/old/b/tool.py", "/old/only.py", "<template>"]),
            ("x", &[], &["/new/b/tool.py", "<template>", "/new/a/tool.py", "/new/other.py"]),
        ]);
        assert_eq!((ids[0][0], ids[0][1], ids[0][3]), (ids[1][2], ids[1][0], ids[1][1]));
        assert!(!ids[0].contains(&ids[1][3]));
        // Two files that could both be it: neither is.
        let (_, ids) = places(&[("x", &[], &["/old/a/t.py"]), ("x", &[], &["/new/b/t.py", "/new/c/t.py"])]);
        assert!(!ids[1].contains(&ids[0][0]));
    }
}
