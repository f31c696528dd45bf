//! Every transaction Tenure sends, one function each: reading this file is reading the protocol.
//!
//! Each says what it **guards** (compares), what it **writes**, and what it means when it is **refused** by which
//! guard. The leader's are sent inside an outer transaction that guards its term (see [`fenced`]). Nothing here
//! decides: a [`Change`] comes in, a [`Txn`] goes out. Guards that may be retried compare mod revisions, because
//! "absent" can become true again.

use tenure_cluster::{Guard, Op, Session, Txn};

use super::breakers::{BreakerRecord, Reset};
use super::change::{
    Act, Assign, Change, Collect, DropLane, Fire, Grant, Park, Postpone, Raise, Reclaim, Report,
    Settled, StopRuns, Submit, Term, Waiting,
};
use super::deaths::Death;
use super::failovers::Telling;
use super::guard::GuardName;
use super::keys::{Keys, Lane, Origin, Place, RecordId};
use super::limits::Basis;
use super::records::{
    Attempt, Drain, Idem, Next, Outcomes, Outside, Record, Released, Run, Seen, Stop, encode,
};
use crate::planted::{self, Bug};
use crate::task::{
    ClaimId, Gate, Name, Outcome, PAGES_MAX, Pack, PackId, Progress, Schedule, Step, Tally, Which,
};

/// 512 B: a pack at most this long travels inside its records, so that a node starts its tasks without a read.
pub const INLINE_BYTES_MAX: usize = 512;

/// 100 operations to one nested transaction: below etcd's 128 per list, less what the outer list holds.
const NESTED_OPS_MAX: usize = 100;

/// The transaction of a change, without the leader's fence.
pub fn txn(keys: &Keys, change: &Change) -> Txn {
    match change {
        Change::Submit(submit) => accept(keys, submit),
        Change::Promote(due) => promote(keys, due),
        Change::Assign(assign) => claim(keys, assign),
        Change::Park(park) => self::park(keys, park),
        Change::Grant(grant) => self::grant(keys, grant),
        Change::DropLane(empty) => drop_lane(keys, empty),
        Change::Touch(waiting) => touch(keys, waiting),
        Change::Report(done) => report(keys, done),
        Change::Stop(runs) => stop(keys, runs),
        Change::Reclaim(lost) => reclaim(keys, lost),
        Change::Cancel(act) => cancel(keys, act),
        Change::Revive(act) => revive(keys, act),
        Change::Raise(to) => raise(keys, to),
        Change::Collect(ended) => collect(keys, ended),
        Change::Unmark(mark) => unmark(mark),
        Change::Postpone(mark) => postpone(keys, mark),
        Change::Record(term) => record(keys, term),
        Change::Fire(due) => fire(keys, due),
        Change::Tell(what) => tell(keys, what),
    }
}

/// Nests transactions under the leader's fence: one that lost its race fails alone, all fail with the term.
///
/// Guards   `term`: the leader's election key has the create revision it was activated with.
/// Writes   what the nested ones write.
/// Refused  term: we no longer lead; nothing was written, whatever the delay.
pub fn fenced(term: Guard, inner: Vec<Txn>) -> Txn {
    let name = GuardName::Term.name();
    let term = Guard { name, ..term };
    inner.into_iter().fold(Txn::new().guard(term), Txn::nest)
}

/// The cluster's first transaction, and every node's: harmless when it has been done.
///
/// Guards   `horizon`: there is none.
/// Writes   the lowest horizon. A submit compares against it, and a compare with a missing key is false.
/// Refused  horizon: it was done before.
pub fn initialise(keys: &Keys) -> Txn {
    let lowest = PackId::floor(0).to_string();
    Txn::new()
        .guard(Guard::absent(GuardName::Horizon.name(), keys.horizon()))
        .put(keys.horizon(), lowest)
}

/// Tells what a node's wall clock says. The node's.
///
/// Guards   `node`: its session lives.
/// Writes   the clock, leased: it goes with the session.
/// Refused  node: the session is over.
pub fn clock(keys: &Keys, node: &Name, session: &Session, now_ms: u64) -> Txn {
    Txn::new()
        .guard(Guard::created_at(
            GuardName::Node.name(),
            keys.node(node),
            session.revision(),
        ))
        .put_leased(keys.clock(node), now_ms.to_string(), session.lease())
}

/// Tells which circuit breakers of a node are not closed. The node's.
///
/// Guards   `node`: its session lives.
/// Writes   the list, leased: it goes with the session; gone where all are closed.
/// Refused  node: the session is over.
pub fn breakers(keys: &Keys, node: &Name, session: &Session, told: &[BreakerRecord]) -> Txn {
    let name = GuardName::Node.name();
    let alive = Guard::created_at(name, keys.node(node), session.revision());
    let txn = Txn::new().guard(alive);
    if told.is_empty() {
        return txn.delete(keys.breaker(node));
    }
    txn.put_leased(keys.breaker(node), encode(&told), session.lease())
}

