//! A small API on loopback that answers, refuses, and loses answers, as a test says; it keeps what it was asked.

use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// 20 s for what happens at once on any machine.
const SOON: Duration = Duration::from_secs(20);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Asked {
    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.starts_with(path)
    }
}

/// What is answered.
pub(crate) enum Told {
    /// A status and a body.
    Says(u16, Value),
    /// The connection is closed without a word.
    Lost,
}

type Script = dyn Fn(&Asked, usize) -> Told + Send + Sync;

/// The API. Dropped, it ends.
pub(crate) struct Fake {
    pub(crate) base: String,
    kept: watch::Receiver<Vec<Asked>>,
    _serving: JoinSet<()>,
}

impl Fake {
    /// Answers by this script: a request, and how many with its method and path there were before.
    pub(crate) async fn start(
        script: impl Fn(&Asked, usize) -> Told + Send + Sync + 'static,
    ) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(listen).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (keeps, kept) = watch::channel(Vec::new());
        let mut serving = JoinSet::new();
        let (script, keeps): (Arc<Script>, _) = (Arc::new(script), Arc::new(keeps));
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                open.spawn(serve(stream, Arc::clone(&script), Arc::clone(&keeps)));
            }
        });
        Self {
            base,
            kept,
            _serving: serving,
        }
    }

    /// All that it was asked with this method and a path that begins so.
    pub(crate) fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let all = self.kept.borrow();
        all.iter()
            .filter(|one| one.is(method, path))
            .cloned()
            .collect()
    }

    /// Waits until it was asked this so often.
    pub(crate) async fn until(&self, method: &str, path: &str, count: usize) {
        let mut kept = self.kept.clone();
        let enough =
            kept.wait_for(|all| all.iter().filter(|one| one.is(method, path)).count() >= count);
        timeout(SOON, enough).await.unwrap().unwrap();
    }
}

/// A port at which nobody listens.
pub(crate) async fn nobody() -> String {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(listen).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn serve(stream: TcpStream, script: Arc<Script>, keeps: Arc<watch::Sender<Vec<Asked>>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (script, keeps) = (Arc::clone(&script), Arc::clone(&keeps));
        async move {
            let asked = Asked {
                method: request.method().to_string(),
                path: request.uri().to_string(),
                body: read(request.into_body()).await,
            };
            let mut before = 0;
            keeps.send_modify(|all| {
                let like = |one: &&Asked| one.method == asked.method && one.path == asked.path;
                before = all.iter().filter(like).count();
                all.push(asked.clone());
            });
            let Told::Says(status, body) = script(&asked, before) else {
                return Err("lost");
            };
            let mut response = Response::new(body.to_string());
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, &'static str>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    let _lost_where_it_was_to_be = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn read(mut body: Incoming) -> Value {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
    }
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

/// What a good node answers to anything.
pub(crate) fn good(asked: &Asked) -> Told {
    let done = json!({ "revision": 10 });
    let path = asked.path.as_str();
    let answer = match (asked.method.as_str(), path) {
        ("POST", "/v1/tasks") => json!({ "id": "t", "state": "pending", "revision": 11 }),
        ("POST", "/v1/tasks/batch") => {
            let count = asked.body["tasks"].as_array().unwrap().len();
            json!({ "ids": vec!["t"; count], "revision": 12 })
        }
        ("GET", "/v1/leader") => json!({ "node": "n2", "term": 5, "revision": 13 }),
        ("GET", "/v1/semaphores/s") => json!({ "limit": 3, "held": 2, "revision": 14 }),
        ("GET", path) if path.starts_with("/v1/tasks/") => {
            json!({ "id": "t", "state": "dead", "revision": 15 })
        }
        ("POST", path) if path.ends_with("/holds") => {
            json!({ "id": "h", "fence": 16, "revision": 16 })
        }
        _ => done,
    };
    Told::Says(200, answer)
}
