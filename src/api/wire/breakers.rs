//! Circuit breakers: how they stand, and what is reset.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, Time};
use crate::task::Name;

/// 261 characters of a host with its port: 255 of a name, and the port.
const HOST_CHARS_MAX: usize = 261;

/// A circuit breaker that is not closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Breaker {
    /// The node whose it is: each has its own, for each sees its own network.
    pub node: String,
    /// The kind of work that it holds back.
    pub kind: String,
    /// The host with its port, where it holds back only what asks that; null for the whole kind.
    pub host: Option<String>,
    /// How it stands.
    pub state: BreakerState,
    /// Since when, by its node's clock.
    pub since: Time,
    /// When the next task that comes runs as a probe, by its node's clock; null where probes run.
    pub until: Option<Time>,
    /// How many of the runs that it looks at failed.
    pub failures: u32,
    /// How many runs it looks at.
    pub runs: u32,
    /// How the last of them failed.
    pub reason: String,
}

/// How a breaker that is not closed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Its tasks are deferred.
    Open,
    /// Probes run, other tasks are deferred.
    HalfOpen,
}

impl BreakerState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// All breakers that are not closed; of each node at most 100.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BreakerPage {
    /// The breakers, by node.
    pub items: Vec<Breaker>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// Which breakers to close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// The node; null for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The kind.
    pub kind: String,
    /// The host with its port, as it is listed; null for all of the kind's, and the kind's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl ResetRequest {
    /// Every field that is out of its bound; empty when the request is good.
    pub fn check(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let names = [("node", self.node.as_ref()), ("kind", Some(&self.kind))];
        for (field, name) in names {
            if let Some(Err(wrong)) = name.map(|name| name.parse::<Name>()) {
                faults.push(FieldError::new(field, wrong.to_string()));
            }
        }
        let long = |host: &String| host.is_empty() || host.len() > HOST_CHARS_MAX;
        if self.host.as_ref().is_some_and(long) {
            let bound = format!("is not 1 to {HOST_CHARS_MAX} characters");
            faults.push(FieldError::new("host", bound));
        }
        faults
    }
}

/// What a reset answers. Each node closes its breakers as soon as it hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResetAsked {
    /// The nodes that are told.
    pub nodes: Vec<String>,
    /// The revision of etcd at which they are.
    pub revision: i64,
}
