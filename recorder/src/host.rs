//! Facts of the machine.

use pyrec_schema::Host;

/// The machine we run on.
pub(crate) fn host() -> Host {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Host {
        system: format!("{} {}", text(system.sysname()), text(system.release())),
        machine: text(system.machine()),
        processors: std::thread::available_parallelism().map_or(1, |count| count.get()),
        name: text(system.nodename()),
    }
}
