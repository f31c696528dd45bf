//! What the API needs of its node, and what it keeps for itself.

use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};

use super::auth::Tokens;
use super::level::{Service, Signals, Strain, Thresholds, service};
use super::origin::Ours;
use super::routes::Route;
use super::why::Outside;
use crate::config::{Config, Token};
use crate::store::{Grants, News, Rulebook, Store, Submitter};
use crate::task::Name;

/// 1,024 requests wait for a task's end at once, each a connection held open; beyond, they are answered at once.
pub(super) const WAITS_MAX: usize = 1_024;

/// What the API needs of its node.
#[derive(Clone)]
pub struct Door {
    /// The store.
    pub store: Store,
    /// Where single submits go.
    pub submitter: Submitter,
    /// The node's settings.
    pub config: Arc<Config>,
    /// The process: a random id, another one after each start.
    pub instance: String,
    /// The node's name.
    pub node: Name,
    /// Who may call, from [`Config::tokens`]; where there are none everyone may do everything, which only a loopback listener allows.
    pub tokens: Vec<Token>,
    /// What submits are held against.
    pub rulebook: Rulebook,
    /// Where requests that wait for a task listen.
    pub news: News,
    /// Where requests that wait for a lock or permits listen.
    pub grants: Grants,
    /// Whether the node can do its part. The node keeps it up to date.
    pub ready: watch::Receiver<Readiness>,
    /// How etcd and the machine are. The node keeps it up to date.
    pub usage: watch::Receiver<Usage>,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
}

/// Whether a node can do its part; each part says in words how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether etcd answers.
    pub etcd: Result<String, String>,
    /// Whether the node holds its session.
    pub session: Result<String, String>,
    /// How many links to other nodes there are; nothing that a node needs to do its part.
    pub links: String,
    /// Whether the node is leaving: it answers, takes no new work, and lets nobody wait.
    pub draining: bool,
}

impl Default for Readiness {
    fn default() -> Self {
        let starting = || Err("starting".to_owned());
        Self {
            etcd: starting(),
            session: starting(),
            links: "none".to_owned(),
            draining: false,
        }
    }
}

/// How etcd and the machine were when they were looked at last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// What etcd has and may have.
    pub room: tenure_cluster::Room,
    /// Whether no member of etcd answers.
    pub silent: bool,
    /// How short the machine is.
    pub strain: Strain,
    /// etcd's version, where it was seen.
    pub version: Option<String>,
}

/// What all handlers share.
pub(super) struct Room {
    /// The routes that there are.
    pub(super) table: &'static [Route],
    pub(super) door: Door,
    pub(super) tokens: Tokens,
    pub(super) ours: Ours,
    pub(super) waits: Arc<Semaphore>,
    pub(super) outside: Outside,
    pub(super) openapi: Bytes,
    pub(super) request_ids: RequestIds,
}

/// Names requests that come without a name: a random word of the process and a count.
pub(super) struct RequestIds {
    process: u32,
    count: std::sync::atomic::AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self {
            process: uuid::Uuid::new_v4().as_fields().0,
            count: 0.into(),
        }
    }

    pub(super) fn next(&self) -> HeaderValue {
        let count = self
            .count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("{:08x}-{count:x}", self.process);
        HeaderValue::try_from(id).expect("hexadecimal digits are visible ASCII")
    }
}

impl Room {
    /// Behind this door, with these routes and their description.
    pub(super) fn new(door: Door, table: &'static [Route], openapi: Bytes) -> Self {
        Self {
            table,
            tokens: Tokens::new(&door.tokens),
            ours: Ours::new(&door.config, !door.tokens.is_empty()),
            waits: Arc::new(Semaphore::new(WAITS_MAX)),
            outside: Outside::default(),
            openapi,
            request_ids: RequestIds::new(),
            door,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.door.store.now_ms()
    }

    /// How much service there is now.
    pub(super) fn service(&self) -> Service {
        let Door {
            submitter,
            rulebook,
            config,
            ..
        } = &self.door;
        let usage = self.door.usage.borrow();
        let signals = Signals::of(&usage, submitter.load(), rulebook.fullest());
        service(signals, Thresholds::of(config))
    }

    /// The largest payload taken, in bytes.
    pub(super) fn payload_bytes_max(&self) -> usize {
        usize::try_from(self.door.config.payload_limit.0).unwrap_or(usize::MAX)
    }
}
