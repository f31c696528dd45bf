//! The killer: picks its victim by what the cluster says, makes sure that both the cluster and the witness see it at
//! work, kills it with -9, and then watches from outside how long nobody leads.

use crate::cluster::Cluster;
use crate::http::Client;
use crate::witness::{self, Log};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to look for a victim that is at work. With a backlog it takes one look.
const SEARCH: Duration = Duration::from_secs(15);
/// How long to wait for another leader before giving up on it.
const SUCCESSION: Duration = Duration::from_mins(1);

/// Whom to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Leader,
    /// A node that does not lead.
    Follower,
}

/// A kill that was done.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) node: String,
    pub(crate) victim: Victim,
    /// Microseconds since 1970, as the witness counts.
    pub(crate) at_us: u64,
    /// Runs in hand at the kill, as the cluster said and as the witness saw.
    pub(crate) busy: u32,
    pub(crate) running: usize,
    /// The same instant, to measure from.
    pub(crate) at: Instant,
}

/// Kills one node while it works. `None` when no fitting node was found at work.
pub(crate) async fn strike(
    cluster: &mut Cluster,
    log: &mut Log,
    victim: Victim,
) -> anyhow::Result<Option<Kill>> {
    let until = Instant::now() + SEARCH;
    while Instant::now() < until {
        if let Some(node) = choose(cluster, victim).await
            && let Some(pid) = cluster.pid_of(&node)
        {
            let busy = cluster.client().busy(&node).await?;
            log.catch_up()?;
            let running = log.running_under(pid);
            if busy > 0 && running > 0 {
                let (at, at_us) = (Instant::now(), witness::monotonic_us());
                cluster.kill_node(&node)?;
                return Ok(Some(Kill {
                    node,
                    victim,
                    at_us,
                    busy,
                    running,
                    at,
                }));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(None)
}

async fn choose(cluster: &Cluster, victim: Victim) -> Option<String> {
    let leader = cluster.client().leader().await?;
    match victim {
        Victim::Leader => Some(leader),
        Victim::Follower => cluster
            .node_names()
            .find(|name| *name != leader)
            .map(ToOwned::to_owned),
    }
}

/// Who came after the leader that was killed, and how long after the kill anybody outside could see it.
#[derive(Debug)]
pub(crate) struct Succession {
    pub(crate) node: String,
    pub(crate) after: Duration,
}

/// Asks until somebody other than `dead` is named; `None` when that takes too long.
pub(crate) async fn succession(
    client: Arc<Client>,
    dead: String,
    since: Instant,
) -> Option<Succession> {
    while since.elapsed() < SUCCESSION {
        if let Some(node) = client.leader().await
            && node != dead
        {
            return Some(Succession {
                node,
                after: since.elapsed(),
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}
