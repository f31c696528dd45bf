//! The names of all metrics with what they mean and what to do about them; never records anything.

mod deaths;

use super::metric::{Metric, counter, gauge, histogram};

/// All metrics, in the order of the page.
pub fn table() -> impl Iterator<Item = &'static Metric> {
    [LEADERS, deaths::DEATHS, WORK].into_iter().flatten()
}

/// The build, and who leads.
const LEADERS: &[Metric] = &[
    gauge(
        "tenure_build_info",
        &["version", "revision"],
        "Always 1; its labels say which build runs.",
        "More than one version for long: finish the upgrade.",
    ),
    gauge(
        "tenure_leader_status",
        &["name"],
        "1 on the node that leads, 0 on the others.",
        "The sum over all nodes is not 1 for longer than the lease TTL: look at etcd and at `leader history`.",
    ),
    gauge(
        "leader_election_master_status",
        &["name"],
        "The same under the name that Kubernetes' alerts use.",
        "As tenure_leader_status.",
    ),
    counter(
        "tenure_leader_transitions_total",
        &[],
        "This node's terms.",
        "Grows without restarts on any node: leases expire; look at tenure_lease_renew_duration_seconds.",
    ),
    gauge(
        "tenure_leader_term",
        &[],
        "This node's last term: the create revision of its election key when it led.",
        "The greatest of all nodes is the present term, once that has begun; a node whose own is lower leads no more.",
    ),
    histogram(
        "tenure_leader_view_ready_seconds",
        &["view"],
        "How long a new leader of this node took to have its view: `warm` where it had kept one as the next in line, `cold` where it \
         was loaded.",
        "Cold again and again: the next in line loses its watch; look at etcd's latency. Warm for long: etcd's watches lag.",
    ),
];

