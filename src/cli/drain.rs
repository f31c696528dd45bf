//! `tenure node drain|undrain`: nodes out of service and back in it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::client::{Client, Sent};
use super::patience::Patience;
use super::table::relative;
use super::{Exit, Failure, Global, Output};
use crate::api::wire::{DrainRequest, DrainedName, Node, NodeDrain, NodeState};
use crate::task::Name;

/// 500 ms between looks at a node that drains.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Its name
    node: Name,
    /// For those who ask why it takes no work
    #[arg(long, default_value = "")]
    reason: String,
    /// Wait until it has nothing left; --timeout bounds that
    #[arg(long)]
    wait: bool,
}

pub(super) async fn drain(global: &Global, asked: Asked) -> Result<Exit, Failure> {
    let Asked { node, reason, wait } = asked;
    let client = Client::new(global)?;
    let body = serde_json::to_vec(&DrainRequest { reason }).expect("a request has string keys");
    let sent = Sent {
        body,
        ..Sent::default()
    };
    let path = format!("/v1/nodes/{node}/drain");
    let answer = client.post(&path, sent).await?;
    match global.output {
        Output::Json => answer.print()?,
        Output::Table => say(&answer.read()?),
    }
    if wait {
        until_empty(global, &client, &node).await?;
    }
    Ok(Exit::Done)
}

pub(super) async fn undrain(global: &Global, node: &Name) -> Result<Exit, Failure> {
    let path = format!("/v1/nodes/{node}/undrain");
    let answer = Client::new(global)?.post(&path, Sent::default()).await?;
    match global.output {
        Output::Json => answer.print()?,
        Output::Table => say(&answer.read()?),
    }
    Ok(Exit::Done)
}

/// Waits until the node holds no task, or is gone.
async fn until_empty(global: &Global, client: &Client, node: &Name) -> Result<(), Failure> {
    let path = format!("/v1/nodes/{node}");
    let until = global.timeout;
    let until = until.and_then(|timeout| Instant::now().checked_add(timeout));
    let (mut said, mut patience) = (None, Patience::default());
    loop {
        let left = match client.get(&path).await {
            Ok(answer) => {
                patience.answered();
                let seen: Node = answer.read()?;
                if seen.drain.is_none() {
                    let undrained = format!("node {node} was undrained meanwhile");
                    return Err(Failure::new(Exit::Conflict, undrained));
                }
                Some(seen.tasks)
            }
            Err(failure) if failure.exit == Exit::NotFound => {
                eprintln!("node {node} is gone");
                return Ok(());
            }
            Err(failure) => {
                patience.bear(failure)?;
                said
            }
        };
        if left == Some(0) {
            eprintln!("node {node} has nothing left");
            return Ok(());
        }
        if let Some(tasks) = left
            && said.replace(tasks) != left
        {
            eprintln!("node {node} has {} left", count(tasks));
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            let over = match left {
                Some(tasks) => format!("node {node} still has {}", count(tasks)),
                None => format!("nobody says what node {node} still has"),
            };
            return Err(Failure::new(Exit::TimedOut, over));
        }
        sleep(EVERY).await;
    }
}

/// `1 task`, `3 tasks`.
fn count(tasks: u64) -> String {
    match tasks {
        1 => "1 task".to_owned(),
        tasks => format!("{tasks} tasks"),
    }
}

/// What was done, on stderr.
fn say(told: &NodeDrain) {
    eprintln!("{}", words(told));
}

fn words(told: &NodeDrain) -> String {
    let NodeDrain {
        node,
        drain,
        already,
        ..
    } = told;
    match (drain, already) {
        (Some(drain), true) => {
            let (since, why) = (drain.since, in_brackets(&drain.reason));
            format!("node {node} is drained already, since {since}{why}")
        }
        (Some(drain), false) => {
            let why = in_brackets(&drain.reason);
            format!("node {node} is drained{why} until `tenure node undrain {node}`")
        }
        (None, true) => format!("node {node} was not drained"),
        (None, false) => format!("node {node} takes work again"),
    }
}

/// A reason, where there is one.
fn in_brackets(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(" ({reason})"),
    }
}

/// Tells on stderr of names that are drained and have no node.
pub(super) fn say_names(names: &[DrainedName]) {
    for DrainedName { node, drain } in names {
        let why = in_brackets(&drain.reason);
        eprintln!(
            "drained and not there: {node}{why}; a node of this name takes no work until `tenure node undrain {node}`"
        );
    }
}

/// A node's state, with since when it is drained and what it has left.
pub(super) fn state(node: &Node, now: Timestamp) -> String {
    let word = node.state.as_str();
    let since = node.drain.as_ref().map(|drain| relative(drain.since, now));
    let left = node.state == NodeState::Draining;
    let left = left.then(|| format!("{} left", count(node.tasks)));
    let more: Vec<String> = since.into_iter().chain(left).collect();
    if more.is_empty() {
        return word.to_owned();
    }
    format!("{word} ({})", more.join(", "))
}

/// Why it is drained; empty where it is not, or nobody said.
pub(super) fn reason(node: &Node) -> String {
    let drain = node.drain.as_ref();
    drain.map(|drain| drain.reason.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(state: &str, tasks: u64, drain: &serde_json::Value) -> Node {
        let node = json!({
            "id": "a", "state": state, "leader": false, "slots": {"total": 4, "busy": 0}, "adaptive": null, "tasks": tasks,
            "drain": drain, "kinds": [], "labels": {}, "version": "0.1.0", "started_at": "2026-01-31T12:00:00Z",
            "address": "", "instance": "i", "revision": 7,
        });
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn a_state_says_since_when_and_what_is_left() {
        let now = "2026-01-31T12:00:05Z".parse().unwrap();
        let drain = json!({"since": "2026-01-31T12:00:00Z", "reason": "kernel"});
        let of = |told: &Node| state(told, now);
        assert_eq!(of(&node("live", 3, &json!(null))), "live");
        let drains = node("draining", 1, &drain);
        assert!(of(&drains).ends_with("1 task left)"), "{}", of(&drains));
        assert_eq!(reason(&drains), "kernel");
        let drained = of(&node("drained", 0, &drain));
        assert!(
            drained.starts_with("drained (") && !drained.contains("left"),
            "{drained}"
        );
    }

    #[test]
    fn what_was_done_is_said_with_the_reason_that_holds_now() {
        let drain = |reason: &str| json!({"since": "2026-01-31T12:00:00.000Z", "reason": reason});
        for (drain, already, words) in [
            (
                drain("kernel"),
                false,
                "node a is drained (kernel) until `tenure node undrain a`",
            ),
            (
                drain("disk"),
                true,
                "node a is drained already, since 2026-01-31T12:00:00.000Z (disk)",
            ),
            (
                drain(""),
                false,
                "node a is drained until `tenure node undrain a`",
            ),
            (json!(null), true, "node a was not drained"),
            (json!(null), false, "node a takes work again"),
        ] {
            let told = json!({"node": "a", "drain": drain, "already": already, "revision": 7});
            let told = serde_json::from_value(told).unwrap();
            assert_eq!(super::words(&told), words);
        }
    }
}
