//! What happened in a history and when, for those who tell of it: reigns, failovers, reclaims, ends of tasks and calls. It
//! measures, and judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calls::End;
use super::fold::Change;
use super::keyspace::{Key, Outcome, Value};
use super::lives::{Lifetime, Reign};
use super::tasks::{Life, Place};
use super::{Facts, History};
use crate::history::{Entry, NodeEvent, Op};

/// All of it. Instants are milliseconds on the history's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Who led, in order.
    pub reigns: Vec<Led>,
    /// From the end of a leader's key to the first act of the next term; those that nobody followed are left out.
    pub failovers: Vec<Took>,
    /// From the death of a leader's process to the first act of the next term.
    pub failovers_from_crash: Vec<Took>,
    /// From the end of a session to the end of each claim that it left; those that are still there are left out.
    pub reclaims: Vec<Took>,
    /// From the death of a process to the end of each claim that its session left.
    pub reclaims_from_crash: Vec<Took>,
    /// Tasks that ended, or were put among the dead letters for good: how, and when.
    pub ended: Vec<(&'static str, u64)>,
    /// Tasks that some pack names; of a cluster that others use too, those that clients here were told of.
    pub accepted: u64,
    /// Calls by what they asked for.
    pub calls: BTreeMap<&'static str, Called>,
    /// Until when there was a node that could lead.
    pub nodes_until_ms: u64,
}

/// One leader's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// Its node.
    pub node: String,
    /// Its term.
    pub term: i64,
    /// When it first wrote something as a leader; none where it never did.
    pub acted_ms: Option<u64>,
    /// When its process died or its key went, or the history ended.
    pub until_ms: u64,
}

/// Something that took its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// When it was over.
    pub at_ms: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// How calls of one sort ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Done.
    pub ok: u64,
    /// Certainly not done.
    pub failed: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// The course of a history; nothing where it does not begin with its setup.
pub fn course(history: &History) -> Course {
    let Some(setup) = history.setup() else {
        return Course::default();
    };
    let (facts, _) = Facts::of(history, setup);
    let mut course = Course {
        calls: calls(&facts),
        nodes_until_ms: nodes_until_ms(&facts),
        ..Course::default()
    };
    let deaths = deaths(history);
    led(&mut course, &facts, &deaths);
    reclaimed(&mut course, &facts, &deaths);
    let own = facts
        .lives
        .accepted()
        .filter(|(id, _)| !facts.of_others(*id));
    for (id, _) in own {
        course.accepted += 1;
        course
            .ended
            .extend(facts.lives.tasks.get(&id).and_then(ended));
    }
    course
}

fn nodes_until_ms(facts: &Facts<'_>) -> u64 {
    let ends = facts.sessions.values();
    let ends = ends.map(|session| session.gone.map_or(facts.end_ms, |gone| gone.1));
    ends.max().unwrap_or(0)
}

fn led(course: &mut Course, facts: &Facts<'_>, deaths: &Deaths<'_>) {
    for (nth, reign) in facts.reigns.iter().enumerate() {
        let died_ms = died(deaths, reign);
        let until_ms = reign.until.map_or(facts.end_ms, |until| until.1);
        course.reigns.push(Led {
            node: reign.node.clone(),
            term: reign.term,
            acted_ms: reign.acted.map(|acted| acted.1),
            until_ms: died_ms.unwrap_or(until_ms),
        });
        let next = facts.reigns[nth + 1..].iter().find_map(|next| next.acted);
        let (Some(_), Some((_, at_ms))) = (reign.until, next) else {
            continue;
        };
        course.failovers.push(Took::of(until_ms, at_ms));
        if let Some(died_ms) = died_ms {
            course.failovers_from_crash.push(Took::of(died_ms, at_ms));
        }
    }
}

/// A claim that some session left.
struct Left<'a> {
    session: &'a Lifetime,
    gone: (i64, u64),
}

