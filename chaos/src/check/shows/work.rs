//! What faults did to the work: attempts that were counted and never begun, runs that were made twice, outcomes that were kept
//! while etcd was away, tasks that kill their nodes.

use std::collections::{BTreeMap, HashSet};

use super::{Shown, Window, count, ended};
use crate::check::Facts;
use crate::check::calls::End;
use crate::check::ids::TaskId;
use crate::check::keyspace::{Key, Outcome};
use crate::check::tasks::Place;
use crate::history::{FaultKind, Op};

/// The queue of the tasks that kill their nodes.
pub const POISON: &str = "poison";

/// The queue of runs that are longer than the grace that nodes give: they may be begun again.
pub const LONG: &str = "long";

/// 5 failures of one sort are told; all are counted.
const TOLD_MAX: usize = 5;

/// Nodes were told to end: nothing that had not begun counts as an attempt, and what had begun was not begun again.
pub(super) fn left_in_order(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let leavers = ended(facts, window, &[FaultKind::Leave]);
    let began: HashSet<(TaskId, i64)> = facts
        .runs
        .iter()
        .filter_map(|ran| Some((ran.task?, ran.run.fence)))
        .collect();
    let kinds = facts.witnessed();
    let mut wrong = Vec::new();
    for (task, life) in &facts.lives.tasks {
        let pack = facts.lives.packs.get(&task.pack());
        if !pack.is_some_and(|pack| kinds.contains(pack.pack.routing.kind.as_str())) {
            continue;
        }
        for one in life.moves.iter().filter(|one| window.has(one.at_ms)) {
            for said in &one.said {
                let by = said.node.as_deref().unwrap_or_default();
                let counted = said.outcome.is_attempt() && said.fence != 0;
                if counted && leavers.contains(&by) && !began.contains(&(*task, said.fence)) {
                    wrong.push(format!(
                        "{task} had not begun on {by} under fence {}, and it counts as an attempt",
                        said.fence
                    ));
                }
            }
        }
    }
    shown.figure("not_begun_counted", count(wrong.len()));
    tell(shown, wrong);
    let again = again(facts, window);
    shown.figure("reruns", count(again.len()));
    tell(shown, again);
}

/// Whether nodes give a task's run the time to end.
fn is_short(facts: &Facts<'_>, task: TaskId) -> bool {
    let pack = facts.lives.packs.get(&task.pack());
    pack.is_some_and(|pack| pack.pack.routing.queue != LONG)
}

/// Short tasks that the witness saw begin once more in this time, in words.
fn again(facts: &Facts<'_>, window: &Window<'_>) -> Vec<String> {
    let mut before: BTreeMap<TaskId, i64> = BTreeMap::new();
    let mut again = Vec::new();
    for ran in &facts.runs {
        let Some(task) = ran.task else { continue };
        if let Some(fence) = before.insert(task, ran.run.fence)
            && window.has(ran.from_ms)
            && is_short(facts, task)
        {
            again.push(format!(
                "{task} began again under fence {}, after {fence}",
                ran.run.fence
            ));
        }
    }
    again
}

/// No short run failed or was lost, and clients heard only what a client that tries again can live with.
pub(super) fn nothing_failed(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let mut failed = Vec::new();
    let short = |task: &TaskId| is_short(facts, *task);
    for (task, life) in facts.lives.tasks.iter().filter(|(task, _)| short(task)) {
        for one in life.moves.iter().filter(|one| window.has(one.at_ms)) {
            let bad =
                |outcome| matches!(outcome, Outcome::Failed | Outcome::Timeout | Outcome::Lost);
            let own = one.said.iter().filter(|said| bad(said.outcome));
            failed.extend(own.map(|said| format!("a run of {task} ended {:?}", said.outcome)));
        }
    }
    shown.figure("failed_runs", count(failed.len()));
    tell(shown, failed);
    let calls = facts.calls.iter().filter(|call| window.has(call.end_ms));
    let submits = calls.filter(|call| matches!(call.op, Op::Submit(_)));
    let (mut refused, mut unknown, mut wrong) = (0, 0, Vec::new());
    for call in submits {
        match call.end {
            End::Ok(_) => {}
            End::Unknown => unknown += 1,
            End::Fail(why) if is_clear(why) => refused += 1,
            End::Fail(why) => wrong.push(format!("a submit was answered {why}")),
        }
    }
    shown.figure("submits_to_repeat", refused);
    shown.figure("submits_unanswered", unknown);
    tell(shown, wrong);
}

/// Whether a client knows from this that it may try again: nobody listened, or 429 or 503 was said.
fn is_clear(why: &str) -> bool {
    let status = why
        .split(' ')
        .next()
        .and_then(|word| word.parse::<u16>().ok());
    status.is_none_or(|status| [429, 503].contains(&status))
}