/// All that work and etcd tell, and the node of itself.
const WORK: &[Metric] = &[
    counter(
        "tenure_fencing_rejected_total",
        &["op"],
        "Writes refused because their author no longer held what it wrote under.",
        "A few around a change of leader or a node's death are the fences at work; a steady rate means a node that does not notice its losses.",
    ),
    gauge(
        "tenure_nodes",
        &["state"],
        "Nodes by state (live: it takes work; draining: it finishes what it has; drained). Only the leader says; 0 on a node that led before.",
        "Fewer live ones than you run: look at the missing node's log.",
    ),
    gauge(
        "tenure_queue_tasks",
        &["queue", "state"],
        "Tasks by queue and state (scheduled, pending, running, dead). Only the leader says; 0 on a node that led before.",
        "Pending grows: add slots or nodes. Dead grows: `tenure dead list`.",
    ),
    gauge(
        "tenure_queue_oldest_pending_age_seconds",
        &["queue"],
        "How long the oldest pending task has waited. Only the leader says; 0 on a node that led before.",
        "The signal of a backlog: add slots, or see why no node takes the kind (`tenure task get` says what it waits for).",
    ),
    counter(
        "tenure_tasks_submitted_total",
        &["queue", "kind"],
        "Tasks accepted by this node.",
        "A sudden stop: look at the submitters and at tenure_http_requests_total.",
    ),
    counter(
        "tenure_task_attempts_total",
        &["queue", "kind", "outcome"],
        "Attempts ended (succeeded, failed, timeout, cancelled, lost).",
        "failed or timeout: see the tasks' errors. lost: nodes die or lose their sessions.",
    ),
    counter(
        "tenure_tasks_finished_total",
        &["queue", "kind", "outcome"],
        "Tasks that reached their end.",
        "Slower than tenure_tasks_submitted_total for long: a backlog grows.",
    ),
    counter(
        "tenure_task_retries_total",
        &["queue", "kind"],
        "Tasks that go on to another attempt.",
        "Many: something the tasks depend on is failing.",
    ),
    counter(
        "tenure_tasks_dead_total",
        &["queue", "kind"],
        "Tasks that went to the dead letters.",
        "Any: `tenure dead list`, mend the cause, `tenure dead retry`.",
    ),
    counter(
        "tenure_packs_collected_total",
        &[],
        "Packs forgotten after the retention, all their tasks having ended.",
        "Stands still while etcd grows: tasks that never end, or dead letters nobody looks at, keep their packs.",
    ),
    counter(
        "tenure_packs_skipped_total",
        &[],
        "Times the collection went past an ended pack because a record of it cannot be read.",
        "Any: somebody else wrote into Tenure's keys; the leader's log names the key. The pack is kept until the record is mended or deleted.",
    ),
    counter(
        "tenure_reports_shrunk_total",
        &[],
        "Reports of outcomes that etcd called invalid, and that were built anew and smaller: without outputs at last.",
        "Any: etcd's --max-request-bytes is below its default of 1.5 MiB; raise it, or lower `output-tail`.",
    ),
    histogram(
        "tenure_task_schedule_to_start_duration_seconds",
        &["queue"],
        "From when a task could have run to its start.",
        "Grows while slots are free: the leader or etcd is slow; otherwise add slots.",
    ),
    histogram(
        "tenure_task_run_duration_seconds",
        &["queue", "kind"],
        "How long runs take.",
        "Near the time limit: raise it or make the work smaller.",
    ),
    gauge(
        "tenure_worker_slots",
        &["state"],
        "This node's slots (busy, free).",
        "None free for long: add slots or nodes.",
    ),
    gauge(
        "tenure_slots",
        &[],
        "How many runs this node may have at once. Adaptive ones change; right after they became fewer, more runs than this may still go on.",
        "At the maximum and none free for long: raise the maximum of `slots`, or add nodes.",
    ),
    counter(
        "tenure_slots_decisions_total",
        &["change", "reason"],
        "Decisions about adaptive slots, one a second: change (grow, shrink, keep), reason (waits, busy, idle, cpu, memory, unknown, steady).",
        "Many cpu or memory: the machine is short of it, whoever uses it. Any unknown: the node cannot read how the machine is used, and stays at 4 slots a core.",
    ),
    gauge(
        "tenure_breakers",
        &["kind", "state"],
        "This node's circuit breakers that are not closed (open, half_open).",
        "Any for long: `tenure breaker list` names the hosts and how they fail; their tasks wait.",
    ),
    counter(
        "tenure_breaker_opens_total",
        &["kind"],
        "Times a circuit breaker of this node opened, again after a failed probe too.",
        "Grows: what the kind uses fails; see `tenure breaker list`.",
    ),
    counter(
        "tenure_task_deferrals_total",
        &["kind"],
        "Tasks that this node put off because of an open breaker. No attempts.",
        "As tenure_breaker_opens_total; many more of these than of those are a backlog behind an open breaker.",
    ),
    histogram(
        "tenure_dispatch_duration_seconds",
        &[],
        "How long the leader takes for one round of assignments, with its commit.",
        "Grows: etcd is slow, see tenure_etcd_request_duration_seconds.",
    ),
    histogram(
        "tenure_dispatch_batch_tasks",
        &[],
        "Tasks assigned in one round.",
        "Only for comparison with the duration.",
    ),
    counter(
        "tenure_schedule_occurrences_total",
        &["outcome"],
        "Due times that were decided: fired by clock, catch_up, trigger or backfill; skipped by overlap, misfire, window, deadline, paused or edited.",
        "misfire, window or catch_up grow: nobody led when they were due; overlap grows: runs are longer than the time between them.",
    ),
    histogram(
        "tenure_schedule_lateness_seconds",
        &[],
        "How long after its time a schedule was fired.",
        "Seconds: the leader changes, or more is due at once than etcd takes; spread it with jitter or H.",
    ),
    gauge(
        "tenure_schedules",
        &["state"],
        "Schedules by state: active ones have a next due time, idle ones are paused or over. Only the leader says; 0 on a node that led before.",
        "Fewer active ones than you declared: `tenure schedule list` says which are paused, and why.",
    ),
    histogram(
        "tenure_etcd_request_duration_seconds",
        &["op"],
        "How long etcd takes to answer.",
        "Tens of milliseconds: its disk or network is slow.",
    ),
    counter(
        "tenure_etcd_requests_total",
        &["op", "code"],
        "Requests to etcd by how they ended.",
        "Codes other than ok: see etcd's health; `tenure check` says more.",
    ),
    counter(
        "tenure_etcd_txn_conflicts_total",
        &["op"],
        "Transactions refused because what they compared had changed.",
        "Some are normal where several want the same; a steady high rate wastes etcd's time.",
    ),
    counter(
        "tenure_etcd_watch_restarts_total",
        &["reason"],
        "Watches opened anew.",
        "Often: a member or the network between is unstable.",
    ),
    counter(
        "tenure_hold_wakeups_total",
        &[],
        "Times somebody outside who waits for a lock or permits at this node was woken: once for each hold.",
        "Many more than holds: the watch of holds is opened anew again and again; see tenure_etcd_watch_restarts_total.",
    ),
    counter(
        "tenure_etcd_watch_events_total",
        &[],
        "Changes of keys that etcd told this node's watches.",
        "Only for comparison: many more than tasks and their changes means that too much is watched.",
    ),
    gauge(
        "tenure_etcd_db_size_bytes",
        &[],
        "The size of etcd's database file.",
        "Near the quota with much of it unused: defragment.",
    ),
    gauge(
        "tenure_etcd_db_in_use_bytes",
        &[],
        "What of the file is in use.",
        "From 80 % of the quota on new work is refused; far below the size: defragment.",
    ),
    gauge(
        "tenure_etcd_quota_bytes",
        &[],
        "The size at which etcd refuses writes.",
        "Raise etcd's --quota-backend-bytes where the work needs it.",
    ),
    gauge(
        "tenure_service_level",
        &[],
        "How much service this node gives: 0 full, 1 reduced, 2 minimal, 3 emergency; looked at every 5 s.",
        "Not 0: `tenure status` says why; docs/limits.md says whose submits are refused.",
    ),
    counter(
        "tenure_submits_shed_total",
        &["level"],
        "Submits refused because service was not full, by its level.",
        "Grows: give etcd more room, or the cluster more nodes; queues of high importance go on longest.",
    ),
    histogram(
        "tenure_lease_renew_duration_seconds",
        &[],
        "How long a keepalive takes to be answered.",
        "A good part of the lease TTL: sessions will be lost; look at etcd.",
    ),
    counter(
        "tenure_lease_lost_total",
        &["reason"],
        "Sessions lost, and why.",
        "Any outside of restarts: the node was paused, cut off, or its lease was revoked.",
    ),
    gauge(
        "tenure_fencing_margin_seconds",
        &[],
        "When this node last lost a session by its deadline with runs on it: how long before its lease could be given away the last of them was gone. Negative: after.",
        "Near 0 or below: something holds runs up (a handler that blocks a thread, a machine short of CPU); raise `lease-ttl`.",
    ),
    counter(
        "tenure_watchdog_kills_total",
        &[],
        "Commands that the watchdog killed because their session's time was over and the runtime had not ended them.",
        "Any: the runtime stood still, see tenure_runtime_stalls_total.",
    ),
    counter(
        "tenure_guard_replacements_total",
        &[],
        "Times the guard process of the commands was gone or did not answer, and another was started.",
        "Any: somebody kills or stops processes with `tenure-guard` in their command line (`pgrep -f tenure-guard`); the machine may be short of memory.",
    ),
    counter(
        "tenure_outcomes_dropped_total",
        &["why"],
        "Tasks whose outcome was not taken: reclaimed, because another may have them; late, because etcd did not take it in time.",
        "A few after a node or etcd was away; these tasks run again.",
    ),
    counter(
        "tenure_http_requests_total",
        &["method", "route", "status"],
        "Requests answered.",
        "5xx: see the log; 429: submitters are faster than etcd.",
    ),
    histogram(
        "tenure_http_request_duration_seconds",
        &["method", "route"],
        "How long answers take; waits for a task's end are as long as was asked.",
        "Submits grow: see tenure_etcd_request_duration_seconds.",
    ),
    histogram(
        "tenure_runtime_lateness_seconds",
        &[],
        "How late the node's runtime wakes a task that asked for it, every 100 ms.",
        "Its p99 is some milliseconds: the machine is short of processors, or work blocks a thread of the runtime.",
    ),
    counter(
        "tenure_runtime_stalls_total",
        &[],
        "Times that was late by 200 ms or more.",
        "Grows: leases and deadlines of this node are late too; see docs/debugging.md.",
    ),
    gauge(
        "tenure_runtime_lateness_longest_seconds",
        &[],
        "The longest that it was late in the last minute.",
        "A good part of the lease TTL: sessions will be lost.",
    ),
    gauge(
        "tenure_depth",
        &["of"],
        "How deep the node's queues are, and what it holds (docs/debugging.md lists them); looked at every 5 s.",
        "Near tenure_depth_bound: something will be refused or wait. `flights`, `refills`, `fires`, `reports`, `runs` and `packs_kept` are meant to be full.",
    ),
    gauge(
        "tenure_depth_bound",
        &["of"],
        "What it cannot pass, where something bounds it.",
        "Only for comparison with tenure_depth.",
    ),
    gauge(
        "tenure_growing",
        &["of"],
        "1 while something only grows: the least of each of six windows in a row, of 5 min or of 1 h, was above the one before.",
        "1: a leak, or load that only grows; see docs/debugging.md.",
    ),
];
