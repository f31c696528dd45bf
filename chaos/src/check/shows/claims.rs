//! From a fault to the next claim: who assigns next, and where the work of a node that is gone starts again.

use super::{DEAD_WITHIN_MS, STOPPED_WITHIN_MS, Shown, Window, count, kills};
use crate::check::Facts;
use crate::check::ids::TaskId;
use crate::check::keyspace::{Key, Value};
use crate::check::tasks::{ClaimOf, Life, Place};
use crate::history::Show;

/// A task that the target had when the fault began, and did not end.
struct Lost<'h> {
    task: TaskId,
    claim: &'h ClaimOf,
    /// When the claim went; none where it never did.
    gone_ms: Option<u64>,
    /// The next claim: its fence, and when it was made.
    next: Option<(i64, u64)>,
    /// It went to the dead letters: its budget of deaths was used up.
    dead: bool,
}

/// How long it takes until a later term than the one that led makes a claim.
pub(super) fn assigned(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>, bound_ms: u64) {
    let Some(reign) = window.reign else {
        shown.nothing = Some("nobody led when it began".to_owned());
        return;
    };
    let later = |key: &Key, was: bool, is: Option<&Value>| {
        let made = matches!(key, Key::Run { claim, .. } if claim.term > reign.term);
        made && !was && is.is_some()
    };
    let mut steps = facts.steps.iter().filter(|step| window.has(step.at_ms));
    let next = steps.find(|step| {
        let mut changes = step.changes.iter();
        changes.any(|one| later(&one.key, one.was.is_some(), one.is.as_deref()))
    });
    let acted = facts.reigns.iter().filter(|next| next.term > reign.term);
    let acted = acted
        .filter_map(|next| next.acted)
        .find(|acted| window.has(acted.1));
    if let Some((_, acted_ms)) = acted {
        shown.figure("led_ms", acted_ms - window.at_ms);
    }
    match next {
        Some(step) => {
            let waited_ms = step.at_ms - window.at_ms;
            shown.figure("assigned_ms", waited_ms);
            if waited_ms > bound_ms {
                shown.fails(format!(
                    "nobody else assigned anything for {waited_ms} ms, {bound_ms} are allowed"
                ));
            }
        }
        None => shown.fails("nobody else ever assigned anything".to_owned()),
    }
}

/// How long it takes until what the target had runs elsewhere: the last of it. Bounded where a bound is given.
pub(super) fn elsewhere(
    shown: &mut Shown,
    facts: &Facts<'_>,
    window: &Window<'_>,
    bound_ms: Option<u64>,
) {
    let lost = lost(facts, window);
    shown.figure("lost", count(lost.len()));
    let mut last_ms = None;
    for one in &lost {
        let Some((fence, claimed_ms)) = one.next else {
            if bound_ms.is_some() && !one.dead {
                let waited_ms = window.to_ms - window.at_ms;
                shown.fails(format!("{} waits after {waited_ms} ms", one.task));
            }
            continue;
        };
        let own = |task: Option<TaskId>, of: i64| task == Some(one.task) && of == fence;
        let mut runs = facts.runs.iter().filter(|ran| own(ran.task, ran.run.fence));
        let started_ms = runs.next().map_or(claimed_ms, |ran| ran.from_ms);
        let waited_ms = started_ms.saturating_sub(window.at_ms);
        last_ms = last_ms.max(Some(waited_ms));
        if let Some(bound_ms) = bound_ms.filter(|bound_ms| waited_ms > *bound_ms) {
            shown.fails(format!(
                "{} started elsewhere after {waited_ms} ms, {bound_ms} are allowed",
                one.task
            ));
        }
    }
    match last_ms {
        Some(last_ms) => shown.figure("elsewhere_ms", last_ms),
        None if bound_ms.is_some() => {
            shown.nothing = Some("the node had nothing that had to start elsewhere".to_owned());
        }
        None => {}
    }
}

/// For how long runs of the target went on that no longer had a claim, by the witness.
pub(super) fn leftovers(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let mut most_ms = 0;
    for one in lost(facts, window) {
        let own = |task: Option<TaskId>, of: i64| task == Some(one.task) && of == one.claim.fence;
        let Some(ran) = facts.runs.iter().find(|ran| own(ran.task, ran.run.fence)) else {
            continue;
        };
        let (alive_ms, gone_ms) = (ran.seen_ms, one.gone_ms.unwrap_or(u64::MAX));
        most_ms = most_ms.max(alive_ms.saturating_sub(gone_ms));
        if let Some(what) = outlives(window, alive_ms, gone_ms) {
            shown.fails(format!(
                "the run of {} under fence {} on {} {what}",
                one.task, one.claim.fence, one.claim.node
            ));
        }
    }
    shown.figure("leftover_ms", most_ms);
}

