//! What an operator does to etcd, by mistake or in need. It believes only what etcd says: who leads is read from the keys of the
//! candidates, and each member is asked at its own address.

use crate::target::{Made, Store};
use anyhow::Context as _;
use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, Compare, CompareOp, ConnectOptions, Error,
    GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tenure_chaos::check::keyspace;
use tokio::time::timeout;

/// 5 s for etcd to take a call.
const CALL: Duration = Duration::from_secs(5);
/// 60 s for a member to write its database anew; one of 1 GiB takes some 10 s.
const DEFRAGMENTED_WITHIN: Duration = Duration::from_mins(1);
/// The key of what is written to make databases grow; no cluster's keys begin so.
const BALLAST: &str = "/tenure-chaos/ballast";
/// 5 candidates that lead and are gone before their key is deleted.
const LEADERS_MAX: u32 = 5;
/// What gRPC says of a call that certainly changed nothing: invalid argument, not found, failed precondition, out of range (grpc.io,
/// status codes).
const REFUSED: [i32; 4] = [3, 5, 9, 11];

/// Whoever may do everything to etcd.
pub(crate) struct Operator {
    /// One for each member.
    endpoints: Vec<String>,
    /// What all keys of the cluster begin with.
    root: String,
}

/// What a member has at one revision. Only members that have compacted up to the same revision can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    pub(crate) compacted: i64,
    pub(crate) hash: u32,
}

/// A member that answers.
struct Member {
    name: String,
    id: u64,
    leads: bool,
    client: Client,
}

impl Operator {
    /// Of an etcd whose members answer clients at these addresses, on the cluster whose keys begin with `root`.
    pub(crate) fn new(endpoints: Vec<String>, root: String) -> Self {
        Self { endpoints, root }
    }

    /// Does what an operator of etcd does.
    ///
    /// # Errors
    /// As each of them.
    pub(crate) async fn does(&self, what: &Store) -> anyhow::Result<Made> {
        match what {
            Store::NoSpace(raised) => self.no_space(*raised).await,
            Store::Compact(revision) => self.compact(*revision).await,
            Store::RevokeSession(node) => self.revoke_session(node).await,
            Store::DeleteLeader => self.delete_leader().await,
            Store::MoveLeader => self.move_leader().await,
            Store::Defragment(member) => self.defragment(member).await,
        }
    }

    /// Which member leads etcd, as it says itself; none where none does, or it does not answer.
    pub(crate) async fn leading(&self) -> Option<String> {
        let members = self.members().await.into_iter();
        members.filter(|one| one.leads).map(|one| one.name).next()
    }

    /// Raises the alarm of a full database for the first member that answers, whereupon all take no writes any more; or takes back
    /// all such alarms. A member that really is full raises it again.
    ///
    /// # Errors
    /// When a call is not answered: nobody knows then whether it is so.
    pub(crate) async fn no_space(&self, raised: bool) -> anyhow::Result<Made> {
        let Some(mut first) = self.members().await.into_iter().next() else {
            return Ok(nobody_answers());
        };
        if raised {
            return alarm(&mut first.client, AlarmAction::Activate, first.id).await;
        }
        let all = first
            .client
            .alarm(AlarmAction::Get, AlarmType::Nospace, None);
        let all = timeout(CALL, all).await??;
        for alarmed in all.alarms() {
            if alarmed.alarm() != AlarmType::Nospace {
                continue;
            }
            let member = alarmed.member_id();
            let made = alarm(&mut first.client, AlarmAction::Deactivate, member).await?;
            if made != Made::Yes {
                return Ok(made);
            }
        }
        Ok(Made::Yes)
    }

    /// Compacts the history up to this revision: whoever watches from before it is told that it is gone.
    ///
    /// # Errors
    /// When the call is not answered.
    pub(crate) async fn compact(&self, revision: i64) -> anyhow::Result<Made> {
        let Some(mut client) = self.any().await else {
            return Ok(nobody_answers());
        };
        made(CALL, client.compact(revision, None)).await
    }

    /// Revokes the lease of a node's session, and with it deletes all that the session holds.
    ///
    /// # Errors
    /// When a call is not answered.
    pub(crate) async fn revoke_session(&self, node: &str) -> anyhow::Result<Made> {
        let Some(mut client) = self.any().await else {
            return Ok(nobody_answers());
        };
        let key = keyspace::session_of(&self.root, node);
        let found = timeout(CALL, client.get(key, None)).await??;
        let lease = found.kvs().first().map_or(0, KeyValue::lease);
        if lease == 0 {
            return Ok(Made::NotNow(format!("{node} has no session with a lease")));
        }
        made(CALL, client.lease_revoke(lease)).await
    }

    /// Deletes the key of the candidate that leads.
    ///
    /// # Errors
    /// When a call is not answered.
    pub(crate) async fn delete_leader(&self) -> anyhow::Result<Made> {
        let Some(mut client) = self.any().await else {
            return Ok(nobody_answers());
        };
        for _ in 0..LEADERS_MAX {
            let Some(leader) = self.leader(&mut client).await? else {
                return Ok(Made::NotNow("nobody leads".to_owned()));
            };
            // Not the key of one who came after it.
            let still =
                Compare::create_revision(leader.key(), CompareOp::Equal, leader.create_revision());
            let delete = TxnOp::delete(leader.key(), None);
            let txn = Txn::new().when([still]).and_then([delete]);
            if timeout(CALL, client.txn(txn)).await??.succeeded() {
                return Ok(Made::Yes);
            }
        }
        Ok(Made::NotNow("nobody leads for long".to_owned()))
    }

