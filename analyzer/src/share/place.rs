//! Absolute paths into such as tell nothing of a machine and its people.
//!
//! ```text
//! /home/ann/shop/src/cart.py                     /project/src/cart.py         the project lies in /home/ann/shop
//! /usr/lib/python3.13/json/decoder.py            the same                     every machine has it there
//! /home/ann/.venv/lib/python3.13/site-packages/… /python_x…/lib/python3.13/…  what every Python has
//! /home/ann/tools/util.py                        /home/user_y…/dir_z…/util.py
//! ```

use super::token::{Key, Kind};

/// What the project's directory becomes.
const PROJECT: &str = "/project";

/// Where a system puts the same on every machine.
const SYSTEM: [&str; 8] =
    ["/usr/bin", "/usr/lib", "/usr/share", "/usr/sbin", "/bin", "/sbin", "/lib", "/proc"];

/// Where a system's own Pythons are.
const PYTHONS: [&str; 3] = ["", "/usr", "/usr/local"];

/// Where paths lead.
#[derive(Debug)]
pub struct Places {
    key: Key,
    /// No slash at its end.
    project: Option<String>,
    /// Ours, which may be where no others are.
    home: Option<String>,
}

impl Places {
    /// The project is the directory in which the program ran, unless that is a home directory, or holds some: then
    /// nobody knows what belongs to it.
    pub fn new(key: Key, directory: Option<&str>, our_home: Option<&str>) -> Places {
        let directory = directory.map(|directory| directory.trim_end_matches('/'));
        let is_project = |directory: &&str| {
            let holds = |home: &str| below(home, directory).is_some();
            directory.len() > 1
                && directory.starts_with('/')
                && !["/home", "/Users"].contains(directory)
                && home(directory).is_none_or(|(_, rest)| !rest.is_empty())
                && !our_home.is_some_and(holds)
        };
        let our_home = our_home.map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1);
        Places {
            key,
            project: directory.filter(is_project).map(str::to_owned),
            home: our_home.map(str::to_owned),
        }
    }

    /// The project's directory.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Whether a path lies in the project.
    pub fn is_inside(&self, path: &str) -> bool {
        self.project().is_some_and(|project| below(path, project).is_some())
    }

    /// Whether a file is the project's own: no library, though it may lie below.
    pub fn is_own(&self, file: &str) -> bool {
        let inside = self.project().and_then(|project| below(file, project));
        // What a program was told by a relative path lies there, too.
        let inside = inside.or((!file.starts_with(['/', '<'])).then_some(file));
        let is_library =
            |part: &str| part.split('/').any(|part| ["site-packages", "dist-packages", ".."].contains(&part));
        inside.is_some_and(|inside| !is_library(inside) && python_part(file).is_none())
    }

    /// The part of a path that every machine with this Python, or system, has; none if it is of this machine alone.
    pub fn public_part<'a>(&self, path: &'a str) -> Option<&'a str> {
        match python_part(path) {
            Some(at) if !self.is_inside(path) => Some(&path[at..]),
            _ => is_system(path).then_some(path),
        }
    }

    /// A file's path. Its own name stays: it is that of its module.
    pub fn file(&self, path: &str) -> String {
        match path.rsplit_once('/') {
            Some((directory, name)) if path.starts_with('/') => {
                self.known(path).unwrap_or_else(|| format!("{}/{name}", self.directory(directory)))
            }
            _ => path.to_owned(),
        }
    }

    /// A directory's path.
    pub fn directory(&self, path: &str) -> String {
        if !path.starts_with('/') {
            return path.to_owned();
        }
        let ours = self.home.as_deref().and_then(|home| Some((home, below(path, home)?)));
        self.known(path).unwrap_or_else(|| match ours.or_else(|| home(path)) {
            Some((home, rest)) => format!("{}{}", self.home(home), self.tokens(rest)),
            None => self.tokens(path),
        })
    }

    /// A path in the project, in a Python, or of the system.
    fn known(&self, path: &str) -> Option<String> {
        if let Some(inside) = self.project().and_then(|project| below(path, project)) {
            return Some(format!("{PROJECT}{inside}"));
        }
        if let Some(prefix) = python(path) {
            return Some(format!("/{}{}", self.key.token(Kind::Python, prefix), &path[prefix.len()..]));
        }
        (python_part(path).is_some() || is_system(path)).then(|| path.to_owned())
    }

    /// What stands for a home directory.
    pub fn home(&self, home: &str) -> String {
        format!("/home/{}", self.key.token(Kind::User, user(home)))
    }

    /// Every part of a path for itself, so that what lies together still does.
    fn tokens(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| match part {
            "" | "." | ".." => part.to_owned(),
            part => self.key.token(Kind::Directory, part),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Whose home directory it is.
pub fn user(home: &str) -> &str {
    home.rsplit('/').next().unwrap_or(home)
}

/// The home directory that a path lies in, and the rest of the path.
pub fn home(path: &str) -> Option<(&str, &str)> {
    if let Some(rest) = below(path, "/root") {
        return Some((&path[..path.len() - rest.len()], rest));
    }
    let place = ["/home/", "/Users/", "/var/home/"].into_iter().find(|place| path.starts_with(place))?;
    let len = path[place.len()..].find('/').unwrap_or(path.len() - place.len());
    (len > 0).then(|| path.split_at(place.len() + len))
}

/// The directory in which a Python is installed that a path belongs to, unless it is the system's own.
pub fn python(path: &str) -> Option<&str> {
    let prefix = &path[..python_part(path)?];
    (!PYTHONS.contains(&prefix)).then_some(prefix)
}

/// Where the part of a path begins that every installation of a Python has: `/lib/python3.13/…`, `/bin/python3`.
fn python_part(path: &str) -> Option<usize> {
    let begins = |part: &str| {
        path.match_indices(part).map(|(at, _)| at).find(|at| {
            let after = path[at + part.len()..].bytes().next();
            after.is_none_or(|after| after.is_ascii_digit())
        })
    };
    ["/lib/python", "/lib64/python", "/bin/python"].into_iter().filter_map(begins).min()
}

fn is_system(path: &str) -> bool {
    SYSTEM.iter().any(|place| below(path, place).is_some())
}

/// What of a path lies below a directory, with the slash before it.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    path.strip_prefix(directory).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    //! Paths before and after.

    use super::*;

    fn places(directory: &str) -> Places {
        Places::new(Key::new([3; Key::BYTES]), Some(directory), Some("/srv/homes/eve"))
    }

    #[test]
    fn what_every_machine_has_stays_and_the_rest_is_tokens() {
        let places = places("/home/ann/shop/");
        let key = Key::new([3; Key::BYTES]);
        let [ann, tools] =
            [(Kind::User, "ann"), (Kind::Directory, "tools")].map(|(kind, word)| key.token(kind, word));
        let venv = key.token(Kind::Python, "/home/ann/.venv");
        for (path, expected) in [
            ("/home/ann/shop/src/cart.py", "/project/src/cart.py".to_owned()),
            ("/home/ann/shop/.venv/lib/python3.13/x.py", "/project/.venv/lib/python3.13/x.py".into()),
            ("/usr/lib/python3.13/json/decoder.py", "/usr/lib/python3.13/json/decoder.py".into()),
            (
                "/usr/local/lib/python3.13/site-packages/a/b.py",
                "/usr/local/lib/python3.13/site-packages/a/b.py".into(),
            ),
            (
                "/home/ann/.venv/lib/python3.13/site-packages/a.py",
                format!("/{venv}/lib/python3.13/site-packages/a.py"),
            ),
            ("/home/ann/.venv/bin/python3", format!("/{venv}/bin/python3")),
            ("/home/ann/tools/util.py", format!("/home/{ann}/{tools}/util.py")),
            ("/home/ann/shops.py", format!("/home/{ann}/shops.py")),
            ("/tools/x.py", format!("/{tools}/x.py")),
            ("<frozen os>", "<frozen os>".into()),
            ("run.py", "run.py".into()),
        ] {
            assert_eq!(places.file(path), expected, "{path}");
        }
        assert_eq!(places.directory("/home/ann/shop"), "/project");
        assert_eq!(places.directory("/home/ann"), format!("/home/{ann}"));
    }

    #[test]
    fn a_home_is_no_project_and_libraries_are_not_its_own() {
        for directory in
            ["/", "", "/home", "/home/ann", "/home/ann/", "/root", "/srv/homes", "/srv/homes/eve", "relative"]
        {
            assert_eq!(places(directory).project(), None, "{directory}");
        }
        let shop = places("/home/ann/shop");
        for (file, is_own) in [
            ("/home/ann/shop/cart.py", true),
            ("cart.py", true),
            ("../cart.py", false),
            ("/home/ann/shop/.venv/lib/python3.13/site-packages/a.py", false),
            ("/home/ann/shop/vendor/site-packages/a.py", false),
            ("/home/ann/other.py", false),
            ("/usr/lib/python3.13/os.py", false),
            ("<string>", false),
        ] {
            assert_eq!(shop.is_own(file), is_own, "{file}");
        }
    }

    #[test]
    fn homes_are_seen_in_paths() {
        assert_eq!(home("/home/ann/x"), Some(("/home/ann", "/x")));
        assert_eq!(home("/root"), Some(("/root", "")));
        assert_eq!(home("/roots/x"), None);
        assert_eq!(home("/home/"), None);
        assert_eq!(home("/usr/home/x"), None);
    }
}
