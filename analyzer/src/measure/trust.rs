//! How far to trust a report.

use pyrec_schema::{Excerpt, Manifest, Profile, RecordingEnd};

use crate::CallTree;
use crate::calls::TraceSummary;
use crate::tree::{ProfileMetadata, Repairs, TraceCounts};

/// How far to trust a report: computed here and nowhere else, always from the whole trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// Events of Python, without the recorder's own rows.
    pub events: u64,
    /// Events that the recorder says it lost.
    pub lost: u64,
    /// What was mended in rebuilding the calls.
    pub repaired: Repairs,
    /// How the recording ended.
    pub ended: RecordingEnd,
    /// What recording one event cost the program.
    pub cost_per_event_ns: Option<f64>,
    /// Bytes of a cut file that could not be read.
    pub torn_bytes: u64,
    /// What of the recording the trace is; all of it if nothing is said.
    pub slice: Option<Excerpt>,
}

impl Trust {
    /// How far to trust what a tree says.
    pub fn of(calls: &CallTree) -> Trust {
        Trust::new(&calls.manifest, &calls.counts, calls.repairs(), calls.torn_bytes)
    }

    /// How far to trust what single calls say.
    pub fn of_seen(manifest: &Manifest, seen: &TraceSummary) -> Trust {
        Trust::new(manifest, &seen.counts, seen.repairs, seen.torn_bytes)
    }

    /// How far to trust what a profile says.
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

    /// How many events were lost in all: none where the recorder did not live to say.
    pub fn all_lost(&self) -> Option<u64> {
        let is_cut = self.ended.is_cut() || self.torn_bytes > 0;
        (!is_cut).then_some(self.lost)
    }
}
