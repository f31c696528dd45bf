//! Sessions, election, fenced transactions, locks, semaphores, watches and membership on etcd. Never knows what a task is.
//!
//! Leases trigger, revisions decide: a lease only tells that a process may be gone; every change of
//! state is one [`Txn`] whose guards compare revisions, so a holder that comes back late changes nothing.
//!
//! ```text
//!   Connection ── commit(Txn) ─▶ Outcome: Committed | Refused, by which guard | Unknown | Unavailable
//!       │  └───── range(Range) ─▶ Page, never older than what this connection has seen
//!       │
//!       ├─ Watch ──────▶ every event after a revision, over lost members; Compacted is said, not hidden
//!       ├─ Session ────▶ one lease per process: Live, Suspect, Lost; its key's create revision is S
//!       │     ├─ Candidate ─ lead() ─▶ Term: its key's create revision R fences every write of a leader
//!       │     └─ Mutex, Semaphore ─ acquire() ─▶ Hold: in the order of asking, its token fences what it holds
//!       ├─ Observer ───▶ who leads, or nobody
//!       └─ Members ────▶ who is there: joins, leaves, and explicit snapshots
//! ```
//!
//! Start with [`Connection`], then [`Txn`] and [`Outcome`]; [`Session`] and [`Candidate`] are built from these, and so are
//! [`Mutex`] and [`Semaphore`], which need no leader.
//!
//! # Examples
//!
//! ```no_run
//! use std::time::Duration;
//! use tenure_cluster::{Candidate, Connection, Options, Outcome, Session, SessionOptions, Txn};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = Connection::open(Options::new(["http://127.0.0.1:2379"]))?;
//! let session = Session::open(
//!     &connection,
//!     SessionOptions::new("/app/node/a", "10.0.0.1:7000", Duration::from_secs(5)),
//! )
//! .await?;
//! let mut candidate =
//!     Candidate::stand(&connection, &session, "/app/elect/", b"a".to_vec()).await?;
//! let term = candidate.lead().await?;
//!
//! let write = Txn::new().guard(term.guard()).put("/app/state", "decided by the leader");
//! match connection.commit(&write).await {
//!     Outcome::Committed(done) => println!("at revision {}", done.revision),
//!     Outcome::Refused(refused) => println!("{:?} no longer hold", refused.lost),
//!     Outcome::Unknown(failure) => println!("may commit, now or later: {failure}"),
//!     Outcome::Unavailable(failure) => println!("not applied: {failure}"),
//! }
//!
//! term.resign(Vec::new()).await;
//! session.close().await;
//! # Ok(())
//! # }
//! ```

mod check;
mod connection;
mod election;
mod ended;
mod endpoint;
mod failure;
mod janitor;
mod keeper;
mod lease;
mod lifetime;
pub mod membership;
mod meter;
mod mirror;
mod observer;
mod options;
#[doc(hidden)]
pub mod planted;
mod read;
mod recipe;
mod room;
mod seat;
mod session;
mod status;
mod term;
mod txn;
mod watch;
mod watch_stream;
mod wire;

pub use check::{Footprint, List, OPS_PER_LIST, Violation};
pub use connection::{CompactError, Connection};
/// The way to an etcd inside this process, for [`Options::in_process`].
pub use etcd_client::Channel;

pub use election::{Candidate, LeadError, StandError};
pub use failure::{Failure, FailureKind};
pub use lease::Revoked;
pub use membership::{Members, MembershipChange};
pub use observer::{Leadership, Observer, leader};
pub use options::{Credentials, Options, OptionsError, Tls};
pub use read::{KeyValue, Page, Range, ReadError};
pub use recipe::{
    AcquireError, Hold, LimitError, Listed, Listing, Mutex, QueueError, Released, Semaphore,
};
pub use room::Room;
pub use session::{LostReason, OpenError, Session, SessionOptions, State};
pub use status::{MemberHealth, MemberStatus};
pub use term::{Ended, Predecessor, Term, TermLoss};
pub use txn::{Answer, Branch, Committed, Guard, Op, Outcome, Refused, Test, Txn};
pub use watch::{Delivery, Event, EventKind, Watch, WatchSpec};

#[cfg(test)]
mod tests {
    use super::*;

    fn sent<T: Send>(_: T) {}

    #[test]
    fn everything_may_be_awaited_on_another_thread() {
        fn futures(
            connection: &Connection,
            session: &Session,
            candidate: &'static mut Candidate,
            term: Term,
            watch: &'static mut Watch,
            members: &'static mut Members,
            observer: &'static mut Observer,
        ) {
            sent(Session::open(
                connection,
                SessionOptions::new("", "", std::time::Duration::ZERO),
            ));
            sent(Candidate::stand(connection, session, "", Vec::new()));
            sent(candidate.lead());
            sent(term.resign(Vec::new()));
            sent(watch.next());
            sent(members.next());
            sent(observer.next());
            sent(connection.status());
        }
        fn recipes(
            (connection, session): (&Connection, &Session),
            (mutex, semaphore): (&Mutex, &Semaphore),
            hold: Hold,
        ) {
            sent(mutex.acquire(session, ""));
            sent(mutex.holders());
            sent(Semaphore::open(connection, "", 1));
            sent(semaphore.acquire(session, "", 1));
            sent(semaphore.change_limit(1, 2));
            sent(hold.release());
        }
        // Compiling it is the test.
        let _ = (futures, recipes);
    }
}