/// Asks a node to close circuit breakers. Anyone's, with the role admin; `session` is the node's: create revision of its key, and lease.
///
/// Guards   `node`: the session lives that was seen.
/// Writes   what is to be closed, leased to that session: the node hears of it by its watch.
/// Refused  node: the session is over; another one's node is to be looked for.
pub fn reset(keys: &Keys, node: &Name, session: (i64, i64), reset: &Reset) -> Txn {
    let (revision, lease) = session;
    let name = GuardName::Node.name();
    Txn::new()
        .guard(Guard::created_at(name, keys.node(node), revision))
        .put_leased(keys.reset(node), encode(reset), lease)
}

/// Puts on record that a node's session ends by evidence. Anyone's who has that evidence; its lease is revoked after this.
///
/// Guards   `node`: the session is still there; `death`: nobody has put it on record.
/// Writes   the record of the death.
/// Refused  node: the session is over, there is nothing to end. death: somebody was faster, and revokes; the record is in the reads.
pub fn die(keys: &Keys, session: i64, death: &Death) -> Txn {
    let record = keys.death(session);
    let node = keys.node(&death.node);
    Txn::new()
        .guard(Guard::created_at(GuardName::Node.name(), node, session))
        .guard(Guard::absent(GuardName::Death.name(), &record))
        .or_get(&record)
        .put(record, encode(death))
}

/// Forgets deaths. Anyone's: sessions are never named twice, so that a late copy takes nothing else away.
///
/// Guards   none.
/// Writes   the records gone.
/// Refused  never.
pub fn forget_deaths(keys: &Keys, sessions: &[i64]) -> Txn {
    let records = sessions.iter().map(|session| keys.death(*session));
    records.fold(Txn::new(), Txn::delete)
}

/// Nests transactions without a fence: each holds or loses alone, and etcd checks its quota for none of them.
pub fn beside(inner: Vec<Txn>) -> Txn {
    inner.into_iter().fold(Txn::new(), Txn::nest)
}

/// Marks a lane, so that a leader that takes over knows where ready work may wait. Sent before the first submit to it.
///
/// Guards   `lane`: there is no mark.
/// Writes   the mark.
/// Refused  lane: it is marked.
pub fn lane(keys: &Keys, lane: &Lane) -> Txn {
    Txn::new()
        .guard(Guard::absent(GuardName::Lane.name(), keys.lane(lane)))
        .put(keys.lane(lane), Vec::new())
}

/// Marks several lanes, each by its own [`lane`].
pub fn lanes(keys: &Keys, lanes: &[Lane]) -> Txn {
    let marks = lanes.iter().map(|one| lane(keys, one));
    marks.fold(Txn::new(), Txn::nest)
}

/// Accepts packs, whole or not at all.
///
/// Guards   `horizon`: below the oldest pack, so that a late duplicate of a collected pack is not accepted again;
///          `pack`: the first pack is new (the others share its fate); `idem`: each idempotency key is unused.
/// Writes   the packs; their ready or due records; the idempotency keys.
/// Refused  pack: an earlier copy of this very submit was committed. idem: somebody used the key; its holder is in the reads.
///          horizon: the submit may be a late copy, or a late twin, of what was collected: it is older than half the retention.
fn accept(keys: &Keys, submit: &Submit) -> Txn {
    let oldest = submit
        .packs
        .iter()
        .map(|(id, _)| *id)
        .min()
        .expect("a submit has a pack");
    let (first, _) = submit.packs.first().expect("a submit has a pack");
    let mut txn = Txn::new()
        .guard(Guard::value_below(
            GuardName::Horizon.name(),
            keys.horizon(),
            oldest.to_string(),
        ))
        .guard(Guard::absent(GuardName::Pack.name(), keys.pack(*first)))
        .or_get(keys.pack(*first));
    let compared = |_: &&(String, Idem)| !planted::is(Bug::KeyNotCompared);
    for (key, _) in submit.idem.iter().filter(compared) {
        txn = txn
            .guard(Guard::absent(GuardName::Idem.name(), keys.idem(key)))
            .or_get(keys.idem(key));
    }
    let ops: Vec<Op> = submit
        .packs
        .iter()
        .flat_map(|(id, pack)| accepted(keys, *id, pack, submit.inline))
        .chain(
            submit
                .idem
                .iter()
                .map(|(key, idem)| put(keys.idem(key), encode(idem))),
        )
        .collect();
    if ops.len() <= NESTED_OPS_MAX {
        return ops.into_iter().fold(txn, Txn::op);
    }
    ops.chunks(NESTED_OPS_MAX).fold(txn, |txn, chunk| {
        txn.nest(chunk.iter().cloned().fold(Txn::new(), Txn::op))
    })
}

fn accepted(keys: &Keys, id: PackId, pack: &Pack, inline: bool) -> [Op; 2] {
    let value = encode(pack);
    let small = inline && value.len() <= INLINE_BYTES_MAX;
    let record = Record {
        routing: pack.routing.clone(),
        which: pack.which(),
        size: u16::try_from(pack.tasks.len()).expect("a pack has at most 256 tasks"),
        tally: Tally::default(),
        since_ms: pack.created_ms,
        why: None,
        inline: small.then(|| Box::new(pack.clone())),
    };
    let place = pack.run_at_ms.map_or(Place::Ready, Place::Due);
    let key = keys.record(place, &pack.routing, &RecordId::submitted(id));
    [put(keys.pack(id), value), put(key, encode(&record))]
}

