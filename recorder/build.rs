//! Builds the agent, which the recorder carries inside.
//!
//! Cargo cannot yet name another package's cdylib as an artifact (RFC 3028), so this runs it once more, with a target
//! directory of its own: the outer one is locked.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "bpf-skeleton")]
#[path = "src/bpf/generate.rs"]
mod skeleton;

fn main() {
    #[cfg(feature = "bpf-skeleton")]
    skeleton::generate(Path::new("src/bpf"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let cargo = env::var_os("CARGO").expect("cargo sets it");
    let target = env::var("TARGET").expect("cargo sets it");
    for directory in ["agent/src", "agent/build.rs", "agent/Cargo.toml", "wire/src", "wire/Cargo.toml"] {
        println!("cargo::rerun-if-changed={directory}");
    }
    let target_directory = out.join("agent");
    let status = Command::new(cargo)
        .args([
            "build",
            "--profile",
            "agent",
            "--package",
            "pyrec-agent",
            "--manifest-path",
            "agent/Cargo.toml",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(&target_directory)
        // Clippy would look at the agent in its own turn.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the agent does not build");
    let library = Path::new(&target).join("agent/libpyrec_agent.so");
    std::fs::copy(target_directory.join(library), out.join("libpyrec_agent.so"))
        .expect("the agent was built");
}
