//! The session page, through which the recorder controls all agents.

use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

/// The contents of the file `session`, one page. The recorder writes it before the program starts.
#[derive(Debug)]
#[repr(C)]
pub struct SessionPage {
    /// The [`VERSION`](crate::VERSION) of the recorder.
    pub version: u32,
    /// The marker groups to record. Bit n stands for the group with the discriminant n in
    /// `pyrec_schema::MarkerGroup`: 0 function, 1 line, 2 gc, 3 import, 4 audit, 5 cfunction, 6
    /// instance.
    pub groups: u32,
    /// The clock of time stamps, a [`ClockSource`].
    pub clock: u32,
    /// The policy for full rings, an [`OnFull`].
    pub on_full: u32,
    /// Not 0 after the end of the recording. Agents then stop writing.
    pub closed: AtomicU32,
    /// Incremented by agents after they have created a `.defs` or `.ring` file. When it changes the
    /// recorder lists the directory.
    pub generation: AtomicU32,
    /// The number of processes that have begun to measure the cost of an event.
    pub measurements: AtomicU32,
    /// Not 0 if agents also fire static markers of their own.
    pub expose_markers: u32,
    /// The length of the file `filter`. 0 if there is none, and all functions are recorded.
    pub filter_bytes: u32,
    /// Not 0 if the agent has started in the process that the recorder attaches to.
    pub entered: AtomicU32,
    /// The number of processes from which agents have since removed all hooks.
    pub left: AtomicU32,
    /// The index of the complete entry of `anchors`.
    pub anchor: AtomicU32,
    /// The last two readings of both clocks by the recorder. After its death they convert the ticks
    /// in the rings.
    pub anchors: [ClockAnchor; 2],
}

/// One instant on two clocks.
#[derive(Debug)]
#[repr(C)]
pub struct ClockAnchor {
    /// The instant on the clock of [`SessionPage::clock`].
    pub ticks: AtomicU64,
    /// The instant on `CLOCK_MONOTONIC`, nanoseconds.
    pub ns: AtomicI64,
}

/// The source of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ClockSource {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    Monotonic = 0,
    /// The processor's time stamp counter (`rdtsc`).
    Tsc = 1,
}

/// The policy for a full ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum OnFull {
    /// The thread waits until the recorder frees a slot, or dies.
    Wait = 0,
    /// The thread drops the record and counts it as lost.
    Drop = 1,
}
