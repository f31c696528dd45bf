//! A task as users see it.

use serde_json::{Map, Value, json};

use crate::api::cluster::time;
use crate::api::submit::spec::{on_lost, permit};
use crate::api::why::Surroundings;
use crate::api::wire::{self, Attempt, AttemptOutcome, Raw, TaskState};
use crate::store::{self, Found, Held, Place};
use crate::task::{Outcome, Output, State, Tally};

/// The word of the wire.
pub(in crate::api) fn state(state: State) -> TaskState {
    match state {
        State::Scheduled => TaskState::Scheduled,
        State::Pending => TaskState::Pending,
        State::Running => TaskState::Running,
        State::Succeeded => TaskState::Succeeded,
        State::Dead => TaskState::Dead,
        State::Cancelled => TaskState::Cancelled,
    }
}

pub(super) fn task(found: &Found, around: &Surroundings) -> wire::Task {
    let (pack, spec) = (&found.pack, found.pack.tasks.get(&found.id.index()));
    let metadata = spec.and_then(|spec| serde_json::from_str(spec.metadata.as_ref()?.get()).ok());
    let tally = tally(found);
    let needs = pack.routing.needs.as_deref().cloned().unwrap_or_default();
    wire::Task {
        id: found.id.uuid(),
        state: state(found.state),
        queue: pack.routing.queue.to_string(),
        kind: pack.routing.kind.to_string(),
        priority: pack.routing.priority.level(),
        payload: spec
            .map(|spec| Raw::from(spec.payload.clone()))
            .unwrap_or_default(),
        labels: spec.map(|spec| spec.labels.clone()).unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
        permits: needs.permits.iter().map(permit).collect(),
        locks: needs.locks.iter().map(ToString::to_string).collect(),
        concurrency_key: needs.key.map(|key| key.to_string()),
        node_labels: wire::NodeLabels {
            require: needs.require,
            prefer: needs.prefer,
        },
        created_at: time(pack.created_ms),
        run_at: due(found).map(time),
        max_attempts: pack.policy.max_attempts,
        failures: tally.failures,
        deaths: tally.deaths,
        timeout_ms: pack.policy.timeout_ms,
        on_lost: on_lost(pack.policy.on_lost),
        attempts: attempts(found),
        waiting_for: waiting_for(found, around),
        schedule: pack.fired.as_ref().map(|fired| fired.schedule.to_string()),
        due_at: pack.fired.as_ref().map(|fired| time(fired.due_ms)),
        revision: found.revision,
    }
}

fn due(found: &Found) -> Option<u64> {
    match found.waiting.as_ref()?.0 {
        Place::Due(ms) => Some(ms),
        Place::Ready | Place::Parked(_) | Place::Dead => None,
    }
}

/// What the task has been through since it was submitted or revived. An ended one has no record left: then its attempts tell;
/// which deaths were charged to it the last of them says, for not every lost attempt was.
fn tally(found: &Found) -> Tally {
    if let Some((_, _, record)) = &found.waiting {
        return record.value.tally;
    }
    if let Some(held) = &found.running {
        return held.run.value.tally;
    }
    let mut tally = Tally::default();
    for (_, attempt) in &found.attempts {
        (tally.attempts, tally.deaths) = (attempt.number, attempt.deaths);
        match attempt.outcome {
            Outcome::Failed | Outcome::Timeout => tally.failures += 1,
            Outcome::Revived => tally.failures = 0,
            Outcome::Succeeded
            | Outcome::Cancelled
            | Outcome::Returned
            | Outcome::Deferred
            | Outcome::Lost => {}
        }
    }
    tally
}

fn attempts(found: &Found) -> Vec<Attempt> {
    // What was cancelled before it ran has an outcome, but no node and so no attempt.
    let ended = found
        .attempts
        .iter()
        .filter(|(_, attempt)| attempt.node.is_some());
    let mut attempts: Vec<Attempt> = ended
        .filter_map(|(_, attempt)| ended_attempt(attempt))
        .collect();
    attempts.extend(found.running.as_ref().map(running));
    attempts
}

/// None for what is no attempt.
fn ended_attempt(attempt: &store::Attempt) -> Option<Attempt> {
    Some(Attempt {
        number: attempt.number,
        node: attempt
            .node
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        fence: attempt.fence,
        started_at: attempt.started_ms.map(time),
        finished_at: Some(time(attempt.finished_ms)),
        outcome: outcome(attempt.outcome)?,
        error: attempt.error.clone(),
        output: attempt.output.as_ref().map(output_of),
    })
}

/// Its number is sure, its start is not: its node has not said yet.
fn running(held: &Held) -> Attempt {
    Attempt {
        number: held.run.value.tally.attempts + 1,
        node: held.node.to_string(),
        fence: held.run.created,
        started_at: None,
        finished_at: None,
        outcome: AttemptOutcome::Running,
        error: None,
        output: None,
    }
}

fn outcome(outcome: Outcome) -> Option<AttemptOutcome> {
    match outcome {
        Outcome::Succeeded => Some(AttemptOutcome::Succeeded),
        Outcome::Failed => Some(AttemptOutcome::Failed),
        Outcome::Timeout => Some(AttemptOutcome::Timeout),
        Outcome::Cancelled => Some(AttemptOutcome::Cancelled),
        Outcome::Lost => Some(AttemptOutcome::Lost),
        Outcome::Returned | Outcome::Deferred | Outcome::Revived => None,
    }
}

