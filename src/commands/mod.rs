//! The commands: a file for each, with its flags and the function `run` that carries it out.

pub mod audit;
pub mod completions;
pub mod diff;
#[cfg(feature = "record")]
pub mod doctor;
pub mod dump;
pub mod export;
pub mod flame;
pub mod gc;
pub mod heat;
pub mod import;
pub mod imports;
pub mod info;
pub mod instances;
pub mod man;
#[cfg(feature = "record")]
pub mod markers;
pub mod profile;
#[cfg_attr(not(feature = "record"), path = "record_unavailable.rs")]
pub mod record;
#[cfg(feature = "record")]
pub mod repair;
pub mod script;
pub mod share;
#[cfg(feature = "record")]
pub mod snapshot;
pub mod stats;
pub mod threads;
#[cfg(feature = "record")]
pub mod top;
pub mod tree;
pub mod worst;

/// Parses the arguments of one command, as typed after its name.
#[cfg(test)]
fn parse<T: clap::Args>(
    arguments: impl IntoIterator<Item: Into<std::ffi::OsString>>,
) -> Result<T, clap::Error> {
    let command = T::augment_args(clap::Command::new("pyrec").no_binary_name(true));
    T::from_arg_matches(&command.try_get_matches_from(arguments.into_iter().map(Into::into))?)
}
