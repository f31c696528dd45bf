//! How much a worker has in hand, told to its node; decides nothing.

use super::Worker;
use super::report::FLIGHTS_MAX;
use super::runs::PACKS_KEPT;
use crate::vitals::{Level, Of, Vitals};

/// They are 0 again when the worker has ended.
pub(super) struct Levels {
    runs: Level,
    claims: Level,
    early: Level,
    reports: Level,
    reading: Level,
    kept: Level,
}

impl Levels {
    pub(super) fn of(vitals: &Vitals) -> Self {
        Self {
            runs: vitals.level(Of::Runs, None),
            claims: vitals.level(Of::Claims, None),
            early: vitals.level(Of::StopsEarly, None),
            reports: vitals.level(Of::Reports, Some(FLIGHTS_MAX)),
            reading: vitals.level(Of::PacksReading, None),
            kept: vitals.level(Of::PacksKept, Some(PACKS_KEPT)),
        }
    }
}

impl Worker {
    /// They are as deep as what this has in hand now.
    pub(super) fn tell_levels(&mut self) {
        self.levels.runs.bound(self.pool.slots());
        self.levels.runs.set(self.runs.len());
        self.levels.claims.set(self.claims.len());
        self.levels.early.set(self.early.len());
        self.levels.reports.set(self.reports.len());
        let (reading, kept) = self.packs.depths();
        self.levels.reading.set(reading);
        self.levels.kept.set(kept);
    }
}
