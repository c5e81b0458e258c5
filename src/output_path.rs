//! The path of a new recording, and what happens to the recording that already has it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use crate::input::{DEFAULT_TRACE, PREVIOUS_TRACE};

/// A free path for a new recording.
///
/// An existing recording is renamed before the new one begins. [`OutputPath::finish`] renames it
/// back if no new recording was written.
#[derive(Debug)]
pub struct OutputPath {
    path: PathBuf,
    /// The renames made so far, from and to, in their order.
    renames: Vec<(PathBuf, PathBuf)>,
    /// A renamed recording that is removed once the new one exists.
    replaced: Option<PathBuf>,
}

impl OutputPath {
    /// Frees the requested path, or the default path in `directory`. `force` allows a requested
    /// path to be replaced.
    pub fn free(requested: Option<&Path>, force: bool, directory: &Path) -> Result<OutputPath> {
        match requested {
            Some(path) => OutputPath::free_requested(path, force),
            None => OutputPath::free_default(directory),
        }
    }

    /// Where to write the recording.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the recording at the default path to the name of the previous one, which is
    /// replaced.
    fn free_default(directory: &Path) -> Result<OutputPath> {
        let (path, previous) = (directory.join(DEFAULT_TRACE), directory.join(PREVIOUS_TRACE));
        let mut output = OutputPath { path: path.clone(), renames: Vec::new(), replaced: None };
        if exists(&path) {
            if exists(&previous) {
                output.set_aside(&previous)?;
            }
            output.rename(path, previous)?;
        }
        Ok(output)
    }

    fn free_requested(path: &Path, force: bool) -> Result<OutputPath> {
        let mut output = OutputPath { path: path.to_owned(), renames: Vec::new(), replaced: None };
        if exists(path) {
            if !force {
                bail!("{} exists; give -f to replace it, or another name after -o", path.display());
            }
            output.set_aside(path)?;
        }
        Ok(output)
    }

    /// Renames a recording that is to be replaced. It is removed only when the new recording
    /// exists.
    fn set_aside(&mut self, path: &Path) -> Result<()> {
        let is_file =
            path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink());
        if !is_file && rotated_files(path).is_none() {
            bail!(
                "{} is not a recording, so it is not replaced; move it away, or give another name after -o",
                path.display()
            );
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(".replaced");
        self.replaced = Some(PathBuf::from(&aside));
        self.rename(path.to_owned(), aside.into())
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<()> {
        if let Err(error) = fs::rename(&from, &to) {
            let message = format!("cannot rename {} to {}: {error}", from.display(), to.display());
            return Err(match self.undo_renames() {
                Ok(()) => anyhow!(message),
                Err(undo_error) => anyhow!("{message}; {undo_error}"),
            });
        }
        self.renames.push((from, to));
        Ok(())
    }

    /// Ends the recording, after success and failure alike. Removes the replaced recording if a new
    /// one exists; else undoes the renames.
    pub fn finish(mut self) -> Result<()> {
        if !exists(&self.path) {
            return self.undo_renames();
        }
        match self.replaced.take().map(|path| (remove(&path), path)) {
            Some((Err(error), path)) => {
                bail!("cannot remove {}, which was replaced: {error}", path.display())
            }
            _ => Ok(()),
        }
    }

    fn undo_renames(&mut self) -> Result<()> {
        while let Some((from, to)) = self.renames.pop() {
            fs::rename(&to, &from).map_err(|error| {
                anyhow!("cannot rename {} back to {}: {error}", to.display(), from.display())
            })?;
        }
        Ok(())
    }
}

/// The files of a rotated recording. None if the directory contains anything else.
fn rotated_files(directory: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).ok()?;
    let file = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let stem = name.strip_suffix(".parquet")?;
        stem.bytes().all(|b| b.is_ascii_digit()).then(|| entry.path())
    };
    entries.map(file).collect()
}

/// Removes a recording: a file, or a directory of rotated files.
fn remove(path: &Path) -> io::Result<()> {
    if path.is_symlink() || !path.is_dir() {
        return fs::remove_file(path);
    }
    rotated_files(path).unwrap_or_default().iter().try_for_each(fs::remove_file)?;
    fs::remove_dir(path)
}

