//! What runs beside a node's session, from its start to its end: the API, the line of submits, news, looks at etcd and the machine, metrics, and what else is added.
//! Never works on a task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Shared, watchman};
use crate::api::{self, Door, Usage};
use crate::store;
use crate::telemetry;

/// 5 s between the recorder's upkeeps, as its documentation advises.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// 6 s for the parts to end once the node has handed over: a second more than the API gives its open requests, which are
/// given longer than a commit takes and shorter than a supervisor waits.
const CLOSING: Duration = api::CLOSE_WITHIN.saturating_add(Duration::from_secs(1));

/// The parts of a node that run. Dropping them ends them.
pub(super) struct Parts {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    closing: CancellationToken,
}

impl Parts {
    /// Starts all of them but the API's server; what the API needs.
    ///
    /// # Errors
    /// The tokens cannot be read.
    pub(super) fn start(node: &Arc<Shared>) -> anyhow::Result<(Self, Door)> {
        let (submitter, coalescer) = store::line(&node.store);
        let (news, herald) = store::news(&node.store);
        let (grants, usher) = store::grants(&node.store);
        let (usage, used) = watch::channel(Usage::default());
        let metrics = telemetry::install_or_own();
        let rulebook = store::Rulebook::default();
        let door = Door {
            store: node.store.clone(),
            submitter: submitter.clone(),
            node: node.name.clone(),
            instance: node.instance.clone(),
            tokens: node.config.tokens()?,
            rulebook: rulebook.clone(),
            news,
            grants,
            ready: node.ready.subscribe(),
            usage: used,
            metrics: metrics.clone(),
            config: Arc::clone(&node.config),
        };
        let closing = CancellationToken::new();
        let mut parts = Self {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            closing: closing.clone(),
        };
        parts.add("the upkeep of metrics", upkeep(metrics, closing.clone()));
        let asked = closing.clone();
        parts.add("the line of submits", async move {
            coalescer.run().await;
            // Nobody is left who could submit: its work is done.
            asked.cancelled().await;
        });
        parts.add("the herald of news", herald.run(closing.clone()));
        parts.add(
            "the usher of those who wait outside",
            usher.run(closing.clone()),
        );
        let kept = rulebook.clone().keep(node.store.clone(), closing.clone());
        parts.add("the look at limits", kept);
        let told = watchman::Told {
            usage,
            submitter,
            rulebook,
        };
        let watching = watchman::watch(Arc::clone(node), told, closing);
        parts.add("the look at etcd and the machine", watching);
        Ok((parts, door))
    }

    /// Cancelled when the parts are to end.
    pub(super) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// Serves the API where this listens, and looks at the node itself.
    pub(super) fn serve(&mut self, listener: TcpListener, node: &Arc<Shared>, router: Router) {
        let closing = self.closing.clone();
        let vitals = node.store.vitals();
        // Raises the number of files that may be open, which is looked at.
        let served = api::serve(listener, router, vitals, closing.clone());
        self.spawn("the API", async { Ok(served.await?) });
        self.look_at(node, &closing);
    }

    /// Serves the debug listener.
    pub(super) fn serve_debug(&mut self, listener: TcpListener, router: Router) {
        let served = api::serve_debug(listener, router, self.closing.clone());
        self.spawn("the debug listener", async { Ok(served.await?) });
    }

    /// Runs another part.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(name, async {
            part.await;
            Ok(())
        });
    }

    fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(part).id();
        self.names.insert(id, name);
    }

    /// Waits for the node's life. Where a part ends before, tells it to stop, waits all the same, and says why.
    ///
    /// # Errors
    /// The life's, or why a part ended.
    pub(super) async fn beside(
        &mut self,
        mut live: impl Future<Output = anyhow::Result<()>> + Unpin,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        tokio::select! {
            ended = &mut live => ended,
            why = self.ended() => {
                error!("a part of the node ended, handing over");
                stop.cancel();
                live.await.and(Err(why))
            }
        }
    }

    /// Waits until a part ends although nobody asked it to, and says which and why. Safe to be dropped and called again.
    async fn ended(&mut self) -> anyhow::Error {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return anyhow!("no part of the node runs");
        };
        let (id, why) = match ended {
            Ok((id, ended)) => (id, ended),
            Err(panic) => (panic.id(), Err(panic.into())),
        };
        let name = self.names.get(&id).copied().unwrap_or_default();
        match why.with_context(|| format!("{name} ended")) {
            Ok(()) => anyhow!("{name} ended, and nobody asked it to"),
            Err(why) => why,
        }
    }

    /// Lets requests that have been taken be answered, for a moment; the line of submits ends with the last of them.
    pub(super) async fn close(self) {
        let Self {
            mut tasks, closing, ..
        } = self;
        closing.cancel();
        let closed = tokio::time::timeout(CLOSING, async {
            while tasks.join_next().await.is_some() {}
        });
        if closed.await.is_err() {
            warn!("parts of the node still ran after {CLOSING:?}, ending them");
        }
        tasks.shutdown().await;
    }
}

/// Lets the recorder of metrics forget what it no longer needs.
async fn upkeep(metrics: PrometheusHandle, closing: CancellationToken) {
    let mut ticks = tokio::time::interval(METRICS_UPKEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => metrics.run_upkeep(),
            () = closing.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::super::Node;
    use super::*;
    use crate::config::{Flags, Loaded, Sources};

    /// A node on an etcd in memory, and a part more.
    async fn ends_with(part: impl Future<Output = ()> + Send + 'static) -> String {
        let sources = Sources {
            flags: &Flags::default(),
            env: &|name| (name == "TENURE_NODE_NAME").then(|| "a".to_owned()),
        };
        let config = Loaded::read(&sources).unwrap().config;
        let etcd = tenure_embedded::Embedded::in_memory(&tenure_embedded::Options::default());
        let options = tenure_cluster::Options::in_process([("etcd".to_owned(), etcd.channel())]);
        let connection = tenure_cluster::Connection::open(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut placed = Node::new(config)
            .unwrap()
            .place(listener, connection)
            .unwrap();
        placed.parts.add("one more", part);

        let ended = timeout(Duration::from_mins(1), placed.run(CancellationToken::new())).await;

        let why = ended.expect("the node went on without it").unwrap_err();
        format!("{why:#}")
    }

    #[tokio::test]
    async fn a_part_that_ends_unasked_ends_the_node_by_name() {
        let why = ends_with(async {}).await;
        assert_eq!(why, "one more ended, and nobody asked it to");
    }

    #[tokio::test]
    async fn a_part_that_panics_ends_the_node_by_name() {
        let why = ends_with(async { panic!("on purpose") }).await;
        assert!(why.starts_with("one more ended: "), "{why}");
        assert!(why.contains("panicked"), "{why}");
    }
}
