//! What the recorder says to every agent.

use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

/// The file `session`: one page, written by the recorder before the first program starts.
#[derive(Debug)]
#[repr(C)]
pub struct SessionPage {
    /// [`crate::VERSION`].
    pub version: u32,
    /// Bit n stands for the marker group whose `pyrec_schema::Group as u8` is n: 0 function, 1 line, 2 gc, 3 import,
    /// 4 audit, 5 cfunction, 6 instance.
    pub groups: u32,
    /// A [`ClockSource`].
    pub clock: u32,
    /// An [`OnFull`].
    pub on_full: u32,
    /// Not 0: the recording is over; agents stop writing for good.
    pub closed: AtomicU32,
    /// Counts up after an agent has made a `.defs` or `.ring` file, so that the recorder looks into the directory.
    pub generation: AtomicU32,
    /// Processes that began to measure what an event costs.
    pub measurements: AtomicU32,
    /// Not 0: agents fire static markers of their own.
    pub expose_markers: u32,
    /// Length of the file `filter`; 0: there is none, and every function is recorded.
    pub filter_bytes: u32,
    /// Not 0: the agent has entered the process that the recorder has sent it to.
    pub entered: AtomicU32,
    /// How many processes it has left since, all hooks being gone.
    pub left: AtomicU32,
    /// Which of `anchors` is whole.
    pub anchor: AtomicU32,
    /// The recorder's last reading of both clocks, for whoever reads the rings when the recorder is dead.
    pub anchors: [ClockAnchor; 2],
}

/// The same instant on both clocks.
#[derive(Debug)]
#[repr(C)]
pub struct ClockAnchor {
    /// On the clock of [`SessionPage::clock`].
    pub ticks: AtomicU64,
    /// On `CLOCK_MONOTONIC`, in nanoseconds.
    pub ns: AtomicI64,
}

/// Where `ticks` come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ClockSource {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    Monotonic = 0,
    /// The processor's time stamp counter (`rdtsc`).
    Tsc = 1,
}

/// What a thread does when its ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum OnFull {
    /// It waits for the recorder, for as long as that lives.
    Wait = 0,
    /// It drops the record and counts it.
    Drop = 1,
}
