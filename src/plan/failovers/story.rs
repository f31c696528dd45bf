//! One end and what came of it: which tasks it held, where each was started again, and when there is no more to tell.

mod record;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tenure_cluster::{Event, EventKind};

use super::super::view::View;
use super::{At, FOLLOWED, Job, PACE};
use crate::store::{
    Evidence, Facts, Failover, Former, How, Keys, Live, MOVED_LISTED_MAX, Origin, Record, Run,
    Seen, Succession, Teller, decode,
};
use crate::task::{ClaimId, Name, PackId, TaskId, Which, millis};

/// When a key went, as its leader knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: At,
    pub(super) how: How,
    pub(super) revision: Option<i64>,
}

/// What is under way for a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Desk {
    /// To be read, not before this.
    Unread(Duration),
    /// Being read or written.
    Away,
    /// Read; what is new is to be written.
    Here,
}

/// An end that is followed.
#[derive(Clone, Debug)]
pub(super) struct Story {
    id: i64,
    node: Name,
    /// Whether the session is over.
    died: bool,
    session: Option<i64>,
    gone: Moment,
    opened: At,
    instance: Option<String>,
    term: Option<i64>,
    ended: Option<Evidence>,
    succession: Option<Succession>,
    /// Its claims that are not taken back.
    claims: BTreeMap<ClaimId, (PackId, Which)>,
    /// Its tasks that are not started elsewhere, and have not ended.
    awaited: BTreeMap<PackId, Which>,
    tasks: u64,
    ended_tasks: u64,
    /// How many were started when, in milliseconds of the book.
    starts: BTreeMap<u64, u64>,
    first: Vec<(TaskId, Name, u64)>,
    reclaimed: Option<Duration>,
    desk: Desk,
    facts: Facts,
    /// What former leaders told.
    before: Option<Failover>,
    seen: i64,
    written: Option<Duration>,
    dirty: bool,
}

/// What of a claim is looked at.
#[derive(Deserialize)]
struct Claimed {
    pack: PackId,
    which: Which,
    session: i64,
}

/// Tasks that left claims of a story in one delivery.
type Less = Vec<(ClaimId, PackId, Which)>;

impl Story {
    pub(super) fn new(id: i64, node: Name, died: bool, gone: Moment, opened: At) -> Self {
        Self {
            id,
            node,
            died,
            session: died.then_some(id),
            gone,
            opened,
            instance: None,
            term: (!died).then_some(id),
            ended: None,
            succession: None,
            claims: BTreeMap::new(),
            awaited: BTreeMap::new(),
            tasks: 0,
            ended_tasks: 0,
            starts: BTreeMap::new(),
            first: Vec::new(),
            reclaimed: None,
            desk: Desk::Unread(Duration::ZERO),
            facts: Facts::default(),
            before: None,
            seen: 0,
            written: None,
            dirty: true,
        }
    }