    /// Makes the member after etcd's leader, by name, its leader.
    ///
    /// # Errors
    /// When the call is not answered.
    pub(crate) async fn move_leader(&self) -> anyhow::Result<Made> {
        let mut members = self.members().await;
        let Some(leads) = members.iter().position(|member| member.leads) else {
            return Ok(Made::NotNow("no member leads that answers".to_owned()));
        };
        let next = (leads + 1) % members.len();
        if next == leads {
            return Ok(Made::Cannot("no other member answers".to_owned()));
        }
        let next = members[next].id;
        // Only the leader takes this.
        made(CALL, members[leads].client.move_leader(next)).await
    }

    /// Has a member write its database anew; it answers nobody meanwhile. Comes back when it has.
    ///
    /// # Errors
    /// When it is not done in a minute.
    pub(crate) async fn defragment(&self, member: &str) -> anyhow::Result<Made> {
        let members = self.members().await;
        match members.into_iter().find(|one| one.name == member) {
            None => Ok(Made::NotNow(format!("{member} does not answer"))),
            Some(mut one) => made(DEFRAGMENTED_WITHIN, one.client.defragment()).await,
        }
    }

    /// Writes so many bytes under a key that no cluster has, so that databases grow; whether that went well is all the same.
    pub(crate) async fn writes(&self, bytes: usize) {
        if let Some(mut client) = self.any().await {
            let put = client.put(BALLAST, vec![0; bytes], None);
            let _either_way = timeout(CALL, put).await;
        }
    }

    /// What each member has at one revision, by its name.
    ///
    /// # Errors
    /// When a member does not answer, or has not come to this revision, or has compacted it.
    pub(crate) async fn hashes(&self, revision: i64) -> anyhow::Result<BTreeMap<String, Hash>> {
        let members = self.members().await;
        anyhow::ensure!(
            members.len() == self.endpoints.len(),
            "{} members of {} answer",
            members.len(),
            self.endpoints.len()
        );
        let mut hashes = BTreeMap::new();
        for mut member in members {
            let answer = timeout(CALL, member.client.hash_kv(revision)).await;
            let answer = answer?.with_context(|| member.name.clone())?;
            let hash = Hash {
                compacted: answer.compact_version(),
                hash: answer.hash(),
            };
            hashes.insert(member.name, hash);
        }
        Ok(hashes)
    }

    /// The key of the candidate that was there first.
    async fn leader(&self, client: &mut Client) -> anyhow::Result<Option<KeyValue>> {
        let options = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Create, SortOrder::Ascend)
            .with_limit(1);
        let elect = client.get(keyspace::candidates(&self.root), Some(options));
        Ok(timeout(CALL, elect).await??.take_kvs().into_iter().next())
    }

    /// A client of all members; none where no member answers.
    async fn any(&self) -> Option<Client> {
        let mut client = connect(&self.endpoints).await.ok()?;
        timeout(CALL, client.status()).await.ok()?.ok()?;
        Some(client)
    }

    /// The members that answer, by name.
    async fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for endpoint in &self.endpoints {
            members.extend(member(endpoint).await.ok());
        }
        members.sort_by(|one, other| one.name.cmp(&other.name));
        members
    }
}

async fn member(endpoint: &String) -> anyhow::Result<Member> {
    let mut client = connect(std::slice::from_ref(endpoint)).await?;
    let status = timeout(CALL, client.status()).await??;
    let header = status.header().context("an answer without a header")?;
    let id = header.member_id();
    let all = timeout(CALL, client.member_list()).await??;
    let own = all.members().iter().find(|member| member.id() == id);
    Ok(Member {
        name: own.context("a member of none")?.name().to_owned(),
        id,
        leads: status.leader() == id,
        client,
    })
}

async fn connect(endpoints: &[String]) -> anyhow::Result<Client> {
    let options = ConnectOptions::new().with_connect_timeout(CALL);
    Ok(timeout(CALL, Client::connect(endpoints, Some(options))).await??)
}

async fn alarm(client: &mut Client, action: AlarmAction, member: u64) -> anyhow::Result<Made> {
    let mut options = AlarmOptions::new();
    options.with_member(member);
    let call = client.alarm(action, AlarmType::Nospace, Some(options));
    made(CALL, call).await
}

fn nobody_answers() -> Made {
    Made::NotNow("no member of etcd answers".to_owned())
}

/// What came of a call that changes something.
async fn made<T>(
    within: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> anyhow::Result<Made> {
    match timeout(within, call)
        .await
        .context("etcd does not answer")?
    {
        Ok(_) => Ok(Made::Yes),
        Err(Error::GRpcStatus(status)) if REFUSED.contains(&i32::from(status.code())) => {
            Ok(Made::NotNow(status.message().to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "store_acts/tests.rs"]
mod tests;