/// Makes scheduled tasks ready. The leader's.
///
/// Guards   `due`: the record as it was seen, so that a cancel in between is not undone.
/// Writes   the due record gone; a ready record of the same name.
/// Refused  due: it was cancelled, made less, or promoted.
fn promote(keys: &Keys, due: &Waiting) -> Txn {
    let ready = Record {
        since_ms: due.now_ms,
        ..due.seen.value.clone()
    };
    guarded(GuardName::Due, keys, due)
        .delete(due.key(keys))
        .put(
            keys.record(Place::Ready, due.routing(), &due.id),
            encode(&ready),
        )
}

/// Claims ready tasks for nodes. A claim is what holds their permits, locks and shares of a concurrency key: they are had with it and
/// end with it, in whatever transaction makes it less. The leader's.
///
/// Guards   `ready`: the record as it was seen; `node`: each node's session lives; `rules`: no limit and no queue's rules were edited
///          since the view this was decided from.
/// Writes   the ready record less or gone; a claim for each node, naming its session and instance.
/// Refused  ready: someone moved it, plan again. node: it just died. rules: plan again by the new ones.
fn claim(keys: &Keys, assign: &Assign) -> Txn {
    let from = &assign.from;
    let record = &from.seen.value;
    let taken = assign
        .takes
        .iter()
        .fold(Which::NONE, |all, take| all.or(take.which));
    let mut txn = guarded(GuardName::Ready, keys, from);
    if !planted::is(Bug::EditNotCompared) {
        txn = txn.guard(unedited(keys, assign.rules));
    }
    for take in &assign.takes {
        let run = Run {
            pack: from.id.pack,
            routing: record.routing.clone(),
            which: take.which,
            size: record.size,
            covers: take.which.len() == usize::from(record.size),
            tally: record.tally,
            session: take.session,
            instance: take.instance.clone(),
            term: assign.term,
            decided: assign.decided,
            n: 0,
            ready_ms: record.since_ms,
            claimed_ms: from.now_ms,
            inline: record.inline.clone(),
        };
        if !planted::is(Bug::AssignWithoutNode) {
            let node = keys.node(&take.node);
            let name = GuardName::Node.name();
            txn = txn.guard(Guard::created_at(name, node, take.session));
        }
        txn = txn.put(keys.run(&take.node, take.claim), encode(&run));
    }
    txn.op(less(keys, from, taken))
}

/// Moves ready tasks to the lane of what they wait for, so that they hold up nothing behind them. The leader's.
///
/// Guards   `ready`: the record as it was seen.
/// Writes   the ready record gone; the same in the other lane; that lane's mark, where it is not the one its submit marked.
/// Refused  ready: someone moved it, plan again.
fn park(keys: &Keys, park: &Park) -> Txn {
    let from = &park.from;
    let txn = guarded(GuardName::Ready, keys, from)
        .delete(from.key(keys))
        .put(
            keys.record(park.to, from.routing(), &from.id),
            encode(&from.seen.value),
        );
    match lane_mark(keys, park) {
        Some(mark) => txn.put(mark, Vec::new()),
        None => txn,
    }
}

/// The mark of the lane that a park leads to, where it puts one; its own lane's was put before its submit.
fn lane_mark(keys: &Keys, park: &Park) -> Option<String> {
    let puts = park.mark && park.to != Place::Ready && !planted::is(Bug::ParkUnmarked);
    puts.then(|| keys.lane(&Lane::at(park.from.routing(), park.to)))
}

/// Forgets a lane of a lock or a key that is empty. Nothing but [`park`] puts work there, and that puts the mark anew. The leader's.
///
/// Guards   `lane`: the mark as it was seen, so that nothing was parked there since.
/// Writes   the mark gone.
/// Refused  lane: something was parked there.
fn drop_lane(keys: &Keys, empty: &DropLane) -> Txn {
    let mark = keys.lane(&empty.lane);
    Txn::new()
        .guard(Guard::modified_at(
            GuardName::Lane.name(),
            &mark,
            empty.modified,
        ))
        .delete(mark)
}

/// Gives a lock or permits to who waits outside, on its own lease. The leader's: nobody else adds up what is held.
///
/// Guards   `want`: the request as it was seen; its key has the lease, so the lease lives. `rules`: as in the assignment of tasks.
/// Writes   the request gone; the hold, leased.
/// Refused  want: it gave up, or its lease is over, or an earlier copy was committed. rules: plan again by the new ones.
fn grant(keys: &Keys, grant: &Grant) -> Txn {
    let want = keys.want(&grant.gate, grant.id);
    let hold = Outside {
        since_ms: grant.now_ms,
        ..grant.want.value.clone()
    };
    let leased = !planted::is(Bug::HoldWithoutLease);
    let lease = if leased { grant.lease } else { 0 };
    Txn::new()
        .guard(Guard::modified_at(
            GuardName::Want.name(),
            &want,
            grant.want.modified,
        ))
        .guard(unedited(keys, grant.rules))
        .delete(want)
        .put_leased(keys.hold(&grant.gate, grant.id), encode(&hold), lease)
}

