//! The one door to etcd for tasks: keys, records, changes and their transactions, reads and watches; decides nothing.
//!
//! [`Change`] says what happens, [`txns`] says how, [`Store`] sends it. `keys` spells every key.

mod act;
mod bells;
mod breakers;
mod change;
mod claims;
mod commit;
mod deaths;
mod drains;
mod facts;
mod failovers;
mod force;
mod gates;
mod grants;
mod guard;
mod keys;
mod leaders;
mod limits;
mod list;
mod locate;
mod news;
mod outside;
mod overview;
mod records;
mod rulebook;
mod rules;
mod scan;
mod schedules;
mod standing;
mod submit;
pub mod txns;

pub use act::{ActError, Acted};
pub use bells::Listener;
pub use breakers::{BREAKERS_TOLD_MAX, BreakerRecord, BreakerState, Reset, ResetError, Resets};
pub use change::{
    Act, Assign, Change, Collect, DropLane, Fire, Grant, Park, Postpone, Raise, Reclaim, Report,
    Settled, StopRuns, Submit, Take, Term, Waiting,
};
pub use commit::{Store, Verdict, batches};
pub use deaths::{DEATHS_MAX, Death, EvidenceKind, Noticed, Recorded};
pub use drains::{DrainError, Drained, Drains};
pub use facts::{Facts, Former};
pub use failovers::{
    Evidence, FAILOVERS_MAX, Failover, FailoverSeen, Gone, How, LastSeen, MOVED_LISTED_MAX, Moved,
    Sign, Started, Succession, Teller, Telling, rounded,
};
pub use force::{RELEASED_MAX, Taking};
pub use gates::{GateSeen, OutsideHold, Sort, TaskHold};
pub use grants::{Grants, Usher, WAITERS_MAX, grants};
pub use guard::GuardName;
pub use keys::{Keys, Lane, Live, Origin, Place, RecordId};
pub use leaders::{Candidacy, DismissError, Leader, TERMS_MAX};
pub use limits::{Basis, EDITED_MAX, EditError, Edited};
pub use list::{Cursor, CursorError, Filter, Listing};
pub use locate::{Found, Held, LookError};
pub use news::{Herald, News, news};
pub use outside::{Asked, OUTSIDE_MAX, OutsideError, OutsideSeen, Turn};
pub use overview::{COUNTED_RECORDS_MAX, Count, NodeSeen, Nodes, Overview, QueueSeen};
pub use records::{
    Adaptive, Attempt, Corrupt, Drain, EndedBy, Idem, Next, NodeRecord, Outcomes, Outside, Record,
    Released, Run, Seen, Stand, Stop, TermRecord, decode, encode,
};
pub use rulebook::{Rulebook, Unfit};
pub use rules::{Importance, Limit, QueueRules, Rate};
pub use schedules::{Declared, FireError, SCHEDULES_MAX, TOGETHER_MAX};
pub use standing::{First, Firsts, Standing};
pub use submit::{
    Accepted, Coalescer, IN_FLIGHT_BYTES_MAX, IdemKey, LANES_MAX, NewTask, SUBMIT_BYTES_MAX, Space,
    SubmitError, Submitter, line,
};
