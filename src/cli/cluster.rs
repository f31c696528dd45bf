//! `tenure node`, `leader` and `queue`: what the cluster is made of.

use super::client::{Client, Sent};
use super::table::{count, length_ms, pairs, relative, table};
use super::{Exit, Failure, Global, Output, drain, limits};
use crate::api::wire::{
    AdaptiveSlots, Leader, LeaderHistory, Node, NodePage, Queue, QueuePage, Resigned, Term,
};
use crate::clock;
use crate::task::Name;

#[derive(Debug, clap::Subcommand)]
pub(super) enum NodeCommand {
    /// List the nodes
    List,
    /// Show a node: its slots and how they came to be as many, its kinds and labels
    Get {
        /// Its name
        node: Name,
    },
    /// Take a node out of service, until undrain, also where it restarts: it finishes what runs within its grace, hands the rest
    /// back, takes nothing new, and leads only where nobody else can
    Drain(drain::Asked),
    /// Put a node back into service, at once and without a restart
    Undrain {
        /// Its name
        node: Name,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum LeaderCommand {
    /// Who leads
    Get,
    /// Who led, how each term ended, how long nobody led after it
    History,
    /// Make the leader step down; another node takes over at once
    Resign,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum QueueCommand {
    /// List the queues that hold anything or have rules
    List,
    /// The rules of a queue: weight, concurrency, rate, bounds, pause
    Rules {
        /// The queue
        name: String,
    },
    /// Set rules of a queue; one that is not given stays as it is, --clear takes one away
    #[command(disable_version_flag = true)]
    Set(limits::RulesOf),
    /// Start nothing more of a queue; what runs goes on
    Pause {
        /// The queue
        name: String,
        /// For those who ask why nothing runs
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a paused queue go on
    Resume {
        /// The queue
        name: String,
    },
}

pub(super) async fn node(global: &Global, command: NodeCommand) -> Result<Exit, Failure> {
    match command {
        NodeCommand::List => {
            let answer = Client::new(global)?.get("/v1/nodes").await?;
            answer.show(global.output, |page: &NodePage| {
                drain::say_names(&page.drained_names);
                nodes(&page.items)
            })?;
        }
        NodeCommand::Get { node } => {
            let path = format!("/v1/nodes/{node}");
            let answer = Client::new(global)?.get(&path).await?;
            answer.show(global.output, one_node)?;
        }
        NodeCommand::Drain(asked) => return drain::drain(global, asked).await,
        NodeCommand::Undrain { node } => return drain::undrain(global, &node).await,
    }
    Ok(Exit::Done)
}

pub(super) async fn leader(global: &Global, command: LeaderCommand) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        LeaderCommand::Get => {
            let answer = client.get("/v1/leader").await?;
            answer.show(global.output, one_leader)?;
        }
        LeaderCommand::History => {
            let answer = client.get("/v1/leader/history").await?;
            answer.show(global.output, |history: &LeaderHistory| {
                terms(&history.items)
            })?;
        }
        LeaderCommand::Resign => {
            let answer = client.post("/v1/leader/resign", Sent::default()).await?;
            match global.output {
                Output::Json => answer.print()?,
                Output::Table => {
                    let Resigned { node, term, .. } = answer.read()?;
                    eprintln!("{node} gave up term {term}; `tenure leader get` names the next");
                }
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn queue(global: &Global, command: QueueCommand) -> Result<Exit, Failure> {
    match command {
        QueueCommand::List => {
            let answer = Client::new(global)?.get("/v1/queues").await?;
            answer.show(global.output, |page: &QueuePage| queues(&page.items))?;
        }
        QueueCommand::Rules { name } => return limits::rules(global, &name).await,
        QueueCommand::Set(of) => return limits::set_rules(global, of).await,
        QueueCommand::Pause { name, reason } => return limits::pause(global, &name, reason).await,
        QueueCommand::Resume { name } => return limits::resume(global, &name).await,
    }
    Ok(Exit::Done)
}

pub(super) fn nodes(nodes: &[Node]) -> String {
    if nodes.is_empty() {
        eprintln!("no nodes; `tenure server` starts one");
        return String::new();
    }
    let now = clock::now();
    let row = |node: &Node| {
        let leads = if node.leader { "leader" } else { "" };
        vec![
            node.id.clone(),
            drain::state(node, now),
            leads.to_owned(),
            format!("{}/{}", node.slots.busy, node.slots.total),
            node.adaptive.as_ref().map(range).unwrap_or_default(),
            node.kinds.join(","),
            node.version.clone(),
            relative(node.started_at, now),
            node.address.clone(),
        ]
    };
    let heads = [
        "NODE", "STATE", "ROLE", ">BUSY", "SLOTS", "KINDS", "VERSION", "STARTED", "ADDRESS",
    ];
    table(&heads, nodes.iter().map(row))
}

/// `2..32 waits`: within what its slots adapt, and why they changed last.
fn range(adaptive: &AdaptiveSlots) -> String {
    let AdaptiveSlots { min, max, why, .. } = adaptive;
    format!("{min}..{max} {why}")
}

fn one_node(node: &Node) -> String {
    let now = clock::now();
    let percent =
        |share: Option<u8>| share.map_or("unknown".to_owned(), |share| format!("{share} %"));
    let adaptive =
        |told: fn(&AdaptiveSlots) -> String| node.adaptive.as_ref().map(told).unwrap_or_default();
    let work = node.adaptive.as_ref().map(|adaptive| {
        format!(
            "slots {} % in use, {} tasks in hand, {} ms in the queue at most",
            adaptive.busy_percent, adaptive.in_hand, adaptive.waited_ms
        )
    });
    let used = node.adaptive.as_ref().map(|adaptive| {
        let [cpu, memory] = [adaptive.cpu_percent, adaptive.memory_percent].map(percent);
        let stalled = [
            adaptive.cpu_stalled_percent,
            adaptive.memory_stalled_percent,
        ];
        let [for_cpu, for_memory] = stalled.map(percent);
        format!(
            "processors {cpu} (waited for {for_cpu} of the time), memory {memory} (waited for {for_memory})"
        )
    });
    let labels = node
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    pairs(&[
        ("node", node.id.clone()),
        ("state", drain::state(node, now)),
        ("drain reason", drain::reason(node)),
        ("tasks", node.tasks.to_string()),
        ("role", if node.leader { "leader" } else { "" }.to_owned()),
        (
            "slots",
            format!("{} of {} busy", node.slots.busy, node.slots.total),
        ),
        (
            "adaptive",
            adaptive(|it| format!("{} to {}", it.min, it.max)),
        ),
        ("changed by", adaptive(|it| it.why.clone())),
        ("work then", work.unwrap_or_default()),
        ("machine then", used.unwrap_or_default()),
        ("kinds", node.kinds.join(", ")),
        ("labels", labels.collect::<Vec<_>>().join(", ")),
        ("version", node.version.clone()),
        ("started", relative(node.started_at, now)),
        ("address", node.address.clone()),
        ("instance", node.instance.clone()),
    ])
}

fn one_leader(leader: &Leader) -> String {
    let since = relative(leader.since, clock::now());
    let row = vec![
        leader.node.clone(),
        leader.term.to_string(),
        since,
        leader.address.clone(),
    ];
    table(&["NODE", ">TERM", "SINCE", "ADDRESS"], [row])
}

fn terms(terms: &[Term]) -> String {
    if terms.is_empty() {
        eprintln!("nobody has led yet; `tenure server` starts a node");
        return String::new();
    }
    let now = clock::now();
    let row = |term: &Term| {
        vec![
            term.term.to_string(),
            term.node.clone(),
            relative(term.from, now),
            term.until
                .map(|until| relative(until, now))
                .unwrap_or_default(),
            term.ended_by
                .map(|end| end.as_str().to_owned())
                .unwrap_or_default(),
            term.leaderless_ms.map(length_ms).unwrap_or_default(),
            term.failover.map(|id| id.to_string()).unwrap_or_default(),
        ]
    };
    let heads = [
        ">TERM",
        "NODE",
        "FROM",
        "UNTIL",
        "ENDED BY",
        ">NOBODY LED FOR",
        ">FAILOVER",
    ];
    table(&heads, terms.iter().map(row))
}

pub(super) fn queues(queues: &[Queue]) -> String {
    if queues.is_empty() {
        eprintln!("no queue holds anything or has rules; `tenure task submit` submits a task");
        return String::new();
    }
    let now = clock::now();
    let row = |queue: &Queue| {
        let waits = queue
            .oldest_pending_at
            .map(|at| relative(at, now))
            .unwrap_or_default();
        let of = |number| count(number, queue.exact);
        vec![
            queue.name.clone(),
            of(queue.pending),
            of(queue.scheduled),
            of(queue.running),
            of(queue.dead),
            waits,
            limits::paused(queue.paused_at, queue.paused_for.as_deref()).unwrap_or_default(),
            queue.rules.as_ref().map(limits::words).unwrap_or_default(),
        ]
    };
    let heads = [
        "QUEUE",
        ">PENDING",
        ">SCHEDULED",
        ">RUNNING",
        ">DEAD",
        "OLDEST PENDING",
        "PAUSED",
        "RULES",
    ];
    table(&heads, queues.iter().map(row))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(adaptive: &serde_json::Value) -> Node {
        let node = json!({
            "id": "a", "state": "live", "leader": true, "slots": {"total": 4, "busy": 3}, "adaptive": adaptive,
            "kinds": ["noop", "sleep"], "labels": {"zone": "x", "gpu": "1"}, "version": "0.1.0",
            "started_at": "2026-01-31T12:00:00Z", "address": "http://a:8700", "instance": "i", "revision": 7,
        });
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn adaptive_slots_are_shown_with_their_range_and_what_changed_them() {
        let adaptive = json!({"min": 2, "max": 32, "why": "waits", "busy_percent": 90, "in_hand": 3, "waited_ms": 1200,
                "cpu_percent": 35, "cpu_stalled_percent": 0, "memory_percent": null, "memory_stalled_percent": null});
        let node = node(&adaptive);

        let list = nodes(std::slice::from_ref(&node));
        assert!(
            list.contains("3/4") && list.contains("2..32 waits"),
            "{list}"
        );
        let one = one_node(&node);
        for line in [
            "slots         3 of 4 busy",
            "adaptive      2 to 32",
            "changed by    waits",
            "work then     slots 90 % in use, 3 tasks in hand, 1200 ms in the queue at most",
            "machine then  processors 35 % (waited for 0 % of the time), memory unknown (waited for unknown)",
            "labels        gpu=1, zone=x",
        ] {
            assert!(
                one.lines().any(|shown| shown == line),
                "{line} is not in\n{one}"
            );
        }
    }

    #[test]
    fn a_queue_is_shown_with_its_pause_and_its_rules() {
        let queue = |name: &str| {
            json!({"name": name, "pending": 0, "scheduled": 0, "running": 0, "dead": 0, "oldest_pending_at": null, "kinds": [],
                "exact": true})
        };
        let mut ruled = queue("mail");
        ruled["rules"] = json!({"weight": 3, "concurrency": 20, "per_key": 2, "rate": {"tasks": 50, "per_ms": 1000, "burst": 60},
            "backlog_max": 9, "importance": "low"});
        ruled["paused_at"] = json!("2026-01-31T12:00:00Z");
        ruled["paused_for"] = json!("moving");
        let of = |queue| vec![serde_json::from_value(queue).unwrap()];

        let shown = queues(&of(ruled));
        let words = "weight 3, 20 at once, 2 per key, 50 in 1000 ms and 60 at once, backlog 9, importance low";
        assert!(
            shown.contains(words) && shown.contains(": moving"),
            "{shown}"
        );
        let bare = queues(&of(queue("bare")));
        assert!(
            bare.lines().nth(1).unwrap().trim_end().ends_with('0'),
            "{bare}"
        );
    }

    #[test]
    fn of_fixed_slots_only_the_number_is_shown() {
        let one = one_node(&node(&json!(null)));
        assert!(one.contains("3 of 4 busy"), "{one}");
        for word in ["adaptive", "changed by", "in use"] {
            assert!(!one.contains(word), "{one}");
        }
    }

    #[test]
    fn a_term_names_the_failover_that_it_ended_by() {
        let term = |failover: Option<i64>| -> Term {
            let told = json!({"term": 4, "node": "a", "from": "2026-01-31T12:00:00Z", "until": null, "ended_by": null,
                "leaderless_ms": 1_900, "failover": failover});
            serde_json::from_value(told).unwrap()
        };
        let shown = terms(&[term(Some(4711)), term(None)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].ends_with("NOBODY LED FOR  FAILOVER"), "{shown}");
        assert!(lines[1].ends_with("1.9s      4711"), "{shown}");
        assert!(lines[2].ends_with("1.9s"), "{shown}");
    }
}