/// Asks for a lock or permits from outside. Its own.
///
/// Guards   `want`: it does not wait; `hold`: it does not hold.
/// Writes   the request, leased: it goes with who waits. A copy that comes after the hold was released brings a request of nobody; it
///          goes at once where the lease was given back, and with the lease, which nobody renews, where that failed.
/// Refused  want, hold: an earlier copy was committed.
pub fn want(keys: &Keys, gate: &Gate, id: u128, asked: &Outside, lease: i64) -> Txn {
    let (want, hold) = (keys.want(gate, id), keys.hold(gate, id));
    Txn::new()
        .guard(Guard::absent(GuardName::Want.name(), &want))
        .guard(Guard::absent(GuardName::Hold.name(), hold))
        .put_leased(want, encode(asked), lease)
}

/// Takes a hold from its holder, by its fence and never by its name: its holder's, or an admin's.
///
/// Guards   `hold`: it is the one with this fence.
/// Writes   the hold gone.
/// Refused  hold: it is over.
pub fn release(keys: &Keys, gate: &Gate, id: u128, fence: i64) -> Txn {
    let hold = keys.hold(gate, id);
    let mut txn = Txn::new();
    if !planted::is(Bug::ReleaseByName) {
        txn = txn.guard(Guard::created_at(GuardName::Hold.name(), &hold, fence));
    }
    txn.delete(hold)
}

/// Takes a hold from its holder against its will, by its fence and id, and puts that on record. An admin's.
///
/// Guards   `hold`: it is the one with this fence.
/// Writes   the hold gone; a record of it, under a key of its own; the oldest such records gone.
/// Refused  hold: it is over, or an earlier copy was committed: then the record of it is there.
pub fn force_release(keys: &Keys, taken: &Released, forget: &[String]) -> Txn {
    let id = taken.id.as_u128();
    let record = keys.released(taken.fence, &taken.gate, id);
    // etcd refuses a put and a delete of one key in one transaction.
    let forget = forget.iter().filter(|old| **old != record);
    let txn = release(keys, &taken.gate, id, taken.fence);
    let txn = forget.fold(txn, Txn::delete);
    txn.put(record, encode(taken))
}

/// Edits a limit or a queue's rules, or takes them away. An admin's.
///
/// Guards   `edited`: it is as it was seen; where there was none, `rules` too: nothing was edited since, so that a late copy does not
///          bring back what was taken away after an earlier one.
/// Writes   it, or it gone; the mark of edits, so that nothing is given out by the old ones after this.
/// Refused  edited: someone else edited it, or an earlier copy was committed, look again. rules: so did someone, anything.
pub fn edit(keys: &Keys, key: &str, value: Option<Vec<u8>>, basis: Basis) -> Txn {
    let Basis { modified, rules } = basis;
    let edited = Guard::modified_at(GuardName::Edited.name(), key, modified);
    let mut txn = Txn::new().guard(edited);
    if modified == 0 {
        // The absence of a key can come back; this mark never goes.
        txn = txn.guard(unedited(keys, rules));
    }
    let txn = txn.or_get(key).put(keys.rules(), Vec::new());
    match value {
        Some(value) => txn.put(key, value),
        None => txn.delete(key),
    }
}

/// Takes a node out of service until it is undrained, whoever runs under its name by then. An admin's; `session` is the node's.
///
/// Guards   `node`: the session lives that was seen; `edited`: the drain is as it was seen; where there was none, `rules` too, as in an
///          edit.
/// Writes   the drain; the mark of edits: an assignment compares it, so none that was decided before this follows it.
/// Refused  node: it has left, or came back: look again. edited: somebody drained or undrained it, or an earlier copy was committed.
///          rules: something was edited, look again.
pub fn drain(keys: &Keys, node: &Name, session: i64, drain: &Drain, basis: Basis) -> Txn {
    let alive = Guard::created_at(GuardName::Node.name(), keys.node(node), session);
    edit(keys, &keys.drain(node), Some(encode(drain)), basis).guard(alive)
}

/// Puts a node back into service. An admin's.
///
/// Guards   `edited`: the drain is as it was seen.
/// Writes   the drain gone. Not the mark of edits: what was decided while it was there gives nothing to that node.
/// Refused  edited: somebody drained it anew or undrained it, or an earlier copy was committed.
pub fn undrain(keys: &Keys, node: &Name, modified: i64) -> Txn {
    let key = keys.drain(node);
    Txn::new()
        .guard(Guard::modified_at(GuardName::Edited.name(), &key, modified))
        .or_get(&key)
        .delete(key)
}

/// What a node writes along with its record when that says that it leaves.
///
/// Guards   the record's own: the session, and the record as it was written last.
/// Writes   the mark of edits, as [`drain`] does: from this revision on, no claim is made for the node by whoever has not seen it leave.
/// Refused  with the record.
pub fn leaving(keys: &Keys) -> Op {
    put(keys.rules(), Vec::new())
}

