//! Redaction of absolute paths: what is public stays, directories of users become tokens.
//!
//! ```text
//! /home/ann/shop/src/cart.py                     /project/src/cart.py         the project is in /home/ann/shop
//! /usr/lib/python3.13/json/decoder.py            unchanged                    other machines have it, too
//! /home/ann/.venv/lib/python3.13/site-packages/… /python_x…/lib/python3.13/…  inside an installation of Python
//! /home/ann/tools/util.py                        /home/user_y…/dir_z…/util.py
//! ```

use super::token::{SecretKind, TokenKey};

/// Replaces the project's directory.
const PROJECT: &str = "/project";

/// Directories whose contents come from the system and not from its users.
const SYSTEM: [&str; 8] =
    ["/usr/bin", "/usr/lib", "/usr/share", "/usr/sbin", "/bin", "/sbin", "/lib", "/proc"];

/// The prefixes of the system's Pythons.
const PYTHON_PREFIXES: [&str; 3] = ["", "/usr", "/usr/local"];

/// Replaces the private parts of paths.
#[derive(Debug)]
pub struct PathRedactor {
    key: TokenKey,
    /// The directory of the program, without a trailing slash.
    project: Option<String>,
    /// The home directory of the user who shares, which may be in an unusual place.
    home: Option<String>,
}

