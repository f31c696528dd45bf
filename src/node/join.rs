//! Takes this node's place in the cluster: a session under its name, after its former self's is gone; never takes it from a live
//! instance. A former self that is gone for certain does not have to be waited for.

use std::time::Duration;

use anyhow::bail;
use tenure_cluster::{KeyValue, OpenError, Outcome, Session, SessionOptions};
use tracing::{info, warn};

use super::{RETRY, Shared, links};
use crate::store::{NodeRecord, encode, txns};
use crate::worker;

/// 1 s for the holder of our name to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// 50 ms before a name is tried again that is ours or about to be free: what ran here is charged with a death where the node is not
/// back 200 ms after its key went (`plan::reclaim`).
const SOON: Duration = Duration::from_millis(50);

/// What a node waits for that asks etcd for a session.
const OPENING: &str = "opening a session";

/// Puts what the cluster needs before anything else, as often as it takes etcd to answer.
pub(super) async fn initialise(node: &Shared) {
    loop {
        match node
            .store
            .connection()
            .commit(&txns::initialise(node.store.keys()))
            .await
        {
            Outcome::Committed(_) | Outcome::Refused(_) => break,
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                warn!(%failure, "etcd does not answer, trying again");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
    node.ready
        .send_modify(|ready| ready.etcd = Ok("answers".to_owned()));
}

/// Opens a session, however long etcd or a former self's lease takes.
///
/// # Errors
/// The name is held by an instance that answers, or an option is wrong.
pub(super) async fn join(node: &Shared) -> anyhow::Result<Session> {
    let key = node.store.keys().node(&node.name);
    node.waits(OPENING);
    loop {
        let ttl = node.config.lease_ttl;
        let value = encode(&node.record(&node.slots.decided(), false));
        let options = SessionOptions {
            margin: worker::margin(ttl),
            ..SessionOptions::new(key.clone(), value, ttl)
        };
        match Session::open(node.store.connection(), options).await {
            Ok(session) => {
                info!(session = session.revision(), "joined");
                return Ok(session);
            }
            Err(OpenError::Taken { holder, remaining }) => {
                let most = taken(node, &holder).await?;
                node.waits(leased(remaining));
                tokio::time::sleep(remaining.unwrap_or(most).clamp(SOON, most)).await;
            }
            Err(OpenError::Failed(failure)) => {
                warn!(%failure, "no session yet, trying again");
                node.waits(OPENING);
                tokio::time::sleep(RETRY).await;
            }
            Err(problem @ OpenError::Invalid { .. }) => return Err(problem.into()),
        }
    }
}

/// Somebody holds our name: our own former session is ended, a live instance is respected, and a silent one's lease runs out.
/// How long to wait at most.
async fn taken(node: &Shared, holder: &KeyValue) -> anyhow::Result<Duration> {
    let Ok(record) = serde_json::from_slice::<NodeRecord>(&holder.value) else {
        bail!("key {} is held by something that is not a node", holder.key);
    };
    if record.instance == node.instance {
        let _ = node.store.connection().revoke(holder.lease).await;
        return Ok(SOON);
    }
    if answers(&record).await {
        bail!(
            "node-name: `{}` is in use by a live node at {}; choose another name or stop that one",
            node.name,
            record.address
        );
    }
    if links::succeed(node, holder, &record).await {
        return Ok(SOON);
    }
    info!(
        holder = record.address,
        "the former holder of this node's name does not answer, waiting for its lease"
    );
    Ok(RETRY)
}

/// What a node waits for whose name is taken, with what is left of that lease where etcd said so.
fn leased(remaining: Option<Duration>) -> String {
    let left = remaining.map(|left| format!(", {} s", left.as_secs()));
    let left = left.unwrap_or_default();
    format!("its name is still leased to a former process{left}")
}

/// Whether that very instance answers at its address. Anything else there is not it.
async fn answers(record: &NodeRecord) -> bool {
    // A program that embeds a node may have chosen another provider: then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(client) = reqwest::Client::builder().timeout(ANSWER).build() else {
        return false;
    };
    let Ok(answer) = client.get(format!("{}/livez", record.address)).send().await else {
        return false;
    };
    answer
        .text()
        .await
        .is_ok_and(|text| text.contains(&record.instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_lease_says_how_long() {
        let waits = "its name is still leased to a former process";
        assert_eq!(leased(None), waits);
        let left = Some(Duration::from_millis(4_200));
        assert_eq!(leased(left), format!("{waits}, 4 s"));
    }
}
