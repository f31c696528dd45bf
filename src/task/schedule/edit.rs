//! What users do to a schedule: declare it, edit it, pause it, want a task of it now or those of some time; as pure as what the clock does.

use super::progress::{By, Occurrence, Progress, Skipped};
use super::step::{Draft, Known, Step};
use super::{Schedule, pack_of};
use crate::task::id::PackId;
use crate::task::name::Name;
use crate::task::timing::Timing;

/// A schedule that is new: what was due before it was declared never is.
pub fn begun(name: &Name, schedule: &Schedule, timing: &Timing, now_ms: u64) -> Progress {
    let mut progress = Progress {
        done_ms: now_ms,
        ..Progress::default()
    };
    progress.aim(name, schedule, timing);
    progress
}

/// A schedule that is edited, paused or resumed. Due times that nobody has fired yet stay as they are where the new one is due at the
/// same times; where it is not, or where they passed in a pause, they are on record as skipped.
pub fn edited(of: Known<'_>, new: &Schedule, timing: &Timing) -> Step {
    let mut draft = Draft::of(of);
    let was_paused = of.schedule.paused.is_some();
    let goes_on = was_paused && new.paused.is_none();
    if goes_on || !of.schedule.is_due_like(new) {
        let why = if was_paused {
            Skipped::Paused
        } else {
            Skipped::Edited
        };
        draft.pass_over(of.now_ms, why);
    }
    draft.aimed(of.name, new, timing)
}

/// A task at once, for a user; none where what has not ended forbids it.
pub fn triggered(of: Known<'_>, id: PackId) -> Option<Step> {
    let mut draft = Draft::of(of);
    if !draft.may_fire() {
        return None;
    }
    draft.fire(id, of.now_ms);
    let line = Occurrence::fired(of.now_ms, 0, of.now_ms, By::Trigger);
    draft.tell(Occurrence {
        pack: Some(id),
        ..line
    });
    draft.finished()
}

/// Tasks of past due times, for a user, as many as one transaction takes, and how many that are. They wait for nothing but their lock.
pub fn backfilled(of: Known<'_>, dues: &[u64]) -> Option<(Step, usize)> {
    let mut draft = Draft::of(of);
    let mut taken = 0;
    for due_ms in dues {
        if draft.is_full() {
            break;
        }
        draft.fire_beside(pack_of(of.name, of.incarnation, *due_ms), *due_ms);
        draft.tell(Occurrence::fired(*due_ms, 0, of.now_ms, By::Backfill));
        taken += 1;
    }
    draft.finished().map(|step| (step, taken))
}
