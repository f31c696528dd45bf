//! Room, permits and locks: what is held, what a leader believes to be free, and what is sent about it. A claim is the hold of its tasks;
//! those outside wait and hold under a lease of their own. One semaphore and one lock stand for all: a queue's concurrency and a
//! limit per key are counts of claims against a number under the same rules.

use crate::config::{Config, Outside};
use crate::etcd::{Guard, Id, Key, Place, Rev, Store, Test, Which};
use crate::flight::{Flight, From, What};
use crate::model::Model;
use crate::plan::flight;
use crate::settle::singles;
use crate::state::State;
use crate::txns::Protocol;
use crate::weakening::Weakening;

impl Config {
    /// Whether there is a limit, and rules that say when it was changed.
    pub(crate) fn rules(&self) -> bool {
        self.limit > 0
    }
}

impl Model {
    /// How many tasks more a leader may give to a node: what it holds and what is on its way counts.
    pub(crate) fn room(&self, state: &State, leader: u8, node: u8) -> u32 {
        let held = state
            .store
            .runs()
            .filter(|(n, ..)| *n == node)
            .map(|(_, _, run, _)| run.which);
        let sent = state
            .awaited()
            .filter(|flight| flight.from == From::Leader(leader));
        let sent = sent.flat_map(|flight| flight.what.takes());
        let sent = sent.filter(|take| take.node == node).map(|take| take.which);
        let full: u32 = held.chain(sent).map(u8::count_ones).sum();
        self.config.room.saturating_sub(full)
    }

    /// What each task of a pack needs: permits, and whether the lock.
    fn needs(&self, pack: u8) -> (u32, bool) {
        let of = usize::from(pack).checked_sub(1);
        let of = of.map(|at| self.config.packs[at]);
        of.map_or((0, false), |of| (u32::from(of.weight), of.lock))
    }

    /// Permits, and how many times the lock, that so many tasks of a pack take.
    pub(crate) fn taken(&self, pack: u8, which: Which) -> (u32, u32) {
        let (weight, lock) = self.needs(pack);
        let count = which.count_ones();
        (weight * count, u32::from(lock) * count)
    }

    fn outside(&self, holder: u8) -> (u32, u32) {
        match self.config.outside.get(usize::from(holder)) {
            Some(Outside::Permits(weight)) => (u32::from(*weight), 0),
            Some(Outside::Lock) => (0, 1),
            None => (0, 0),
        }
    }

    /// Permits and times the lock is held, by the keys.
    pub(crate) fn held(&self, store: &Store) -> (u32, u32) {
        let runs = store
            .runs()
            .map(|(_, _, run, _)| self.taken(run.pack, run.which));
        let holds = (0..2).filter(|holder| store.has(Key::Hold(*holder)));
        sum(runs.chain(holds.map(|holder| self.outside(holder))))
    }

    /// The same, of what a leader has on its way.
    fn sent(&self, state: &State, leader: u8) -> (u32, u32) {
        if self.protocol.lacks(Weakening::FlightsHoldNothing) {
            return (0, 0);
        }
        let own = state
            .awaited()
            .filter(|flight| flight.from == From::Leader(leader));
        sum(own.flat_map(|flight| match &flight.what {
            What::Assign(key, takes) | What::Touch(key, takes) => {
                let pack = if let Key::Record(_, Id { pack, .. }) = key {
                    *pack
                } else {
                    0
                };
                takes
                    .iter()
                    .map(|take| self.taken(pack, take.which))
                    .collect()
            }
            What::Grant(holder) => vec![self.outside(*holder)],
            What::Submit(_)
            | What::Promote(_)
            | What::Report { .. }
            | What::Reclaim { .. }
            | What::Stop(_)
            | What::Cancel(_)
            | What::Revive
            | What::Raise(_)
            | What::Collect(_)
            | What::Unmark(_)
            | What::Park(_)
            | What::Edit
            | What::Want(_)
            | What::Release(_) => Vec::new(),
        }))
    }

    fn free(&self, state: &State, leader: u8, (permits, locks): (u32, u32)) -> bool {
        let (held, locked) = self.held(&state.store);
        let (sent, locking) = self.sent(state, leader);
        let kept = u32::from(state.kept[usize::from(leader)]);
        let enough = permits == 0 || permits + held + sent + kept <= state.store.limit();
        enough && (locks == 0 || locked + locking == 0)
    }

