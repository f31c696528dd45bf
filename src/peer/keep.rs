//! Keeps the links of a node to whom its roster says, and acts on what broken ones show. Every task is its own; dropped, it ends them all.

use std::collections::BTreeMap;

use tenure_cluster::{KeyValue, Members, MembershipChange};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::case::{Acted, Next};
use super::cases::{CASES_MAX, Cases, Due};
use super::dial::Dialer;
use super::link::{Fate, Link, Told};
use super::roster::{Member, Roster, Target};
use crate::metrics;
use crate::store::{NodeRecord, Store};
use crate::task::{Name, millis};
use crate::vitals::{Level, Of};

/// 256 words of links that wait to be heard; a link waits for room.
const TOLD_MAX: usize = 256;

/// How many links there are, and how many there should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// That are open.
    pub open: usize,
    /// That there should be.
    pub wanted: usize,
}

/// Watches other nodes for one node.
pub struct Keeper {
    store: Store,
    dialer: Dialer,
    roster: Roster,
    links: BTreeMap<Name, Kept>,
    /// How many links the roster asks for.
    wanted: usize,
    cases: Cases,
    watching: JoinSet<()>,
    acting: JoinSet<(String, Acted)>,
    tells: mpsc::Sender<(Name, String, Told)>,
    told: mpsc::Receiver<(Name, String, Told)>,
    seen: Box<dyn Fn(Links) + Send + Sync>,
    /// Words that wait to be heard, and cases.
    levels: (Level, Level),
}

/// A link that is kept.
struct Kept {
    target: Target,
    task: AbortHandle,
    is_open: bool,
}

impl Keeper {
    /// For the node of this dialer; `seen` is told how many links there are whenever that changes.
    pub fn new(store: Store, dialer: Dialer, seen: impl Fn(Links) + Send + Sync + 'static) -> Self {
        let (tells, told) = mpsc::channel(TOLD_MAX);
        let words = store.vitals().level(Of::LinkWords, Some(TOLD_MAX));
        let cases = store.vitals().level(Of::Cases, Some(CASES_MAX));
        Self {
            store,
            dialer,
            roster: Roster::default(),
            links: BTreeMap::new(),
            wanted: 0,
            cases: Cases::default(),
            watching: JoinSet::new(),
            acting: JoinSet::new(),
            tells,
            told,
            seen: Box::new(seen),
            levels: (words, cases),
        }
    }

