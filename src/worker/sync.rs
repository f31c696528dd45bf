//! What the store says the node holds: read whole at one revision, then watched; adopted or dropped, never judged.

use tenure_cluster::{Delivery, EventKind, KeyValue, Range, WatchSpec};
use tracing::{error, info, warn};

use super::held::Held;
use super::{Watches, Worker};
use crate::planted::{self, Bug};
use crate::store::{Live, LookError, Run, Seen, Stop};
use crate::task::ClaimId;

/// 200 ms between attempts to read what the node holds.
const RETRY: std::time::Duration = std::time::Duration::from_millis(200);

impl Worker {
    /// Reads claims and stops until that works, and watches on from there.
    pub(super) async fn sync(&mut self) -> Watches {
        loop {
            match self.read().await {
                Ok(revision) => {
                    let (store, node) = (&self.hands.store, &self.hands.node);
                    let (keys, next) = (store.keys(), revision + 1);
                    let claims = WatchSpec::prefix(keys.runs_of(node)).from(next);
                    let stops = WatchSpec::prefix(keys.stops_of(node)).from(next);
                    return (
                        store.connection().watch(claims),
                        store.connection().watch(stops),
                    );
                }
                Err(problem) => {
                    warn!(%problem, "this node's claims could not be read, trying again");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn read(&mut self) -> Result<i64, LookError> {
        let (store, node) = (self.hands.store.clone(), self.hands.node.clone());
        let keys = store.keys();
        let claims = store
            .connection()
            .range(&Range::prefix(keys.runs_of(&node)))
            .await?;
        let at = claims.revision;
        let stops = store
            .connection()
            .range(&Range::prefix(keys.stops_of(&node)).at(at))
            .await?;
        let there: Vec<ClaimId> = claims
            .kvs
            .iter()
            .filter_map(|kv| self.claim_of(&kv.key))
            .collect();
        let gone = |held: &Held| held.report.is_none() && held.run.modified <= at;
        let lost: Vec<ClaimId> = self
            .claims
            .iter()
            .filter(|(claim, held)| !there.contains(claim) && gone(held))
            .map(|(claim, _)| *claim)
            .collect();
        for claim in lost {
            self.drop_claim(claim);
        }
        self.early.clear();
        claims.kvs.iter().for_each(|kv| self.adopt(kv));
        stops.kvs.iter().for_each(|kv| self.stop(kv));
        Ok(at)
    }

    /// False where the watch fell behind compaction.
    pub(super) fn fold_claims(&mut self, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Events { events, .. } => {
                for event in events {
                    match event.kind {
                        // A claim is new with its first version; a later one of a claim that we do not hold is the echo of
                        // a report after which we were done with it.
                        EventKind::Put if event.kv.version == 1 || self.holds(&event.kv.key) => {
                            self.adopt(&event.kv);
                        }
                        EventKind::Put => {}
                        EventKind::Delete => {
                            let claim = self.claim_of(&event.kv.key);
                            let ours = claim.filter(|claim| {
                                self.claims
                                    .get(claim)
                                    .is_some_and(|held| held.report.is_none())
                            });
                            if let Some(claim) = ours {
                                self.drop_claim(claim);
                            }
                        }
                    }
                }
                true
            }
            Delivery::Progress { .. } => true,
            Delivery::Compacted { .. } => false,
        }
    }

    /// False where the watch fell behind compaction.
    pub(super) fn fold_stops(&mut self, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Events { events, .. } => {
                for event in events {
                    match event.kind {
                        EventKind::Put => self.stop(&event.kv),
                        EventKind::Delete => {
                            if let Some(claim) = self.claim_of(&event.kv.key) {
                                self.early.remove(&claim);
                            }
                        }
                    }
                }
                true
            }
            Delivery::Progress { .. } => true,
            Delivery::Compacted { .. } => false,
        }
    }

    fn holds(&self, key: &str) -> bool {
        self.claim_of(key)
            .is_some_and(|claim| self.claims.contains_key(&claim))
    }

    fn claim_of(&self, key: &str) -> Option<ClaimId> {
        match self.hands.store.keys().live(key) {
            Some(Live::Run(_, claim) | Live::Stop(_, claim)) => Some(claim),
            Some(_) | None => None,
        }
    }

    /// Takes a claim up, or notes its new mod revision. One of another session is not ours: the leader reclaims it.
    pub(super) fn adopt(&mut self, kv: &KeyValue) {
        let Some(claim) = self.claim_of(&kv.key) else {
            return;
        };
        let run: Seen<Run> = match Seen::of(kv) {
            Ok(run) => run,
            Err(problem) => return error!(%problem, "a claim that cannot be read"),
        };
        if run.value.session != self.hands.session && !planted::is(Bug::ForeignClaims) {
            return;
        }
        match self.claims.get_mut(&claim) {
            Some(held) if held.report.is_none() && held.run.modified < run.modified => {
                held.run = run;
            }
            Some(_) => {}
            None => {
                let ready_ms = run.value.ready_ms;
                self.pool
                    .came(self.hands.store.now_ms().saturating_sub(ready_ms));
                let mut held = Held::new(run);
                if let Some(stop) = self.early.remove(&claim) {
                    held.stop(&stop, self.hands.store.now_ms());
                }
                if held.pack.is_none()
                    && let Some(pack) = self.packs.kept_or_fetched(&self.hands.store, &held.run)
                {
                    held.arrived(pack);
                }
                self.claims.insert(claim, held);
                self.line.push_back(claim);
            }
        }
    }

    fn stop(&mut self, kv: &KeyValue) {
        let Some(claim) = self.claim_of(&kv.key) else {
            return;
        };
        let stop: Seen<Stop> = match Seen::of(kv) {
            Ok(stop) => stop,
            Err(problem) => return error!(%problem, "a stop that cannot be read"),
        };
        match self.claims.get_mut(&claim) {
            Some(held) if held.stop.0 < stop.modified => {
                held.stop(&stop, self.hands.store.now_ms());
            }
            Some(_) => {}
            None => {
                self.early.insert(claim, stop);
            }
        }
    }

    /// The claim is no longer ours: its runs are told to stop, and what they say is no longer heard. Those that are to finish go on: nobody
    /// takes a claim from a session that lives, so its end was heard of here before it was told.
    pub(super) fn drop_claim(&mut self, claim: ClaimId) {
        let Some(held) = self.forget(claim) else {
            return;
        };
        if held.finishes() {
            return;
        }
        if !held.running.is_empty() {
            info!(%claim, runs = held.running.len(), "claim gone, its runs are stopped");
        }
        held.running
            .values()
            .for_each(tokio_util::sync::CancellationToken::cancel);
    }
}
