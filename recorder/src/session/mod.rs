//! Sessions: the private directory that the recorder shares with the agents of one recording.
//!
//! ```text
//! /dev/shm/pyrec-XXXXXX/   (or $XDG_RUNTIME_DIR, or $TMPDIR)
//! ├── session              SessionPage: settings, counters, clock anchors; mapped by both sides
//! ├── lock                 locked by the recorder as long as it exists; holds its pid
//! ├── filter               the globs, if not every function is recorded
//! ├── libpyrec_agent.so    the agent, unless it is exposed or the directory is mounted noexec
//! ├── PID-N.defs           definitions of a process; N counts the programs it has run by exec
//! ├── PID-N.K.ring         the ring of its thread K
//! └── …                    the writer's journal (`schema/src/writer/journal.rs`), attach scripts
//! ```

pub(crate) mod agent_library;
pub(crate) mod directory;
pub(crate) mod file_names;
pub(crate) mod lock;
pub(crate) mod orphaned_session;
pub(crate) mod ring;
