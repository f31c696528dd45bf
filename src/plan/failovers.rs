//! The story of each session and term that is over, put together from what a leader sees: pure, and told to nobody here.
//!
//! A [`Book`] lasts as long as a term. It is fed with what the leader's view is fed with, before the view is, and with what was read of
//! each end; it says what is to be read and written down next. It decides nothing about tasks.

mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_cluster::{Event, EventKind};

use super::view::View;
use crate::store::{Death, Facts, Failover, Former, How, Keys, Succession, Teller, Telling};
use crate::task::{ClaimId, Name};
use story::{Moment, Story};

/// 64 ends are followed at once: beyond, what is new is not told of before others are done.
pub const OPEN_MAX: usize = 64;

/// 60 s after which the story of an end is closed, whatever of it is still to come.
pub const FOLLOWED: Duration = Duration::from_mins(1);

/// 1 s from one write of a story to the next, but for its first and its last.
const PACE: Duration = Duration::from_secs(1);

/// A moment on a leader's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Its wall clock, in milliseconds since 1970: for people.
    pub wall_ms: u64,
    /// Its monotonic clock, from the same beginning for one book: for differences.
    pub since: Duration,
}

/// What is to be done for one story.
#[derive(Clone, Debug)]
pub enum Job {
    /// To be read, see [`crate::store::Store::facts`].
    Read {
        /// Its id.
        id: i64,
        /// Whose it is.
        node: Name,
        /// When its key went, where that was seen.
        gone_at: Option<i64>,
    },
    /// To be written down.
    Write(Telling),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It is done, at this revision.
    Yes(i64),
    /// It was refused, or it is not known: what is on record is to be read.
    No,
}

/// Why an end is not told of to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// [`OPEN_MAX`] others are followed.
    Full,
    /// What was to be read or written down of it failed for too long.
    Failed,
}

impl Untold {
    /// The word for metrics and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// The stories that a leader follows.
#[derive(Clone, Debug)]
pub struct Book {
    keys: Keys,
    node_prefix: String,
    run_prefix: String,
    own: (Name, i64),
    begun_ms: u64,
    /// Sessions that live, by node.
    live: BTreeMap<Name, i64>,
    stories: BTreeMap<i64, Story>,
    /// What was given up since that was asked last: no more than there were ends, and those are few until the leader asks.
    untold: BTreeMap<i64, (Name, Untold)>,
    /// The leader before, until it is known whether its session is over too.
    former: Option<(Former, Moment, Succession)>,
    /// When the first view was loaded, and when the first assignment of this term was seen.
    viewed: Option<Duration>,
    assigned: Option<Duration>,
}

impl Book {
    /// Of this node's term.
    pub fn new(keys: Keys, node: Name, term: i64, at: At) -> Self {
        Self {
            node_prefix: keys.node_prefix(),
            run_prefix: keys.runs(),
            keys,
            own: (node, term),
            begun_ms: at.wall_ms,
            live: BTreeMap::new(),
            stories: BTreeMap::new(),
            untold: BTreeMap::new(),
            former: None,
            viewed: None,
            assigned: None,
        }
    }

    /// Whose it is: the leader and its term.
    pub fn own(&self) -> (Name, i64) {
        self.own.clone()
    }

    /// Whether a view was loaded.
    pub fn is_ready(&self) -> bool {
        self.viewed.is_some()
    }

    /// Takes in a view that was loaded, the first or a later one: sessions that are gone and have claims left.
    pub fn loaded(&mut self, view: &View, at: At) {
        self.viewed.get_or_insert(at.since);
        let before = std::mem::take(&mut self.live);
        let nodes = view.nodes.iter();
        self.live = nodes.map(|(id, node)| (id.clone(), node.session)).collect();
        for story in self.stories.values_mut() {
            story.reload(view);
        }
        for ((node, _), run) in &view.claims {
            if self.live.get(node) != Some(&run.value.session) {
                self.find(node, run.value.session, view, at);
            }
        }
        // What went while this leader could not watch.
        for (node, session) in before {
            if self.live.get(&node) != Some(&session) {
                self.find(&node, session, view, at);
            }
        }
        self.meet();
    }

    /// Takes in what the view is about to fold.
    ///
    /// Whether there may be something to be done by that.
    pub fn folding(&mut self, view: &View, events: &[Event], at: At) -> bool {
        let before = self.assigned;
        for event in events {
            if let Some(node) = event.kv.key.strip_prefix(&self.node_prefix) {
                let Ok(node) = node.parse() else { continue };
                match event.kind {
                    EventKind::Put => {
                        self.live.insert(node, event.kv.create_revision);
                    }
                    EventKind::Delete => self.went(&node, view, event.kv.mod_revision, at),
                }
            } else if self.assigned.is_none() && self.is_first(event) {
                self.assigned = Some(at.since);
            }
        }
        let follow = |story: &&mut Story| story.follows();
        for story in self.stories.values_mut().filter(follow) {
            story.fold(&self.keys, events, at.since);
        }
        let given_up = !self.untold.is_empty();
        before != self.assigned || given_up || self.stories.values().any(Story::is_dirty)
    }

    /// What was given up since this was asked last, by id.
    pub fn given_up(&mut self) -> BTreeMap<i64, (Name, Untold)> {
        std::mem::take(&mut self.untold)
    }

    /// Takes in who led before, whose key was seen to go at this moment.
    pub fn succeeds(&mut self, former: Former, gone: At, revision: Option<i64>, to: Succession) {
        let moment = Moment {
            at: gone,
            how: revision.map_or(How::Found, |_| How::Watched),
            revision,
        };
        self.former = Some((former, moment, to));
        self.meet();
    }

