//! Outcomes read back by id: throughput counts only where the tasks are on record as done, once each.

use crate::cluster::Cluster;
use crate::http::Connection;
use crate::load::Id;
use anyhow::Context as _;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// Tasks of a load that are read back.
const SAMPLE: usize = 1_000;
/// Connections that read them.
const READERS: usize = 8;

/// What a sample says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sampled {
    pub(crate) read: usize,
    /// On record as succeeded.
    pub(crate) succeeded: usize,
    /// On record with exactly one attempt, which succeeded.
    pub(crate) once: usize,
}

impl Sampled {
    /// Whether all of them are done, once each.
    pub(crate) fn is_whole(&self) -> bool {
        self.read > 0 && self.succeeded == self.read && self.once == self.read
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let Self {
            read,
            succeeded,
            once,
        } = self;
        format!("{succeeded} of {read} read back succeeded, {once} in one attempt")
    }

    fn fold(mut self, task: &Value) -> Self {
        let no_attempts = Vec::new();
        let attempts = task["attempts"].as_array().unwrap_or(&no_attempts);
        let succeeded = task["state"] == "succeeded";
        let once = attempts.len() == 1 && attempts[0]["outcome"] == "succeeded";
        self.read += 1;
        self.succeeded += usize::from(succeeded);
        self.once += usize::from(succeeded && once);
        self
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            succeeded: self.succeeded + other.succeeded,
            once: self.once + other.once,
        }
    }
}

/// Reads a sample back: evenly spaced, the last one among them.
///
/// # Errors
/// When a task that was accepted is not found.
pub(crate) async fn sample(cluster: &Cluster, ids: &[Id]) -> anyhow::Result<Sampled> {
    let chosen = spaced(ids, SAMPLE);
    let mut reading = JoinSet::new();
    for (some, address) in chosen
        .chunks(chosen.len().div_ceil(READERS).max(1))
        .zip(cluster.addresses().iter().cycle())
    {
        let request = |id: &Id| -> anyhow::Result<Vec<u8>> {
            let path = format!("/v1/tasks/{}", std::str::from_utf8(id)?);
            Ok(cluster.request("GET", &path, ""))
        };
        let requests = some.iter().map(request).collect::<Result<Vec<_>, _>>()?;
        reading.spawn(read(*address, requests));
    }
    let mut all = Sampled::default();
    while let Some(sampled) = reading.join_next().await {
        all = all.plus(sampled.context("a reader panicked")??);
    }
    Ok(all)
}

async fn read(address: SocketAddr, requests: Vec<Vec<u8>>) -> anyhow::Result<Sampled> {
    let mut connection = Connection::open(address).await?;
    let mut sampled = Sampled::default();
    for request in requests {
        let answer = connection.exchange(&request).await?;
        answer.expect(200)?;
        sampled = sampled.fold(&answer.json()?);
    }
    Ok(sampled)
}

/// At most `count` of them, evenly spaced, the last included.
fn spaced(ids: &[Id], count: usize) -> Vec<Id> {
    let count = count.min(ids.len());
    (1..=count)
        .map(|nth| ids[nth * ids.len() / count - 1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sample_is_spread_and_holds_the_last() {
        let ids: Vec<Id> = (0..100_u8).map(|byte| [byte; 36]).collect();

        assert_eq!(spaced(&ids, 4), [[24; 36], [49; 36], [74; 36], [99; 36]]);
        assert_eq!(spaced(&ids, 1_000), ids);
        assert!(spaced(&[], 10).is_empty());
    }

    #[test]
    fn a_second_attempt_or_another_state_makes_a_sample_less_than_whole() {
        let done = json!({ "state": "succeeded", "attempts": [{ "outcome": "succeeded" }] });
        let twice = json!({ "state": "succeeded", "attempts": [{ "outcome": "lost" }, { "outcome": "succeeded" }] });
        let open = json!({ "state": "running", "attempts": [{ "outcome": "running" }] });

        assert!(Sampled::default().fold(&done).is_whole());
        assert!(!Sampled::default().is_whole());
        assert!(!Sampled::default().fold(&done).fold(&twice).is_whole());
        let mixed = Sampled::default().fold(&done).fold(&open);
        assert_eq!((mixed.read, mixed.succeeded, mixed.once), (2, 1, 1));
    }
}
