//! Answers about the cluster: who leads, which nodes there are, how queues stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use tracing::debug;

use super::answer::Answer;
use super::drains;
use super::error::ApiError;
use super::limits;
use super::state::Room;
use super::wire::{
    AdaptiveSlots, DrainedName, EtcdStats, Leader, LeaderHistory, Node, NodePage, NodeState, Queue,
    QueuePage, QueueRulesRequest, Resigned, Service, Slots, Stats, TaskCounts, Term, TermEnd, Time,
};
use crate::store::{self, EndedBy, NodeSeen, Overview, QueueSeen, Stand, Store, TermRecord};
use crate::task::Name;

/// Who leads.
#[utoipa::path(get, path = "/v1/leader", tag = "leader",
    responses((status = 200, body = Leader), (status = 503, description = "`no_leader`: nobody leads")))]
pub(super) async fn leader(State(room): State<Arc<Room>>) -> Result<Answer<Leader>, ApiError> {
    let (leader, revision) = leading(&room.door.store).await?;
    let leader = leader.ok_or(ApiError::NoLeader { revision })?;
    Ok(Answer::at(revision, leader))
}

/// The terms that were, newest first.
#[utoipa::path(get, path = "/v1/leader/history", tag = "leader", responses((status = 200, body = LeaderHistory)))]
pub(super) async fn history(
    State(room): State<Arc<Room>>,
) -> Result<Answer<LeaderHistory>, ApiError> {
    let store = &room.door.store;
    let (terms, revision) = store.terms().await?;
    let items = told(terms, &failovers(store).await);
    Ok(Answer::at(revision, LeaderHistory { items, revision }))
}

/// By which failover each term ended, of another revision maybe: that is told of a little later than the term's end. None where those
/// cannot be read, which is no reason to tell nothing of the terms.
async fn failovers(store: &Store) -> BTreeMap<i64, i64> {
    let all = match store.failovers(0).await {
        Ok((all, _)) => all,
        Err(problem) => {
            debug!(%problem, "by which failovers terms ended could not be read");
            return BTreeMap::new();
        }
    };
    let of_term = all.iter();
    let of_term = of_term.filter_map(|one| Some((one.seen.value.term?, one.id)));
    of_term.collect()
}

/// A record says how long nobody led before its term; users read it at the term that ended, with the id of the failover it ended by.
fn told(terms: Vec<(i64, TermRecord)>, failovers: &BTreeMap<i64, i64>) -> Vec<Term> {
    let mut next_gap = None;
    let mut items = Vec::with_capacity(terms.len());
    for (term, record) in terms {
        let gap_ms = std::mem::replace(&mut next_gap, record.gap_ms);
        items.push(Term {
            term,
            node: record.node.to_string(),
            from: time(record.from_ms),
            until: record.until_ms.map(time),
            ended_by: record.ended_by.map(ended_by),
            leaderless_ms: gap_ms,
            failover: failovers.get(&term).copied(),
        });
    }
    items
}

fn ended_by(ended: EndedBy) -> TermEnd {
    match ended {
        EndedBy::Resigned => TermEnd::Resigned,
        EndedBy::LeaseGone => TermEnd::LeaseGone,
        EndedBy::KeyDeleted => TermEnd::KeyDeleted,
        EndedBy::Unknown => TermEnd::Unknown,
    }
}

/// Ends the present term, whoever leads; another node is elected at once.
#[utoipa::path(post, path = "/v1/leader/resign", tag = "leader",
    responses((status = 200, body = Resigned), (status = 409, description = "`leader_changed`"),
        (status = 503, description = "`no_leader`"), (status = 504, description = "`outcome_unknown`")))]
pub(super) async fn resign(State(room): State<Arc<Room>>) -> Result<Answer<Resigned>, ApiError> {
    let store = &room.door.store;
    let (leader, revision) = store.leader().await?;
    let leader = leader.ok_or(ApiError::NoLeader { revision })?;
    let (ended, revision) = store.dismiss(&leader, room.now_ms()).await?;
    if !ended {
        return Err(ApiError::LeaderChanged);
    }
    let resigned = Resigned {
        node: leader.candidate.node.to_string(),
        term: leader.term,
        revision,
    };
    Ok(Answer::at(revision, resigned))
}

