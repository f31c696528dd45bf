//! Every metric of a node: one table of names, and a function for each that says what happened; never holds a value.
//!
//! Labels are bounded: of queues and kinds the first [`VALUES_MAX`] have a series of their own, later ones are `other`. No label is
//! ever an id, a message or anything else that grows with use.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use metrics::{SharedString, counter, gauge, histogram};

use crate::task::{Outcome, State};

mod deaths;
mod metric;
mod page;
mod table;

pub use deaths::{
    failover, failover_detection, failover_leaderless, failover_untold, failover_waits,
    false_death, peer_evidence, peer_link_broke, peer_links, peer_revoke,
};
pub use metric::{Kind, Metric};
pub use page::page;
pub use table::table;

/// 200 queues and 200 kinds have series of their own: more would outgrow what one scrape should carry.
pub const VALUES_MAX: usize = 200;

/// The label of what came after [`VALUES_MAX`] others.
pub const OTHER: &str = "other";

static QUEUES: LazyLock<Known> = LazyLock::new(Known::default);
static KINDS: LazyLock<Known> = LazyLock::new(Known::default);

/// The labels of queues of which this node has told as the leader: some of [`QUEUES`]' and [`OTHER`].
static COUNTED: LazyLock<Mutex<HashSet<SharedString>>> = LazyLock::new(Mutex::default);

/// The values that a label has had.
#[derive(Default)]
struct Known(RwLock<HashSet<Arc<str>>>);

impl Known {
    /// The value, or [`OTHER`] where there are too many already.
    fn label(&self, value: &str) -> SharedString {
        // Both sections are one look into a map; a poisoned one still holds whole entries.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(value) {
            return SharedString::from_shared(Arc::clone(value));
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= VALUES_MAX && !known.contains(value) {
            return SharedString::const_str(OTHER);
        }
        let value: Arc<str> = value.into();
        known.insert(Arc::clone(&value));
        SharedString::from_shared(value)
    }
}

/// Tasks were accepted.
pub fn tasks_submitted(queue: &str, kind: &str, tasks: u64) {
    counter!("tenure_tasks_submitted_total",
        "queue" => QUEUES.label(queue), "kind" => KINDS.label(kind))
    .increment(tasks);
}

/// Attempts ended, with one outcome.
pub fn task_attempts(queue: &str, kind: &str, outcome: Outcome, attempts: u64) {
    counter!("tenure_task_attempts_total",
        "queue" => QUEUES.label(queue), "kind" => KINDS.label(kind), "outcome" => outcome.word())
    .increment(attempts);
}

/// Tasks came to an end: succeeded or cancelled.
pub fn tasks_finished(queue: &str, kind: &str, outcome: Outcome, tasks: u64) {
    counter!("tenure_tasks_finished_total",
        "queue" => QUEUES.label(queue), "kind" => KINDS.label(kind), "outcome" => outcome.word())
    .increment(tasks);
}

/// Tasks go on to another attempt.
pub fn task_retries(queue: &str, kind: &str, tasks: u64) {
    counter!("tenure_task_retries_total",
        "queue" => QUEUES.label(queue), "kind" => KINDS.label(kind))
    .increment(tasks);
}

/// Tasks went to the dead letters.
pub fn tasks_dead(queue: &str, kind: &str, tasks: u64) {
    counter!("tenure_tasks_dead_total",
        "queue" => QUEUES.label(queue), "kind" => KINDS.label(kind))
    .increment(tasks);
}

/// A task started, so long after it could have.
pub fn schedule_to_start(queue: &str, waited: Duration) {
    histogram!("tenure_task_schedule_to_start_duration_seconds", "queue" => QUEUES.label(queue))
        .record(waited.as_secs_f64());
}

/// A run ended, having taken so long.
pub fn run_duration(queue: &str, kind: &str, took: Duration) {
    histogram!("tenure_task_run_duration_seconds",
        "queue" => QUEUES.label(queue), "kind" => KINDS.label(kind))
    .record(took.as_secs_f64());
}

/// A write was refused because its author had lost the term or the claim it wrote under.
pub fn fencing_rejected(op: &'static str) {
    counter!("tenure_fencing_rejected_total", "op" => op).increment(1);
}

/// A transaction was refused because somebody else had been faster.
pub fn txn_conflict(op: &'static str) {
    counter!("tenure_etcd_txn_conflicts_total", "op" => op).increment(1);
}