/// Whether the path exists. A dangling symbolic link does.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files: name and content.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("the file is written");
        }
        directory
    }

    /// The names and contents of the files, sorted.
    fn contents(directory: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory).expect("the directory is readable");
        let mut files: Vec<(String, String)> = entries
            .map(|entry| entry.expect("the directory is readable").path())
            .map(|path| {
                let name = path.file_name().expect("the path has a file name").to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).expect("the file is UTF-8"))
            })
            .collect();
        files.sort();
        files
    }

    fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
    }

    #[test]
    fn the_previous_recording_is_kept_and_the_one_before_it_is_removed() {
        let directory = directory(&[]);
        let mut expected: Vec<Vec<(&str, &str)>> = vec![
            vec![(DEFAULT_TRACE, "first")],
            vec![(PREVIOUS_TRACE, "first"), (DEFAULT_TRACE, "second")],
            vec![(PREVIOUS_TRACE, "second"), (DEFAULT_TRACE, "third")],
        ];
        for text in ["first", "second", "third"] {
            let output = OutputPath::free(None, false, directory.path()).expect("the path is free");
            assert!(!exists(output.path()));
            fs::write(output.path(), text).expect("the file is written");
            output.finish().expect("the old file is removed or restored");
            assert_eq!(contents(directory.path()), owned(&expected.remove(0)));
        }
    }

    #[test]
    fn a_recording_that_did_not_begin_changes_no_file() {
        let files = [("other.parquet", "other"), (PREVIOUS_TRACE, "first"), (DEFAULT_TRACE, "second")];
        let directory = directory(&files);
        let before = contents(directory.path());
        OutputPath::free(None, false, directory.path())
            .expect("the path is free")
            .finish()
            .expect("the old file is removed or restored");
        assert_eq!(contents(directory.path()), before);
        let other = directory.path().join("other.parquet");
        OutputPath::free(Some(&other), true, directory.path())
            .expect("the path is free")
            .finish()
            .expect("the old file is removed or restored");
        assert_eq!(contents(directory.path()), before);
    }

    #[test]
    fn a_requested_path_is_replaced_only_with_force() {
        let directory = directory(&[("a.parquet", "old"), (DEFAULT_TRACE, "untouched")]);
        let path = directory.path().join("a.parquet");
        let error =
            OutputPath::free(Some(&path), false, directory.path()).expect_err("the file exists").to_string();
        assert!(error.contains("a.parquet exists;") && error.contains("-f"), "{error}");
        let output = OutputPath::free(Some(&path), true, directory.path()).expect("the path is free");
        fs::write(output.path(), "new").expect("the file is written");
        output.finish().expect("the old file is removed or restored");
        assert_eq!(contents(directory.path()), owned(&[("a.parquet", "new"), (DEFAULT_TRACE, "untouched")]));
    }

    #[test]
    fn a_directory_of_rotated_files_is_replaced_like_a_file() {
        let directory = directory(&[]);
        let path = directory.path().join("rotated");
        fs::create_dir(&path).expect("the directory is created");
        for name in ["000001.parquet", "000002.parquet"] {
            fs::write(path.join(name), "old").expect("the file is written");
        }
        let output = OutputPath::free(Some(&path), true, directory.path()).expect("the path is free");
        fs::write(output.path(), "new").expect("the file is written");
        output.finish().expect("the old file is removed or restored");
        assert_eq!(contents(directory.path()), owned(&[("rotated", "new")]));
    }

    #[test]
    fn a_directory_with_other_files_is_not_replaced() {
        let directory = directory(&[]);
        let path = directory.path().join("traces");
        fs::create_dir(&path).expect("the directory is created");
        fs::write(path.join("000001.parquet"), "a recording").expect("the file is written");
        fs::write(path.join("letters"), "precious").expect("the file is written");
        let error = OutputPath::free(Some(&path), true, directory.path())
            .expect_err("the directory contains another file")
            .to_string();
        assert!(error.contains("traces is not a recording"), "{error}");
        assert!(path.is_dir());
    }
}
