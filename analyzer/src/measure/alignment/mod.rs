//! Alignment: the matching of functions, source files and lines between runs.
//!
//! ```text
//! RunNames ─┐              ┌─ files       by module name, else by the end of the path
//! RunNames ─┼─▶ Alignment ─┼─ functions   by file, qualified name and first line
//! RunNames ─┘              └─ lines       by a patience diff of the source texts
//! ```
//!
//! The path of a function differs between two checkouts, two virtual environments or two machines,
//! so paths alone do not identify it. All parts of a comparison use one alignment and therefore
//! match the same functions.

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
