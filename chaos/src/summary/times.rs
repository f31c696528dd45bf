//! How long things took that are bounded, and for how long nobody led.

use serde::{Deserialize, Serialize};

use super::{Chapter, Percentiles, Samples, Track};
use crate::check::Limits;

/// Failovers from the end of a leader's key.
pub(super) const FROM_KEY: &str = "failover";
/// Failovers from the death of a leader's process.
pub(super) const FROM_CRASH: &str = "failover from crash";

/// Times of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Its name, for example `failover`.
    pub name: String,
    /// From what to what.
    pub about: String,
    /// What is promised while nothing stands in the way, in milliseconds.
    pub bound_ms: u64,
    /// What was measured, whatever stood in the way; none where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Percentiles>,
}

/// Who led, in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// Terms in which somebody acted.
    pub terms: u64,
    /// From the first act on, how long somebody led, in milliseconds.
    pub led_ms: u64,
    /// How long nobody did.
    pub nobody_ms: u64,
    /// The longest time of these.
    pub longest_ms: u64,
}

pub(super) fn times(chapters: &[Chapter], limits: &Limits) -> Vec<Timing> {
    let timing = |name: &str, about: &str, bound_ms, of: fn(&Chapter) -> &Samples| Timing {
        name: name.to_owned(),
        about: about.to_owned(),
        bound_ms,
        measured: Samples::percentiles(chapters.iter().map(of)),
    };
    vec![
        timing(
            FROM_KEY,
            "from the end of a leader's key to the first act of the next term",
            limits.failover_ms,
            |chapter| &chapter.track.failovers,
        ),
        timing(
            FROM_CRASH,
            "from the death of a leader's process to the first act of the next term",
            limits.lease_ms + limits.failover_ms,
            |chapter| &chapter.track.failovers_from_crash,
        ),
        timing(
            "reclaim",
            "from the end of a session to the end of each claim that it left",
            limits.reclaim_ms,
            |chapter| &chapter.reclaims,
        ),
        timing(
            "reclaim from crash",
            "from the death of a process to the end of each claim that it left",
            limits.lease_ms + limits.reclaim_ms,
            |chapter| &chapter.reclaims_from_crash,
        ),
    ]
}

impl Track {
    /// When nobody led, from the first act on: from, to, in milliseconds.
    pub(super) fn gaps(&self) -> Vec<(u64, u64)> {
        let acted = self.reigns.iter().filter_map(|reign| {
            let acted_ms = reign.acted_ms?;
            Some((acted_ms, reign.until_ms.max(acted_ms)))
        });
        let (mut gaps, mut led_until) = (Vec::new(), None);
        for (from_ms, until_ms) in acted {
            if let Some(before) = led_until.filter(|before| *before < from_ms) {
                gaps.push((before, from_ms));
            }
            led_until = Some(led_until.unwrap_or(0).max(until_ms));
        }
        gaps.extend(
            led_until
                .filter(|before| *before < self.nodes_until_ms)
                .map(|before| (before, self.nodes_until_ms)),
        );
        gaps
    }
}

impl Leadership {
    pub(super) fn of<'a>(tracks: impl Iterator<Item = &'a Track>) -> Self {
        let mut all = Self::default();
        for track in tracks {
            let acted = track.reigns.iter().filter_map(|reign| reign.acted_ms);
            let first = acted.clone().min();
            all.terms += u64::try_from(acted.count()).unwrap_or(u64::MAX);
            let lengths = track.gaps().into_iter().map(|(from, to)| to - from);
            let nobody: u64 = lengths.clone().sum();
            all.nobody_ms += nobody;
            all.longest_ms = all.longest_ms.max(lengths.max().unwrap_or(0));
            let since = first.map_or(0, |first| track.nodes_until_ms.saturating_sub(first));
            all.led_ms += since.saturating_sub(nobody);
        }
        all
    }
}
