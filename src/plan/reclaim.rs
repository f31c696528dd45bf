//! What to take from nodes that are gone, and what has become due; never assigns anything.

use std::collections::BTreeMap;

use super::settle::{Ending, Of, settle};
use super::view::{Claim, Reserved, View};
use crate::store::{Place, Reclaim, Waiting};
use crate::task::{ClaimId, Name, Outcome, Which};

/// 16 pieces: a record of 256 lost with its node goes on as 16 of 16, and those as 16 of one, so that a task that kills its node is
/// alone after two deaths and only then blamed.
const DEATH_PIECES: usize = 16;

/// 200 ms: how long a task that would be blamed for a death waits for its node's process to come back with another session, which
/// takes it some round trips to etcd; then it was a lost session and nobody's fault. Small beside the lease that has just run out.
const BENEFIT_MS: u64 = 200;

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
        .filter(|(key, claim)| !may_be_back(view, &key.0, claim, now_ms))
        .take(max)
        .map(|((node, id), claim)| lost(view, node, *id, claim, deaths_max, now_ms))
        .collect()
}

fn is_orphan(view: &View, node: &Name, claim: &Claim) -> bool {
    view.nodes
        .get(node)
        .is_none_or(|node| node.session != claim.seen.value.session)
}

/// Whether a single task's node went so recently that its process may still come back.
fn may_be_back(view: &View, node: &Name, claim: &Claim, now_ms: u64) -> bool {
    let run = &claim.seen.value;
    let single = run.which.len() == 1 && !view.has_left(node, run.session);
    single
        && view
            .gone_for(node, now_ms)
            .is_some_and(|gone_ms| gone_ms < BENEFIT_MS)
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
    let died = match (back, view.instance_of(node, run.session)) {
        (None, _) => true,
        (Some(back), Some(former)) => back != former,
        // A leader that took over does not know whose session it was: whoever is back has the benefit of the doubt.
        (Some(_), None) => !view.may_have_been(node),
    };
    let of = Of {
        run,
        fence: claim.seen.created,
        node,
        policy: None,
        stopped: stop.map_or(Which::NONE, |stop| stop.value.which),
        deaths_max,
        blame: died && run.which.len() == 1 && !view.has_left(node, run.session),
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

#[cfg(test)]
mod tests {
    use tenure_cluster::KeyValue;

    use super::*;
    use crate::store::{Keys, NodeRecord, Run, encode};
    use crate::task::{PackId, Priority, Routing, Tally};

    fn kv(key: String, value: Vec<u8>, revision: i64) -> KeyValue {
        KeyValue {
            key,
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        }
    }

    struct Story {
        view: View,
        keys: Keys,
        node: Name,
    }

    impl Story {
        fn new() -> Self {
            let keys = Keys::new(&"c".parse().unwrap());
            let view = View::new(keys.clone(), 1, 16);
            let node = "n".parse().unwrap();
            Self { view, keys, node }
        }

        fn session(&mut self, instance: &str, created: i64, modified: i64, draining: bool) {
            let record = NodeRecord {
                instance: instance.to_owned(),
                address: String::new(),
                slots: 1,
                kinds: Vec::new(),
                labels: BTreeMap::new(),
                version: String::new(),
                started_ms: 0,
                draining,
            };
            let mut kv = kv(self.keys.node(&self.node), encode(&record), modified);
            kv.create_revision = created;
            self.view.put(&kv, 0).unwrap();
        }

        fn claim(&mut self, session: i64) {
            let run = Run {
                pack: PackId::floor(1),
                routing: Routing {
                    queue: "q".parse().unwrap(),
                    kind: "k".parse().unwrap(),
                    priority: Priority::default(),
                },
                which: Which::only(0),
                size: 1,
                covers: true,
                tally: Tally::default(),
                session,
                term: 1,
                decided: 1,
                n: 0,
                ready_ms: 0,
                inline: None,
            };
            let claim = ClaimId { term: 1, number: 1 };
            let kv = kv(self.keys.run(&self.node, claim), encode(&run), session + 1);
            self.view.put(&kv, 0).unwrap();
        }

        fn gone(&mut self, revision: i64) {
            let event = tenure_cluster::Event {
                kind: tenure_cluster::EventKind::Delete,
                kv: kv(self.keys.node(&self.node), Vec::new(), revision),
                previous: None,
            };
            assert!(self.view.fold(&[event], revision, 0).is_empty());
        }

        /// Deaths charged by the reclaim of the one claim.
        fn charged(&self) -> u32 {
            let lost = reclaim(&self.view, &Reserved::default(), 3, BENEFIT_MS, 9);
            assert_eq!(lost.len(), 1);
            lost[0].settled.records[0].2.tally.deaths
        }
    }

    #[test]
    fn a_single_task_waits_a_moment_for_its_node_to_come_back() {
        let mut story = Story::new();
        story.session("x", 10, 10, false);
        story.claim(10);
        story.gone(20);
        assert!(reclaim(&story.view, &Reserved::default(), 3, BENEFIT_MS - 1, 9).is_empty());
        story.session("x", 30, 30, false);
        assert_eq!(story.charged(), 0, "it lost a session");
    }

    #[test]
    fn a_death_is_charged() {
        let mut story = Story::new();
        story.session("x", 10, 10, false);
        story.claim(10);
        story.gone(20);
        assert_eq!(story.charged(), 1);
        story.session("y", 30, 30, false);
        assert_eq!(story.charged(), 1, "another process came");
    }

    #[test]
    fn no_session_that_an_instance_lost_is_charged_not_only_its_first() {
        let mut story = Story::new();
        story.session("x", 10, 10, false);
        story.gone(20);
        story.session("x", 30, 30, false);
        story.claim(30);
        story.gone(40);
        story.session("x", 50, 50, false);
        assert_eq!(story.charged(), 0);
    }

    #[test]
    fn a_node_that_left_in_order_killed_nobody() {
        let mut story = Story::new();
        story.session("x", 10, 10, false);
        story.session("x", 10, 12, true);
        story.claim(10);
        story.gone(20);
        assert_eq!(story.charged(), 0);
        story.session("x", 30, 30, false);
        story.claim(30);
        story.gone(40);
        assert_eq!(story.charged(), 1, "a later session did not say so");
    }
}
