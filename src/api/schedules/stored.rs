//! A schedule as it is stored, of a request that was checked; decides nothing.

use crate::api::wire::{self, MISFIRE_MAX_DEFAULT, ScheduleRequest, instant};
use crate::task::{Misfire, Overlap, Policy, Routing, Schedule, Spec};

/// The one zone that goes without saying.
const UTC: &str = "UTC";

/// As it is declared now, not paused.
///
/// # Panics
/// Where the request has a fault.
pub(super) fn schedule(
    asked: &ScheduleRequest,
    now_ms: u64,
    routing: Routing,
    policy: Policy,
    spec: Spec,
) -> Schedule {
    let at = |text: &Option<String>| text.as_deref().map(|text| instant(text).expect("checked"));
    Schedule {
        when: asked.stored_when().expect("checked"),
        zone: asked.timezone.clone().filter(|zone| zone != UTC),
        start_ms: at(&asked.start),
        end_ms: at(&asked.end),
        jitter_ms: unsigned(asked.jitter_ms),
        overlap: overlap(asked.overlap),
        misfire: misfire(asked),
        catch_up_ms: unsigned(asked.catch_up_ms),
        start_deadline_ms: asked.start_deadline_ms.map(unsigned),
        paused: None,
        labels: asked.labels.clone(),
        created_ms: now_ms,
        routing,
        policy,
        spec,
    }
}

/// Where the clock hangs that its expression speaks of; none where it speaks of none.
pub(super) fn zone(schedule: &Schedule) -> Option<String> {
    let zone = || schedule.zone.clone().unwrap_or_else(|| UTC.to_owned());
    schedule.when.has_zone().then(zone)
}

fn overlap(overlap: wire::Overlap) -> Overlap {
    match overlap {
        wire::Overlap::Allow => Overlap::Allow,
        wire::Overlap::Skip => Overlap::Skip,
        wire::Overlap::Replace => Overlap::Replace,
        wire::Overlap::QueueOne => Overlap::QueueOne,
    }
}

fn misfire(asked: &ScheduleRequest) -> Misfire {
    match asked.misfire {
        wire::Misfire::Skip => Misfire::Skip,
        wire::Misfire::FireOnce => Misfire::FireOnce,
        wire::Misfire::FireAll => {
            let max = asked.misfire_max.unwrap_or(MISFIRE_MAX_DEFAULT);
            Misfire::FireAll(u32::try_from(max).expect("checked"))
        }
    }
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).expect("checked: not negative")
}
