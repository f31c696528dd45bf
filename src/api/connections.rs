//! The connections of the API: so many at most, each with a time to say what it wants, all ended with their server. The tasks are
//! kept here because a server that spawns its own leaves them behind.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::vitals::{Of, Vitals};

/// 4,096 connections at once: four times the requests that may wait for a task. Others wait in the system's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// 16 connections at once where only who mends a node comes.
const FEW: usize = 16;
/// Half of the files that the process may have open: the rest is for etcd, commands and their pipes.
const FILES_SHARE: u64 = 2;
/// 2 minutes from a connection, or from its last answer, to the end of the next request's headers. Longer than clients keep an idle one
/// (reqwest 90 s), so that they are the ones who close it and no request crosses with the end.
const ASKS_WITHIN: Duration = Duration::from_mins(2);
/// 1 s before the next try where the system has no connection to give, as hyper's and axum's own loops wait.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// The connections of one listener. Dropping it breaks every one.
pub(super) struct Connections {
    listener: TcpListener,
    router: Router,
    room: Arc<Semaphore>,
    asks_within: Duration,
    open: JoinSet<()>,
}

impl Connections {
    /// With as many as the process has files for; it is given as many as it may have, where it has too few.
    pub(super) fn new(listener: TcpListener, router: Router) -> Self {
        let share = files() / FILES_SHARE;
        let at_most = usize::try_from(share).unwrap_or(usize::MAX);
        Self::of(listener, router, at_most.min(CONNECTIONS_MAX), ASKS_WITHIN)
    }

    /// With room for a few.
    pub(super) fn few(listener: TcpListener, router: Router) -> Self {
        Self::of(listener, router, FEW, ASKS_WITHIN)
    }

    /// Has the number of those that are open watched.
    pub(super) fn watched(self, vitals: &Vitals) -> Self {
        let (room, at_most) = (Arc::clone(&self.room), self.room.available_permits());
        let open = move || at_most - room.available_permits().min(at_most);
        vitals.watch(Of::Connections, Some(at_most), open);
        self
    }

    fn of(listener: TcpListener, router: Router, at_most: usize, asks_within: Duration) -> Self {
        Self {
            listener,
            router,
            room: Arc::new(Semaphore::new(at_most.max(1))),
            asks_within,
            open: JoinSet::new(),
        }
    }

    /// Accepts until told to stop, then waits for the answers that are on their way.
    ///
    /// # Errors
    /// The listener is gone.
    pub(super) async fn serve(self, closing: CancellationToken) -> io::Result<()> {
        let Self {
            listener,
            router,
            room,
            asks_within,
            mut open,
        } = self;
        let serving = async {
            loop {
                let place = Arc::clone(&room).acquire_owned().await;
                let place = place.expect("it is never closed");
                let stream = accepted(&listener).await?;
                // Those that have ended; their places were free before.
                while open.try_join_next().is_some() {}
                let served = one(stream, router.clone(), asks_within, closing.clone());
                open.spawn(async {
                    served.await;
                    drop(place);
                });
            }
        };
        tokio::select! {
            failed = serving => return failed,
            () = closing.cancelled() => {}
        }
        // Who comes now is refused at once, and goes to another node.
        drop(listener);
        while open.join_next().await.is_some() {}
        Ok(())
    }
}

/// How many files the process may have open. Where that is less than the connections need, it is raised as far as the system lets it.
fn files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let enough = u64::try_from(CONNECTIONS_MAX).unwrap_or(u64::MAX) * FILES_SHARE;
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= enough {
        return current;
    }
    let more = limit.maximum.map_or(enough, |most| most.min(enough));
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(more),
            maximum: limit.maximum,
        },
    );
    if raised.is_ok() { more } else { current }
}

/// The next connection. What fails for one of them is passed; where the system has none to give it is waited for.
async fn accepted(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and awaited: without this some wait for an acknowledgement. It fails only on closed ones.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(problem) if of_the_connection(&problem) => {}
            Err(problem) if problem.kind() == io::ErrorKind::InvalidInput => return Err(problem),
            Err(problem) => {
                warn!(%problem, "cannot accept a connection, trying again");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Whether it was gone before it was accepted.
fn of_the_connection(problem: &io::Error) -> bool {
    matches!(
        problem.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Serves one connection until it ends, or, once told to stop, until its request is answered.
async fn one(stream: TcpStream, router: Router, asks_within: Duration, closing: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(asks_within);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closing.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(problem) = ended {
        debug!(%problem, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A server of one path, for so many connections; where it listens, and what stops it.
    async fn served(at_most: usize) -> (std::net::SocketAddr, CancellationToken, JoinSet<()>) {
        served_within(at_most, ASKS_WITHIN).await
    }

    async fn served_within(
        at_most: usize,
        asks_within: Duration,
    ) -> (std::net::SocketAddr, CancellationToken, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "here"));
        let closing = CancellationToken::new();
        let connections = Connections::of(listener, router, at_most, asks_within);
        let told = closing.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { connections.serve(told).await.unwrap() });
        (at, closing, tasks)
    }

    async fn asked(stream: &mut TcpStream) -> String {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let mut text = [0; 512];
        let read = stream.read(&mut text).await.unwrap();
        String::from_utf8_lossy(&text[..read]).into_owned()
    }

    #[tokio::test]
    async fn one_more_than_there_may_be_is_served_when_another_has_gone() {
        let (at, _closing, _tasks) = served(2).await;
        let mut first = TcpStream::connect(at).await.unwrap();
        let mut second = TcpStream::connect(at).await.unwrap();
        assert!(asked(&mut first).await.ends_with("here"));
        assert!(asked(&mut second).await.ends_with("here"));

        let mut third = TcpStream::connect(at).await.unwrap();
        let mut answer = std::pin::pin!(asked(&mut third));
        assert!(
            timeout(Duration::from_millis(100), &mut answer)
                .await
                .is_err(),
            "two are being served"
        );
        drop(first);

        let answer = timeout(SOON, answer).await.expect("there is a place");
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn one_that_says_nothing_loses_its_place() {
        let (at, _closing, _tasks) = served_within(1, Duration::from_millis(50)).await;
        let mut silent = TcpStream::connect(at).await.unwrap();
        let mut slow = TcpStream::connect(at).await.unwrap();

        let ended = timeout(SOON, silent.read(&mut [0])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");

        let answer = timeout(SOON, asked(&mut slow)).await.expect("its turn");
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn idle_connections_end_when_the_server_is_told_to_stop() {
        let (at, closing, mut tasks) = served(1).await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        assert!(asked(&mut stream).await.ends_with("here"));

        closing.cancel();

        assert!(timeout(SOON, tasks.join_next()).await.is_ok(), "it ends");
        assert_eq!(
            timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap(),
            0
        );
    }

    #[tokio::test]
    async fn who_comes_while_answers_are_waited_for_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let closing = CancellationToken::new();
        let connections = Connections::of(listener, router, 2, ASKS_WITHIN);
        let mut serving = std::pin::pin!(connections.serve(closing.clone()));
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        // Its request is being answered.
        let begun = timeout(Duration::from_millis(100), &mut serving).await;
        assert!(begun.is_err(), "{begun:?}");

        closing.cancel();
        assert!(futures::poll!(&mut serving).is_pending());

        let refused = TcpStream::connect(at).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_server_that_is_dropped_breaks_its_connections() {
        let (at, _closing, mut tasks) = served(1).await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        assert!(asked(&mut stream).await.ends_with("here"));

        tasks.shutdown().await;

        let ended = timeout(SOON, stream.read(&mut [0])).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}
