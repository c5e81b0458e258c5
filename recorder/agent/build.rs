//! How the library is linked.

fn main() {
    // Each segment at a page of its own, so that an address in the library is the same number as its place in the file:
    // bpftrace as Debian 12 has it takes one for the other, and would put its traps amid other instructions.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,separate-loadable-segments");
    println!("cargo::rerun-if-changed=build.rs");
}