/// Sessions that ended though their process lived, and runs that were made again for it: one more each at most.
pub(super) fn false_deaths(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let crashed = ended(facts, window, &[FaultKind::Crash, FaultKind::Leave]);
    let sessions = facts.sessions.values();
    let gone = sessions.filter(|one| one.gone.is_some_and(|gone| window.has(gone.1)));
    let falsely = gone.filter(|one| !crashed.contains(&one.node.as_str()));
    shown.figure("false_deaths", count(falsely.count()));
    let mut begun: BTreeMap<TaskId, usize> = BTreeMap::new();
    let runs = facts.runs.iter().filter(|ran| window.has(ran.from_ms));
    for task in runs.filter_map(|ran| ran.task) {
        *begun.entry(task).or_default() += 1;
    }
    let more: Vec<String> = begun
        .iter()
        .filter(|(_, times)| **times > 2)
        .map(|(task, times)| format!("{task} began {times} times"))
        .collect();
    shown.figure("reruns", count(again(facts, window).len()));
    tell(shown, more);
}

/// etcd was away: what ended meanwhile on a session that lived on is committed, and work goes on.
pub(super) fn outlived(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let claimed = facts.steps.iter().find(|step| {
        let made = step.at_ms >= window.healed_ms && step.at_ms < window.to_ms;
        let claim = |key: &Key| matches!(key, Key::Run { .. });
        let mut changes = step.changes.iter();
        made && changes.any(|one| claim(&one.key) && one.was.is_none())
    });
    match claimed {
        Some(step) => shown.figure("resumed_ms", step.at_ms - window.healed_ms),
        None => shown.fails("nothing was assigned after etcd came back".to_owned()),
    }
    let (mut committed, mut again, mut wrong) = (0, 0, Vec::new());
    for ran in &facts.runs {
        let meanwhile = |at_ms: u64| window.at_ms <= at_ms && at_ms < window.healed_ms;
        let Some(task) = ran
            .task
            .filter(|_| ran.well && ran.to_ms.is_some_and(meanwhile))
        else {
            continue;
        };
        let Some(life) = facts.lives.tasks.get(&task) else {
            continue;
        };
        let mut said = life.moves.iter().flat_map(|one| &one.said);
        let kept =
            said.any(|said| said.fence == ran.run.fence && said.outcome == Outcome::Succeeded);
        let mut spots = life.moves.iter().flat_map(|one| &one.entered);
        let session = spots.find_map(|spot| match &spot.place {
            Place::Run(of) if of.fence == ran.run.fence => facts.sessions.get(&of.session),
            Place::Run(_) | Place::Ready(_) | Place::Due(_) | Place::Dead => None,
        });
        let lived = session.is_some_and(|one| one.gone.is_none_or(|gone| gone.1 >= window.to_ms));
        if kept {
            committed += 1;
        } else if lived {
            let fence = ran.run.fence;
            wrong.push(format!(
                "{task} ended under fence {fence} while etcd was away, its session lived on, and that was not committed"
            ));
        } else {
            again += 1;
        }
    }
    shown.figure("ended_meanwhile_committed", committed);
    shown.figure("ended_meanwhile_again", again);
    shown.figure("ended_meanwhile_dropped", count(wrong.len()));
    tell(shown, wrong);
}

/// A task killed whoever ran it, until its budget was spent.
pub(super) fn poisoned(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let killed = count(ended(facts, window, &[FaultKind::Crash]).len());
    shown.figure("nodes_killed", killed);
    let budget = u64::from(facts.setup.limits.death_budget);
    if killed > budget {
        shown.fails(format!("it killed {killed} nodes, {budget} are allowed"));
    }
    let packs = facts.lives.packs.iter();
    let mut own = packs.filter(|(_, pack)| {
        let (_, at_ms) = pack.created;
        pack.pack.routing.queue == POISON && window.begun_ms <= at_ms && at_ms < window.to_ms
    });
    let Some((pack, life)) = own.next_back() else {
        shown.nothing = Some("the task was never accepted".to_owned());
        return;
    };
    let mut moves = facts
        .lives
        .tasks
        .get(&pack.task(0))
        .into_iter()
        .flat_map(|task| &task.moves);
    let dead = moves.find(|one| one.entered.iter().any(|spot| spot.place == Place::Dead));
    match dead {
        Some(one) => shown.figure("dead_ms", one.at_ms.saturating_sub(life.created.1)),
        None => shown.fails(format!("{} is not dead after {killed} kills", pack.task(0))),
    }
}

fn tell(shown: &mut Shown, wrong: Vec<String>) {
    let more = wrong.len().saturating_sub(TOLD_MAX);
    shown.failures.extend(wrong.into_iter().take(TOLD_MAX));
    if more > 0 {
        shown.fails(format!("and {more} more like this"));
    }
}
