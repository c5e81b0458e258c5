//! From an event to a record in the current thread's ring.

mod code_ids;
mod events;
pub mod thread_names;

pub use code_ids::set_code_id;
pub use events::{audit, cfunction, code_event, open_frame, payload, prepare_thread, site_event, text};
