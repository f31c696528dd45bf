//! From a request to a task, or to everything that is wrong with it; never asks etcd.

use std::sync::Arc;

use crate::api::error::ApiError;
use crate::api::wire::check::DELAY_MS_MAX;
use crate::api::wire::{self, Backoff, FieldError, SubmitRequest};
use crate::store::NewTask;
use crate::task::{self, Name, Needs, OnLost, Permit, Policy, Priority, Routing, Spec};
use crate::worker::kinds::{Kinds, PayloadError};

/// The task, where nothing was or is found wrong.
pub(super) fn new_task(
    asked: SubmitRequest,
    now_ms: u64,
    mut faults: Vec<FieldError>,
) -> Result<NewTask, ApiError> {
    faults.extend(late(&asked, now_ms));
    if faults.is_empty() {
        return Ok(built(asked, now_ms));
    }
    Err(ApiError::Invalid(faults))
}

/// The tasks of a batch, where nothing was or is found wrong with any.
pub(super) fn new_tasks(
    asked: Vec<SubmitRequest>,
    now_ms: u64,
    mut faults: Vec<FieldError>,
) -> Result<Vec<NewTask>, ApiError> {
    for (index, task) in asked.iter().enumerate() {
        let found = late(task, now_ms);
        if !found.is_empty() {
            let under = format!("/tasks/{index}");
            faults.extend(found.into_iter().map(|fault| fault.under(&under)));
        }
    }
    if faults.is_empty() {
        return Ok(asked.into_iter().map(|task| built(task, now_ms)).collect());
    }
    Err(ApiError::Invalid(faults))
}

/// What only a server can say: it has a clock, and knows the kinds.
pub(in crate::api) fn late(asked: &SubmitRequest, now_ms: u64) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let at = asked.run_at().map(jiff::Timestamp::as_millisecond);
    let last = i64::try_from(now_ms)
        .unwrap_or(i64::MAX)
        .saturating_add(DELAY_MS_MAX);
    if let Some(text) = asked
        .run_at
        .as_deref()
        .filter(|_| at.is_some_and(|at| at > last))
    {
        faults.push(FieldError::new(
            "run_at",
            format!("`{text}` is more than ten years away"),
        ));
    }
    if let Err(wrong) = Kinds::check(&asked.kind, asked.payload.shared()) {
        faults.push(payload_fault(&wrong));
    }
    faults
}

/// `payload.argv[2]` is `/payload/argv/2`.
fn payload_fault(wrong: &PayloadError) -> FieldError {
    let path = wrong.field.replace('[', ".").replace(']', "");
    let detail = format!("{}, expected {}", wrong.problem, wrong.bound);
    FieldError {
        field: wrong.field.clone(),
        ..FieldError::new(&path, detail)
    }
}

/// Of a request that was checked.
pub(in crate::api) fn built(asked: SubmitRequest, now_ms: u64) -> NewTask {
    let run_at_ms = starts(&asked, now_ms);
    let metadata = (!asked.metadata.is_empty()).then(|| {
        let text = serde_json::value::to_raw_value(&asked.metadata).expect("a JSON object encodes");
        text.into()
    });
    NewTask {
        routing: Routing {
            queue: name(&asked.queue),
            kind: name(&asked.kind),
            priority: u8::try_from(asked.priority)
                .ok()
                .and_then(Priority::new)
                .expect("checked"),
            needs: needs(&asked),
        },
        policy: Policy {
            max_attempts: u32::try_from(asked.max_attempts).expect("checked"),
            backoff: backoff(&asked.backoff),
            timeout_ms: asked.timeout_ms.map(unsigned),
            on_lost: match asked.on_lost {
                wire::OnLost::Stop => OnLost::Stop,
                wire::OnLost::Finish => OnLost::Finish,
            },
        },
        run_at_ms,
        spec: Spec {
            payload: asked.payload.shared().clone(),
            labels: asked.labels,
            metadata,
        },
    }
}

/// What it takes beside a slot; none where that is nothing. In order, so that tasks that ask for the same share packs.
fn needs(asked: &SubmitRequest) -> Option<Arc<Needs>> {
    let permit = |permit: &wire::Permit| Permit {
        semaphore: name(&permit.semaphore),
        weight: u32::try_from(permit.weight).expect("checked"),
    };
    let mut permits: Vec<Permit> = asked.permits.iter().map(permit).collect();
    let mut locks: Vec<Name> = asked.locks.iter().map(|lock| name(lock)).collect();
    permits.sort_unstable();
    locks.sort_unstable();
    let needs = Needs {
        permits,
        locks,
        key: asked.concurrency_key.as_deref().map(name),
        require: asked.node_labels.require.clone(),
        prefer: asked.node_labels.prefer.clone(),
    };
    (!needs.is_empty()).then(|| Arc::new(needs))
}

/// The request that a task was made of, but for when it may start.
pub(in crate::api) fn asked(routing: &Routing, policy: &Policy, spec: &Spec) -> SubmitRequest {
    let needs = routing.needs.as_deref().cloned().unwrap_or_default();
    let metadata = spec.metadata.as_ref();
    let task::Backoff {
        initial_ms,
        factor,
        max_ms,
        jitter,
    } = policy.backoff;
    SubmitRequest {
        queue: routing.queue.to_string(),
        kind: routing.kind.to_string(),
        payload: spec.payload.clone().into(),
        priority: i64::from(routing.priority.level()),
        run_at: None,
        delay_ms: None,
        max_attempts: i64::from(policy.max_attempts),
        backoff: Backoff {
            initial_ms: initial_ms.cast_signed(),
            factor,
            max_ms: max_ms.cast_signed(),
            jitter,
        },
        timeout_ms: policy.timeout_ms.map(u64::cast_signed),
        on_lost: on_lost(policy.on_lost),
        labels: spec.labels.clone(),
        metadata: metadata
            .and_then(|json| serde_json::from_str(json.get()).ok())
            .unwrap_or_default(),
        idempotency_key: None,
        permits: needs.permits.iter().map(permit).collect(),
        locks: needs.locks.iter().map(ToString::to_string).collect(),
        concurrency_key: needs.key.map(|key| key.to_string()),
        node_labels: wire::NodeLabels {
            require: needs.require,
            prefer: needs.prefer,
        },
    }
}

/// As it is told.
pub(in crate::api) fn on_lost(on_lost: OnLost) -> wire::OnLost {
    match on_lost {
        OnLost::Stop => wire::OnLost::Stop,
        OnLost::Finish => wire::OnLost::Finish,
    }
}

/// A part of a semaphore as it is told.
pub(in crate::api) fn permit(permit: &Permit) -> wire::Permit {
    wire::Permit {
        semaphore: permit.semaphore.to_string(),
        weight: i64::from(permit.weight),
    }
}

/// When it may start; none where that is at once.
fn starts(asked: &SubmitRequest, now_ms: u64) -> Option<u64> {
    let at = asked
        .run_at()
        .map(|at| u64::try_from(at.as_millisecond()).unwrap_or(0));
    let after = asked
        .delay_ms
        .map(|delay| now_ms.saturating_add(unsigned(delay)));
    at.or(after).filter(|at| *at > now_ms)
}

fn name(text: &str) -> Name {
    text.parse().expect("checked")
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).expect("checked: not negative")
}

fn backoff(asked: &Backoff) -> task::Backoff {
    task::Backoff {
        initial_ms: unsigned(asked.initial_ms),
        factor: asked.factor,
        max_ms: unsigned(asked.max_ms),
        jitter: asked.jitter,
    }
}
