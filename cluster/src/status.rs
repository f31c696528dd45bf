//! How each member is: version, size, leader, latency. A look from outside; never decides anything.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use crate::connection::Connection;

/// One endpoint and how its member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The endpoint, as configured.
    pub endpoint: String,
    /// Its state, or why it is not known.
    pub health: Result<MemberHealth, String>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHealth {
    /// The server's version, for example `3.5.30`.
    pub version: String,
    /// Size of its database file in bytes.
    pub db_size: i64,
    /// How much of it is in use, in bytes.
    pub db_size_in_use: i64,
    /// Its quota in bytes; members older than 3.6 do not tell.
    pub quota: Option<i64>,
    /// Whether it is etcd's leader.
    pub is_leader: bool,
    /// etcd's own election term.
    pub raft_term: u64,
    /// The revision it has.
    pub revision: i64,
    /// Alarms and errors, as etcd words them, for example `memberID:… alarm:NOSPACE`.
    pub errors: Vec<String>,
    /// How long the answer took.
    pub latency: Duration,
}

impl MemberHealth {
    /// Whether the database has run out of its quota.
    pub fn no_space(&self) -> bool {
        self.errors.iter().any(|error| error.contains("NOSPACE"))
    }
}

impl Connection {
    /// Asks every endpoint at once; each within the request timeout.
    pub async fn status(&self) -> Vec<MemberStatus> {
        join_all((0..self.endpoints().len()).map(|member| self.member_status(member))).await
    }

    async fn member_status(&self, member: usize) -> MemberStatus {
        let started = Instant::now();
        let answered = self
            .ask(member, "status", self.request_timeout(), |unary| {
                let mut client = unary.maintenance.clone();
                async move { client.status().await }
            })
            .await;
        let health = answered
            .map_err(|failure| failure.to_string())
            .map(|status| {
                let header = status.header();
                MemberHealth {
                    version: status.version().to_owned(),
                    db_size: status.db_size(),
                    db_size_in_use: status.raft_used_db_size(),
                    quota: Some(status.db_size_quota()).filter(|quota| *quota > 0),
                    is_leader: status.leader() != 0
                        && header.is_some_and(|header| header.member_id() == status.leader()),
                    raft_term: status.raft_term(),
                    revision: header.map_or(0, etcd_client::ResponseHeader::revision),
                    errors: status.errors().to_vec(),
                    latency: started.elapsed(),
                }
            });
        MemberStatus {
            endpoint: self.endpoint(member).url.clone(),
            health,
        }
    }
}