/// How long before its lease could be given away the last run of a lost session was gone, in seconds; negative for after.
pub fn fencing_margin(secs: f64) {
    gauge!("tenure_fencing_margin_seconds").set(secs);
}

/// The watchdog killed commands that the runtime had not.
pub fn watchdog_killed(commands: u64) {
    counter!("tenure_watchdog_kills_total").increment(commands);
}

/// The guard of the commands was gone or did not answer.
pub fn guard_replaced() {
    counter!("tenure_guard_replacements_total").increment(1);
}

/// Outcomes of tasks that ended were dropped: `reclaimed`, or `late`.
pub fn outcomes_dropped(why: &'static str, tasks: u64) {
    if tasks > 0 {
        counter!("tenure_outcomes_dropped_total", "why" => why).increment(tasks);
    }
}

/// A report was called invalid by etcd and is built anew, smaller.
pub fn report_shrunk() {
    counter!("tenure_reports_shrunk_total").increment(1);
}

/// A task was deferred because of an open breaker.
pub fn task_deferred(kind: &str) {
    counter!("tenure_task_deferrals_total", "kind" => KINDS.label(kind)).increment(1);
}

/// A breaker opened.
pub fn breaker_opened(kind: &str) {
    counter!("tenure_breaker_opens_total", "kind" => KINDS.label(kind)).increment(1);
}

/// How many breakers of a kind are not closed.
pub fn breakers(kind: &str, open: u64, half_open: u64) {
    gauge!("tenure_breakers", "kind" => KINDS.label(kind), "state" => "open").set(float(open));
    gauge!("tenure_breakers", "kind" => KINDS.label(kind), "state" => "half_open")
        .set(float(half_open));
}

/// A pack whose tasks had all ended was forgotten.
pub fn pack_collected() {
    counter!("tenure_packs_collected_total").increment(1);
}

/// The collection went past a pack of which a record cannot be read.
pub fn pack_skipped() {
    counter!("tenure_packs_skipped_total").increment(1);
}

/// How a queue stands, as its leader sees it.
pub fn queue_tasks(queue: &str, state: State, tasks: u64) {
    let state = state.word();
    gauge!("tenure_queue_tasks", "queue" => counted_queue(queue), "state" => state)
        .set(float(tasks));
}

/// How long the oldest pending task of a queue has waited, as its leader sees it.
pub fn queue_oldest_pending(queue: &str, age: Duration) {
    gauge!("tenure_queue_oldest_pending_age_seconds", "queue" => counted_queue(queue))
        .set(age.as_secs_f64());
}

/// The label of a queue of which this node tells as the leader.
fn counted_queue(queue: &str) -> SharedString {
    let label = QUEUES.label(queue);
    counted().insert(label.clone());
    label
}

/// Held for an insertion or a copy.
fn counted() -> MutexGuard<'static, HashSet<SharedString>> {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This node no longer leads: it takes back what only a leader says, or its old counts would be added to its successor's.
pub fn left_office() {
    leader_status(Leads::No);
    nodes(0, 0, 0);
    schedules(0, 0);
    let queues = counted().clone();
    for queue in queues {
        for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
            queue_tasks(&queue, state, 0);
        }
        queue_oldest_pending(&queue, Duration::ZERO);
    }
}

/// How this node's slots are used.
pub fn worker_slots(busy: u64, free: u64) {
    gauge!("tenure_worker_slots", "state" => "busy").set(float(busy));
    gauge!("tenure_worker_slots", "state" => "free").set(float(free));
}

/// A beat of the runtime was so late.
pub fn runtime_late(late: Duration) {
    histogram!("tenure_runtime_lateness_seconds").record(late.as_secs_f64());
}

/// One was so late that it was a stall.
pub fn runtime_stalled() {
    counter!("tenure_runtime_stalls_total").increment(1);
}

/// The longest that a beat was late in the last minute.
pub fn runtime_longest(late: Duration) {
    gauge!("tenure_runtime_lateness_longest_seconds").set(late.as_secs_f64());
}

/// How deep something is that takes so much at most. What it is of is from a fixed set, as for [`growing`].
pub fn depth(of: &'static str, depth: usize, bound: Option<usize>) {
    gauge!("tenure_depth", "of" => of).set(float(depth as u64));
    if let Some(bound) = bound {
        gauge!("tenure_depth_bound", "of" => of).set(float(bound as u64));
    }
}

/// Whether something only grows.
pub fn growing(of: &'static str, grows: Grows) {
    let value = match grows {
        Grows::Only => 1.0,
        Grows::AndShrinks => 0.0,
    };
    gauge!("tenure_growing", "of" => of).set(value);
}

