//! The API from outside: what needs no etcd with a connection that leads nowhere, the rest against a real one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use tenure_cluster::{Connection, Options};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::*;
use crate::config::{Config, Role, Secret, Token};
use crate::store::{
    self, Coalescer, Herald, IN_FLIGHT_BYTES_MAX, Keys, Rulebook, Store, Submitter, Usher,
};

mod closed;
mod cluster;
mod debug;
mod drains;
mod etcd;
mod failovers;
mod faults;
mod forced;
mod holds;
mod levels;
mod limits;
mod origin;
mod schedules;
mod why;

/// The API of a node that tests hold in their hands.
struct Stage {
    router: axum::Router,
    door: Door,
    store: Store,
    submitter: Submitter,
    ready: watch::Sender<Readiness>,
    usage: watch::Sender<Usage>,
}

/// Nothing listens there, and nothing may ask.
const NOWHERE: &str = "http://127.0.0.1:1";

fn stage(endpoint: &str, tokens: &[(Role, &str)]) -> (Stage, Coalescer, Herald, Usher) {
    let mut options = Options::new([endpoint]);
    if endpoint == NOWHERE {
        options.request_timeout = Duration::from_millis(100);
    }
    let connection = Connection::open(options).unwrap();
    let store = Store::new(connection, Keys::new(&"test".parse().unwrap()));
    let (submitter, coalescer) = store::line(&store);
    let (news, herald) = store::news(&store);
    let (grants, usher) = store::grants(&store);
    let (ready, readiness) = watch::channel(Readiness::default());
    let (usage, used) = watch::channel(Usage::default());
    let tokens = tokens.iter().map(|(role, secret)| Token {
        role: *role,
        secret: Secret::new(*secret),
    });
    let door = Door {
        store: store.clone(),
        submitter: submitter.clone(),
        config: Arc::new(Config::unresolved()),
        instance: "0192f0c1".to_owned(),
        node: "n1".parse().unwrap(),
        tokens: tokens.collect(),
        rulebook: Rulebook::default(),
        news,
        grants,
        ready: readiness,
        usage: used,
        metrics: crate::telemetry::recorder().handle(),
    };
    (
        Stage {
            router: router(door.clone()),
            door,
            store,
            submitter,
            ready,
            usage,
        },
        coalescer,
        herald,
        usher,
    )
}

/// An API with no etcd behind it.
fn closed() -> Stage {
    stage(NOWHERE, &[]).0
}

/// An answer, its body read.
struct Heard {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Heard {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 22).await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors
            .filter_map(|error| error["pointer"].as_str())
            .collect()
    }
}

impl Stage {
    async fn send(&self, request: Request<Body>) -> Heard {
        Heard::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Heard {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> Heard {
        self.post_with(path, &[], body.to_string()).await
    }

    async fn put(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Heard {
        let mut request = Request::put(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: String) -> Heard {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }
}
