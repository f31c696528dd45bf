//! What to take from nodes that are gone, and what has become due; never assigns anything.

use std::collections::BTreeMap;

use super::reserved::Reserved;
use super::settle::{Ending, Of, settle};
use super::view::View;
use crate::planted::{self, Bug};
use crate::store::{Place, Reclaim, Run, Seen, Waiting};
use crate::task::{ClaimId, Name, Outcome, Which};

/// 16 pieces: a record of 256 lost with its node goes on as 16 of 16, and those as 16 of one, so that a task that kills its node is
/// alone after two deaths and only then blamed.
const DEATH_PIECES: usize = 16;

/// 200 ms: how long a single task waits for its node's process to come back with another session, which takes that some round trips
/// to etcd. Counted from when its key was seen to go, or from when the view was loaded without it. Small beside the lease that has
/// just run out; whoever is later has died as far as budgets go. Nobody waits for a process that is on record as dead.
const BENEFIT_MS: u64 = 200;

/// What became of the process that held a claim of a session that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It had said that it would leave: what was sent to it too late killed nobody.
    Left,
    /// The same instance is there with another session.
    LostSession,
    /// Nobody is there under its name, but it may be about to come back.
    Missed,
    /// Another instance has its name, or it was missed for too long.
    Died,
}

/// Claims of sessions that are gone, at most `max`.
pub fn reclaim(
    view: &View,
    reserved: &Reserved,
    deaths_max: u32,
    now_ms: u64,
    max: usize,
) -> Vec<Reclaim> {
    view.claims
        .iter()
        .filter(|(key, run)| !reserved.claims.contains(*key) && is_orphan(view, &key.0, run))
        .map(|(key, run)| (key, run, fate(view, &key.0, &run.value, now_ms)))
        // Only a single is ever charged; what is more goes on at once.
        .filter(|(_, run, fate)| *fate != Fate::Missed || run.value.which.len() > 1)
        .take(max)
        .map(|(key, run, fate)| lost(view, key, run, fate, deaths_max, now_ms))
        .collect()
}

fn is_orphan(view: &View, node: &Name, run: &Seen<Run>) -> bool {
    view.nodes
        .get(node)
        .is_none_or(|node| node.session != run.value.session)
}

/// The claim names the instance it was made for, so any leader can tell, also one that took over since.
fn fate(view: &View, node: &Name, run: &Run, now_ms: u64) -> Fate {
    if view.has_left(node, run.session) {
        return Fate::Left;
    }
    match (view.nodes.get(node), view.missed_for(node, now_ms)) {
        (Some(back), _) if back.record.instance == run.instance => Fate::LostSession,
        (None, _) if view.has_died(run.session) => Fate::Died,
        (None, Some(missed_ms)) if missed_ms < BENEFIT_MS => Fate::Missed,
        (Some(_) | None, _) => Fate::Died,
    }
}

fn lost(
    view: &View,
    (node, id): &(Name, ClaimId),
    seen: &Seen<Run>,
    fate: Fate,
    deaths_max: u32,
    now_ms: u64,
) -> Reclaim {
    let run = &seen.value;
    let stop = view.stops.get(&(node.clone(), *id));
    let (error, split) = match fate {
        Fate::LostSession => ("the node lost its session", 1),
        Fate::Left => ("the node left", DEATH_PIECES),
        Fate::Missed | Fate::Died => ("the node died", DEATH_PIECES),
    };
    let of = Of {
        run,
        fence: seen.created,
        node,
        policy: None,
        stopped: stop
            .filter(|_| !planted::is(Bug::ReclaimIgnoresStop))
            .map_or(Which::NONE, |stop| stop.value.which),
        deaths_max,
        blame: fate == Fate::Died && run.which.len() == 1 && !planted::is(Bug::DeathNotCharged),
        split,
        draw: 0.0,
        now_ms,
    };
    let ending = Ending {
        outcome: Outcome::Lost,
        started_ms: None,
        finished_ms: now_ms,
        error: Some(error.to_owned()),
        output: None,
        wait: None,
    };
    let (_, settled) = settle(of, &BTreeMap::from([(ending, run.which)]));
    Reclaim {
        node: node.clone(),
        claim: *id,
        pack: run.pack,
        modified: seen.modified,
        stop: stop.map_or(0, |stop| stop.modified),
        gone: run.session,
        routing: run.routing.clone(),
        settled,
        now_ms,
    }
}

/// Scheduled records whose time has come, earliest first, at most `max`.
pub fn promote(view: &View, reserved: &Reserved, now_ms: u64, max: usize) -> Vec<Waiting> {
    let early_ms = u64::from(planted::is(Bug::PromotedEarly)) * 2_000;
    view.due
        .iter()
        .take_while(|(_, (due_ms, _, _))| *due_ms <= now_ms + early_ms)
        .filter(|(key, (_, _, seen))| reserved.frees(key, seen.modified))
        .take(max)
        .map(|(_, (due_ms, id, seen))| Waiting {
            id: *id,
            place: Place::Due(*due_ms),
            seen: seen.clone(),
            now_ms,
        })
        .collect()
}

#[cfg(test)]
#[path = "reclaim_tests.rs"]
mod tests;