fn reclaimed(course: &mut Course, facts: &Facts<'_>, deaths: &Deaths<'_>) {
    let mut open: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    for step in &facts.steps {
        for change in &step.changes {
            let Some(left) = left(facts, change, &mut open) else {
                continue;
            };
            if step.revision <= left.gone.0 {
                continue;
            }
            course.reclaims.push(Took::of(left.gone.1, step.at_ms));
            let within = left.session.created_ms..=left.gone.1;
            let own = deaths.get(left.session.node.as_str());
            let died = own
                .into_iter()
                .flatten()
                .rfind(|at_ms| within.contains(at_ms));
            if let Some(died_ms) = died {
                let took = Took::of(*died_ms, step.at_ms);
                course.reclaims_from_crash.push(took);
            }
        }
    }
}

/// The session that a claim's end comes after, where it had ended by then.
fn left<'a>(
    facts: &'a Facts<'_>,
    change: &Change,
    open: &mut BTreeMap<Arc<str>, i64>,
) -> Option<Left<'a>> {
    let Key::Run { .. } = &change.key else {
        return None;
    };
    if let Some(Value::Run(run)) = change.is.as_deref() {
        open.insert(Arc::clone(&change.text), run.session);
        return None;
    }
    let session = facts.sessions.get(&open.remove(&change.text)?)?;
    let gone = session.gone?;
    Some(Left { session, gone })
}

/// When processes died, by node, in order.
type Deaths<'h> = BTreeMap<&'h str, Vec<u64>>;

fn deaths(history: &History) -> Deaths<'_> {
    let mut deaths: Deaths<'_> = BTreeMap::new();
    for record in history.records() {
        if let Entry::Node(NodeEvent::Crashed { node, .. }) = &record.entry {
            deaths.entry(node).or_default().push(record.at_ms);
        }
    }
    deaths
}

/// When the process of a leader died while its key was there; where it had died before it was its turn, when that came.
fn died(deaths: &Deaths<'_>, reign: &Reign) -> Option<u64> {
    let until_ms = reign.until.map_or(u64::MAX, |until| until.1);
    let mut own = deaths.get(reign.node.as_str())?.iter();
    let died = own.find(|at_ms| reign.stood_ms <= **at_ms && **at_ms <= until_ms)?;
    Some(*died.max(&reign.from.1))
}

fn ended(life: &Life) -> Option<(&'static str, u64)> {
    if let Some((at, said)) = life.end() {
        let how = match said.outcome {
            Outcome::Cancelled => "cancelled",
            Outcome::Succeeded
            | Outcome::Failed
            | Outcome::Timeout
            | Outcome::Lost
            | Outcome::Returned
            | Outcome::Deferred
            | Outcome::Revived => "succeeded",
        };
        return Some((how, at.at_ms));
    }
    let last = life.moves.last()?;
    let dead = last.entered.iter().any(|spot| spot.place == Place::Dead);
    dead.then_some(("dead", last.at_ms))
}

fn calls(facts: &Facts<'_>) -> BTreeMap<&'static str, Called> {
    let mut calls: BTreeMap<&'static str, Called> = BTreeMap::new();
    for asked in &facts.calls {
        let called = calls.entry(name(asked.op)).or_default();
        match asked.end {
            End::Ok(_) => called.ok += 1,
            End::Fail(_) => called.failed += 1,
            End::Unknown => called.unknown += 1,
        }
    }
    calls
}

fn name(op: &Op) -> &'static str {
    match op {
        Op::Submit(_) => "submit",
        Op::Cancel { .. } => "cancel",
        Op::Retry { .. } => "retry",
        Op::Acquire { .. } => "acquire",
        Op::Release { .. } => "release",
        Op::Get { .. } => "get",
        Op::Leader => "leader",
        Op::Semaphore { .. } => "semaphore",
        Op::Limit { .. } => "limit",
    }
}

impl Took {
    fn of(from_ms: u64, at_ms: u64) -> Self {
        Self {
            at_ms,
            ms: at_ms.saturating_sub(from_ms),
        }
    }
}