/// Nothing was edited since.
fn unedited(keys: &Keys, rules: i64) -> Guard {
    Guard::modified_at(GuardName::Rules.name(), keys.rules(), rules)
}

/// Writes a record as it is, so that whatever was sent for it before is refused. The leader's.
///
/// Guards   `waiting`: the record as it was seen.
/// Writes   the same value: a new mod revision.
/// Refused  waiting: what was sent before has committed, or someone else moved it.
fn touch(keys: &Keys, waiting: &Waiting) -> Txn {
    guarded(GuardName::Waiting, keys, waiting).put(waiting.key(keys), encode(&waiting.seen.value))
}

/// Commits outcomes of a claim's tasks, once, and hands back what will not run. Its node's.
///
/// Guards   `run`: the claim as it was seen, so that a report from a reclaimed claim is refused; `stop`, where anything goes on:
///          as it was seen, so that a cancel is not overlooked.
/// Writes   the claim less or gone (then its stop too); the outcomes; a mark where the pack may have ended; records of what goes on.
/// Refused  run: reclaimed, or an earlier copy of this report was committed: the reads (claim, stop, own result) tell which.
///          stop: more was cancelled meanwhile.
fn report(keys: &Keys, done: &Report) -> Txn {
    let run = keys.run(&done.node, done.claim);
    let stop = keys.stop(&done.node, done.claim);
    let result = keys.result(done.pack, done.claim.into(), done.settled.n);
    let mut txn = Txn::new()
        .or_get(run.clone())
        .or_get(stop.clone())
        .or_get(result);
    if !planted::is(Bug::ReportWithoutClaim) {
        txn = txn.guard(Guard::modified_at(
            GuardName::Run.name(),
            &run,
            done.modified,
        ));
    }
    if !done.settled.records.is_empty() && !planted::is(Bug::ReportWithoutStop) {
        txn = txn.guard(Guard::modified_at(GuardName::Stop.name(), &stop, done.stop));
    }
    txn = match &done.rest {
        Some(rest) => txn.put(run, encode(rest)),
        None => txn.delete(run).delete(stop),
    };
    settle(
        keys,
        txn,
        (done.pack, done.claim),
        &done.settled,
        done.now_ms,
    )
}

/// Cancels running tasks: durable, so that a death in between cannot revive them. Anyone's.
///
/// Guards   `run`: the claim as it was seen; `stop`: as it was seen.
/// Writes   the stop.
/// Refused  run: an outcome was reported or it was reclaimed, look again. stop: someone else cancelled too, look again.
fn stop(keys: &Keys, runs: &StopRuns) -> Txn {
    let key = keys.stop(&runs.node, runs.claim);
    Txn::new()
        .guard(Guard::modified_at(
            GuardName::Run.name(),
            keys.run(&runs.node, runs.claim),
            runs.modified,
        ))
        .guard(Guard::modified_at(GuardName::Stop.name(), &key, runs.stop))
        .put(key, encode(&Stop { which: runs.which }))
}

/// Takes a claim from a dead session. The leader's.
///
/// Guards   `run`: the claim as it was seen; `stop`: as it was seen; `node`: its key is gone or another session's.
/// Writes   claim and stop gone; outcomes (lost; cancelled for the stopped); a mark; records of what goes on.
/// Refused  run: the node reported first. stop: more was cancelled. node: the session lives after all.
fn reclaim(keys: &Keys, lost: &Reclaim) -> Txn {
    let run = keys.run(&lost.node, lost.claim);
    let stop = keys.stop(&lost.node, lost.claim);
    let mut txn = Txn::new();
    if !planted::is(Bug::ReclaimWithoutClaim) {
        let name = GuardName::Run.name();
        txn = txn.guard(Guard::modified_at(name, &run, lost.modified));
    }
    let txn = txn
        .guard(Guard::modified_at(GuardName::Stop.name(), &stop, lost.stop))
        .guard(Guard::not_created_at(
            GuardName::Node.name(),
            keys.node(&lost.node),
            lost.gone,
        ))
        .delete(run)
        .delete(stop);
    settle(
        keys,
        txn,
        (lost.pack, lost.claim),
        &lost.settled,
        lost.now_ms,
    )
}

/// Cancels waiting or dead tasks. Anyone's.
///
/// Guards   `waiting`: the record as it was seen.
/// Writes   the record less or gone; the outcome; a mark.
/// Refused  waiting: it was moved or made less, look again.
fn cancel(keys: &Keys, act: &Act) -> Txn {
    let id = act.from.id;
    let txn = guarded(GuardName::Waiting, keys, &act.from)
        .op(less(keys, &act.from, act.which))
        .put(
            keys.result(id.pack, Origin::Act(act.act), 0),
            outcome(act, Outcome::Cancelled, None),
        );
    if planted::is(Bug::CancelUnmarked) {
        return txn;
    }
    txn.put(keys.gc(act.from.now_ms, id.pack), Vec::new())
}

