//! What can be recorded on this machine: checks of the system, and the static markers of its
//! Pythons.

pub mod doctor;
pub mod listing;
