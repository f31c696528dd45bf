//! It stays bounded: a pack is collected after its last task ended and the retention is over, not earlier and not much
//! later, whole, and until then a mark says that it is to be. Exercised by each pack that was collected.

use super::Facts;
use super::calm::Calm;
use super::fold::Step;
use super::ids::PackId;
use super::keyspace::Key;
use super::tasks::PackLife;
use super::verdict::{Case, Property, Verdict};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::Bounded);
    let calm =
        Calm::of(facts.history, &facts.reigns, facts.end_ms).while_led(&facts.reigns, facts.end_ms);
    for (id, pack) in &facts.lives.packs {
        let ended_ms = ended_ms(facts, *id, pack);
        match (pack.collected, ended_ms) {
            (Some((revision, at_ms)), Some(ended_ms)) => {
                case.exercised(1);
                early(&mut case, facts, *id, (revision, at_ms), ended_ms);
            }
            (Some((revision, _)), None) => {
                case.exercised(1);
                case.violated("collected before its tasks ended", &[revision], &[id]);
            }
            (None, Some(ended_ms)) => late(&mut case, facts, &calm, (*id, pack), ended_ms),
            (None, None) => {}
        }
    }
    for step in &facts.steps {
        piecemeal(&mut case, step);
    }
    case.close()
}

/// When the last of its tasks ended, at or before its collection; none where one has not.
fn ended_ms(facts: &Facts<'_>, id: PackId, pack: &PackLife) -> Option<u64> {
    let until = pack.collected.map_or(i64::MAX, |collected| collected.0);
    let mut last_ms = 0;
    for index in pack.pack.which.iter() {
        let (end, _) = facts.lives.tasks.get(&id.task(index))?.end()?;
        if end.revision >= until {
            return None;
        }
        last_ms = last_ms.max(end.at_ms);
    }
    Some(last_ms)
}

fn early(case: &mut Case, facts: &Facts<'_>, id: PackId, collected: (i64, u64), ended_ms: u64) {
    let limits = &facts.setup.limits;
    let kept_ms = collected.1.saturating_sub(ended_ms);
    case.most("kept_ms", kept_ms);
    if kept_ms + limits.skew_ms < limits.retention_ms {
        let what = format!(
            "collected {kept_ms} ms after its end, {} are promised",
            limits.retention_ms
        );
        case.violated(what, &[collected.0], &[id]);
    }
}

fn late(
    case: &mut Case,
    facts: &Facts<'_>,
    calm: &Calm,
    (id, pack): (PackId, &PackLife),
    ended_ms: u64,
) {
    case.add("ended and kept", 1);
    if pack.marks <= 0 {
        case.violated(
            "ended, and no mark says so: it stays for ever",
            &[pack.created.0],
            &[id],
        );
        return;
    }
    let limits = &facts.setup.limits;
    let due_ms = ended_ms + limits.retention_ms + limits.skew_ms;
    if due_ms < facts.end_ms && calm.longest(due_ms, facts.end_ms) > limits.collect_ms {
        let over_ms = facts.end_ms - due_ms;
        let what = format!("ended, and still there {over_ms} ms after its retention");
        case.violated(what, &[pack.created.0], &[id]);
    }
}

/// Outcomes go with their pack only.
fn piecemeal(case: &mut Case, step: &Step) {
    for change in step.changes.iter().filter(|change| change.is.is_none()) {
        let Key::Result { pack, .. } = &change.key else {
            continue;
        };
        let with = step
            .changes
            .iter()
            .any(|other| other.is.is_none() && other.key == Key::Pack(*pack));
        if !with {
            case.violated(
                "outcomes went without their pack",
                &[step.revision],
                &[&change.text],
            );
        }
    }
}