    /// Whether a leader believes that these tasks can be claimed now.
    pub(crate) fn fits(&self, state: &State, leader: u8, pack: u8, which: Which) -> bool {
        self.free(state, leader, self.taken(pack, which))
    }

    /// What of a record may be claimed together, the most first.
    pub(crate) fn portions(&self, state: &State, leader: u8, pack: u8, which: Which) -> Vec<Which> {
        let (weight, lock) = self.needs(pack);
        let mut sets = vec![which];
        if lock && !self.protocol.lacks(Weakening::LockTakesAll) {
            sets.clear();
        }
        let parts = self.config.partial || lock || weight > 0;
        if (parts && which.count_ones() > 1) || sets.is_empty() {
            sets.push(singles(which)[0]);
        }
        // One claim of all tasks takes the lock once, as its leader sees it.
        let fits = |set: &Which| {
            let (permits, locks) = self.taken(pack, *set);
            self.free(state, leader, (permits, locks.min(1)))
        };
        sets.retain(fits);
        sets
    }

    /// Whether it waits for a permit or the lock.
    pub(crate) fn has_needs(&self, pack: u8) -> bool {
        self.needs(pack) != (0, false)
    }

    /// Whether it can never be claimed: each of its tasks weighs more than the limit.
    pub(crate) fn is_too_heavy(&self, store: &Store, pack: u8) -> bool {
        self.needs(pack).0 > store.limit()
    }

    /// Whether somebody outside can never be granted what it waits for.
    pub(crate) fn wants_too_much(&self, store: &Store, holder: u8) -> bool {
        self.outside(holder).0 > store.limit()
    }

    /// Times the lock is held, and claims with it that have several tasks.
    pub(crate) fn lock_is_held_once(&self, store: &Store) -> bool {
        self.held(store).1 <= 1
    }

    /// The compare of the rules that a limit was read under; none where there are no limits.
    pub(crate) fn rules(&self, state: &State, permits: bool, without: Weakening) -> Option<Guard> {
        let test = Test::Modified(state.store.modified(Key::Rules));
        let key = Key::Rules;
        let compared = permits && !self.protocol.lacks(without);
        compared.then_some(Guard { key, test })
    }

    pub(crate) fn park(&self, state: &State, leader: u8, key: Key) -> Option<Flight> {
        let seen = Self::seen(state, key)?;
        let txn = self.protocol.park(&seen);
        Some(self.fenced(state, leader, What::Park(key), vec![txn]))
    }

    pub(crate) fn edit(&self, state: &State) -> Option<Flight> {
        let limit = self.config.lowered?;
        let txn = self.protocol.edit(state.store.modified(Key::Limit), limit);
        Some(flight(What::Edit, From::User, vec![txn]))
    }

    pub(crate) fn want(state: &State, holder: u8) -> Flight {
        let txn = Protocol::want(holder, lease(state, holder));
        flight(What::Want(holder), From::Holder(holder), vec![txn])
    }

    /// A leader grants what somebody outside waits for, where it is free.
    pub(crate) fn grant(&self, state: &State, leader: u8, holder: u8) -> Option<Flight> {
        let want = Key::Want(holder);
        let needs = self.outside(holder);
        let waits = state.store.has(want) && !Self::reserved(state, leader, want);
        if !waits || !self.free(state, leader, needs) {
            return None;
        }
        let modified = state.store.modified(want);
        let mut txn = self.protocol.grant(holder, modified, lease(state, holder));
        let rules = self.rules(state, needs.0 > 0, Weakening::GrantWithoutRules);
        txn.guards.extend(rules);
        Some(self.fenced(state, leader, What::Grant(holder), vec![txn]))
    }

    pub(crate) fn release(&self, state: &State, holder: u8) -> Option<Flight> {
        let hold = state.store.created(Key::Hold(holder));
        let what = What::Release(holder);
        let sent = state.awaited().any(|flight| flight.what == what);
        let here = state.store.has(Key::Lease(holder));
        let txn = self.protocol.release(holder, hold);
        (here && hold != 0 && !sent).then(|| flight(what, From::Holder(holder), vec![txn]))
    }

    /// Whether a leader parks this record now.
    pub(crate) fn parks(&self, state: &State, leader: u8, place: Place, pack: u8) -> bool {
        place == Place::Ready && self.has_needs(pack) && !self.fits(state, leader, pack, 1)
    }
}

fn lease(state: &State, holder: u8) -> Rev {
    state.store.created(Key::Lease(holder))
}

fn sum(all: impl Iterator<Item = (u32, u32)>) -> (u32, u32) {
    all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
