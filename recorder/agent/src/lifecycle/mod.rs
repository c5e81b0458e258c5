//! The recording of a process: begin, end, fork.

mod cost;
mod fork;
mod open_frames;
mod recording;

pub use recording::{begin_at_start, begin_attached, end_attached};