    /// Takes in what others had noted of ends that this leader has not seen, and stories that former leaders have not ended.
    pub fn found(&mut self, deaths: &[(i64, Death)], begun: Vec<(i64, Failover)>, at: At) {
        for (session, death) in deaths {
            if self.live.get(&death.node) == Some(session) {
                continue;
            }
            self.open(Story::found(*session, death.node.clone(), true, at));
            // The session of a leader before may be known by this only.
            let of_term = death.term.filter(|term| term != session);
            let of_term = of_term.and_then(|term| self.stories.remove(&term));
            if let (Some(of_term), Some(story)) = (of_term, self.stories.get_mut(session)) {
                story.inherit(of_term);
            }
        }
        for (id, record) in begun {
            self.open(Story::found(id, record.node, record.died, at));
        }
    }

    /// Gives up what was under way, where whoever did it panicked.
    pub fn again(&mut self) {
        self.stories.values_mut().for_each(Story::again);
    }

    /// What is to be done now.
    pub fn jobs(&mut self, at: At) -> Vec<Job> {
        let (viewed, assigned) = (self.viewed, self.assigned);
        let told_by = self.teller();
        let stories = self.stories.values_mut();
        stories
            .filter_map(|story| story.job(&told_by, (viewed, assigned), at))
            .collect()
    }

    /// How long nothing is to be done unless something happens.
    pub fn idle(&self, at: At) -> Duration {
        let waits = self.stories.values().map(|story| story.idle(at.since));
        waits.min().unwrap_or(FOLLOWED)
    }

    /// Takes in what was read. The record, where another copy of its last write turned out to be committed.
    pub fn read(&mut self, id: i64, facts: Option<Facts>, at: At) -> Option<Failover> {
        let term = self.own.1;
        let Some(facts) = facts else {
            self.failed(id, at);
            return None;
        };
        let story = self.stories.get_mut(&id)?;
        let record = facts.record.as_ref().map(|seen| &seen.value);
        let last = record
            .filter(|record| record.complete_ms.is_some())
            .cloned();
        story.read(facts, term);
        if let Some(last) = last {
            self.stories.remove(&id);
            let ours = last
                .told_by
                .last()
                .is_some_and(|teller| teller.term == term);
            return ours.then_some(last);
        }
        None
    }

    /// Takes in what became of a write. The record, where that was the last of its story.
    pub fn wrote(&mut self, told: &Telling, wrote: Wrote, at: At) -> Option<Failover> {
        match wrote {
            Wrote::No => self.failed(told.id, at),
            Wrote::Yes(revision) => {
                let story = self.stories.get_mut(&told.id)?;
                story.written(revision, at.since);
                if told.record.complete_ms.is_some() {
                    self.stories.remove(&told.id);
                    return Some(*told.record.clone());
                }
            }
        }
        None
    }

    /// It is tried again, until its time is over twice.
    fn failed(&mut self, id: i64, at: At) {
        let Some(story) = self.stories.get_mut(&id) else {
            return;
        };
        story.unread(at.since);
        if story.is_over(at.since)
            && let Some(story) = self.stories.remove(&id)
        {
            self.give_up(&story, Untold::Failed);
        }
    }

    /// A node's key went.
    fn went(&mut self, node: &Name, view: &View, revision: i64, at: At) {
        let Some(session) = self.live.remove(node) else {
            return;
        };
        let moment = Moment {
            at,
            how: How::Watched,
            revision: Some(revision),
        };
        let mut story = Story::new(session, node.clone(), true, moment, at);
        story.hold(view, session);
        self.open(story);
    }

    /// A session is found gone.
    fn find(&mut self, node: &Name, session: i64, view: &View, at: At) {
        if !self.stories.contains_key(&session) {
            let mut story = Story::found(session, node.clone(), true, at);
            story.hold(view, session);
            self.open(story);
        }
    }

    /// One that is followed already goes on as it is.
    fn open(&mut self, story: Story) {
        if self.stories.contains_key(&story.id()) {
            return;
        }
        if self.stories.len() < OPEN_MAX {
            self.stories.insert(story.id(), story);
        } else {
            self.give_up(&story, Untold::Full);
        }
    }

    fn give_up(&mut self, story: &Story, why: Untold) {
        self.untold.insert(story.id(), (story.node().clone(), why));
    }

    /// Tells of the leader before, once it can be known whether its session is over too: both keys go with one lease.
    fn meet(&mut self) {
        let Some((former, gone, to)) = self.former.take_if(|_| self.viewed.is_some()) else {
            return;
        };
        let lives = |session: &i64| self.live.get(&former.node) == Some(session);
        let died = former.session.filter(|session| !lives(session));
        let id = died.unwrap_or(former.term);
        let opened = gone.at;
        let new = Story::new(id, former.node.clone(), died.is_some(), gone, opened);
        let story = self.stories.entry(id).or_insert(new);
        story.led(&former, gone, to);
    }

    /// Whether this is the first assignment of this term.
    fn is_first(&self, event: &Event) -> bool {
        let claim = event.kv.key.strip_prefix(&self.run_prefix);
        let claim = claim.and_then(|rest| rest.split_once('/')?.1.parse().ok());
        let of_term = |claim: ClaimId| claim.term == self.own.1;
        event.kind == EventKind::Put && event.kv.version == 1 && claim.is_some_and(of_term)
    }

    fn teller(&self) -> Teller {
        Teller {
            node: self.own.0.clone(),
            term: self.own.1,
            from_ms: self.begun_ms,
        }
    }
}
