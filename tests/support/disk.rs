//! File systems that do not take everything.

use std::path::Path;
use std::process::{Command, Stdio};

use super::skipped;

/// A file system that is soon full.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn mount(size: &str) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], directory.path());
        if !mounted {
            skipped("nothing can be mounted here");
        }
        mounted.then_some(SmallDisk(directory))
    }
}

impl SmallDisk {
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn mount(options: &[&str], at: &Path) -> bool {
    Command::new("mount")
        .args(options)
        .arg(at)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