    /// Of a key that was gone when it was looked for.
    pub(super) fn found(id: i64, node: Name, died: bool, at: At) -> Self {
        let moment = Moment {
            at,
            how: How::Found,
            revision: None,
        };
        Self::new(id, node, died, moment, at)
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn node(&self) -> &Name {
        &self.node
    }

    /// What of it has news to be written.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether events can tell anything of it.
    pub(super) fn follows(&self) -> bool {
        !self.claims.is_empty() || !self.awaited.is_empty()
    }

    /// Takes in which claims the session has in this view.
    pub(super) fn hold(&mut self, view: &View, session: i64) {
        let node = view.nodes.get(&self.node);
        let node = node.filter(|node| node.session == session);
        self.instance = node.map(|node| node.record.instance.clone());
        let node = self.node.clone();
        for ((_, claim), run) in claims_of(view, &node, session) {
            self.instance.get_or_insert(run.value.instance.clone());
            self.claimed(*claim, run.value.pack, run.value.which);
        }
    }

    /// Takes in a view that was loaded anew: what is there now, without when it happened.
    pub(super) fn reload(&mut self, view: &View) {
        let of_session = claims_of(view, &self.node, self.id);
        let left: BTreeMap<_, _> = of_session
            .map(|((_, claim), run)| (*claim, (run.value.pack, run.value.which)))
            .collect();
        if !self.claims.is_empty() || !left.is_empty() {
            self.claims = left;
            self.dirty = true;
        }
        for ((node, _), run) in &view.claims {
            if (node, run.value.session) != (&self.node, self.id) {
                self.forget(run.value.pack, run.value.which);
            }
        }
    }

    /// Takes in that it led, and who does now.
    pub(super) fn led(&mut self, former: &Former, gone: Moment, to: Succession) {
        self.term = Some(former.term);
        self.session = self.session.or(former.session);
        self.ended = former.evidence;
        self.gone = gone;
        self.succession = Some(to);
        self.dirty = true;
    }

    /// Takes in what is known of its term, of which nothing else was known.
    pub(super) fn inherit(&mut self, of_term: Self) {
        self.term = of_term.term;
        self.ended = of_term.ended;
        self.gone = of_term.gone;
        self.succession = of_term.succession;
        self.dirty = true;
    }

    /// Takes in one delivery.
    pub(super) fn fold(&mut self, keys: &Keys, events: &[Event], since: Duration) {
        let (mut less, mut again) = (Less::new(), BTreeMap::<ClaimId, Which>::new());
        for event in events {
            let put = event.kind == EventKind::Put;
            match keys.live(&event.kv.key) {
                Some(Live::Run(node, claim)) if put => {
                    if let Ok(run) = decode::<Claimed>(&event.kv.key, &event.kv.value) {
                        self.put(&node, claim, &run, since, &mut less);
                    }
                }
                Some(Live::Run(node, claim)) if node == self.node => {
                    if let Some((pack, which)) = self.claims.remove(&claim) {
                        less.push((claim, pack, which));
                    }
                }
                Some(Live::Ready(_, id)) if put => {
                    if let Origin::Claim(claim) = id.origin
                        && (self.claims.contains_key(&claim) || has(&less, claim))
                        && let Ok(record) = decode::<Record>(&event.kv.key, &event.kv.value)
                    {
                        let which = again.entry(claim).or_insert(Which::NONE);
                        *which = which.or(record.which);
                    }
                }
                Some(_) | None => {}
            }
        }
        self.dirty |= !less.is_empty();
        if !less.is_empty() && self.claims.is_empty() {
            self.reclaimed = Some(since);
        }
        for (claim, pack, which) in less {
            let again = again.get(&claim).copied().unwrap_or(Which::NONE);
            let ended = self.forget(pack, which.minus(again));
            self.ended_tasks += ended.len() as u64;
        }
    }

    /// A claim was written.
    fn put(
        &mut self,
        node: &Name,
        claim: ClaimId,
        run: &Claimed,
        since: Duration,
        less: &mut Less,
    ) {
        if (node, run.session) != (&self.node, self.id) {
            return self.started(node, run, since);
        }
        match self.claims.get_mut(&claim) {
            None => self.claimed(claim, run.pack, run.which),
            Some((pack, which)) => {
                less.push((claim, *pack, which.minus(run.which)));
                *which = run.which;
            }
        }
    }

    /// The session has this claim.
    fn claimed(&mut self, claim: ClaimId, pack: PackId, which: Which) {
        self.claims.insert(claim, (pack, which));
        let awaited = self.awaited.entry(pack).or_insert(Which::NONE);
        *awaited = awaited.or(which);
        self.tasks += which.len() as u64;
    }

    /// Tasks were claimed for another session.
    fn started(&mut self, node: &Name, run: &Claimed, since: Duration) {
        let which = self.forget(run.pack, run.which);
        if which.is_empty() {
            return;
        }
        let at_ms = millis(since);
        *self.starts.entry(at_ms).or_default() += which.len() as u64;
        let room = MOVED_LISTED_MAX - self.first.len();
        let listed = which.iter().take(room);
        let listed = listed.map(|index| (run.pack.task(index), node.clone(), at_ms));
        self.first.extend(listed);
        self.dirty = true;
    }

    /// Those of these tasks that were awaited are no more.
    fn forget(&mut self, pack: PackId, which: Which) -> Which {
        let Some(awaited) = self.awaited.get_mut(&pack) else {
            return Which::NONE;
        };
        let these = awaited.and(which);
        *awaited = awaited.minus(which);
        if awaited.is_empty() {
            self.awaited.remove(&pack);
        }
        these
    }

    /// What is to be done for it now. `seen`: when the view was loaded, and when the first assignment of the term was seen.
    pub(super) fn job(
        &mut self,
        told_by: &Teller,
        seen: (Option<Duration>, Option<Duration>),
        at: At,
    ) -> Option<Job> {
        match self.desk {
            Desk::Unread(after) if after <= at.since => {
                self.desk = Desk::Away;
                Some(Job::Read {
                    id: self.id,
                    node: self.node.clone(),
                    gone_at: self.gone.revision,
                })
            }
            Desk::Unread(_) | Desk::Away => None,
            Desk::Here => {
                let complete = self.is_complete(seen.1, at.since);
                let paced = self.written.is_none_or(|when| when + PACE <= at.since);
                let due = complete || (self.dirty && paced);
                if !due {
                    return None;
                }
                self.desk = Desk::Away;
                self.dirty = false;
                let mut record = self.record(told_by, seen);
                record.complete_ms = complete.then_some(at.wall_ms);
                Some(Job::Write(self.telling(record)))
            }
        }
    }

    /// How long there is nothing to do for it unless something happens.
    pub(super) fn idle(&self, since: Duration) -> Duration {
        let next = match self.desk {
            Desk::Unread(after) => after,
            Desk::Away => return FOLLOWED,
            Desk::Here => {
                let paced = self.written.filter(|_| self.dirty).map(|when| when + PACE);
                let closed = self.opened.since + FOLLOWED;
                paced.map_or(closed, |paced| paced.min(closed))
            }
        };
        next.saturating_sub(since)
    }

    /// What was read: the record of an earlier copy of ours, or of a leader before.
    pub(super) fn read(&mut self, facts: Facts, term: i64) {
        self.seen = facts.record.as_ref().map_or(0, |seen| seen.modified);
        let record = facts.record.as_ref().map(|seen| &seen.value);
        let ours = |record: &&Failover| record.told_by.last().is_some_and(|by| by.term == term);
        match record {
            Some(record) if ours(&record) => {}
            Some(_) | None => self.before = record.cloned(),
        }
        self.facts = facts;
        self.desk = Desk::Here;
    }

    pub(super) fn unread(&mut self, since: Duration) {
        self.desk = Desk::Unread(since + PACE);
        self.dirty = true;
    }

    /// What was being read or written is to be read.
    pub(super) fn again(&mut self) {
        if self.desk == Desk::Away {
            self.desk = Desk::Unread(Duration::ZERO);
            self.dirty = true;
        }
    }

    /// Whether it was tried for long enough to write it down.
    pub(super) fn is_over(&self, since: Duration) -> bool {
        since >= self.opened.since + FOLLOWED * 2
    }

    pub(super) fn written(&mut self, revision: i64, since: Duration) {
        self.seen = revision;
        self.written = Some(since);
        self.desk = Desk::Here;
    }

    /// Whether there is no more to tell, or it was followed for long enough.
    fn is_complete(&self, assigned: Option<Duration>, since: Duration) -> bool {
        let waits_for_work = self.succession.is_some() && assigned.is_none();
        let settled = !self.follows() && !waits_for_work;
        settled || since >= self.opened.since + FOLLOWED
    }
}

/// The claims of one session.
fn claims_of<'a>(
    view: &'a View,
    node: &'a Name,
    session: i64,
) -> impl Iterator<Item = (&'a (Name, ClaimId), &'a Seen<Run>)> {
    let first = ClaimId { term: 0, number: 0 };
    let of_node = view.claims.range((node.clone(), first)..);
    let of_node = of_node.take_while(move |((of, _), _)| of == node);
    of_node.filter(move |(_, run)| run.value.session == session)
}

fn has(less: &Less, claim: ClaimId) -> bool {
    less.iter().any(|(of, _, _)| *of == claim)
}
