//! A node looked into: by an admin over the API, and by whoever may over the debug listener, which also takes profiles. Reads only;
//! no secret is in what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;

use super::answer::Answer;
use super::body::{parameter, query};
use super::error::ApiError;
use super::routes;
use super::serve::behind;
use super::state::{Door, Room};
use super::wire::{DebugDepth, DebugEtcd, DebugMember, DebugRuntime, DebugState, DebugWorker};
use crate::config::{Config, Secret, Shape};
use crate::task::millis;
use crate::telemetry::{self, profile};
use crate::vitals::Vitals;

/// 10 s of the processors' time, where nobody says how long.
const CPU_SECONDS: u64 = 10;

/// 4 bytes: what is shorter is hidden nowhere in a log, because half of it would be stars. Tokens are longer; a password of etcd need not be.
const HIDDEN_BYTES_MIN: usize = 4;

/// What stands in the place of a secret.
const STARS: &str = "***";

/// The debug listener's routes.
pub fn debug_router(door: Door) -> Router {
    let router = Router::new()
        .route("/debug/state", get(state))
        .route("/debug/runtime", get(runtime))
        .route("/debug/profile/cpu", get(cpu))
        .route("/debug/profile/heap", get(heap));
    behind(router, Room::new(door, routes::DEBUG, Bytes::new()))
}

/// This node as it is now: depths, runtime, settings, the last lines of its log. Never asks etcd.
#[utoipa::path(get, path = "/v1/debug/state", tag = "debug", responses((status = 200, body = DebugState)))]
pub(super) async fn state(State(room): State<Arc<Room>>) -> Answer<DebugState> {
    let vitals = room.door.store.vitals();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let depths = vitals.read().into_iter().map(|depth| DebugDepth {
        of: depth.of.row().word.to_owned(),
        depth: count(depth.depth),
        bound: depth.bound.map(count),
    });
    let hidden = secrets(&room.door);
    let log = telemetry::recent().into_iter();
    let state = DebugState {
        node: room.door.node.to_string(),
        instance: room.door.instance.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: telemetry::COMMIT.map(ToOwned::to_owned),
        notes: vitals.notes(),
        depths: depths.collect(),
        runtime: of_runtime(vitals),
        config: settings(&room.door.config),
        log: log.map(|line| without(line, &hidden)).collect(),
    };
    Answer::plain(StatusCode::OK, state)
}

/// The members of etcd, each asked now.
#[utoipa::path(get, path = "/v1/debug/etcd", tag = "debug", responses((status = 200, body = DebugEtcd)))]
pub(super) async fn etcd(State(room): State<Arc<Room>>) -> Answer<DebugEtcd> {
    let members = room.door.store.connection().status().await.into_iter();
    let members = members.map(|member| {
        let (health, problem) = match member.health {
            Ok(health) => (Some(health), None),
            Err(problem) => (None, Some(problem)),
        };
        let health = health.as_ref();
        DebugMember {
            endpoint: member.endpoint,
            problem,
            version: health.map(|health| health.version.clone()),
            db_size: health.map(|health| health.db_size),
            db_size_in_use: health.map(|health| health.db_size_in_use),
            quota: health.and_then(|health| health.quota),
            is_leader: health.map(|health| health.is_leader),
            raft_term: health.map(|health| health.raft_term),
            revision: health.map(|health| health.revision),
            errors: health.map_or_else(Vec::new, |health| health.errors.clone()),
            latency_ms: health.map(|health| millis(health.latency)),
        }
    });
    let members = members.collect();
    Answer::plain(StatusCode::OK, DebugEtcd { members })
}

async fn runtime(State(room): State<Arc<Room>>) -> Answer<DebugRuntime> {
    Answer::plain(StatusCode::OK, of_runtime(room.door.store.vitals()))
}

async fn cpu(uri: Uri) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        seconds: Option<u64>,
    }
    let Asked { seconds } = query(&uri)?;
    let time = Duration::from_secs(seconds.unwrap_or(CPU_SECONDS));
    if time.is_zero() || time > profile::CPU_TIME_MAX {
        let max = profile::CPU_TIME_MAX.as_secs();
        return Err(parameter("seconds", format!("is not in 1 to {max}")));
    }
    let taken = profile::cpu(time).await.map_err(ApiError::Profile)?;
    Ok(profiled(taken, "cpu.pb"))
}

async fn heap() -> Result<Response, ApiError> {
    let taken = profile::heap().await.map_err(ApiError::Profile)?;
    Ok(profiled(taken, "heap.pb.gz"))
}

fn profiled(bytes: Vec<u8>, name: &str) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let saved = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let saved = saved.expect("names of profiles are visible ASCII");
    headers.insert(header::CONTENT_DISPOSITION, saved);
    response
}

fn of_runtime(vitals: &Vitals) -> DebugRuntime {
    let metrics = Handle::current().metrics();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let worker = |nth| DebugWorker {
        busy_ms: millis(metrics.worker_total_busy_duration(nth)),
        parks: metrics.worker_park_count(nth),
    };
    DebugRuntime {
        alive_tasks: count(metrics.num_alive_tasks()),
        queued_tasks: count(metrics.global_queue_depth()),
        workers: (0..metrics.num_workers()).map(worker).collect(),
        stalls: vitals.pulse().stalls(),
        since_beat_ms: vitals.pulse().since().map(millis),
    }
}

/// The settings as `tenure config show` has them.
fn settings(config: &Config) -> BTreeMap<String, Value> {
    let settings = Config::SETTINGS.iter().map(|setting| {
        let words = setting.words(config);
        let value = match setting.shape {
            Shape::One | Shape::Switch => Value::String(words.concat()),
            Shape::Many | Shape::Map => Value::from(words),
        };
        (setting.name.to_owned(), value)
    });
    settings.collect()
}

/// What must be in nothing that is told.
fn secrets(door: &Door) -> Vec<&str> {
    let tokens = door.tokens.iter().map(|token| &token.secret);
    let others = [&door.config.etcd_password, &door.config.token];
    let all = tokens.chain(others.into_iter().flatten());
    let mut all: Vec<&str> = all.map(Secret::expose).collect();
    all.retain(|secret| secret.len() >= HIDDEN_BYTES_MIN);
    all
}

fn without(line: String, secrets: &[&str]) -> String {
    let hide = |line: String, secret: &&str| {
        if line.contains(*secret) {
            line.replace(*secret, STARS)
        } else {
            line
        }
    };
    secrets.iter().fold(line, hide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_in_a_line_is_stars() {
        let line = "token 0123456789abcdef and 0123456789abcdef, password hunter2".to_owned();
        let told = without(line, &["0123456789abcdef", "hunter2"]);
        assert_eq!(told, "token *** and ***, password ***");
    }
}
