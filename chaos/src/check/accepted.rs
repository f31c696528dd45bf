//! Accepted is never lost: what was acknowledged was stored by then, and every stored task is in exactly one place (ready,
//! due, dead, claimed, or ended) after every revision. Exercised by each task that was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Facts;
use super::ids::TaskId;
use super::tasks::{Life, PackLife};
use super::verdict::{Case, Property, Verdict};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::AcceptedNeverLost);
    let packs: BTreeMap<TaskId, &PackLife> = facts.lives.accepted().collect();
    for (submit, answer) in facts.acknowledged() {
        if u64::try_from(answer.tasks.len()) != Ok(submit.count) {
            let (given, asked) = (answer.tasks.len(), submit.count);
            let what = format!("a submit of {asked} tasks was answered with {given}");
            case.violated(what, answer.revision.as_slice(), &answer.tasks);
        }
        for id in &answer.tasks {
            case.exercised(1);
            let pack = id.parse().ok().and_then(|task: TaskId| packs.get(&task));
            promised(&mut case, id, answer.revision, pack.copied());
        }
    }
    for (task, pack) in packs {
        one_place(&mut case, task, pack, facts.lives.tasks.get(&task));
    }
    case.close()
}

fn promised(case: &mut Case, id: &str, revision: Option<i64>, pack: Option<&PackLife>) {
    match (pack, revision) {
        (None, _) => case.violated("acknowledged and never stored", revision.as_slice(), &[id]),
        (Some(pack), Some(revision)) if pack.created.0 > revision => {
            let seen = [revision, pack.created.0];
            case.violated("acknowledged before it was stored", &seen, &[id]);
        }
        (Some(_), _) => {}
    }
}

fn one_place(case: &mut Case, task: TaskId, pack: &PackLife, life: Option<&Life>) {
    let moves = life.map_or(&[][..], |life| &life.moves);
    if moves.first().map(|one| one.revision) != Some(pack.created.0) {
        case.violated(
            "nowhere when its pack was stored",
            &[pack.created.0],
            &[task],
        );
        return;
    }
    let (mut places, mut ended): (Vec<&Arc<str>>, bool) = (Vec::new(), false);
    for one in moves {
        for left in &one.left {
            places.retain(|key| **key != left.key);
        }
        places.extend(one.entered.iter().map(|spot| &spot.key));
        ended |= one.said.iter().any(|told| told.outcome.is_final());
        let what = match (places.len(), ended) {
            (0, true) | (1, false) => continue,
            (0, false) => "lost: in no place and not ended",
            (_, true) => "ended, and still in a place",
            (_, false) => "in several places at once",
        };
        let mut ids = vec![task.to_string()];
        ids.extend(places.iter().map(ToString::to_string));
        case.violated(what, &[one.revision], &ids);
        return;
    }
    if let (false, Some((revision, _))) = (ended, pack.collected) {
        case.violated(
            "its pack was collected, and it had not ended",
            &[revision],
            &[task],
        );
    }
}
