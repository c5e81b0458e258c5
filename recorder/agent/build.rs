//! Linker arguments of the library.

fn main() {
    // Starts each segment on a page of its own, so that an address in the library equals its offset
    // in the file. bpftrace of Debian 12 confuses the two and would put its breakpoints into other
    // instructions.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,separate-loadable-segments");
    println!("cargo::rerun-if-changed=build.rs");
}
