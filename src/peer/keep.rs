//! Keeps the links of a node to whom its roster says, and acts on what broken ones show. Every task is its own; dropped, it ends them all.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_cluster::{KeyValue, Members, MembershipChange};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::allowance::Allowance;
use super::case::{Acted, Case, Next};
use super::dial::Dialer;
use super::link::{Fate, Link, Sign, Told};
use super::roster::{Member, Roster, Target};
use crate::metrics;
use crate::store::{NodeRecord, Store};
use crate::task::Name;

/// 256 words of links that wait to be heard; a link waits for room.
const TOLD_MAX: usize = 256;

/// 1,024 cases at once, as many as there are links.
const CASES_MAX: usize = super::roster::LINKS_MAX;

/// 60 s, the longest TTL of a lease: no process has its lease ended twice within it.
const ONCE: Duration = Duration::from_mins(1);

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
    /// By process.
    cases: BTreeMap<String, Case>,
    /// When each process had its lease ended by us.
    ended: BTreeMap<String, Instant>,
    allowance: Allowance,
    watching: JoinSet<()>,
    acting: JoinSet<(String, Acted)>,
    tells: mpsc::Sender<(Name, String, Told)>,
    told: mpsc::Receiver<(Name, String, Told)>,
    seen: Box<dyn Fn(Links) + Send + Sync>,
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
        Self {
            store,
            dialer,
            roster: Roster::default(),
            links: BTreeMap::new(),
            cases: BTreeMap::new(),
            ended: BTreeMap::new(),
            allowance: Allowance::default(),
            watching: JoinSet::new(),
            acting: JoinSet::new(),
            tells,
            told,
            seen: Box::new(seen),
        }
    }

    /// Watches until `closing`.
    pub async fn run(mut self, closing: CancellationToken) {
        let keys = self.store.keys().clone();
        let connection = self.store.connection().clone();
        let mut nodes = Members::open(&connection, &keys.node_prefix());
        let mut seats = Members::open(&connection, &keys.elect_prefix());
        loop {
            let next = self.next_case();
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
                    if let Ok((instance, acted)) = acted {
                        self.acted(&instance, &acted);
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            self.act();
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
        self.links.retain(|name, kept| {
            let stays = wanted.get(name) == Some(&kept.target);
            if !stays {
                kept.task.abort();
            }
            stays
        });
        for (node, target) in wanted {
            if !self.links.contains_key(&node) && !self.cases.contains_key(&target.instance) {
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
            Told::Gone(sign) => {
                self.links.remove(&node);
                self.open_case(node, instance, sign);
            }
        }
        self.count();
    }

    fn open_case(&mut self, node: Name, instance: String, sign: Sign) {
        metrics::peer_evidence(sign.kind.word());
        if self.cases.len() < CASES_MAX {
            let case = Case::new(node, instance.clone(), sign);
            self.cases.insert(instance, case);
        }
    }

    fn count(&self) {
        let open = self.links.values().filter(|kept| kept.is_open).count();
        let wanted = self.links.len();
        metrics::peer_links(open as u64, (wanted - open) as u64);
        (self.seen)(Links { open, wanted });
    }

    /// When something is to be done about a case; none while all wait for something to happen.
    fn next_case(&self) -> Option<Instant> {
        let own = &self.dialer.us().instance;
        let open = self.cases.values().filter(|case| !case.busy);
        let mine = open.filter(|case| self.roster.may_end(own, &case.node));
        mine.map(|case| case.next).min()
    }

    /// Begins what is to be done about cases now.
    fn act(&mut self) {
        let now = Instant::now();
        self.ended.retain(|_, ended| now < *ended + ONCE);
        let (own, roster) = (self.dialer.us().instance.clone(), &self.roster);
        // A session that is over needs nobody to end it.
        self.cases.retain(|instance, case| {
            let there = roster.find(&case.node, instance).is_some();
            case.busy || (there && !case.is_stale(now))
        });
        let due = self
            .cases
            .values_mut()
            .filter(|case| !case.busy && case.next <= now);
        for case in due {
            if !roster.may_end(&own, &case.node) {
                continue;
            }
            let Some(member) = roster.find(&case.node, &case.instance).cloned() else {
                continue;
            };
            if let Some(ended) = self.ended.get(&case.instance) {
                case.next = *ended + ONCE;
                continue;
            }
            // An attempt that goes on is the same revoke.
            if case.tries == 0
                && let Err(again) = self.allowance.take(&case.node, now, roster.len())
            {
                case.next = again;
                if !std::mem::replace(&mut case.withheld, true) {
                    metrics::peer_revoke("withheld");
                    warn!(node = %case.node, "too many nodes seem gone at once: this one is left to its lease for now");
                }
                continue;
            }
            let term = roster.term_of(&case.node);
            let (store, dialer, of) = (self.store.clone(), self.dialer.clone(), case.clone());
            case.busy = true;
            case.tries += 1;
            self.acting.spawn(async move {
                let instance = of.instance.clone();
                (instance, of.act((&store, &dialer), (member, term)).await)
            });
        }
    }

    fn acted(&mut self, instance: &str, acted: &Acted) {
        let now = Instant::now();
        let Some(case) = self.cases.get_mut(instance) else {
            return;
        };
        let (node, evidence) = (case.node.clone(), case.sign.kind.word());
        let took_ms = u64::try_from(case.sign.noticed.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = match acted {
            Acted::Ended => {
                warn!(%node, evidence, took_ms, "a node is gone: its lease is ended");
                self.ended.insert(instance.to_owned(), now);
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
                warn!(%node, evidence, %failure, "a node is gone, and etcd does not say that its lease is ended: trying again");
                "failed"
            }
        };
        metrics::peer_revoke(outcome);
        if case.acted(acted, now) == Next::Closed {
            self.cases.remove(instance);
            self.follow();
        }
    }
}
