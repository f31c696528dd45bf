//! Nothing from nowhere: every stored task was asked for, by a client or by a schedule, every run is of a claim that its task was in, on that claim's
//! node, every success of a kind whose runs the witness sees was a run that it saw end well, and every key and value can be read. Exercised by each run
//! that the witness saw. On a cluster that was there, tasks that no client was told of belong to others who use it: they are counted.

use std::collections::{BTreeMap, HashSet};

use super::Facts;
use super::calls::End;
use super::ids::TaskId;
use super::keyspace::{Key, Outcome, Value};
use super::runs::Ran;
use super::tasks::Place;
use super::verdict::{Case, Property, Verdict};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::NothingFromNowhere);
    unreadable(&mut case, facts);
    unasked(&mut case, facts);
    for ran in &facts.runs {
        case.exercised(1);
        if let Err(what) = claimed(facts, ran) {
            case.violated(what, &[ran.run.fence], &[&ran.run.task, &ran.run.node]);
        }
    }
    unseen(&mut case, facts);
    case.close()
}

fn unreadable(case: &mut Case, facts: &Facts<'_>) {
    for step in &facts.steps {
        for change in &step.changes {
            if change.key == Key::Unknown {
                case.violated(
                    "a key that nobody can read",
                    &[step.revision],
                    &[&change.text],
                );
            }
            if let Some(Value::Unreadable(why)) = change.is.as_deref() {
                let what = format!("a value that nobody can read: {why}");
                case.violated(what, &[step.revision], &[&change.text]);
            }
        }
    }
}

/// Tasks that no answer names have to be those of submits whose outcome is not known: as many at most, by queue and kind.
fn unasked(case: &mut Case, facts: &Facts<'_>) {
    let answers = facts.acknowledged().flat_map(|(_, answer)| &answer.tasks);
    let known: HashSet<TaskId> = answers.filter_map(|id| id.parse().ok()).collect();
    let mut unknown: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (submit, end) in facts.submits() {
        if matches!(end, End::Unknown) {
            *unknown.entry((&submit.queue, &submit.kind)).or_default() += submit.count;
        }
    }
    let mut stored = HashSet::new();
    for (task, pack) in facts.lives.accepted() {
        stored.insert(task);
        // What a schedule made is held to its ledger, by a check of its own.
        if known.contains(&task) || pack.pack.fired.is_some() {
            continue;
        }
        let routing = &pack.pack.routing;
        case.add("of unknown submits", 1);
        let left = unknown.entry((&routing.queue, &routing.kind)).or_default();
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None if facts.of_others(task) => case.add("of others", 1),
            None => case.violated("nobody asked for it", &[pack.created.0], &[task]),
        }
    }
    for (task, life) in &facts.lives.tasks {
        if !stored.contains(task) {
            let revision = life.moves.first().map_or(0, |one| one.revision);
            case.violated("it is in no pack", &[revision], &[task]);
        }
    }
    for (id, pack) in &facts.lives.packs {
        if !pack.again.is_empty() {
            case.violated("a pack was stored again", &pack.again, &[id]);
        }
    }
}

fn claimed(facts: &Facts<'_>, ran: &Ran<'_>) -> Result<(), &'static str> {
    let life = ran.task.and_then(|task| facts.lives.tasks.get(&task));
    let life = life.ok_or("a run of a task that was never stored")?;
    let spots = life.moves.iter().flat_map(|one| &one.entered);
    let mut claims = spots.filter_map(|spot| {
        if let Place::Run(of) = &spot.place {
            return Some(of);
        }
        None
    });
    let claim = claims.find(|of| of.fence == ran.run.fence);
    let claim = claim.ok_or("a run with a fence that no claim of its task has")?;
    if claim.node != ran.run.node {
        return Err("a run on another node than its claim's");
    }
    Ok(())
}

/// Successes that no run stands behind. Of a kind of which no run was seen nothing can be said.
fn unseen(case: &mut Case, facts: &Facts<'_>) {
    let kinds = facts.witnessed();
    let well = facts.runs.iter().filter(|ran| ran.well);
    let well: HashSet<(Option<TaskId>, i64)> = well.map(|ran| (ran.task, ran.run.fence)).collect();
    for (task, life) in &facts.lives.tasks {
        let Some((end, told)) = life.end() else {
            continue;
        };
        let pack = facts.lives.packs.get(&task.pack());
        let seen = pack.is_some_and(|pack| kinds.contains(pack.pack.routing.kind.as_str()));
        let succeeded = told.outcome == Outcome::Succeeded && !facts.of_others(*task);
        if seen && succeeded && !well.contains(&(Some(*task), told.fence)) {
            case.violated(
                "succeeded without a run that ended well",
                &[end.revision],
                &[task],
            );
        }
    }
}
