//! How complete and how disturbed a recording is.

use pyrec_schema::{Excerpt, Manifest, Profile, RecordingEnd};

use crate::CallTree;
use crate::calls::TraceSummary;
use crate::tree::{ProfileMetadata, Repairs, TraceCounts};

/// The facts of a trust line. They describe the whole trace, whatever a filter selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// The number of events, without rows that the recorder added.
    pub events: u64,
    /// The number of lost events that the recorder counted.
    pub lost: u64,
    /// The repairs in rebuilding the calls.
    pub repaired: Repairs,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// The cost of recording one event, in nanoseconds of the target process.
    pub cost_per_event_ns: Option<f64>,
    /// Bytes of torn files that could not be read.
    pub torn_bytes: u64,
    /// Which part of the recording the trace is; none if it is the whole recording.
    pub slice: Option<Excerpt>,
}

impl Trust {
    /// The trust of a call tree.
    pub fn of(calls: &CallTree) -> Trust {
        Trust::new(&calls.manifest, &calls.counts, calls.repairs(), calls.torn_bytes)
    }

    /// The trust of a stream of calls.
    pub fn of_summary(manifest: &Manifest, summary: &TraceSummary) -> Trust {
        Trust::new(manifest, &summary.counts, summary.repairs, summary.torn_bytes)
    }

    /// The trust of a profile.
    pub fn of_profile(profile: &Profile) -> Trust {
        let ProfileMetadata { manifest, counts, repairs, torn_bytes } = ProfileMetadata::of(profile);
        Trust::new(&manifest, &counts, repairs, torn_bytes)
    }

    fn new(manifest: &Manifest, counts: &TraceCounts, repaired: Repairs, torn_bytes: u64) -> Trust {
        Trust {
            events: counts.events(),
            lost: counts.lost,
            repaired,
            ended: manifest.ended.clone(),
            cost_per_event_ns: manifest.cost_per_event_ns,
            torn_bytes,
            slice: manifest.slice.clone(),
        }
    }

    /// The number of lost events; none where the recorder was killed or a file is torn, so that it
    /// is unknown.
    pub fn lost_if_known(&self) -> Option<u64> {
        let is_incomplete = self.ended.is_cut() || self.torn_bytes > 0;
        (!is_incomplete).then_some(self.lost)
    }
}
