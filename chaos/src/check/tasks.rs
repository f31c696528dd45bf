//! What happened to each task, revision by revision: which places it left and entered, and what was said of its runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fold::{Change, Step};
use super::ids::{PackId, TaskId, Which};
use super::keyspace::{Claim, Key, Pack, Routing, Said, Tally, Value};

/// A task's life.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// What happened to it, in order.
    pub(super) moves: Vec<Move>,
}

/// What one revision did to a task.
#[derive(Debug, Default)]
pub(super) struct Move {
    /// The revision.
    pub(super) revision: i64,
    /// When it was seen, in milliseconds.
    pub(super) at_ms: u64,
    /// The places that it left.
    pub(super) left: Vec<Arc<Spot>>,
    /// The places that it entered.
    pub(super) entered: Vec<Arc<Spot>>,
    /// What was said of it.
    pub(super) said: Vec<Arc<Said>>,
}

/// A place where tasks are: a key that names them.
#[derive(Debug)]
pub(super) struct Spot {
    /// The key.
    pub(super) key: Arc<str>,
    /// What they have been through.
    pub(super) tally: Tally,
    /// What sort of place.
    pub(super) place: Place,
}

/// The sorts of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ready, and where it goes.
    Ready(Routing),
    /// Until this time, in milliseconds since 1970.
    Due(u64),
    /// Among the dead letters.
    Dead,
    /// Claimed.
    Run(ClaimOf),
}

/// A claim that holds tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimOf {
    /// Its node.
    pub(super) node: String,
    /// Its id.
    pub(super) claim: Claim,
    /// Its create revision.
    pub(super) fence: i64,
    /// The session it was made for.
    pub(super) session: i64,
    /// The term it says made it.
    pub(super) term: i64,
}

/// A pack's life.
#[derive(Debug)]
pub(super) struct PackLife {
    /// What it is.
    pub(super) pack: Pack,
    /// When it was accepted: revision and milliseconds.
    pub(super) created: (i64, u64),
    /// When it was collected.
    pub(super) collected: Option<(i64, u64)>,
    /// Revisions at which it was put once more.
    pub(super) again: Vec<i64>,
    /// How many marks say that it may have ended, in the end.
    pub(super) marks: i64,
}

/// All tasks and packs of a log.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// By task.
    pub(super) tasks: BTreeMap<TaskId, Life>,
    /// By pack.
    pub(super) packs: BTreeMap<PackId, PackLife>,
}

impl Lives {
    /// Of these steps.
    pub(super) fn of(steps: &[Step]) -> Self {
        let mut lives = Self::default();
        for step in steps {
            let mut moves = BTreeMap::new();
            for change in &step.changes {
                lives.pack(step, change);
                moved(change, &mut moves);
            }
            for (task, mut one) in moves {
                one.revision = step.revision;
                one.at_ms = step.at_ms;
                lives.tasks.entry(task).or_default().moves.push(one);
            }
        }
        lives
    }

    /// The tasks that some pack names.
    pub(super) fn accepted(&self) -> impl Iterator<Item = (TaskId, &PackLife)> {
        self.packs.iter().flat_map(|(id, pack)| {
            let tasks = pack.pack.which.iter();
            tasks.map(move |index| (id.task(index), pack))
        })
    }

    fn pack(&mut self, step: &Step, change: &Change) {
        if let Key::Mark(pack) = &change.key
            && let Some(life) = self.packs.get_mut(pack)
        {
            life.marks += i64::from(change.is.is_some()) - i64::from(change.was.is_some());
        }
        let Key::Pack(id) = &change.key else { return };
        match (change.is.as_deref(), self.packs.get_mut(id)) {
            (None, Some(life)) => life.collected = Some((step.revision, step.at_ms)),
            (Some(_), Some(life)) => life.again.push(step.revision),
            (Some(Value::Pack(pack)), None) => {
                let life = PackLife {
                    pack: pack.clone(),
                    created: (step.revision, step.at_ms),
                    collected: None,
                    again: Vec::new(),
                    marks: 0,
                };
                self.packs.insert(*id, life);
            }
            (Some(_) | None, None) => {}
        }
    }
}

impl Life {
    /// The move that ended it, and how.
    pub(super) fn end(&self) -> Option<(&Move, &Said)> {
        let last = |one: &'_ Move| one.said.iter().any(|told| told.outcome.is_final());
        let at = self.moves.iter().find(|one| last(one))?;
        let told = at.said.iter().find(|told| told.outcome.is_final())?;
        Some((at, told))
    }

    /// Where it is after all moves up to this instant.
    pub(super) fn spots_by(&self, at_ms: u64) -> Vec<&Arc<Spot>> {
        let mut spots: Vec<&Arc<Spot>> = Vec::new();
        for one in self.moves.iter().take_while(|one| one.at_ms <= at_ms) {
            for left in &one.left {
                spots.retain(|spot| spot.key != left.key);
            }
            spots.extend(&one.entered);
        }
        spots
    }
}

fn moved(change: &Change, moves: &mut BTreeMap<TaskId, Move>) {
    if let Key::Result { pack, .. } = &change.key {
        if let Some(Value::Outcomes(all)) = change.is.as_deref() {
            told(*pack, all, moves);
        }
        return;
    }
    let was = change.was.as_deref().and_then(|was| spot(change, was));
    let is = change.is.as_deref().and_then(|is| spot(change, is));
    let which =
        |at: &Option<(PackId, Which, Arc<Spot>)>| at.as_ref().map(|at| at.1).unwrap_or_default();
    let (before, after) = (which(&was), which(&is));
    if let Some((pack, _, spot)) = was {
        for index in before.minus(after).iter() {
            let one = moves.entry(pack.task(index)).or_default();
            one.left.push(Arc::clone(&spot));
        }
    }
    if let Some((pack, _, spot)) = is {
        for index in after.minus(before).iter() {
            let one = moves.entry(pack.task(index)).or_default();
            one.entered.push(Arc::clone(&spot));
        }
    }
}

fn told(pack: PackId, all: &[Said], moves: &mut BTreeMap<TaskId, Move>) {
    for said in all {
        let said = Arc::new(said.clone());
        for index in said.which.iter() {
            let one = moves.entry(pack.task(index)).or_default();
            one.said.push(Arc::clone(&said));
        }
    }
}

fn spot(change: &Change, value: &Value) -> Option<(PackId, Which, Arc<Spot>)> {
    let (pack, which, tally, place) = match (&change.key, value) {
        (Key::Ready { name, .. }, Value::Record(record)) => {
            let place = Place::Ready(record.routing.clone());
            (name.pack, record.which, record.tally, place)
        }
        (Key::Due { ms, name }, Value::Record(record)) => {
            (name.pack, record.which, record.tally, Place::Due(*ms))
        }
        (Key::Dead(name), Value::Record(record)) => {
            (name.pack, record.which, record.tally, Place::Dead)
        }
        (Key::Run { node, claim }, Value::Run(held)) => {
            let of = ClaimOf {
                node: node.clone(),
                claim: *claim,
                fence: change.created,
                session: held.session,
                term: held.term,
            };
            (held.pack, held.which, held.tally, Place::Run(of))
        }
        _ => return None,
    };
    let spot = Spot {
        key: Arc::clone(&change.text),
        tally,
        place,
    };
    Some((pack, which, Arc::new(spot)))
}
