//! The steps, and how a trace names them.

use std::fmt;

use crate::etcd::{Id, Key, Origin, Outcome, Which};
use crate::flight::What;
use crate::settle::singles;

/// One step. Numbers name packs, nodes, candidates, claims and acts; sets of tasks are bits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names say it, and nobody outside builds one"
)]
pub enum Action {
    Submit {
        pack: u8,
    },
    Promote {
        leader: u8,
        record: Named,
    },
    Assign {
        leader: u8,
        record: Named,
        shares: Vec<(u8, u8)>,
    },
    Park {
        leader: u8,
        record: Named,
    },
    Grant {
        leader: u8,
        holder: u8,
    },
    AssignTwice {
        leader: u8,
        record: Named,
    },
    Reclaim {
        leader: u8,
        node: u8,
        claim: u8,
        died: bool,
    },
    Collect {
        leader: u8,
        pack: u8,
    },
    Report {
        node: u8,
        claim: u8,
        endings: Vec<Ending>,
    },
    Cancel {
        nth: u8,
    },
    Revive,
    /// The limit is lowered.
    Edit,
    Want {
        holder: u8,
    },
    Release {
        holder: u8,
    },
    /// The transaction is applied, or refused; its sender learns which if it still waits.
    Arrives {
        nth: usize,
        what: Sent,
    },
    /// The sender has no answer: what it sent stays on its way, and it sends what settles that.
    SentAgain {
        nth: usize,
        what: Sent,
    },
    /// The sender has no answer and does not settle it: a weakening.
    Forgotten {
        nth: usize,
        what: Sent,
    },
    /// A copy nobody waits for is lost.
    Lost {
        nth: usize,
        what: Sent,
    },
    LeaseOfNodeEnds {
        node: u8,
    },
    NodeIsBack {
        node: u8,
    },
    LeaseOfLeaderEnds {
        leader: u8,
    },
    Activates {
        leader: u8,
    },
    LeaseOfHolderEnds {
        holder: u8,
    },
}

/// A record's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Named(pub(crate) Key);

/// How some tasks ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ending(pub(crate) Outcome, pub(crate) Which);

/// What is on its way.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent(pub(crate) What);

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key::Record(place, Id { pack, origin, n }) = self.0 else {
            return write!(f, "{:?}", self.0);
        };
        match origin {
            Origin::Submit => write!(f, "{place:?}/{pack}.0.{n}"),
            Origin::Claim(claim) => write!(f, "{place:?}/{pack}.claim{claim}.{n}"),
            Origin::Act(act) => write!(f, "{place:?}/{pack}.act{act}.{n}"),
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.0, tasks(self.1))
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Promote(key) => write!(f, "promote {:?}", Named(*key)),
            What::Touch(key, _) => write!(f, "touch {:?}", Named(*key)),
            What::Assign(key, takes) => {
                write!(f, "assign {:?}", Named(*key))?;
                takes.iter().try_for_each(|take| {
                    write!(
                        f,
                        ", claim {} on node {}: {}",
                        take.claim,
                        take.node,
                        tasks(take.which)
                    )
                })
            }
            What::Report {
                node, claim, rest, ..
            } => {
                let what = if *rest { "part of" } else { "all of" };
                write!(f, "report {what} claim {claim} on node {node}")
            }
            What::Reclaim { node, claim } => write!(f, "reclaim claim {claim} of node {node}"),
            What::Submit(pack) => write!(f, "submit pack {pack}"),
            What::Stop(nth) => write!(f, "stop, by cancel {nth}"),
            What::Cancel(nth) => write!(f, "cancel {nth}"),
            What::Revive => write!(f, "revive"),
            What::Raise(pack) => write!(f, "raise above pack {pack}"),
            What::Collect(pack) => write!(f, "collect pack {pack}"),
            What::Unmark(pack) => write!(f, "unmark pack {pack}"),
            What::Park(key) => write!(f, "park {:?}", Named(*key)),
            What::Edit => write!(f, "edit the limit"),
            What::Want(holder) => write!(f, "want of holder {holder}"),
            What::Grant(holder) => write!(f, "grant to holder {holder}"),
            What::Release(holder) => write!(f, "release by holder {holder}"),
        }
    }
}

/// Tasks by number, from 0.
fn tasks(which: Which) -> String {
    let numbers = singles(which)
        .into_iter()
        .map(|bit| bit.trailing_zeros().to_string());
    format!("tasks {}", numbers.collect::<Vec<String>>().join("+"))
}