/// The live nodes.
#[utoipa::path(get, path = "/v1/nodes", tag = "nodes", responses((status = 200, body = NodePage)))]
pub(super) async fn nodes(State(room): State<Arc<Room>>) -> Result<Answer<NodePage>, ApiError> {
    let seen = room.door.store.nodes_led().await?;
    let revision = seen.revision;
    let named = |(name, of): (Name, store::Drain)| DrainedName {
        node: name.to_string(),
        drain: drains::wire(of),
    };
    Ok(Answer::at(
        revision,
        NodePage {
            items: told_nodes(seen.live, seen.leader.as_ref(), revision),
            drained_names: seen.away.into_iter().map(named).collect(),
            next_cursor: None,
            revision,
        },
    ))
}

/// One live node.
#[utoipa::path(get, path = "/v1/nodes/{id}", tag = "nodes", params(("id" = String, Path, description = "Its name")),
    responses((status = 200, body = Node), (status = 404, description = "`no_such_node`")))]
pub(super) async fn node(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
) -> Result<Answer<Node>, ApiError> {
    let seen = room.door.store.nodes_led().await?;
    let revision = seen.revision;
    let nodes = told_nodes(seen.live, seen.leader.as_ref(), revision);
    let node = nodes.into_iter().find(|node| node.id == id);
    let short = || id.chars().take(64).collect();
    Ok(Answer::at(
        revision,
        node.ok_or_else(|| ApiError::NoNode(short()))?,
    ))
}

/// How the queues stand: every queue that has had work or has rules.
#[utoipa::path(get, path = "/v1/queues", tag = "queues", responses((status = 200, body = QueuePage)))]
pub(super) async fn queues(State(room): State<Arc<Room>>) -> Result<Answer<QueuePage>, ApiError> {
    let (queues, revision) = room.door.store.queues().await?;
    let items = queues
        .into_iter()
        .map(|(name, seen)| queue(&name, &seen))
        .collect();
    Ok(Answer::at(
        revision,
        QueuePage {
            items,
            next_cursor: None,
            revision,
        },
    ))
}

/// The cluster on one page.
#[utoipa::path(get, path = "/v1/stats", tag = "queues", responses((status = 200, body = Stats)))]
pub(super) async fn stats(State(room): State<Arc<Room>>) -> Result<Answer<Stats>, ApiError> {
    let Overview {
        nodes,
        leader,
        queues,
        revision,
    } = room.door.store.overview().await?;
    let nodes = told_nodes(nodes, leader.as_ref(), revision);
    let leader = told_leader(leader, revision);
    let live = |node: &&Node| node.state == NodeState::Live;
    let taking: Vec<&Node> = nodes.iter().filter(live).collect();
    let sum = |part: fn(&Node) -> u32| taking.iter().map(|node| part(node)).sum();
    let stats = Stats {
        tasks: counts(&queues),
        nodes: u32::try_from(taking.len()).unwrap_or(u32::MAX),
        slots: Slots {
            total: sum(|node| node.slots.total),
            busy: sum(|node| node.slots.busy),
        },
        leader,
        etcd: etcd(&room),
        service: service(&room),
        revision,
    };
    Ok(Answer::at(revision, stats))
}

fn service(room: &Room) -> Service {
    let now = room.service();
    Service {
        level: now.level.word().to_owned(),
        why: now.why.map(|why| why.to_string()),
    }
}

fn etcd(room: &Room) -> EtcdStats {
    let usage = room.door.usage.borrow();
    let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    EtcdStats {
        version: usage.version.clone(),
        db_size: bytes(usage.room.size),
        db_size_in_use: bytes(usage.room.in_use),
        quota: bytes(usage.room.quota),
        full: usage.room.full(room.door.config.quota_refuse),
    }
}

