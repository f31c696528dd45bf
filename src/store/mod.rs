//! The one door to etcd for tasks: keys, records, changes and their transactions, reads and watches; decides nothing.
//!
//! [`Change`] says what happens, [`txns`] says how, [`Store`] sends it. `keys` spells every key.

mod act;
mod change;
mod claims;
mod commit;
mod guard;
mod keys;
mod leaders;
mod list;
mod locate;
mod news;
mod overview;
mod records;
mod scan;
mod submit;
pub mod txns;

pub use act::{ActError, Acted};

pub use change::{
    Act, Assign, Change, Collect, Postpone, Raise, Reclaim, Report, Settled, StopRuns, Submit,
    Take, Term, Waiting,
};
pub use commit::{Store, Verdict, batches};
pub use guard::GuardName;
pub use keys::{Keys, Lane, Live, Origin, Place, RecordId};
pub use leaders::{Candidacy, DismissError, Leader, TERMS_MAX};
pub use list::{Cursor, CursorError, Filter, Listing};
pub use locate::{Found, Held, LookError};
pub use news::{Herald, Listener, News, news};
pub use overview::{COUNTED_RECORDS_MAX, Count, NodeSeen, Overview, QueueSeen};
pub use records::{
    Attempt, Corrupt, EndedBy, Idem, Next, NodeRecord, Outcomes, Record, Run, Seen, Stop,
    TermRecord, decode, encode,
};
pub use submit::{
    Accepted, Coalescer, IN_FLIGHT_BYTES_MAX, IdemKey, LANES_MAX, NewTask, SUBMIT_BYTES_MAX, Space,
    SubmitError, Submitter, line,
};
