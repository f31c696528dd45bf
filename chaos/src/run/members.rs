//! What becomes of etcd's members: who leads, whenever that changes, because every lease lives longer then.

use crate::chronicle::Chronicle;
use etcd_client::{Client, ConnectOptions};
use std::collections::BTreeMap;
use std::time::Duration;
use tenure_chaos::history::Marker;
use tokio::time::{sleep, timeout};

/// 200 ms from one look to the next: an election takes a second.
const EVERY: Duration = Duration::from_millis(200);
/// 1 s for a member to answer.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

/// Looks until it is dropped.
pub(super) async fn watch(endpoints: Vec<String>, names: Vec<String>, chronicle: Chronicle) {
    let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    let mut known: Option<(u64, u64)> = None;
    loop {
        for (nth, endpoint) in endpoints.iter().enumerate() {
            let asked = timeout(ASKED_WITHIN, status(&mut clients, nth, endpoint)).await;
            let Ok(Ok((own, leader, term))) = asked else {
                clients.remove(&nth);
                continue;
            };
            let name = names.get(nth).unwrap_or(endpoint);
            ids.insert(own, name.clone());
            if leader == 0 || known.is_some_and(|(_, last)| term <= last) {
                continue;
            }
            // Also where the same leads again: it was elected anew.
            if known.is_some() {
                let member = ids
                    .get(&leader)
                    .cloned()
                    .unwrap_or_else(|| format!("{leader:x}"));
                chronicle.saw(Marker::LeaderChanged { member });
            }
            known = Some((leader, term));
        }
        sleep(EVERY).await;
    }
}

/// A member's own id, who it says leads, and in which term of Raft's.
async fn status(
    clients: &mut BTreeMap<usize, Client>,
    nth: usize,
    endpoint: &str,
) -> anyhow::Result<(u64, u64, u64)> {
    let mut client = if let Some(client) = clients.get(&nth) {
        client.clone()
    } else {
        let options = ConnectOptions::new().with_connect_timeout(ASKED_WITHIN);
        let client = Client::connect([endpoint], Some(options)).await?;
        clients.insert(nth, client.clone());
        client
    };
    let status = client.status().await?;
    let own = status
        .header()
        .map_or(0, etcd_client::ResponseHeader::member_id);
    Ok((own, status.leader(), status.raft_term()))
}
