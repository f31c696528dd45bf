//! Whose turn it is at a semaphore. Pure; never sees etcd.
//!
//! An entry fits where all permits held, all that wait ahead of it and itself are within the limit. Its grant compares the
//! limit's mod revision, and that makes the view's age harmless. While a limit stands:
//!
//! - Who is ahead can only go: what comes later has a later create revision.
//! - Who is behind and got a permit since the view has counted this entry, which was there and ahead. Of all that were granted
//!   under this limit take the one furthest behind: what it counted includes all that is held now.
//! - So the weight held after any grant is within the limit in force. Lowering takes nothing away: what is held counts on.
//! - Where an entry fits, all ahead of it do, since what they count is a part of what it counts: nobody is overtaken for ever.

use super::listing::Listed;

/// A semaphore at one revision, not before the limit's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) limit: u32,
    pub(super) holding: Vec<Listed>,
    pub(super) waiting: Vec<Listed>,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Ours: ask for the grant.
    Ours,
    /// Not before this one goes or gets its permit.
    After(Listed),
    /// Nobody waits ahead: not before a permit goes or the limit changes.
    First,
    /// Never under this limit.
    Never,
}

/// Whose turn it is, from where an entry with this create revision and weight stands.
pub(super) fn turn(view: &View, created: i64, weight: u32) -> Turn {
    if weight > view.limit {
        return Turn::Never;
    }
    let ahead = || view.waiting.iter().filter(|it| it.revision < created);
    let counted: u64 = view.holding.iter().chain(ahead()).map(weigh).sum();
    if counted + u64::from(weight) <= u64::from(view.limit) {
        return Turn::Ours;
    }
    match ahead().max_by_key(|it| it.revision) {
        Some(directly_ahead) => Turn::After(directly_ahead.clone()),
        None => Turn::First,
    }
}

fn weigh(it: &Listed) -> u64 {
    u64::from(it.weight)
}
