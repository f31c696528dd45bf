//! One node's way to one etcd member: what crosses it passes, waits, is late or is lost, each direction by itself. Never looks
//! into what crosses.
//!
//! A request that is on its way when its sender gives up still arrives, as on a real network: that is what late writes are.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use etcd_client::proto::PbTxnResponse;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt as _};

use crate::dice::Dice;

type Request = http::Request<Body>;
type Response = http::Response<Body>;
/// What answers at the other end.
pub(crate) type Service = BoxCloneSyncService<Request, Response, BoxError>;

/// 7 s: how long a connection lives that carries nothing, as pings every 5 s with 2 s for their answer find out.
const CONNECTION_SILENT_MAX: Duration = Duration::from_secs(7);

/// 64 frames of a stream on their way in one direction.
const FRAMES_MAX: usize = 64;

/// What a direction does with what crosses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives after the delay.
    #[default]
    Open,
    /// It waits until the way is open.
    Held,
}

/// How a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// From the node to the member.
    pub(crate) to: Way,
    /// From the member to the node.
    pub(crate) from: Way,
    /// Whether a new connection is refused: the member is down.
    pub(crate) refused: bool,
    /// Up to this late, in ms, each way.
    pub(crate) delay_ms_max: u64,
    /// Requests lost before they arrive, in a thousand.
    pub(crate) requests_lost: u16,
    /// Answers lost after the request was applied, in a thousand.
    pub(crate) answers_lost: u16,
    /// Counts the times that everything connected was broken off.
    breaks: u64,
}

/// The link. Clones are the same link.
#[derive(Clone)]
pub(crate) struct Link {
    weather: Arc<watch::Sender<Weather>>,
    inner: Arc<Mutex<Service>>,
    dice: Dice,
    crossing: TaskTracker,
    writes: Writes,
    node: &'static str,
}

/// Whose transaction made which revision, as their answers tell.
pub(crate) type Writes = Arc<Mutex<BTreeMap<i64, &'static str>>>;

#[derive(Clone, Copy)]
enum Direction {
    To,
    From,
}

/// The connection broke.
#[derive(Debug)]
struct Broken;

impl Link {
    /// A link to what answers there; what is on its way belongs to `crossing`.
    pub(crate) fn new(
        node: &'static str,
        inner: Service,
        dice: Dice,
        crossing: TaskTracker,
        writes: Writes,
    ) -> Self {
        let (weather, _) = watch::channel(Weather::default());
        Self {
            weather: Arc::new(weather),
            inner: Arc::new(Mutex::new(inner)),
            dice,
            crossing,
            writes,
            node,
        }
    }