/// A handler's value as it is; of the other kinds what was written and the exit status or status code.
fn output_of(output: &Output) -> Value {
    if let Some(text) = &output.value {
        return serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
    }
    let mut fields = Map::new();
    if let Some(code) = output.code {
        fields.insert("code".to_owned(), json!(code));
    }
    for (name, tail) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !tail.is_empty() {
            fields.insert(name.to_owned(), json!(tail));
        }
    }
    fields.insert("truncated".to_owned(), json!(output.truncated));
    Value::Object(fields)
}

/// Why it does not run yet, in words; none where it is only a matter of moments.
fn waiting_for(found: &Found, around: &Surroundings) -> Option<String> {
    match found.state {
        State::Scheduled => due(found).map(|ms| scheduled(ms, found)),
        State::Pending => around.pending(found),
        State::Running | State::Succeeded | State::Dead | State::Cancelled => None,
    }
}

/// Its time, and what it waits for that with: an attempt before, or a deferral.
fn scheduled(ms: u64, found: &Found) -> String {
    let at = time(ms);
    let Some((_, last)) = found.attempts.last() else {
        return format!("its time, {at}");
    };
    let number = last.number;
    match last.outcome {
        Outcome::Deferred => {
            let why = last.error.as_deref().unwrap_or_default();
            let who = last
                .node
                .as_ref()
                .map_or("it was deferred".to_owned(), |node| {
                    format!("node {node} deferred it")
                });
            format!("its time, {at}: {who}, {why}")
        }
        Outcome::Failed => format!("its time, {at}, to be tried again: attempt {number} failed"),
        Outcome::Timeout => {
            format!("its time, {at}, to be tried again: attempt {number} took too long")
        }
        Outcome::Lost => {
            format!("its time, {at}, to be tried again: attempt {number} was lost with its node")
        }
        Outcome::Succeeded | Outcome::Cancelled | Outcome::Returned | Outcome::Revived => {
            format!("its time, {at}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Origin;
    use crate::task::{Pack, PackId, Policy, Priority, Routing, Which};

    fn ended(attempts: &[(Outcome, u32)]) -> Found {
        let attempts = attempts
            .iter()
            .zip(1..)
            .map(|(&(outcome, deaths), number)| {
                let attempt = store::Attempt {
                    which: Which::only(0),
                    outcome,
                    number,
                    deaths,
                    node: None,
                    fence: 0,
                    started_ms: None,
                    finished_ms: 1,
                    error: None,
                    output: None,
                    next: None,
                };
                (Origin::Submit, attempt)
            });
        let pack = Pack {
            routing: Routing {
                queue: "q".parse().unwrap(),
                kind: "k".parse().unwrap(),
                priority: Priority::default(),
                needs: None,
            },
            policy: Policy {
                max_attempts: 3,
                backoff: crate::task::Backoff::default(),
                timeout_ms: None,
                on_lost: crate::task::OnLost::Stop,
            },
            created_ms: 1,
            run_at_ms: None,
            tasks: std::collections::BTreeMap::new(),
            idem: Vec::new(),
            fired: None,
        };
        Found {
            id: PackId::floor(1).task(0),
            pack: Arc::new(pack),
            state: State::Succeeded,
            attempts: attempts.collect(),
            waiting: None,
            running: None,
            revision: 1,
        }
    }

    #[test]
    fn a_deferred_task_says_what_holds_it_back_until_it_is_tried_again() {
        let mut found = ended(&[(Outcome::Deferred, 0)]);
        let told = &mut found.attempts[0].1;
        told.node = Some("n1".parse().unwrap());
        told.error = Some("the breaker of http a:80 is open: no".to_owned());
        assert_eq!(
            scheduled(0, &found),
            "its time, 1970-01-01T00:00:00.000Z: node n1 deferred it, the breaker of http a:80 is open: no"
        );
        assert!(attempts(&found).is_empty(), "it is no attempt");
        let retried = ended(&[(Outcome::Deferred, 0), (Outcome::Failed, 0)]);
        let told = scheduled(0, &retried);
        assert!(
            told.starts_with("its time, 1970-01-01T00:00:00.000Z, to be tried again: attempt ")
                && told.ends_with(" failed"),
            "{told}"
        );
    }

    #[test]
    fn only_deaths_that_were_charged_are_told_of_an_ended_task() {
        let with_others = ended(&[(Outcome::Lost, 0), (Outcome::Succeeded, 0)]);
        assert_eq!(tally(&with_others).deaths, 0);
        let alone = ended(&[
            (Outcome::Lost, 0),
            (Outcome::Failed, 0),
            (Outcome::Lost, 1),
            (Outcome::Succeeded, 1),
        ]);
        assert_eq!((tally(&alone).failures, tally(&alone).deaths), (1, 1));
        let revived = ended(&[
            (Outcome::Lost, 1),
            (Outcome::Revived, 0),
            (Outcome::Succeeded, 0),
        ]);
        assert_eq!(tally(&revived).deaths, 0);
    }
}
