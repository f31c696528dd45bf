//! What runs beside a node's session, from its start to its end: the API, the line of submits, news, looks at etcd's size, metrics.
//! Never works on a task.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Shared, watchman};
use crate::api::{self, Door, Usage};
use crate::store;
use crate::telemetry;

/// 5 s between the recorder's upkeeps, as its documentation advises.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// 5 s for open requests once the node has handed over: longer than a commit takes, shorter than a supervisor waits.
const CLOSING: Duration = Duration::from_secs(5);

/// The parts of a node that run. Dropping them ends them.
pub(super) struct Parts {
    tasks: JoinSet<()>,
    closing: CancellationToken,
}

impl Parts {
    /// Starts all of them but the API's server; the API.
    ///
    /// # Errors
    /// The tokens cannot be read.
    pub(super) fn start(node: &Arc<Shared>) -> anyhow::Result<(Self, Router)> {
        let (submitter, coalescer) = store::line(&node.store);
        let (news, herald) = store::news(&node.store);
        let (usage, used) = watch::channel(Usage::default());
        let metrics = telemetry::install_or_own();
        let door = Door {
            store: node.store.clone(),
            submitter,
            node: node.name.clone(),
            instance: node.instance.clone(),
            tokens: node.config.tokens()?,
            news,
            ready: node.ready.subscribe(),
            usage: used,
            metrics: metrics.clone(),
            config: Arc::clone(&node.config),
        };
        let closing = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(upkeep(metrics, closing.clone()));
        tasks.spawn(coalescer.run());
        tasks.spawn(herald.run(closing.clone()));
        let watching = watchman::watch_size(Arc::clone(node), usage, closing.clone());
        tasks.spawn(watching);
        Ok((Self { tasks, closing }, api::router(door)))
    }

    /// Serves the API where this listens.
    pub(super) fn serve(&mut self, listener: TcpListener, router: Router) {
        self.tasks
            .spawn(serve(listener, router, self.closing.clone()));
    }

    /// Lets requests that have been taken be answered, for a moment; the line of submits ends with the last of them.
    pub(super) async fn close(self) {
        let Self { mut tasks, closing } = self;
        closing.cancel();
        let closed = tokio::time::timeout(CLOSING, async {
            while tasks.join_next().await.is_some() {}
        });
        if closed.await.is_err() {
            warn!("requests were still open after {CLOSING:?}, closing them");
        }
        tasks.shutdown().await;
    }
}

async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) {
    if let Err(problem) = api::serve(listener, router, closing).await {
        error!(%problem, "the API ended");
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