impl PathRedactor {
    /// The project is the directory that the program ran in. If that is a home directory or
    /// contains some, there is no project, since most of the files in it belong to something else.
    pub fn new(key: TokenKey, directory: Option<&str>, user_home: Option<&str>) -> PathRedactor {
        let directory = directory.map(|directory| directory.trim_end_matches('/'));
        let is_project = |directory: &&str| {
            let holds = |home: &str| below(home, directory).is_some();
            directory.len() > 1
                && directory.starts_with('/')
                && !["/home", "/Users"].contains(directory)
                && split_home(directory).is_none_or(|(_, rest)| !rest.is_empty())
                && !user_home.is_some_and(holds)
        };
        let user_home = user_home.map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1);
        PathRedactor {
            key,
            project: directory.filter(is_project).map(str::to_owned),
            home: user_home.map(str::to_owned),
        }
    }

    /// The project's directory.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Whether a path is in the project.
    pub fn is_in_project(&self, path: &str) -> bool {
        self.project().is_some_and(|project| below(path, project).is_some())
    }

    /// Whether a file belongs to the project itself and not to a library installed in it.
    pub fn is_project_file(&self, file: &str) -> bool {
        let inside = self.project().and_then(|project| below(file, project));
        // A relative path is relative to the project.
        let inside = inside.or((!file.starts_with(['/', '<'])).then_some(file));
        let is_library =
            |part: &str| part.split('/').any(|part| ["site-packages", "dist-packages", ".."].contains(&part));
        inside.is_some_and(|inside| !is_library(inside) && python_part(file).is_none())
    }

    /// The part of a path that other machines with this Python or this system have, too. None if
    /// the path is specific to this machine.
    pub fn public_part<'a>(&self, path: &'a str) -> Option<&'a str> {
        match python_part(path) {
            Some(at) if !self.is_in_project(path) => Some(&path[at..]),
            _ => is_system(path).then_some(path),
        }
    }

    /// Redacts the path of a file. The file's own name stays, since it is the name of its module.
    pub fn redact_file(&self, path: &str) -> String {
        match path.rsplit_once('/') {
            Some((directory, name)) if path.starts_with('/') => self
                .redact_known(path)
                .unwrap_or_else(|| format!("{}/{name}", self.redact_directory(directory))),
            _ => path.to_owned(),
        }
    }

    /// Redacts the path of a directory.
    pub fn redact_directory(&self, path: &str) -> String {
        if !path.starts_with('/') {
            return path.to_owned();
        }
        let local_home = self.home.as_deref().and_then(|home| Some((home, below(path, home)?)));
        self.redact_known(path).unwrap_or_else(|| match local_home.or_else(|| split_home(path)) {
            Some((home, rest)) => format!("{}{}", self.redact_home(home), self.tokens(rest)),
            None => self.tokens(path),
        })
    }

    /// Redacts a path in the project, in an installation of Python, or of the system. None for
    /// others.
    fn redact_known(&self, path: &str) -> Option<String> {
        if let Some(inside) = self.project().and_then(|project| below(path, project)) {
            return Some(format!("{PROJECT}{inside}"));
        }
        if let Some(prefix) = python_prefix(path) {
            return Some(format!("/{}{}", self.key.token(SecretKind::Python, prefix), &path[prefix.len()..]));
        }
        (python_part(path).is_some() || is_system(path)).then(|| path.to_owned())
    }

    /// Redacts a home directory.
    pub fn redact_home(&self, home: &str) -> String {
        format!("/home/{}", self.key.token(SecretKind::User, user_of_home(home)))
    }

    /// Replaces each component of a path by its token, so that paths with a common directory keep
    /// one.
    fn tokens(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| match part {
            "" | "." | ".." => part.to_owned(),
            part => self.key.token(SecretKind::Directory, part),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// The name of the user that a home directory belongs to.
pub fn user_of_home(home: &str) -> &str {
    home.rsplit('/').next().unwrap_or(home)
}

/// Splits a path in a home directory into the home directory and the rest.
pub fn split_home(path: &str) -> Option<(&str, &str)> {
    if let Some(rest) = below(path, "/root") {
        return Some((&path[..path.len() - rest.len()], rest));
    }
    let parent = ["/home/", "/Users/", "/var/home/"].into_iter().find(|parent| path.starts_with(parent))?;
    let len = path[parent.len()..].find('/').unwrap_or(path.len() - parent.len());
    (len > 0).then(|| path.split_at(parent.len() + len))
}

/// The prefix of the installation of Python that a path belongs to, unless it is the system's.
pub fn python_prefix(path: &str) -> Option<&str> {
    let prefix = &path[..python_part(path)?];
    (!PYTHON_PREFIXES.contains(&prefix)).then_some(prefix)
}

/// The offset in a path of the part that every installation of Python has: `/lib/python3.13/…`,
/// `/bin/python3`.
fn python_part(path: &str) -> Option<usize> {
    let begins = |part: &str| {
        path.match_indices(part).map(|(at, _)| at).find(|at| {
            let after = path[at + part.len()..].bytes().next();
            after.is_none_or(|after| after.is_ascii_digit())
        })
    };
    ["/lib/python", "/lib64/python", "/bin/python"].into_iter().filter_map(begins).min()
}

/// Whether a path belongs to the system.
fn is_system(path: &str) -> bool {
    SYSTEM.iter().any(|directory| below(path, directory).is_some())
}

/// The rest of a path below a directory, with its leading slash.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    path.strip_prefix(directory).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    //! Paths before and after redaction.

    use super::*;

    fn redactor(directory: &str) -> PathRedactor {
        PathRedactor::new(TokenKey::new([3; TokenKey::BYTES]), Some(directory), Some("/srv/homes/eve"))
    }

    #[test]
    fn public_parts_stay_and_private_parts_become_tokens() {
        let redactor = redactor("/home/ann/shop/");
        let key = TokenKey::new([3; TokenKey::BYTES]);
        let [ann, tools] = [(SecretKind::User, "ann"), (SecretKind::Directory, "tools")]
            .map(|(kind, word)| key.token(kind, word));
        let venv = key.token(SecretKind::Python, "/home/ann/.venv");
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
            assert_eq!(redactor.redact_file(path), expected, "{path}");
        }
        assert_eq!(redactor.redact_directory("/home/ann/shop"), "/project");
        assert_eq!(redactor.redact_directory("/home/ann"), format!("/home/{ann}"));
    }

    #[test]
    fn home_directories_are_not_projects_and_libraries_do_not_belong_to_one() {
        for directory in
            ["/", "", "/home", "/home/ann", "/home/ann/", "/root", "/srv/homes", "/srv/homes/eve", "relative"]
        {
            assert_eq!(redactor(directory).project(), None, "{directory}");
        }
        let shop = redactor("/home/ann/shop");
        for (file, is_project_file) in [
            ("/home/ann/shop/cart.py", true),
            ("cart.py", true),
            ("../cart.py", false),
            ("/home/ann/shop/.venv/lib/python3.13/site-packages/a.py", false),
            ("/home/ann/shop/vendor/site-packages/a.py", false),
            ("/home/ann/other.py", false),
            ("/usr/lib/python3.13/os.py", false),
            ("<string>", false),
        ] {
            assert_eq!(shop.is_project_file(file), is_project_file, "{file}");
        }
    }

    #[test]
    fn home_directories_are_found_in_paths() {
        assert_eq!(split_home("/home/ann/x"), Some(("/home/ann", "/x")));
        assert_eq!(split_home("/root"), Some(("/root", "")));
        assert_eq!(split_home("/roots/x"), None);
        assert_eq!(split_home("/home/"), None);
        assert_eq!(split_home("/usr/home/x"), None);
    }
}
