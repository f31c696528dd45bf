//! How many tasks have ended: each node counts what it reported once etcd has acknowledged it, and this reads the counters. It
//! asks for nothing that costs the store a read, so that watching a drain does not slow it.

use crate::cluster::Cluster;
use crate::http::Connection;
use anyhow::Context as _;
use std::time::{Duration, Instant};

/// 50 ms between looks: half a percent of a drain of ten seconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Without a further task done for this long, nothing more is waited for.
const STALLED: Duration = Duration::from_mins(1);

/// Reads the counters of all nodes.
pub(crate) struct Finished {
    nodes: Vec<Connection>,
    request: Vec<u8>,
    label: String,
}

impl Finished {
    pub(crate) async fn of(cluster: &Cluster, queue: &str) -> anyhow::Result<Self> {
        let mut nodes = Vec::new();
        for address in cluster.addresses() {
            nodes.push(Connection::open(*address).await?);
        }
        Ok(Self {
            nodes,
            request: cluster.request("GET", "/metrics", ""),
            label: format!("queue=\"{queue}\""),
        })
    }

    /// Tasks of the queue that have ended, by all nodes.
    pub(crate) async fn count(&mut self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for node in &mut self.nodes {
            let answer = node.exchange(&self.request).await?;
            answer.expect(200).context("/metrics")?;
            sum += counted(std::str::from_utf8(answer.body)?, &self.label)?;
        }
        Ok(sum)
    }

    /// Waits until `tasks` have ended.
    ///
    /// # Errors
    /// When none ends for a minute.
    pub(crate) async fn reach(&mut self, tasks: u64) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let now = self.count().await?;
            if now >= tasks {
                return Ok(());
            }
            if now > last {
                (last, since) = (now, Instant::now());
            }
            anyhow::ensure!(
                since.elapsed() < STALLED,
                "no task ended for {STALLED:?}, with {now} of {tasks} done"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The sum of a page's counters of ended tasks that have the label.
fn counted(page: &str, label: &str) -> anyhow::Result<u64> {
    let ours = page
        .lines()
        .filter(|line| line.starts_with("tenure_tasks_finished_total{") && line.contains(label));
    ours.map(|line| {
        let value = line.rsplit(' ').next().unwrap_or_default();
        value.parse::<u64>().with_context(|| line.to_owned())
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ended_tasks_of_the_queue_are_counted() {
        let page = "# TYPE tenure_tasks_finished_total counter\n\
            tenure_tasks_finished_total{queue=\"bench\",kind=\"noop\",outcome=\"succeeded\"} 40\n\
            tenure_tasks_finished_total{queue=\"bench\",kind=\"noop\",outcome=\"cancelled\"} 2\n\
            tenure_tasks_finished_total{queue=\"other\",kind=\"noop\",outcome=\"succeeded\"} 9\n\
            tenure_task_attempts_total{queue=\"bench\",kind=\"noop\",outcome=\"succeeded\"} 70\n";

        assert_eq!(counted(page, "queue=\"bench\"").unwrap(), 42);
        assert_eq!(counted("", "queue=\"bench\"").unwrap(), 0);
        assert!(counted("tenure_tasks_finished_total{queue=\"bench\"} x", "bench").is_err());
    }
}
