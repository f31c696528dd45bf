//! Every transaction of the recipes, one function each. Nothing here decides.
//!
//! An entry's key is used once, by its one owner. Guards that may be sent twice are monotone, but for [`enqueue`]'s: a late copy of it
//! is refused while its owner waits or holds; the owner counts what was not answered, and the janitor sweeps for it then.

use bytes::Bytes;

use crate::session::Session;
use crate::txn::{Guard, Txn};

/// Puts an entry into the queue; its create revision is its place.
///
/// Guards   `session`: the session's key lives, and so its lease; `entry`: there is no such key; of a semaphore `permit`: nor the
///          permit that it becomes, so that a late copy does not wait ahead of others while its owner holds.
/// Writes   the entry, leased.
/// Refused  session: it is lost. entry: an earlier copy of this very transaction was committed; it is in the reads. permit: so it
///          was, and it was granted since; who was told of that does not ask.
pub(super) fn enqueue(session: &Session, entry: &str, permit: Option<&str>, value: Bytes) -> Txn {
    let txn = Txn::new()
        .guard(session.guard())
        .guard(Guard::absent("entry", entry));
    let guards = permit.into_iter().map(|key| Guard::absent("permit", key));
    guards
        .fold(txn, Txn::guard)
        .put_leased(entry, value, session.lease())
        .or_get(entry)
}

/// Enters a mutex: the entry becomes the hold by being the oldest, which it then stays as long as it is there.
///
/// Guards   `entry`: it is there as created; `oldest`: nothing in the queue was created before it.
/// Writes   nothing: it deletes a key that is never there, so that it goes through raft, and needs no space.
/// Refused  entry: it is gone. oldest: somebody is ahead.
pub(super) fn enter(queue: &str, entry: &str, created: i64) -> Txn {
    Txn::new()
        .guard(Guard::created_at("entry", entry, created))
        .guard(Guard::oldest_in("oldest", queue, created))
        .delete(format!("{entry}.enter"))
}

/// Turns an entry of a semaphore into a permit.
///
/// Guards   `entry`: it is there as created; `limit`: unchanged since the view in which the entry fits.
/// Writes   the entry gone; the permit, on the entry's lease: its create revision is the token.
/// Refused  entry: it is gone, or an earlier copy was committed: then the permit is in the reads. limit: it was changed, look again.
pub(super) fn grant(ask: &Grant<'_>) -> Txn {
    Txn::new()
        .guard(Guard::created_at("entry", ask.entry, ask.created))
        .guard(Guard::modified_at("limit", ask.limit, ask.modified))
        .delete(ask.entry)
        .put_leased(ask.permit, ask.value.clone(), ask.lease)
        .or_get(ask.permit)
}

/// What [`grant`] is made of.
pub(super) struct Grant<'a> {
    pub(super) entry: &'a str,
    pub(super) created: i64,
    pub(super) limit: &'a str,
    pub(super) modified: i64,
    pub(super) permit: &'a str,
    pub(super) value: Bytes,
    pub(super) lease: i64,
}

/// Gives up an entry or a permit.
///
/// Guards   `hold`: the key is there as created, so that nobody else's is ever deleted.
/// Writes   the key gone.
/// Refused  hold: it is gone already.
pub(super) fn release(key: &str, created: i64) -> Txn {
    Txn::new()
        .guard(Guard::created_at("hold", key, created))
        .delete(key)
}

/// Gives up an entry whose [`grant`] was sent and not answered. Without the entry that grant can never commit.
///
/// Guards   nothing: both names were used once, by this owner.
/// Writes   entry and permit gone.
/// Refused  never.
pub(super) fn abandon(entry: &str, permit: &str) -> Txn {
    Txn::new().delete(entry).delete(permit)
}

/// Stores a semaphore's limit with it.
///
/// Guards   `limit`: there is none.
/// Writes   the limit, without a lease: it stays.
/// Refused  limit: there is one, in the reads.
pub(super) fn declare(limit: &str, value: Bytes) -> Txn {
    Txn::new()
        .guard(Guard::absent("limit", limit))
        .put(limit, value)
        .or_get(limit)
}

/// Changes a limit.
///
/// Guards   `limit`: as it was read.
/// Writes   the new limit. Every grant decided under the old one is refused from then on.
/// Refused  limit: somebody else changed or deleted it, or an earlier copy was committed: the reads tell.
pub(super) fn change(limit: &str, modified: i64, value: Bytes) -> Txn {
    Txn::new()
        .guard(Guard::modified_at("limit", limit, modified))
        .put(limit, value)
        .or_get(limit)
}

/// Reads a semaphore at one revision: who waits, who holds and the limit.
///
/// Guards   nothing.
/// Writes   nothing.
/// Refused  never.
pub(super) fn look(queue: &str, permits: &str) -> Txn {
    Txn::new().get_prefix(queue, 0).get_prefix(permits, 0)
}