fn counts(queues: &BTreeMap<Name, QueueSeen>) -> TaskCounts {
    let mut counts = TaskCounts {
        exact: true,
        ..TaskCounts::default()
    };
    for queue in queues.values() {
        counts.scheduled += queue.scheduled.tasks;
        counts.pending += queue.pending.tasks;
        counts.running += queue.running.tasks;
        counts.dead += queue.dead.tasks;
        counts.exact &= exact(queue);
    }
    counts
}

fn exact(queue: &QueueSeen) -> bool {
    ![queue.pending, queue.scheduled, queue.running, queue.dead]
        .iter()
        .any(|count| count.estimated)
}

fn queue(name: &Name, seen: &QueueSeen) -> Queue {
    let (paused_at, paused_for) = seen.rules.as_ref().map(limits::paused).unwrap_or_default();
    let rules = seen.rules.as_ref().map(limits::told);
    Queue {
        // A pause alone is no rule.
        rules: rules.filter(|rules| *rules != QueueRulesRequest::default()),
        paused_at,
        paused_for,
        exact: exact(seen),
        name: name.to_string(),
        pending: seen.pending.tasks,
        scheduled: seen.scheduled.tasks,
        running: seen.running.tasks,
        dead: seen.dead.tasks,
        oldest_pending_at: seen.oldest_pending_ms.map(time),
        kinds: seen.kinds.iter().map(ToString::to_string).collect(),
    }
}

/// Who leads: holds the lowest election key and has opened its term's record.
pub(super) async fn leading(store: &Store) -> Result<(Option<Leader>, i64), ApiError> {
    let (leader, revision) = store.leader().await?;
    Ok((told_leader(leader, revision), revision))
}

fn told_leader(leader: Option<store::Leader>, revision: i64) -> Option<Leader> {
    let opened = leader.and_then(|leader| leader.record.map(|record| (leader.term, record)));
    opened.map(|(term, record)| Leader {
        node: record.node.to_string(),
        term,
        since: time(record.from_ms),
        address: record.address,
        revision,
    })
}

fn told_nodes(nodes: Vec<NodeSeen>, leader: Option<&store::Leader>, revision: i64) -> Vec<Node> {
    let leads = |id: &Name| leader.is_some_and(|leader| leader.candidate.node == *id);
    let told = |node: NodeSeen| told_node(leads(&node.id), node, revision);
    nodes.into_iter().map(told).collect()
}

fn told_node(leader: bool, node: NodeSeen, revision: i64) -> Node {
    let record = node.seen.value;
    Node {
        id: node.id.to_string(),
        state: state(record.stand(node.drain.is_some(), node.tasks > 0)),
        tasks: node.tasks as u64,
        drain: node.drain.map(drains::wire),
        leader,
        slots: Slots {
            total: record.slots,
            // What is claimed ahead has no slot yet.
            busy: u32::try_from(node.tasks)
                .unwrap_or(u32::MAX)
                .min(record.slots),
        },
        adaptive: record.adaptive.map(adaptive),
        kinds: record.kinds.iter().map(ToString::to_string).collect(),
        labels: record.labels,
        version: record.version,
        started_at: time(record.started_ms),
        address: record.address,
        instance: record.instance,
        revision,
    }
}

fn state(stand: Stand) -> NodeState {
    match stand {
        Stand::Works => NodeState::Live,
        Stand::Drains => NodeState::Draining,
        Stand::Drained => NodeState::Drained,
    }
}

fn adaptive(adaptive: store::Adaptive) -> AdaptiveSlots {
    AdaptiveSlots {
        min: adaptive.min,
        max: adaptive.max,
        why: adaptive.why,
        busy_percent: adaptive.busy_percent,
        in_hand: adaptive.in_hand,
        waited_ms: adaptive.waited_ms,
        cpu_percent: adaptive.cpu_percent,
        cpu_stalled_percent: adaptive.cpu_stalled_percent,
        memory_percent: adaptive.memory_percent,
        memory_stalled_percent: adaptive.memory_stalled_percent,
    }
}

/// Milliseconds since 1970 on the wire.
pub(super) fn time(ms: u64) -> Time {
    Time::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