/// Makes dead tasks ready again, with new budgets. Anyone's.
///
/// Guards   `waiting`: the dead record as it was seen.
/// Writes   the dead record less or gone; a ready record; a result that leads to it.
/// Refused  waiting: someone else revived or cancelled it, look again.
fn revive(keys: &Keys, act: &Act) -> Txn {
    let id = RecordId {
        origin: Origin::Act(act.act),
        n: 0,
        ..act.from.id
    };
    let dead = &act.from.seen.value;
    let ready = Record {
        which: act.which,
        tally: Tally {
            attempts: dead.tally.attempts,
            failures: u32::from(planted::is(Bug::ReviveKeepsFailures)) * dead.tally.failures,
            ..Tally::default()
        },
        since_ms: act.from.now_ms,
        why: None,
        ..dead.clone()
    };
    guarded(GuardName::Waiting, keys, &act.from)
        .op(less(keys, &act.from, act.which))
        .put(
            keys.record(Place::Ready, &dead.routing, &id),
            encode(&ready),
        )
        .put(
            keys.result(id.pack, id.origin, 0),
            outcome(act, Outcome::Revived, Some(Next::Ready { n: 0 })),
        )
}

/// Raises the horizon before anything below it is collected: above each pack that will be, and above what was made within half the
/// retention of its end, its twins. The leader's.
///
/// Guards   `horizon`: lower than this.
/// Writes   the horizon.
/// Refused  horizon: it was raised before.
fn raise(keys: &Keys, to: &Raise) -> Txn {
    let horizon = to.horizon.to_string();
    Txn::new()
        .guard(Guard::value_below(
            GuardName::Horizon.name(),
            keys.horizon(),
            horizon.clone(),
        ))
        .put(keys.horizon(), horizon)
}

/// Forgets a pack whose tasks have all ended. The leader's.
///
/// Guards   `horizon`: above the pack, so that no late copy of its submit is accepted; `gc`: the mark as it was seen.
/// Writes   pack, idempotency keys, outcomes and mark gone.
/// Refused  horizon: raise it first. gc: another mark was put, look again.
fn collect(keys: &Keys, ended: &Collect) -> Txn {
    let txn = Txn::new()
        .guard(Guard::value_above(
            GuardName::Horizon.name(),
            keys.horizon(),
            ended.pack.to_string(),
        ))
        .guard(Guard::modified_at(
            GuardName::Gc.name(),
            ended.mark.clone(),
            ended.modified,
        ))
        .delete(keys.pack(ended.pack))
        .op(Op::DeletePrefix {
            prefix: keys.results_of(ended.pack),
        })
        .delete(ended.mark.clone());
    ended
        .idem
        .iter()
        .fold(txn, |txn, key| txn.delete(keys.idem(key)))
}

/// Drops a mark whose pack has not ended: its last outcome will put another. The leader's.
///
/// Guards   `gc`: the mark as it was seen.
/// Writes   the mark gone.
/// Refused  gc: it was put anew, look again.
fn unmark(mark: &Collect) -> Txn {
    Txn::new()
        .guard(Guard::modified_at(
            GuardName::Gc.name(),
            mark.mark.clone(),
            mark.modified,
        ))
        .delete(mark.mark.clone())
}

/// Moves the mark of a pack that has ended and may not be forgotten yet to a later minute, so that it is not looked at until then.
/// The leader's.
///
/// Guards   `gc`: the mark as it was seen.
/// Writes   the mark gone; one of the later minute.
/// Refused  gc: it was put anew, look again.
fn postpone(keys: &Keys, to: &Postpone) -> Txn {
    unmark(&to.mark).put(keys.gc(to.ended_ms, to.mark.pack), Vec::new())
}

/// Marks a pack that may have ended, or a lane that has work: what several changes of a batch would put is put by this one alone. It
/// stands also where those are refused; a mark too many is dropped again, one too few would keep its pack for ever, or hide its work.
///
/// Guards   none.
/// Writes   the mark.
/// Refused  never alone.
pub fn mark(key: String) -> Txn {
    Txn::new().put(key, Vec::new())
}

/// The mark that a report, reclaim or park puts, where it does.
pub fn mark_of(keys: &Keys, change: &Change) -> Option<String> {
    let (marks, now_ms, pack) = match change {
        Change::Park(park) => return lane_mark(keys, park),
        Change::Report(done) => (done.settled.mark, done.now_ms, done.pack),
        Change::Reclaim(lost) => (lost.settled.mark, lost.now_ms, lost.pack),
        Change::Submit(_)
        | Change::Promote(_)
        | Change::Assign(_)
        | Change::Grant(_)
        | Change::DropLane(_)
        | Change::Touch(_)
        | Change::Stop(_)
        | Change::Cancel(_)
        | Change::Revive(_)
        | Change::Raise(_)
        | Change::Collect(_)
        | Change::Unmark(_)
        | Change::Postpone(_)
        | Change::Record(_)
        | Change::Fire(_)
        | Change::Tell(_) => return None,
    };
    marks.then(|| keys.gc(now_ms, pack))
}

