//! What those outside were told of their holds: tokens of holds that were made for them, and that they hold for their time to live at
//! least. A log that does not know who wrote shows the end of a hold and not why; but before that time no lease has run out.

use std::collections::{HashMap, HashSet};

use super::Facts;
use super::calls::{Asked, End};
use super::calm::Calm;
use super::fold::{Change, Step};
use super::keyspace::{Gate, Key, Value};
use super::verdict::Case;
use crate::history::{Entry, Marker, Op};

/// A hold of somebody outside.
pub(super) struct Hold<'h> {
    /// Who, in its own words, where it says.
    holder: Option<&'h str>,
    lease: i64,
    gone: Option<Gone>,
}

/// Its end.
pub(super) struct Gone {
    pub(super) revision: i64,
    /// When it was seen, in milliseconds.
    pub(super) at_ms: u64,
    /// An admin took it, on record.
    forced: bool,
}

/// All of them, by gate and token: what was granted in one transaction has one token.
pub(super) struct Holds<'h>(HashMap<(String, i64), Vec<Hold<'h>>>);

/// An acquire that was done.
struct Told<'h> {
    asked: &'h Asked<'h>,
    gate: &'h str,
    token: i64,
    ttl_ms: Option<u64>,
}

/// Who was told that it holds something of this sort was told the token of a hold that was made for it.
pub(super) fn told(case: &mut Case, facts: &Facts<'_>, sort: &str) {
    let holds = Holds::of(&facts.steps);
    for Told {
        asked, gate, token, ..
    } in acquired(facts).filter(|told| told.gate.starts_with(sort))
    {
        if holds.of_client(gate, token, asked.client).is_none() {
            let what = format!("told token {token} of {gate}, which no hold of it has");
            case.violated(what, &[token], &[gate, asked.client]);
        }
    }
}

/// Who was told that it holds something has it for its time to live, from before its call: the lease was granted later.
pub(super) fn kept(case: &mut Case, facts: &Facts<'_>) {
    let holds = Holds::of(&facts.steps);
    let revoked = revoked(facts);
    let released = released(facts);
    let calm = Calm::of(facts.history, &[], facts.end_ms);
    for told in acquired(facts) {
        let Told {
            asked, gate, token, ..
        } = told;
        let (Some(ttl_ms), Some(hold)) = (told.ttl_ms, holds.of_client(gate, token, asked.client))
        else {
            continue;
        };
        case.add("told with their time", 1);
        let Some(gone) = hold.gone.as_ref() else {
            continue;
        };
        let held_ms = gone.at_ms.saturating_sub(asked.made_ms);
        let asked_for = released.get(&(gate, token, asked.client));
        let legal = gone.forced
            || revoked.contains(&hold.lease)
            || asked_for.is_some_and(|at_ms| *at_ms <= gone.at_ms);
        // How long etcd keeps a lease while its own members or disks fail is etcd's to say (github.com/etcd-io/etcd, issue 15247).
        let calm = calm.holds(asked.made_ms, gone.at_ms);
        if held_ms < ttl_ms && calm && !legal {
            let what = format!(
                "taken from its holder {held_ms} ms after it asked for {ttl_ms}, and nobody asked for that"
            );
            case.violated(what, &[token, gone.revision], &[gate, asked.client]);
        }
    }
}

fn acquired<'h>(facts: &'h Facts<'h>) -> impl Iterator<Item = Told<'h>> {
    facts.calls.iter().filter_map(|asked| {
        let (Op::Acquire { gate, ttl_ms, .. }, End::Ok(answer)) = (asked.op, asked.end) else {
            return None;
        };
        Some(Told {
            asked,
            gate,
            token: answer.revision?,
            ttl_ms: *ttl_ms,
        })
    })
}

/// The leases that somebody is on record to have revoked.
fn revoked(facts: &Facts<'_>) -> HashSet<i64> {
    let records = facts.history.records().iter();
    let revoked = records.filter_map(|record| {
        if let Entry::Marker(Marker::LeaseRevoked { lease }) = &record.entry {
            return Some(*lease);
        }
        None
    });
    revoked.collect()
}

/// When each client first asked for the end of a gate's token, in milliseconds.
fn released<'h>(facts: &Facts<'h>) -> HashMap<(&'h str, i64, &'h str), u64> {
    let mut released = HashMap::new();
    for asked in &facts.calls {
        if let Op::Release { gate, token } = asked.op {
            let of = (gate.as_str(), *token, asked.client);
            released.entry(of).or_insert(asked.made_ms);
        }
    }
    released
}

impl<'h> Holds<'h> {
    /// Of these steps.
    pub(super) fn of(steps: &'h [Step]) -> Self {
        let mut holds: HashMap<(String, i64), Vec<Hold<'h>>> = HashMap::new();
        // Where each is among those of its token.
        let mut open: HashMap<&str, usize> = HashMap::new();
        for step in steps {
            for change in &step.changes {
                let Key::Hold { gate, id } = &change.key else {
                    continue;
                };
                let all = holds.entry((gate.to_string(), change.created)).or_default();
                match (change.was.is_none(), change.is.as_deref()) {
                    (true, Some(value)) => {
                        open.insert(&change.text, all.len());
                        all.push(Hold {
                            holder: holder(value),
                            lease: change.lease,
                            gone: None,
                        });
                    }
                    (_, None) => {
                        let nth = open.remove(&*change.text);
                        if let Some(hold) = nth.and_then(|nth| all.get_mut(nth)) {
                            hold.gone = Some(Gone::of(step, change, gate, id));
                        }
                    }
                    (false, Some(_)) => {}
                }
            }
        }
        Self(holds)
    }

    /// The ends of those that have this token.
    pub(super) fn ends(&self, gate: &str, token: i64) -> impl Iterator<Item = &Gone> {
        let all = self.0.get(&(gate.to_owned(), token)).into_iter().flatten();
        all.filter_map(|hold| hold.gone.as_ref())
    }

    fn of_client(&self, gate: &str, token: i64, client: &str) -> Option<&Hold<'h>> {
        let mut all = self.0.get(&(gate.to_owned(), token))?.iter();
        all.find(|hold| hold.holder.is_none_or(|holder| holder == client))
    }
}

impl Gone {
    fn of(step: &Step, change: &Change, gate: &Gate, id: &str) -> Self {
        let record = Key::Released {
            fence: change.created,
            gate: gate.clone(),
            id: id.to_owned(),
        };
        let taken = |other: &Change| other.key == record && other.is.is_some();
        Self {
            revision: step.revision,
            at_ms: step.at_ms,
            forced: step.changes.iter().any(taken),
        }
    }
}

fn holder(value: &Value) -> Option<&str> {
    if let Value::Outside(outside) = value {
        return outside.holder.as_deref();
    }
    None
}
