//! The admin API: what users and programs ask of a cluster over HTTP. It decides nothing about tasks.
pub mod wire;
use crate::store::{Store, Submitter};
use crate::task::Name;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
/// stub
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// etcd
    pub etcd: bool,
    /// session
    pub session: bool,
    /// draining
    pub draining: bool,
}
/// stub
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// b
    pub db_size: i64,
    /// b
    pub in_use: i64,
    /// b
    pub quota: i64,
    /// b
    pub full: bool,
}
/// stub
#[derive(Clone)]
pub struct Door {
    /// s
    pub store: Store,
    /// s
    pub submitter: Submitter,
    /// s
    pub node: Name,
    /// s
    pub instance: String,
    /// s
    pub started_ms: u64,
    /// s
    pub ready: watch::Receiver<Readiness>,
    /// s
    pub usage: watch::Receiver<Usage>,
    /// s
    pub config: Arc<crate::config::Config>,
}
/// s
pub fn router(door: Door) -> anyhow::Result<axum::Router> {
    let i = door.instance.clone();
    let _keep = Arc::new(door);
    Ok(axum::Router::new().route(
        "/livez",
        axum::routing::get(move || {
            let i = i.clone();
            let _k = Arc::clone(&_keep);
            async move { i }
        }),
    ))
}
/// s
pub async fn serve(l: tokio::net::TcpListener, r: axum::Router, c: CancellationToken) {
    let _ = axum::serve(l, r)
        .with_graceful_shutdown(async move { c.cancelled().await })
        .await;
}
