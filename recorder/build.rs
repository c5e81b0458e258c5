//! Builds the agent's library, which `src/session/agent_library.rs` embeds.
//!
//! Cargo has no stable way to depend on another package's cdylib (RFC 3028), so this script runs
//! cargo. It uses a target directory of its own, because the outer cargo has locked its one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "bpf-skeleton")]
#[path = "src/bpf/generate.rs"]
mod skeleton;

fn main() {
    #[cfg(feature = "bpf-skeleton")]
    skeleton::generate(Path::new("src/bpf"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets this variable"));
    let cargo = env::var_os("CARGO").expect("cargo sets this variable");
    let target = env::var("TARGET").expect("cargo sets this variable");
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
        // Clippy checks the agent as a workspace member, not here.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "building the agent failed");
    let library = Path::new(&target).join("agent/libpyrec_agent.so");
    std::fs::copy(target_directory.join(library), out.join("libpyrec_agent.so")).expect("the library exists");
}
