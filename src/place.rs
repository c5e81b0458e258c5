//! Where a recording goes, and what becomes of the one that was there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::input::{DEFAULT, PREVIOUS};

/// A path that nothing stands at, and how to undo making it so.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Renamed, in this order.
    moved: Vec<(PathBuf, PathBuf)>,
    /// Not needed any more once there is a new recording.
    replaced: Option<PathBuf>,
}

impl Place {
    /// Clears the path that was asked for, or the default one in this directory.
    pub fn clear(asked: Option<&Path>, force: bool, directory: &Path) -> Result<Place> {
        match asked {
            Some(path) => Place::clear_named(path, force),
            None => Place::clear_default(directory),
        }
    }

    /// Where the recording goes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The previous recording keeps a name of its own; the one before that goes.
    fn clear_default(directory: &Path) -> Result<Place> {
        let (path, previous) = (directory.join(DEFAULT), directory.join(PREVIOUS));
        let mut place = Place { path: path.clone(), moved: Vec::new(), replaced: None };
        if exists(&path) {
            if exists(&previous) {
                place.put_away(&previous)?;
            }
            place.rename(path, previous)?;
        }
        Ok(place)
    }

    fn clear_named(path: &Path, force: bool) -> Result<Place> {
        let mut place = Place { path: path.to_owned(), moved: Vec::new(), replaced: None };
        if exists(path) {
            if !force {
                bail!("{} exists already; give -f to replace it, or another name after -o", path.display());
            }
            place.put_away(path)?;
        }
        Ok(place)
    }

    /// Renames what will be replaced, so that it is still there when there is nothing to replace it with.
    fn put_away(&mut self, path: &Path) -> Result<()> {
        let is_file =
            path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink());
        if !is_file && recorded_files(path).is_none() {
            bail!(
                "{} is no recording, so it is not replaced; move it away, or give another name after -o",
                path.display()
            );
        }
        let mut away = path.as_os_str().to_owned();
        away.push(".replaced");
        self.replaced = Some(PathBuf::from(&away));
        self.rename(path.to_owned(), away.into())
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<()> {
        if let Err(error) = fs::rename(&from, &to) {
            let sentence = format!("cannot rename {} to {}: {error}", from.display(), to.display());
            return Err(match self.restore() {
                Ok(()) => anyhow::anyhow!(sentence),
                Err(left) => anyhow::anyhow!("{sentence}; {left}"),
            });
        }
        self.moved.push((from, to));
        Ok(())
    }

    /// Ends a recording, whether it failed or not: where there is no new one, everything is as it was before.
    pub fn settle(mut self) -> Result<()> {
        if !exists(&self.path) {
            return self.restore();
        }
        match self.replaced.take().map(|path| (remove(&path), path)) {
            Some((Err(error), path)) => {
                bail!("cannot remove {}, which was replaced: {error}", path.display())
            }
            _ => Ok(()),
        }
    }

    fn restore(&mut self) -> Result<()> {
        while let Some((from, to)) = self.moved.pop() {
            let back = fs::rename(&to, &from);
            back.map_err(|error: io::Error| {
                anyhow::anyhow!("cannot rename {} back to {}: {error}", to.display(), from.display())
            })?;
        }
        Ok(())
    }
}

/// The files of a directory in which there is nothing but what a rotated recording puts there.
fn recorded_files(directory: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).ok()?;
    let file = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let is_ours =
            name.strip_suffix(".parquet").is_some_and(|stem| stem.bytes().all(|b| b.is_ascii_digit()));
        is_ours.then(|| entry.path())
    };
    entries.map(file).collect()
}

/// Removes a recording.
fn remove(path: &Path) -> io::Result<()> {
    if path.is_symlink() || !path.is_dir() {
        return fs::remove_file(path);
    }
    recorded_files(path).unwrap_or_default().iter().try_for_each(fs::remove_file)?;
    fs::remove_dir(path)
}

/// Whether anything is there, be it a link to nowhere.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files, each holding its first word.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("it is written");
        }
        directory
    }

    /// Its files with their contents, sorted.
    fn contents(directory: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory).expect("it can be listed");
        let mut files: Vec<(String, String)> = entries
            .map(|entry| entry.expect("it can be listed").path())
            .map(|path| {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).expect("it is text"))
            })
            .collect();
        files.sort();
        files
    }

    fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
    }

    #[test]
    fn the_previous_recording_is_kept_and_the_one_before_it_goes() {
        let directory = directory(&[]);
        let mut expected: Vec<Vec<(&str, &str)>> = vec![
            vec![(DEFAULT, "first")],
            vec![(PREVIOUS, "first"), (DEFAULT, "second")],
            vec![(PREVIOUS, "second"), (DEFAULT, "third")],
        ];
        for text in ["first", "second", "third"] {
            let place = Place::clear(None, false, directory.path()).expect("it is cleared");
            assert!(!exists(place.path()));
            fs::write(place.path(), text).expect("it is recorded");
            place.settle().expect("it is settled");
            assert_eq!(contents(directory.path()), owned(&expected.remove(0)));
        }
    }

    #[test]
    fn a_recording_that_never_began_changes_nothing() {
        let files = [("other.parquet", "other"), (PREVIOUS, "first"), (DEFAULT, "second")];
        let directory = directory(&files);
        let before = contents(directory.path());
        Place::clear(None, false, directory.path()).expect("it is cleared").settle().expect("it is settled");
        assert_eq!(contents(directory.path()), before);
        let other = directory.path().join("other.parquet");
        Place::clear(Some(&other), true, directory.path())
            .expect("it is cleared")
            .settle()
            .expect("it is settled");
        assert_eq!(contents(directory.path()), before);
    }

    #[test]
    fn a_named_file_is_replaced_only_by_force() {
        let directory = directory(&[("a.parquet", "old"), (DEFAULT, "untouched")]);
        let path = directory.path().join("a.parquet");
        let refused = Place::clear(Some(&path), false, directory.path()).expect_err("it exists").to_string();
        assert!(refused.contains("a.parquet exists already") && refused.contains("-f"), "{refused}");
        let place = Place::clear(Some(&path), true, directory.path()).expect("it is cleared");
        fs::write(place.path(), "new").expect("it is recorded");
        place.settle().expect("it is settled");
        assert_eq!(contents(directory.path()), owned(&[("a.parquet", "new"), (DEFAULT, "untouched")]));
    }

    #[test]
    fn a_directory_of_recordings_is_replaced_as_a_file_is() {
        let directory = directory(&[]);
        let path = directory.path().join("rotated");
        fs::create_dir(&path).expect("it is made");
        for name in ["000001.parquet", "000002.parquet"] {
            fs::write(path.join(name), "old").expect("it is written");
        }
        let place = Place::clear(Some(&path), true, directory.path()).expect("it is cleared");
        fs::write(place.path(), "new").expect("it is recorded");
        place.settle().expect("it is settled");
        assert_eq!(contents(directory.path()), owned(&[("rotated", "new")]));
    }

    #[test]
    fn another_directory_is_never_replaced() {
        let directory = directory(&[]);
        let path = directory.path().join("traces");
        fs::create_dir(&path).expect("it is made");
        fs::write(path.join("000001.parquet"), "a recording").expect("it is written");
        fs::write(path.join("letters"), "precious").expect("it is written");
        let refused =
            Place::clear(Some(&path), true, directory.path()).expect_err("it is a directory").to_string();
        assert!(refused.contains("traces is no recording"), "{refused}");
        assert!(path.is_dir());
    }
}