/// Writes the leadership history. The leader's.
///
/// Guards   none of its own: the term's fence is around it.
/// Writes   this term's record; the ends of former ones; old ones gone.
/// Refused  never alone.
fn record(keys: &Keys, term: &Term) -> Txn {
    let txn = Txn::new().put(keys.term(term.term), encode(&term.record));
    let txn = term.formers.iter().fold(txn, |txn, (former, record)| {
        txn.put(keys.term(*former), encode(record))
    });
    term.forget
        .iter()
        .fold(txn, |txn, old| txn.delete(keys.term(*old)))
}

/// Puts on record what became of a session or a term that is over, or amends that. The leader's.
///
/// Guards   `failover`: the record as it was seen; none where there was none.
/// Writes   the record; notes of deaths that nobody needs any more gone; the oldest records gone.
/// Refused  failover: an earlier copy was committed, or another leader's: read it, and amend that.
fn tell(keys: &Keys, what: &Telling) -> Txn {
    let record = keys.failover(what.id);
    let seen = Guard::modified_at(GuardName::Failover.name(), &record, what.seen);
    let txn = Txn::new().guard(seen).put(record, encode(&what.record));
    // etcd refuses two writes of one key in one transaction.
    let forget = what.forget.iter().filter(|old| **old != what.id);
    let txn = forget.fold(txn, |txn, old| txn.delete(keys.failover(*old)));
    let swept = what.swept.iter();
    swept.fold(txn, |txn, old| txn.delete(keys.death(*old)))
}

/// Declares a schedule that is not there. An admin's.
///
/// Guards   `schedule`: there is none of this name; `deleted`: none was deleted since, so that a late copy brings none back.
/// Writes   the schedule; its progress; its tick, where it is due at all; the mark of the lane that its tasks wait in.
/// Refused  schedule: somebody declared one, or an earlier copy was committed. deleted: some schedule was deleted, look again.
pub fn declare(
    keys: &Keys,
    name: &Name,
    schedule: &Schedule,
    progress: &Progress,
    deleted: i64,
) -> Txn {
    let key = keys.schedule(name);
    let txn = Txn::new()
        .guard(Guard::absent(GuardName::Schedule.name(), &key))
        .guard(Guard::modified_at(
            GuardName::Deleted.name(),
            keys.deleted(),
            deleted,
        ))
        .put(key, encode(schedule))
        .put(keys.lane(&Lane::of(&schedule.routing)), Vec::new())
        .put(keys.progress(name), encode(progress));
    ticked(keys, txn, name, None, progress.tick_ms)
}

/// Edits, pauses or resumes a schedule. An admin's.
///
/// Guards   `schedule`: as it was seen; `progress`: as it was seen, so that no due time is fired by the old one after this.
/// Writes   the schedule; its progress; its tick moved; the pages of its ledger that are full by that, the oldest gone; the mark of the
///          lane that its tasks wait in.
/// Refused  schedule: somebody edited or deleted it, or an earlier copy was committed. progress: it was fired, look again.
pub fn amend(
    keys: &Keys,
    name: &Name,
    schedule: (&Schedule, i64),
    from: &Seen<Progress>,
    step: &Step,
) -> Txn {
    let (schedule, modified) = schedule;
    let txn = unmoved(keys, name, modified, from)
        .put(keys.schedule(name), encode(schedule))
        .put(keys.lane(&Lane::of(&schedule.routing)), Vec::new());
    advanced(keys, txn, name, from, step)
}

/// Deletes a schedule; its tasks stay. An admin's.
///
/// Guards   `schedule`: as it was seen; `progress`: as it was seen.
/// Writes   the schedule, its progress, its tick and its ledger gone; the mark of deleted ones.
/// Refused  as amend.
pub fn withdraw(keys: &Keys, name: &Name, modified: i64, from: &Seen<Progress>) -> Txn {
    let txn = unmoved(keys, name, modified, from)
        .delete(keys.schedule(name))
        .delete(keys.progress(name))
        .delete_prefix(keys.ledger_of(name))
        .put(keys.deleted(), Vec::new());
    ticked(keys, txn, name, from.value.tick_ms, None)
}

/// Fires due times of a schedule, or says why not, each once: whoever decides about one decides from the progress that says it is open.
/// The leader's, where their time has come; anyone's, where a user wants a task now or those of some time.
///
/// Guards   `schedule`: as it was seen, so that none is fired by what was edited; `progress`: as it was seen. For each task, nested:
///          `pack`: there is none of this id.
/// Writes   the progress; the tick moved; the pages of the ledger that are full by that, the oldest gone. For each task its pack and
///          its ready record.
/// Refused  schedule: it was edited or deleted, look again. progress: it was fired, or an earlier copy was committed. pack: that
///          task alone is not made: it is there.
fn fire(keys: &Keys, due: &Fire) -> Txn {
    let Fire {
        schedule: name,
        modified,
        from,
        step,
    } = due;
    let txn = advanced(keys, unmoved(keys, name, *modified, from), name, from, step);
    step.fires.iter().fold(txn, |txn, (id, pack)| {
        let new = Guard::absent(GuardName::Pack.name(), keys.pack(*id));
        let task = Txn::new().guard(new).or_get(keys.pack(*id));
        let made = accepted(keys, *id, pack, true);
        txn.nest(made.into_iter().fold(task, Txn::op))
    })
}

