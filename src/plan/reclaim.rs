//! What to take from nodes that are gone, and what has become due; never assigns anything.

use std::collections::BTreeMap;

use super::settle::{Ending, Of, settle};
use super::view::{Claim, Reserved, View};
use crate::store::{Place, Reclaim, Waiting};
use crate::task::{ClaimId, Name, Outcome, Which};

/// 16 pieces: a record of 256 lost with its node goes on as 16 of 16, and those as 16 of one, so that a task that kills its node is
/// alone after two deaths and only then blamed (DESIGN of the protocol, "a death splits the record").
const DEATH_PIECES: usize = 16;

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
        .filter(|(key, claim)| !reserved.claims.contains(*key) && is_orphan(view, &key.0, claim))
        .take(max)
        .map(|((node, id), claim)| lost(view, node, *id, claim, deaths_max, now_ms))
        .collect()
}

fn is_orphan(view: &View, node: &Name, claim: &Claim) -> bool {
    view.nodes
        .get(node)
        .is_none_or(|node| node.session != claim.seen.value.session)
}

fn lost(
    view: &View,
    node: &Name,
    id: ClaimId,
    claim: &Claim,
    deaths_max: u32,
    now_ms: u64,
) -> Reclaim {
    let run = &claim.seen.value;
    let stop = view.stops.get(&(node.clone(), id));
    let back = view
        .nodes
        .get(node)
        .map(|back| back.record.instance.as_str());
    let died = back.is_none() || view.instance_of(node, run.session) != back;
    let of = Of {
        run,
        fence: claim.seen.created,
        node,
        policy: None,
        stopped: stop.map_or(Which::NONE, |stop| stop.value.which),
        deaths_max,
        blame: died && run.which.len() == 1,
        split: if died { DEATH_PIECES } else { 1 },
        draw: 0.0,
        now_ms,
    };
    let error = if died {
        "the node died"
    } else {
        "the node lost its session"
    };
    let ending = Ending {
        outcome: Outcome::Lost,
        started_ms: None,
        finished_ms: now_ms,
        error: Some(error.to_owned()),
        output: None,
    };
    let (_, settled) = settle(of, &BTreeMap::from([(ending, run.which)]));
    Reclaim {
        node: node.clone(),
        claim: id,
        pack: run.pack,
        modified: claim.seen.modified,
        stop: stop.map_or(0, |stop| stop.modified),
        gone: run.session,
        routing: run.routing.clone(),
        settled,
        now_ms,
    }
}

/// Scheduled records whose time has come, earliest first, at most `max`.
pub fn promote(view: &View, reserved: &Reserved, now_ms: u64, max: usize) -> Vec<Waiting> {
    view.due
        .iter()
        .take_while(|(_, (due_ms, _, _))| *due_ms <= now_ms)
        .filter(|(key, _)| !reserved.records.contains(*key))
        .take(max)
        .map(|(_, (due_ms, id, seen))| Waiting {
            id: *id,
            place: Place::Due(*due_ms),
            seen: seen.clone(),
            now_ms,
        })
        .collect()
}
