//! Parquet tables that are derived from traces: profiles, which aggregate calls by path, and tables
//! of single calls.

mod calls;
mod profile;
mod profile_file;

pub use self::calls::{CallRow, CallsWriter};
pub use self::profile::{PathId, Profile, ProfileKey, ProfileRowKind, ProfileSums};
pub use self::profile_file::{PROFILE_VERSION, is_profile, read_profile, write_profile};