/// Nothing was done to the schedule since it was seen.
fn unmoved(keys: &Keys, name: &Name, modified: i64, from: &Seen<Progress>) -> Txn {
    let (of, key) = (GuardName::Schedule.name(), keys.schedule(name));
    let txn = Txn::new().guard(Guard::modified_at(of, key, modified));
    if planted::is(Bug::FireWithoutProgress) {
        return txn;
    }
    let (of, key) = (GuardName::Progress.name(), keys.progress(name));
    txn.guard(Guard::modified_at(of, key, from.modified))
}

/// What a step writes beside its tasks.
fn advanced(keys: &Keys, txn: Txn, name: &Name, from: &Seen<Progress>, step: &Step) -> Txn {
    let txn = txn.put(keys.progress(name), encode(&step.progress));
    let txn = step.pages.iter().fold(txn, |txn, (number, page)| {
        let txn = txn.put(keys.ledger(name, *number), encode(page));
        match number.checked_sub(PAGES_MAX) {
            Some(oldest) => txn.delete(keys.ledger(name, oldest)),
            None => txn,
        }
    });
    ticked(keys, txn, name, from.value.tick_ms, step.progress.tick_ms)
}

/// Moves a tick; one that stays is not written anew.
fn ticked(keys: &Keys, txn: Txn, name: &Name, from: Option<u64>, to: Option<u64>) -> Txn {
    if from == to {
        return txn;
    }
    let gone = from
        .iter()
        .fold(txn, |txn, ms| txn.delete(keys.tick(*ms, name)));
    to.iter()
        .fold(gone, |txn, ms| txn.put(keys.tick(*ms, name), Vec::new()))
}

/// Ends a term from any node: what `POST /v1/leader/resign` sends.
///
/// Guards   `term`: this leader still leads.
/// Writes   its election key gone; its record closed as resigned.
/// Refused  term: it no longer leads.
pub fn dismiss(keys: &Keys, election_key: &str, term: i64, record: &super::TermRecord) -> Txn {
    Txn::new()
        .guard(Guard::created_at(
            GuardName::Term.name(),
            election_key,
            term,
        ))
        .delete(election_key)
        .put(keys.term(term), encode(record))
}

/// The line of the history that a resigning leader writes along with the deletion of its election key.
///
/// Guards   the resignation's own: the term.
/// Writes   the term's record, closed.
/// Refused  with the resignation.
pub fn history(keys: &Keys, term: i64, record: &super::TermRecord) -> Op {
    put(keys.term(term), encode(record))
}

fn put(key: String, value: Vec<u8>) -> Op {
    Op::Put {
        key,
        value: value.into(),
        lease: 0,
    }
}

fn guarded(name: GuardName, keys: &Keys, waiting: &Waiting) -> Txn {
    if planted::is(Bug::without(name.name())) {
        return Txn::new();
    }
    Txn::new().guard(Guard::modified_at(
        name.name(),
        waiting.key(keys),
        waiting.seen.modified,
    ))
}

/// A record without some of its tasks, or gone.
fn less(keys: &Keys, from: &Waiting, taken: Which) -> Op {
    let left = from.seen.value.which.minus(taken);
    if left.is_empty() {
        return Op::Delete {
            key: from.key(keys),
        };
    }
    put(
        from.key(keys),
        encode(&Record {
            which: left,
            ..from.seen.value.clone()
        }),
    )
}

fn outcome(act: &Act, outcome: Outcome, next: Option<Next>) -> Vec<u8> {
    let attempt = Attempt {
        which: act.which,
        outcome,
        number: act.from.seen.value.tally.attempts,
        deaths: if outcome == Outcome::Revived {
            0
        } else {
            act.from.seen.value.tally.deaths
        },
        node: None,
        fence: 0,
        started_ms: None,
        finished_ms: act.from.now_ms,
        error: None,
        output: None,
        next,
    };
    encode(&Outcomes { of: vec![attempt] })
}

fn settle(keys: &Keys, txn: Txn, of: (PackId, ClaimId), settled: &Settled, now_ms: u64) -> Txn {
    let (pack, claim) = of;
    let origin = Origin::Claim(claim);
    let mut txn = txn.put(
        keys.result(pack, origin, settled.n),
        encode(&Outcomes {
            of: settled.attempts.clone(),
        }),
    );
    if settled.mark {
        txn = txn.put(keys.gc(now_ms, pack), Vec::new());
    }
    for (place, n, record) in &settled.records {
        let id = RecordId {
            pack,
            origin,
            n: *n,
        };
        txn = txn.put(keys.record(*place, &record.routing, &id), encode(record));
    }
    txn
}

impl Waiting {
    fn key(&self, keys: &Keys) -> String {
        keys.record(self.place, self.routing(), &self.id)
    }
}