/// Why a run should not have been alive at this instant, where it should not.
fn outlives(window: &Window<'_>, alive_ms: u64, gone_ms: u64) -> Option<String> {
    let show = window.trial.show;
    let (since_ms, after, allowed_ms) = if kills(show) {
        (window.at_ms, "its node was killed", DEAD_WITHIN_MS)
    } else if matches!(show, Show::LeaderStop | Show::NodeStop) {
        (window.healed_ms, "its node went on", STOPPED_WITHIN_MS)
    } else {
        (gone_ms, "its claim was given away", 0)
    };
    // Without the loss of its claim a run is where it belongs.
    let late_ms = alive_ms.checked_sub(since_ms)?;
    let robbed = alive_ms > gone_ms || kills(show);
    (robbed && late_ms > allowed_ms).then(|| format!("lived {late_ms} ms after {after}"))
}

/// How long nobody led between the end of a term and the next one's first act: the longest in this time.
pub(super) fn leaderless(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let mut longest_ms = 0;
    for (nth, reign) in facts.reigns.iter().enumerate() {
        let Some((_, until_ms)) = reign.until.filter(|until| window.has(until.1)) else {
            continue;
        };
        let next = facts.reigns[nth + 1..].iter().find_map(|next| next.acted);
        let Some((_, acted_ms)) = next.filter(|acted| window.has(acted.1)) else {
            shown.fails(format!("nobody led after {}", reign.node));
            continue;
        };
        longest_ms = longest_ms.max(acted_ms.saturating_sub(until_ms));
    }
    let limit_ms = facts.setup.limits.failover_ms;
    if longest_ms > limit_ms {
        shown.fails(format!(
            "nobody led for {longest_ms} ms, {limit_ms} are allowed"
        ));
    }
    shown.figure("leaderless_ms", longest_ms);
}

fn lost<'h>(facts: &'h Facts<'_>, window: &Window<'_>) -> Vec<Lost<'h>> {
    let Some(target) = window.target() else {
        return Vec::new();
    };
    let lives = facts.lives.tasks.iter();
    lives
        .filter_map(|(task, life)| had(*task, life, target, window))
        .collect()
}

/// What became of a task, where the target had it when the fault began and it did not end there.
fn had<'h>(task: TaskId, life: &'h Life, target: &str, window: &Window<'_>) -> Option<Lost<'h>> {
    let mut held: Option<&ClaimOf> = None;
    let mut before = life
        .moves
        .iter()
        .take_while(|one| one.at_ms <= window.at_ms);
    for spot in before.by_ref().flat_map(|one| &one.entered) {
        held = match &spot.place {
            Place::Run(of) => Some(of),
            Place::Ready(_) | Place::Due(_) | Place::Dead => None,
        };
    }
    let claim = held.filter(|of| of.node == target)?;
    let after = life.moves.iter().filter(|one| one.at_ms > window.at_ms);
    let leaves = |of: &ClaimOf| of.fence == claim.fence;
    let (mut gone_ms, mut next, mut dead) = (None, None, false);
    for one in after {
        dead |= one.entered.iter().any(|spot| spot.place == Place::Dead);
        let by_itself = one.said.iter().any(|said| {
            said.fence == claim.fence && said.outcome != crate::check::keyspace::Outcome::Lost
        });
        if by_itself {
            return None;
        }
        let mut left = one.left.iter();
        if left.any(|spot| matches!(&spot.place, Place::Run(of) if leaves(of))) {
            gone_ms = gone_ms.or(Some(one.at_ms));
        }
        let other = one.entered.iter().find_map(|spot| match &spot.place {
            Place::Run(of) if !leaves(of) => Some(of.fence),
            Place::Run(_) | Place::Ready(_) | Place::Due(_) | Place::Dead => None,
        });
        if let Some(fence) = other {
            next = next.or(Some((fence, one.at_ms)));
        }
    }
    // A task that had ended before has no claim left, though its last place was one.
    let ended = life.end().is_some_and(|(end, _)| end.at_ms <= window.at_ms);
    (!ended).then_some(Lost {
        task,
        claim,
        gone_ms,
        next,
        dead,
    })
}
