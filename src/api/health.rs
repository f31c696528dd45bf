//! How this node is: for supervisors and people; never asks etcd anything.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Answer;
use super::state::{Readiness, Room};
use super::wire::{Alive, Check, ReadyReport, Version};

/// Whether the process lives. Never touches etcd; a node that starts asks this of whoever holds its name.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = Alive)))]
pub(super) async fn livez(State(room): State<Arc<Room>>) -> Answer<Alive> {
    let alive = Alive {
        instance: room.door.instance.clone(),
        node: room.door.node.to_string(),
    };
    Answer::plain(StatusCode::OK, alive)
}

/// Whether the node can do its part.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Lists the checks that passed, too, and what a person should look at")),
    responses((status = 200, body = ReadyReport), (status = 503, description = "Not ready", body = ReadyReport)))]
pub(super) async fn readyz(
    State(room): State<Arc<Room>>,
    RawQuery(query): RawQuery,
) -> Answer<ReadyReport> {
    let verbose =
        query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("verbose")));
    let mut checks = checks(&room.door.ready.borrow());
    let ready = checks.iter().all(|check| check.ok);
    checks.retain(|check| verbose || !check.ok);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let notes = if verbose {
        room.door.store.vitals().notes()
    } else {
        Vec::new()
    };
    Answer::plain(status, ReadyReport { checks, notes })
}

fn checks(ready: &Readiness) -> Vec<Check> {
    let staying = if ready.draining {
        Err("it is leaving".to_owned())
    } else {
        Ok("it stays".to_owned())
    };
    let links = Ok(ready.links.clone());
    let checks = [
        ("etcd", &ready.etcd),
        ("session", &ready.session),
        ("links", &links),
        ("draining", &staying),
    ];
    let check = |(name, result): (&str, &Result<String, String>)| {
        let (Ok(detail) | Err(detail)) = result;
        Check {
            name: name.to_owned(),
            ok: result.is_ok(),
            detail: detail.clone(),
        }
    };
    checks.into_iter().map(check).collect()
}

/// Which build this is, and what it takes.
#[utoipa::path(get, path = "/version", tag = "health", responses((status = 200, body = Version)))]
pub(super) async fn version(State(room): State<Arc<Room>>) -> Answer<Version> {
    let seen = room.door.store.connection().seen_revision();
    let version = Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: crate::telemetry::COMMIT.map(ToOwned::to_owned),
        node: Some(room.door.node.to_string()),
        etcd: room.door.usage.borrow().version.clone(),
        revision: (seen > 0).then_some(seen),
        payload_limit: Some(room.door.config.payload_limit.0),
    };
    Answer::plain(StatusCode::OK, version)
}

/// Metrics in Prometheus' text format; docs/metrics.md lists them.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus' text format 0.0.4", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(room): State<Arc<Room>>) -> Response {
    let text = room.door.metrics.render();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi(State(room): State<Arc<Room>>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], room.openapi.clone()).into_response()
}
