//! The witness as a server: runs of the kind `http`, of whatever node on whatever machine, ask it, and it writes down that they
//! started, that they go on and that they ended. Its notes are of the same kind as those of commands and may go to the same log. It
//! never asks the cluster.
//!
//! `POST /run?ms=N&fails=0|1[&gate=NAME]`, with the headers `tenure-task-id`, `tenure-attempt` and `tenure-fence` and no body, is
//! answered after N milliseconds: 200, or 500 where it is to fail. A run whose connection goes before that has ended, and not well.

use super::{Note, Run, acted, append, monotonic_us};
use anyhow::{Context as _, bail};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// 2,304 connections: each slot of nine nodes with 256 of them asks over one. Who comes beyond waits in the kernel's line.
const CONNECTIONS_MAX: usize = 2_304;
/// 10 min: the longest run.
const RUN_MS_MAX: u64 = 600_000;
/// 5 s for the head of a request to come.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A connection is given the longest run and a minute: who does not take its answer by then does not get it.
const CONNECTION: Duration = Duration::from_mins(11);
/// 4,096 resources; their names have 128 characters at most.
const GATES_MAX: usize = 4_096;
const GATE_CHARS_MAX: usize = 128;
/// 10 ms between the acts of a run on its resource, and 50 ms between the signs of life of one that has none, as of commands.
const ACT_EVERY: Duration = Duration::from_millis(10);
const BEAT_EVERY: Duration = Duration::from_millis(50);
/// 100 ms before a connection is taken again where one could not be: no file descriptor was left.
const AGAIN: Duration = Duration::from_millis(100);
/// What a run ends with that was to fail.
const FAILED: u8 = 1;
/// What a run ends with whose connection went: 128 and SIGHUP, as a shell would say.
const HUNG_UP: u8 = 129;

/// The server. Dropped, it ends, and so do all runs that ask it.
pub(crate) struct Server {
    address: SocketAddr,
    room: Arc<Room>,
    accepting: JoinSet<()>,
}

impl Server {
    /// Listens there; with port 0, on one that is free. Its notes are appended to `log`.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) async fn start(listen: SocketAddr, log: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("the witness cannot listen on {listen}"))?;
        let room = Arc::new(Room {
            log: log.to_owned(),
            written: watch::Sender::new(0),
            state: Mutex::new(State::default()),
        });
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&room)));
        Ok(Self {
            address,
            room,
            accepting,
        })
    }

    /// Where runs ask it, as `http://host:port`, on nodes that know this machine by this name.
    pub(crate) fn base_at(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    /// How many notes it has written so far.
    #[cfg(test)]
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        self.room.written.subscribe()
    }

    /// Ends it. Runs that are open have ended with it, not well.
    ///
    /// # Errors
    /// A note could not be written: then what it told is not all that there was.
    pub(crate) async fn ends(mut self) -> anyhow::Result<()> {
        self.accepting.shutdown().await;
        let mut state = self.room.state.lock().expect("no writer panics");
        match state.broken.take() {
            Some(why) => bail!("the witness lost a note: {why}"),
            None => Ok(()),
        }
    }
}

async fn accept(listener: TcpListener, room: Arc<Room>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    open.spawn(serve(stream, Arc::clone(&room)));
                }
                Err(_) => sleep(AGAIN).await,
            },
            Some(ended) = open.join_next() => {
                if let Err(panicked) = ended {
                    room.broke(&panicked.to_string());
                }
            }
        }
    }
}

/// One request: a connection that is kept would be one that a node may ask over while it is being closed, and ask again.
async fn serve(stream: TcpStream, room: Arc<Room>) {
    let service = service_fn(|request| {
        let room = Arc::clone(&room);
        async move { Ok::<_, Infallible>(answer(room, &request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What went wrong with it is in the log by then: its run has no good end.
    let _ended = timeout(CONNECTION, connection).await;
}

async fn answer(room: Arc<Room>, request: &Request<Incoming>) -> Response<String> {
    let asked = match Asked::read(request) {
        Ok(asked) => asked,
        Err((status, why)) => return told(status, why),
    };
    let Some(running) = Running::begins(room, asked.run) else {
        return told(StatusCode::SERVICE_UNAVAILABLE, "no note can be written");
    };
    match running.goes_on(asked.length, asked.gate.as_deref()).await {
        Ok(()) => {}
        Err((status, why)) => return told(status, why),
    }
    let (status, exit) = if asked.fails {
        (StatusCode::INTERNAL_SERVER_ERROR, FAILED)
    } else {
        (StatusCode::OK, 0)
    };
    if running.ends(exit) {
        told(status, "")
    } else {
        told(StatusCode::SERVICE_UNAVAILABLE, "no note can be written")
    }
}

fn told(status: StatusCode, why: &str) -> Response<String> {
    let mut response = Response::new(why.to_owned());
    *response.status_mut() = status;
    response
}

type Refused = (StatusCode, &'static str);

/// What a run asks for.
#[derive(Debug)]
struct Asked {
    run: Run,
    length: Duration,
    fails: bool,
    gate: Option<String>,
}

impl Asked {
    fn read(request: &Request<Incoming>) -> Result<Self, Refused> {
        if request.uri().path() != "/run" {
            return Err((StatusCode::NOT_FOUND, "there is only /run"));
        }
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "POST it"));
        }
        if !request.body().is_end_stream() {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "no body is taken"));
        }
        Self::of(request.headers(), request.uri().query().unwrap_or_default())
            .map_err(|why| (StatusCode::BAD_REQUEST, why))
    }

    fn of(headers: &HeaderMap, query: &str) -> Result<Self, &'static str> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let task = header("tenure-task-id").ok_or("tenure-task-id is missing")?;
        let attempt = header("tenure-attempt").and_then(|text| text.parse().ok());
        let fence = header("tenure-fence").and_then(|text| text.parse().ok());
        let run = Run {
            task: task.to_owned(),
            attempt: attempt.ok_or("tenure-attempt is no number")?,
            fence: fence.ok_or("tenure-fence is no number")?,
        };
        let (mut run_ms, mut fails, mut gate) = (None, None, None);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "ms" => run_ms = value.parse().ok().filter(|ms| *ms <= RUN_MS_MAX),
                "fails" => fails = ["0", "1"].iter().position(|word| *word == value),
                "gate" => gate = Some(named(value).ok_or("gate is no name")?),
                _ => return Err("only ms, fails and gate are known"),
            }
        }
        Ok(Self {
            run,
            length: Duration::from_millis(run_ms.ok_or("ms is not 0 to 600000")?),
            fails: fails.ok_or("fails is not 0 or 1")? == 1,
            gate,
        })
    }
}