    /// Makes the link so; what is connected stays connected.
    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_if_modified(|now| {
            let weather = Weather {
                breaks: now.breaks,
                ..weather
            };
            std::mem::replace(now, weather) != weather
        });
    }

    /// Breaks every connection over it. What was on its way may still arrive.
    pub(crate) fn break_off(&self) {
        self.weather.send_modify(|weather| weather.breaks += 1);
    }

    /// As a service for a client.
    pub(crate) fn channel(&self) -> Service {
        let link = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            link.clone().carry(request)
        }))
    }

    async fn carry(self, request: Request) -> Result<Response, BoxError> {
        if self.weather.borrow().refused {
            return Err(Box::new(tonic::ConnectError(
                "refused by the simulation".into(),
            )));
        }
        let streams = matches!(
            request.uri().path(),
            "/etcdserverpb.Watch/Watch" | "/etcdserverpb.Lease/LeaseKeepAlive"
        );
        let carried = if streams {
            self.stream(request).await
        } else {
            self.unary(request).await
        };
        carried.map_err(|Broken| {
            Box::new(Status::unavailable("connection reset by the simulation")) as BoxError
        })
    }

    /// One request, one answer. The request goes on by itself, whatever becomes of its sender.
    async fn unary(self, request: Request) -> Result<Response, Broken> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return Err(Broken);
        };
        let lost = self.dice.in_thousand(self.weather.borrow().requests_lost);
        let unheard = self.dice.in_thousand(self.weather.borrow().answers_lost);
        let (answer, answered) = oneshot::channel();
        let link = self.clone();
        self.crossing.spawn(async move {
            link.pass_patiently(Direction::To).await;
            if lost {
                return;
            }
            let request =
                Request::from_parts(head, Body::new(http_body_util::Full::new(body.to_bytes())));
            let answered = link.ask_once(request).await;
            if unheard {
                return;
            }
            link.pass_patiently(Direction::From).await;
            let _ = answer.send(answered);
        });
        tokio::select! {
            biased;
            // Lost without a word: only the sender's deadline ends it, or the end of the connection.
            Ok(answered) = answered => answered,
            () = self.broken() => Err(Broken),
        }
    }

    /// Frames both ways, in order, until one side ends or the connection breaks.
    async fn stream(self, request: Request) -> Result<Response, Broken> {
        let (head, body) = request.into_parts();
        let (frames, pipe) = mpsc::channel(FRAMES_MAX);
        self.crossing
            .spawn(self.clone().pump(Direction::To, body, frames));
        self.pass(Direction::To).await?;
        let answer = self
            .ask(Request::from_parts(head, Body::new(Pipe(pipe))))
            .await?;
        self.pass(Direction::From).await?;
        let (head, body) = answer.into_parts();
        let (frames, pipe) = mpsc::channel(FRAMES_MAX);
        self.crossing
            .spawn(self.clone().pump(Direction::From, body, frames));
        Ok(Response::from_parts(head, Body::new(Pipe(pipe))))
    }

    async fn ask(&self, request: Request) -> Result<Response, Broken> {
        let service = self
            .inner
            .lock()
            .expect("nothing panics while it is held")
            .clone();
        service.oneshot(request).await.map_err(|_| Broken)
    }

    /// Asks, and notes whose the revision is where a transaction was committed.
    async fn ask_once(&self, request: Request) -> Result<Response, Broken> {
        let writes = request.uri().path() == "/etcdserverpb.KV/Txn";
        let answer = self.ask(request).await?;
        if !writes {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| Broken)?;
        let trailers = body.trailers().cloned();
        let bytes = body.to_bytes();
        // A gRPC message has a header of 5 bytes: a flag and its length.
        if let Some(message) = bytes.get(5..)
            && let Ok(answer) = PbTxnResponse::decode(message)
            && answer.succeeded
            && let Some(header) = answer.header
        {
            // Whoever wrote at a revision is the first to be told of it; a transaction that changed nothing only names it.
            let mut writes = self.writes.lock().expect("nothing panics while it is held");
            writes.entry(header.revision).or_insert(self.node);
        }
        let frames = [Ok(Frame::data(bytes))]
            .into_iter()
            .chain(trailers.map(|trailers| Ok::<_, Status>(Frame::trailers(trailers))));
        Ok(Response::from_parts(
            head,
            Body::new(StreamBody::new(futures::stream::iter(frames))),
        ))
    }

    async fn pump(
        self,
        direction: Direction,
        mut body: Body,
        frames: mpsc::Sender<Result<Frame<Bytes>, Status>>,
    ) {
        let moving = async {
            while let Some(frame) = body.frame().await {
                if self.pass(direction).await.is_err() {
                    return;
                }
                let ended = frame.is_err();
                if frames.send(frame).await.is_err() || ended {
                    return;
                }
            }
        };
        let broken = self.broken();
        tokio::select! {
            biased;
            () = broken => {
                let _ = frames.try_send(Err(Status::unavailable("connection reset by the simulation")));
            }
            () = frames.closed() => {}
            () = moving => {}
        }
    }

    /// Waits until the way is open, however long: what is in the network arrives when the network lets it.
    async fn pass_patiently(&self, direction: Direction) {
        self.dawdle().await;
        let mut weather = self.weather.subscribe();
        let _ = weather
            .wait_for(|weather| weather.way(direction) == Way::Open)
            .await;
    }

    /// Waits until the way is open, as long as a connection lives.
    async fn pass(&self, direction: Direction) -> Result<(), Broken> {
        let passing = self.pass_patiently(direction);
        tokio::time::timeout(CONNECTION_SILENT_MAX, passing)
            .await
            .map_err(|_| Broken)
    }

    async fn dawdle(&self) {
        let most = self.weather.borrow().delay_ms_max;
        if most > 0 {
            tokio::time::sleep(Duration::from_millis(self.dice.within(0..=most))).await;
        }
    }

    /// Ends when the connections of now are broken off, or carry nothing for too long.
    fn broken(&self) -> impl Future<Output = ()> + use<> {
        let mut weather = self.weather.subscribe();
        let breaks = weather.borrow_and_update().breaks;
        async move {
            loop {
                let held = {
                    let now = weather.borrow_and_update();
                    if now.breaks != breaks {
                        return;
                    }
                    now.to == Way::Held || now.from == Way::Held
                };
                let changed = weather.changed();
                if held {
                    match tokio::time::timeout(CONNECTION_SILENT_MAX, changed).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) | Err(_) => return,
                    }
                } else if changed.await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Weather {
    fn way(&self, direction: Direction) -> Way {
        match direction {
            Direction::To => self.to,
            Direction::From => self.from,
        }
    }
}

/// What comes out at the end of a pipe, as a body.
struct Pipe(mpsc::Receiver<Result<Frame<Bytes>, Status>>);

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_recv(context)
    }
}