/// Whether a depth comes back to where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grows {
    /// It does not.
    Only,
    /// It does.
    AndShrinks,
}

/// So many who waited for a lock or permits outside were woken.
pub fn hold_wakeups(waiters: u64) {
    counter!("tenure_hold_wakeups_total").increment(waiters);
}

/// How many runs this node may have at once.
pub fn slots(slots: u32) {
    gauge!("tenure_slots").set(slots);
}

/// A node with adaptive slots decided to have more, fewer or as many, for a reason out of few.
pub fn slots_decision(change: Ordering, reason: &'static str) {
    let change = match change {
        Ordering::Greater => "grow",
        Ordering::Less => "shrink",
        Ordering::Equal => "keep",
    };
    counter!("tenure_slots_decisions_total", "change" => change, "reason" => reason).increment(1);
}

/// The leader planned and committed a round of assignments.
pub fn dispatched(took: Duration, tasks: u64) {
    histogram!("tenure_dispatch_duration_seconds").record(took.as_secs_f64());
    histogram!("tenure_dispatch_batch_tasks").record(float(tasks));
}

/// It was decided what becomes of due times of a schedule: so many, in one way.
pub fn schedule_occurrences(outcome: &'static str, times: u64) {
    counter!("tenure_schedule_occurrences_total", "outcome" => outcome).increment(times);
}

/// A schedule was fired, so long after its time.
pub fn schedule_lateness(late: Duration) {
    histogram!("tenure_schedule_lateness_seconds").record(late.as_secs_f64());
}

/// Schedules that have a next due time, and the others: paused, or over. Only the leader says.
pub fn schedules(active: u64, idle: u64) {
    gauge!("tenure_schedules", "state" => "active").set(float(active));
    gauge!("tenure_schedules", "state" => "idle").set(float(idle));
}

/// Whether this node leads. Every node says so.
pub fn leader_status(leads: Leads) {
    let value = match leads {
        Leads::Yes => 1.0,
        Leads::No => 0.0,
    };
    gauge!("tenure_leader_status", "name" => "scheduler").set(value);
    gauge!("leader_election_master_status", "name" => "tenure").set(value);
}

/// Whether a node leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// A term of this node began.
pub fn leader_changed(term: i64) {
    counter!("tenure_leader_transitions_total").increment(1);
    gauge!("tenure_leader_term").set(float(u64::try_from(term).unwrap_or(0)));
}

/// A new leader has its view: kept while another led, or loaded.
pub fn view_ready(warm: bool, took: Duration) {
    let view = if warm { "warm" } else { "cold" };
    histogram!("tenure_leader_view_ready_seconds", "view" => view).record(took);
}

/// The nodes of the cluster, as the leader sees them.
pub fn nodes(live: u64, draining: u64, drained: u64) {
    gauge!("tenure_nodes", "state" => "live").set(float(live));
    gauge!("tenure_nodes", "state" => "draining").set(float(draining));
    gauge!("tenure_nodes", "state" => "drained").set(float(drained));
}

/// How full etcd is, in bytes.
pub fn etcd_size(db_size: u64, in_use: u64, quota: u64) {
    gauge!("tenure_etcd_db_size_bytes").set(float(db_size));
    gauge!("tenure_etcd_db_in_use_bytes").set(float(in_use));
    gauge!("tenure_etcd_quota_bytes").set(float(quota));
}

/// How much service this node gives, 0 for full to 3 for emergency.
pub fn service_level(number: u64) {
    gauge!("tenure_service_level").set(float(number));
}

/// A submit was refused because service is not full.
pub fn submits_shed(level: &'static str) {
    counter!("tenure_submits_shed_total", "level" => level).increment(1);
}

/// A request was answered. The labels are from fixed sets.
pub fn http_request(
    method: &'static str,
    route: &'static str,
    status: &'static str,
    took: Duration,
) {
    counter!("tenure_http_requests_total",
        "method" => method, "route" => route, "status" => status)
    .increment(1);
    histogram!("tenure_http_request_duration_seconds", "method" => method, "route" => route)
        .record(took.as_secs_f64());
}

/// Which build this is, by its commit where that is known; once, at start.
pub fn build(commit: Option<&'static str>) {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), commit.unwrap_or("unknown"));
    gauge!("tenure_build_info", "version" => version, "revision" => commit).set(1.0);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floats; counts stay far below 2^53"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