fn named(value: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=GATE_CHARS_MAX).contains(&value.len()) && value.bytes().all(plain);
    fits.then(|| value.to_owned())
}

/// What all connections share.
struct Room {
    log: PathBuf,
    /// How many notes there are.
    written: watch::Sender<u64>,
    // Short: a look at a map and one write of a line; nothing is awaited meanwhile.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The highest fence that each resource has seen.
    highest: HashMap<String, i64>,
    /// Why a note is missing.
    broken: Option<String>,
}

impl Room {
    fn broke(&self, why: &str) {
        let mut state = self.state.lock().expect("no writer panics");
        state.broken.get_or_insert_with(|| why.to_owned());
    }

    /// Writes a note down; whether that went well.
    fn note(&self, note: &Note) -> bool {
        let written = append(&self.log, note);
        self.written.send_modify(|notes| *notes += 1);
        written
            .inspect_err(|error| self.broke(&format!("{error:#}")))
            .is_ok()
    }

    /// A run acts on a resource under its fence. It is written down before another can act, so that notes are in the order of acts.
    fn acts(&self, run: &Run, gate: &str) -> Result<(), Refused> {
        let mut state = self.state.lock().expect("no writer panics");
        if state.highest.len() >= GATES_MAX && !state.highest.contains_key(gate) {
            return Err((
                StatusCode::BAD_REQUEST,
                "there are as many resources as it takes",
            ));
        }
        let highest = state.highest.entry(gate.to_owned()).or_insert(run.fence);
        let done = run.fence >= *highest;
        *highest = run.fence.max(*highest);
        let written = append(&self.log, &acted(run, Some(gate), done));
        self.written.send_modify(|notes| *notes += 1);
        written.map_err(|error| {
            state.broken.get_or_insert_with(|| format!("{error:#}"));
            (StatusCode::SERVICE_UNAVAILABLE, "no note can be written")
        })
    }
}

/// A run that has started. Dropped before its end, it has ended, and not well.
struct Running {
    room: Arc<Room>,
    run: Run,
    over: bool,
}

impl Running {
    fn begins(room: Arc<Room>, run: Run) -> Option<Self> {
        let started = Note::Started {
            run: run.clone(),
            // Nobody here knows the process: its node is the one that its claim was made for.
            parent: 0,
            at_us: monotonic_us(),
        };
        room.note(&started).then_some(Self {
            room,
            run,
            over: false,
        })
    }

    /// For so long it shows that it lives, and acts where it has a resource.
    async fn goes_on(&self, length: Duration, gate: Option<&str>) -> Result<(), Refused> {
        let over = sleep_until(Instant::now() + length);
        tokio::pin!(over);
        let every = if gate.is_some() {
            ACT_EVERY
        } else {
            BEAT_EVERY
        };
        // Ends with the run, which is bounded; also the shortest one acts once.
        loop {
            match gate {
                Some(gate) => self.room.acts(&self.run, gate)?,
                None => {
                    self.room.note(&acted(&self.run, None, true));
                }
            }
            tokio::select! {
                biased;
                () = &mut over => return Ok(()),
                () = sleep(every) => {}
            }
        }
    }

    fn ends(mut self, exit: u8) -> bool {
        self.over = true;
        self.tell(exit)
    }

    fn tell(&self, exit: u8) -> bool {
        self.room.note(&Note::Ended {
            run: self.run.clone(),
            exit,
            at_us: monotonic_us(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.tell(HUNG_UP);
        }
    }
}

#[cfg(test)]
mod tests;
