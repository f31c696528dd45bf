//! How deep a leader's queues are, told to its node; decides nothing.

use super::fires::UNDER_WAY_MAX;
use super::flight::FLIGHTS_MAX;
use super::refill::READS_MAX;
use crate::vitals::{Level, Of, Vitals};

/// They are 0 again when the term has ended.
pub(super) struct Levels {
    flights: Level,
    waiting: Level,
    unsettled: Level,
    refills: Level,
    fires: Level,
}

impl Levels {
    pub(super) fn of(vitals: &Vitals) -> Self {
        Self {
            flights: vitals.level(Of::Flights, Some(FLIGHTS_MAX)),
            waiting: vitals.level(Of::FlightsWaiting, None),
            unsettled: vitals.level(Of::Unsettled, None),
            refills: vitals.level(Of::Refills, Some(READS_MAX)),
            fires: vitals.level(Of::Fires, Some(UNDER_WAY_MAX)),
        }
    }

    /// Batches in flight, batches that wait for one to land, and changes of which the view has not seen what became.
    pub(super) fn flown(&self, air: usize, waiting: usize, unsettled: usize) {
        self.flights.set(air);
        self.waiting.set(waiting);
        self.unsettled.set(unsettled);
    }

    /// Reads behind windows, and schedules that are fired.
    pub(super) fn read(&self, refills: usize, fires: usize) {
        self.refills.set(refills);
        self.fires.set(fires);
    }
}
