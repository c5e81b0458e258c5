//! CPython: its C API, and the layouts of its objects where the API has no function or a slow one.

mod api;
mod call_loop;
pub mod class;
mod code_extra;
pub mod frame;
mod stack;

pub use api::*;
pub use call_loop::CallLoop;
pub use code_extra::CodeExtra;
pub use stack::StackApi;
