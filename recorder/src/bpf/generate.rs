//! Makes `markers.skel.rs` from `markers.bpf.c`: for the build script, behind the feature `bpf-skeleton`.

use std::path::Path;

use libbpf_cargo::SkeletonBuilder;

/// The compiler whose output is committed. Another version makes another program.
const CLANG: &str = "clang-14";

/// Compiles the program in `folder` and writes the skeleton beside it.
pub fn generate(folder: &Path) {
    for file in [
        "markers.bpf.c",
        "codes.h",
        "entered.h",
        "events.h",
        "family.h",
        "frame.h",
        "kernel.h",
        "site.h",
        "tally.h",
        "generate.rs",
    ] {
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    }
    let include = format!("-I{}", folder.display());
    // Line tables name source files: the committed bytes must not depend on where the checkout lies.
    let prefix = format!("-ffile-prefix-map={}/=", folder.display());
    let directory = "-fdebug-compilation-dir=.";
    SkeletonBuilder::new()
        .source(folder.join("markers.bpf.c"))
        .clang(CLANG)
        .clang_args(["-Wall", "-Wextra", "-Werror", "-mcpu=v3", &include, &prefix, directory])
        .build_and_generate(folder.join("markers.skel.rs"))
        .expect("clang-14 (Debian: apt-get install clang-14) compiles the BPF program");
}
