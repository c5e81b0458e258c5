//! Alignment: which functions, source files and lines of several runs are the same ones.
//!
//! ```text
//! RunNames ─┐              ┌─ files       by module name, else by the end of the path
//! RunNames ─┼─▶ Alignment ─┼─ functions   by file, qualified name and first line
//! RunNames ─┘              └─ lines       by a patience diff of the source texts
//! ```
//!
//! Two checkouts, two virtual environments or two machines give the same functions under different
//! paths. All views of a comparison use one alignment, so they agree on what is the same function.

mod files;
mod functions;
mod rename;
mod run;
mod text_versions;

pub use files::FileId;
pub use functions::{AlignedFunction, Alignment, FunctionId, FunctionKind};
pub use rename::{Rename, RenameError};
pub use run::{RunNames, Side};
pub use text_versions::{ExecutedText, LineId, MergedLine};