    /// Watches until `closing`.
    pub async fn run(mut self, closing: CancellationToken) {
        let keys = self.store.keys().clone();
        let connection = self.store.connection().clone();
        let mut nodes = Members::open(&connection, &keys.node_prefix());
        let mut seats = Members::open(&connection, &keys.elect_prefix());
        loop {
            let next = self.cases.next(&self.dialer.us().instance, &self.roster);
            tokio::select! {
                () = closing.cancelled() => return,
                change = nodes.next() => {
                    self.nodes(change);
                    self.follow();
                }
                change = seats.next() => {
                    self.seats(change);
                    self.follow();
                }
                Some((node, instance, told)) = self.told.recv() => self.hear(node, instance, told),
                Some(_) = self.watching.join_next(), if !self.watching.is_empty() => {}
                Some(acted) = self.acting.join_next(), if !self.acting.is_empty() => {
                    match acted {
                        Ok((instance, acted)) => self.acted(&instance, &acted),
                        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            self.act();
            self.levels.0.set(self.told.len());
            self.levels.1.set(self.cases.len());
        }
    }

    fn nodes(&mut self, change: MembershipChange) {
        match change {
            MembershipChange::Snapshot { members, .. } => {
                self.roster.clear_members();
                for kv in &members {
                    self.put_member(kv);
                }
            }
            MembershipChange::Joined(kv) | MembershipChange::Updated(kv) => self.put_member(&kv),
            MembershipChange::Left { last, .. } => {
                if let Some(name) = self.store.keys().node_of(&last.key) {
                    self.roster.drop_member(&name);
                }
            }
        }
    }

    fn put_member(&mut self, kv: &KeyValue) {
        let name = self.store.keys().node_of(&kv.key);
        let record = serde_json::from_slice::<NodeRecord>(&kv.value);
        let (Some(name), Ok(record)) = (name, record) else {
            return;
        };
        let member = Member {
            session: kv.create_revision,
            lease: kv.lease,
            instance: record.instance,
            peer: record.peer,
        };
        self.roster.put_member(name, member);
    }

    fn seats(&mut self, change: MembershipChange) {
        let put = |roster: &mut Roster, kv: KeyValue| {
            roster.put_seat(kv.key, kv.create_revision, kv.lease);
        };
        match change {
            MembershipChange::Snapshot { members, .. } => {
                self.roster.clear_seats();
                for kv in members {
                    put(&mut self.roster, kv);
                }
            }
            MembershipChange::Joined(kv) | MembershipChange::Updated(kv) => {
                put(&mut self.roster, kv);
            }
            MembershipChange::Left { last, .. } => self.roster.drop_seat(&last.key),
        }
    }

    /// Makes the links what the roster says. A process that is gone by evidence gets none until that is settled.
    fn follow(&mut self) {
        let own = self.dialer.us().instance.clone();
        let wanted = self.roster.targets(&own);
        self.wanted = wanted.len();
        self.links.retain(|name, kept| {
            let stays = wanted.get(name) == Some(&kept.target);
            if !stays {
                kept.task.abort();
            }
            stays
        });
        for (node, target) in wanted {
            if !self.links.contains_key(&node) && !self.cases.has(&target.instance) {
                self.watch(node, target);
            }
        }
        self.count();
    }

    fn watch(&mut self, node: Name, target: Target) {
        let link = Link {
            node: node.clone(),
            target: target.clone(),
            dialer: self.dialer.clone(),
            clock: self.store.clock().clone(),
            tells: self.tells.clone(),
        };
        let kept = Kept {
            target,
            task: self.watching.spawn(link.run()),
            is_open: false,
        };
        self.links.insert(node, kept);
    }

    fn hear(&mut self, node: Name, instance: String, told: Told) {
        let kept = self.links.get_mut(&node);
        let Some(kept) = kept.filter(|kept| kept.target.instance == instance) else {
            // Of a link that is given up.
            return;
        };
        match told {
            Told::Open => kept.is_open = true,
            Told::Broke(fate) => {
                kept.is_open = false;
                metrics::peer_link_broke(fate.word());
                if fate != Fate::Lives {
                    info!(%node, fate = fate.word(), "a link broke");
                }
            }
            Told::Gone(proof) => {
                // It may be another link than the one that told: one of the same process that was wanted again.
                if let Some(kept) = self.links.remove(&node) {
                    kept.task.abort();
                }
                metrics::peer_evidence(proof.kind.as_str());
                self.cases.open(node, instance, proof);
                // Of what is left to its lease there is to be a link again.
                return self.follow();
            }
        }
        self.count();
    }

    fn count(&self) {
        let open = self.links.values().filter(|kept| kept.is_open).count();
        let wanted = self.wanted;
        metrics::peer_links(open as u64, wanted.saturating_sub(open) as u64);
        (self.seen)(Links { open, wanted });
    }

    /// Begins what is to be done about cases now.
    fn act(&mut self) {
        let now = Instant::now();
        if self.cases.tidy(&self.roster, now) {
            self.follow();
        }
        let own = &self.dialer.us().instance;
        for due in self.cases.due(own, &self.roster, now) {
            match due {
                Due::Act(case, member, term) => {
                    let (store, dialer) = (self.store.clone(), self.dialer.clone());
                    self.acting.spawn(async move {
                        let instance = case.instance.clone();
                        (instance, case.act((&store, &dialer), (member, term)).await)
                    });
                }
                Due::Withheld(node) => {
                    metrics::peer_revoke("withheld");
                    warn!(%node, "too many nodes seem gone at once: this one is left to its lease for now");
                }
            }
        }
    }

    fn acted(&mut self, instance: &str, acted: &Acted) {
        let now = Instant::now();
        let Some(case) = self.cases.find(instance) else {
            return;
        };
        let (node, evidence) = (case.node.clone(), case.proof.kind.as_str());
        let took_ms = millis(case.proof.noticed.elapsed());
        let outcome = match acted {
            Acted::Ended => {
                warn!(%node, evidence, took_ms, "a node is gone: its lease is ended");
                let store = self.store.clone();
                self.watching
                    .spawn(async move { store.forget_deaths().await });
                "done"
            }
            Acted::Theirs(death) => {
                info!(%node, evidence, by = %death.by, "a node is gone, and another noticed first");
                "others"
            }
            Acted::Over => "over",
            Acted::Doubt => {
                info!(%node, "a node seemed gone, and is not for certain: it is left to its lease");
                "doubt"
            }
            Acted::Failed(failure) => {
                if case.tries == 1 {
                    warn!(%node, evidence, %failure, "a node is gone, and etcd does not say that its lease is ended: trying until it does");
                }
                "failed"
            }
        };
        metrics::peer_revoke(outcome);
        if self.cases.acted(instance, acted, now) == Next::Closed {
            self.follow();
        }
    }
}
