//! From an event to a record in the current thread's ring.

mod code_ids;
mod events;
pub mod thread_names;

pub use code_ids::set_code_id;
pub use events::{
    audit_event, cfunction_event, code_event, number_event, open_frame, prepare_thread, site_event,
    text_event,
};
