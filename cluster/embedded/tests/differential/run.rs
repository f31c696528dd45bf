//! Runs one sequence on one server, from a state without keys and leases, and keeps every answer.
//!
//! Watches are asynchronous, so they are waited for at given places: before what would change what they say (a compaction,
//! a cancel) and at the end. To wait, a key is put that a watch of the harness's own on the same stream tells of: responses of
//! one stream come in order. Watches that replay history are waited for by one more that replays, created after them: etcd
//! brings up all that lag in one round.

use etcd_client::proto::{
    PbCompactionRequest, PbDeleteRequest, PbEvent, PbLeaseGrantRequest, PbLeaseKeepAliveRequest,
    PbLeaseKeepAliveResponse, PbLeaseLeasesRequest, PbLeaseRevokeRequest, PbLeaseTimeToLiveRequest,
    PbPutRequest, PbResponseHeader, PbWatchRequest, PbWatchResponse,
};
use prost::Message as _;
use tonic::Status;

use crate::answer::{Answer, Step};
use crate::client::{Duplex, Wire};
use crate::ops::{Expire, Grant, Op, Rev, Watch};
use crate::wire::{self, Now};

/// The harness's own key; generated ranges may cover it, it is written alike on both sides.
const MARK: &str = "~mark";
/// Watches of the harness have ids from here on; the sequence's are below.
const OWN_IDS: i64 = 1 << 40;
/// Sequences start above this revision, so that none before is 0 or negative.
const BASE_MIN: i64 = 64;
/// 512 KiB: a server may tell a watch of larger things in pieces, and other watches of the stream meanwhile.
const LARGE_BYTES: usize = 512 << 10;
/// Every 40 operations the streams are read, so that no server has to hold more for them.
const WAIT_EVERY: usize = 40;
/// 100 s: leases shorter than this would end while a sequence runs, and are revoked at once.
const TTL_MIN: i64 = 100;

type Watches = Duplex<PbWatchRequest, PbWatchResponse>;
type KeepAlives = Duplex<PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse>;

/// What a server answered to a sequence.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The revision it started from.
    pub(crate) base: i64,
    pub(crate) steps: Vec<Step>,
}

/// Runs all of `ops`. Ends early where the server stops answering, with that as the last step.
pub(crate) async fn run(server: &Wire, ops: &[Op]) -> Trace {
    let base = clean(server)
        .await
        .unwrap_or_else(|status| panic!("a server cannot be cleaned: {status}"));
    let now = Now {
        current: base,
        compacted: base,
    };
    let mut session = Session {
        server,
        now,
        streams: [None, None, None],
        keep_alives: None,
        watched: Vec::new(),
        own_id: OWN_IDS,
    };
    let mut steps = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        match session.waited_step(index, op).await {
            Ok(step) => steps.push(step),
            Err(status) => {
                steps.push(session.failed(&status));
                return Trace { base, steps };
            }
        }
    }
    let last = match session.wait().await {
        Ok(()) => Step {
            answer: Answer::Streamed,
            watched: session.watched,
        },
        Err(status) => session.failed(&status),
    };
    steps.push(last);
    Trace { base, steps }
}

/// Removes all leases and keys and compacts; the revision after it.
async fn clean(server: &Wire) -> Result<i64, Status> {
    for lease in server.leases(PbLeaseLeasesRequest {}).await?.leases {
        server.revoke(PbLeaseRevokeRequest { id: lease.id }).await?;
    }
    while mark(server).await? < BASE_MIN {}
    let all = PbDeleteRequest {
        key: vec![0],
        range_end: vec![0],
        ..PbDeleteRequest::default()
    };
    let revision = revision(server.delete(all).await?.header.as_ref());
    let compaction = PbCompactionRequest {
        revision,
        physical: true,
    };
    server.compact(compaction).await?;
    Ok(revision)
}

/// Puts the mark; its revision.
async fn mark(server: &Wire) -> Result<i64, Status> {
    let put = PbPutRequest {
        key: MARK.into(),
        ..PbPutRequest::default()
    };
    Ok(revision(server.put(put).await?.header.as_ref()))
}

fn revision(header: Option<&PbResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// One stream of watches.
struct Stream {
    watches: Watches,
    /// The harness's watch of its mark.
    mark: i64,
    /// Watches were created that may still replay.
    lags: bool,
    /// It brought an answer so large that its watch may not have been told all.
    large: bool,
}

struct Session<'a> {
    server: &'a Wire,
    now: Now,
    streams: [Option<Stream>; 3],
    keep_alives: Option<KeepAlives>,
    watched: Vec<(usize, PbWatchResponse)>,
    own_id: i64,
}

impl Session<'_> {
    fn failed(&mut self, status: &Status) -> Step {
        Step {
            answer: Answer::Refused(status.code(), status.message().to_owned()),
            watched: std::mem::take(&mut self.watched),
        }
    }

    /// One step. What the streams bring belongs to it only where they were waited for: elsewhere it would be timing.
    ///
    /// # Errors
    /// Where the server does not answer any more.
    async fn waited_step(&mut self, index: usize, op: &Op) -> Result<Step, Status> {
        let controls = matches!(op, Op::Cancel(_) | Op::Progress(_));
        let mut watched = Vec::new();
        if controls || matches!(op, Op::Compact(_)) || index % WAIT_EVERY == WAIT_EVERY - 1 {
            self.wait().await?;
            watched = std::mem::take(&mut self.watched);
        }
        let answer = match self.step(op).await {
            Ok(answer) => answer,
            Err(status) if status.message().starts_with("harness: ") => return Err(status),
            Err(status) => Answer::Refused(status.code(), status.message().to_owned()),
        };
        if controls {
            watched.append(&mut self.watched);
        }
        Ok(Step { answer, watched })
    }

    async fn step(&mut self, op: &Op) -> Result<Answer, Status> {
        let (server, now) = (self.server, self.now);
        let (answer, header) = match op {
            Op::Range(op) => {
                let r = server.range(now.range(op)).await?;
                let header = r.header;
                (Answer::Range(r), header)
            }
            Op::Put(op) => {
                let r = server.put(wire::put(op)).await?;
                let header = r.header;
                (Answer::Put(r), header)
            }
            Op::Delete(op) => {
                let r = server.delete(wire::delete(op)).await?;
                let header = r.header;
                (Answer::Delete(r), header)
            }
            Op::Txn(op) => {
                let r = server.txn(now.txn(op)).await?;
                let header = r.header;
                (Answer::Txn(r), header)
            }
            Op::Compact(op) => {
                let request = PbCompactionRequest {
                    revision: now.rev(op.rev),
                    physical: op.physical,
                };
                let header = server.compact(request).await?.header;
                self.now.compacted = request.revision;
                (Answer::Compact(header), header)
            }
            Op::Grant(op) => return self.grant(op).await,
            Op::Expire(op) => return self.expire(op).await,
            Op::Revoke(op) => {
                let header = server
                    .revoke(PbLeaseRevokeRequest { id: op.id })
                    .await?
                    .header;
                (Answer::Revoke(header), header)
            }
            Op::KeepAlive(op) => return self.keep_alive(op.id).await,
            Op::TimeToLive(op) => {
                let request = PbLeaseTimeToLiveRequest {
                    id: op.id,
                    keys: op.keys,
                };
                let r = server.time_to_live(request).await?;
                (Answer::TimeToLive(r), None)
            }
            Op::Leases => {
                let r = server.leases(PbLeaseLeasesRequest {}).await?;
                (Answer::Leases(r), None)
            }
            Op::Watch(op) => return self.watch(op).await,
            Op::Cancel(op) => return self.tell(op.stream, wire::cancel(op.id)).await,
            Op::Progress(op) => {
                let answer = self.tell(op.stream, wire::progress()).await?;
                // Progress comes with the events, not with the answers to requests.
                self.wait().await?;
                return Ok(answer);
            }
        };
        self.now.current = self.now.current.max(revision(header.as_ref()));
        Ok(answer)
    }

    async fn grant(&mut self, op: &Grant) -> Result<Answer, Status> {
        let request = PbLeaseGrantRequest {
            id: op.id,
            ttl: op.ttl,
        };
        let mut granted = self.server.grant(request).await?;
        if op.ttl < TTL_MIN || op.id == 0 {
            let revoke = PbLeaseRevokeRequest { id: granted.id };
            self.server.revoke(revoke).await?;
        }
        if op.id == 0 && granted.id > 0 {
            // Chosen by the server: that there is one is all to compare.
            granted.id = i64::MAX;
        }
        Ok(Answer::Grant(granted))
    }

    /// Waits for the event of the last key's end, on a stream of its own.
    async fn expire(&mut self, op: &Expire) -> Result<Answer, Status> {
        let request = PbLeaseGrantRequest { id: op.id, ttl: 1 };
        let granted = self.server.grant(request).await?;
        for key in &op.keys {
            let put = PbPutRequest {
                key: key.clone().into(),
                lease: op.id,
                ..PbPutRequest::default()
            };
            self.now.current = revision(self.server.put(put).await?.header.as_ref());
        }
        let watch = Watch {
            key: op.keys.iter().max().cloned().unwrap_or_default(),
            start: Rev::Back(-1),
            ..Watch::default()
        };
        let mut stream = self.server.watch(self.now.watch(&watch)).await?;
        loop {
            if let Some(gone) = stream
                .next()
                .await?
                .events
                .iter()
                .find_map(|event| event.kv.as_ref())
            {
                self.now.current = gone.mod_revision;
                return Ok(Answer::Grant(granted));
            }
        }
    }

    async fn keep_alive(&mut self, id: i64) -> Result<Answer, Status> {
        let request = PbLeaseKeepAliveRequest { id };
        let stream = match &mut self.keep_alives {
            Some(stream) => {
                stream.send(request).await?;
                stream
            }
            none => none.insert(self.server.keep_alive(request).await?),
        };
        let answer = stream.next().await;
        if answer.is_err() {
            self.keep_alives = None;
        }
        answer.map(Answer::KeepAlive)
    }

    async fn watch(&mut self, op: &Watch) -> Result<Answer, Status> {
        self.open(op.stream).await?;
        let start = self.now.rev(op.start);
        let request = self.now.watch(op);
        let current = self.now.current;
        let stream = self.stream(op.stream)?;
        stream.lags |= start != 0 && start <= current;
        stream.watches.send(request).await?;
        self.until(op.stream, |r| r.created).await?;
        Ok(Answer::Streamed)
    }

    /// Sends a request that may have no answer, and waits until it was read.
    async fn tell(&mut self, stream: usize, request: PbWatchRequest) -> Result<Answer, Status> {
        if self.streams[stream].is_some() {
            self.stream(stream)?.watches.send(request).await?;
            let id = self.create(stream, Rev::Zero).await?;
            self.cancel(stream, id).await?;
        }
        Ok(Answer::Streamed)
    }

    /// Waits until every stream has brought all that happened.
    async fn wait(&mut self) -> Result<(), Status> {
        for index in 0..self.streams.len() {
            if self.streams[index]
                .as_ref()
                .is_some_and(|stream| stream.lags)
            {
                self.now.current = mark(self.server).await?;
                self.catch_up(index).await?;
            }
        }
        if self.streams.iter().all(Option::is_none) {
            return Ok(());
        }
        self.now.current = mark(self.server).await?;
        for index in 0..self.streams.len() {
            if let Some(stream) = &self.streams[index] {
                let (id, current) = (stream.mark, self.now.current);
                self.until(index, |r| tells(r, id, current)).await?;
            }
            while self.streams[index].as_ref().is_some_and(|s| s.large) {
                self.stream(index)?.large = false;
                self.catch_up(index).await?;
            }
        }
        Ok(())
    }

    /// Has the last mark told again by a watch that replays it.
    async fn catch_up(&mut self, index: usize) -> Result<(), Status> {
        let current = self.now.current;
        let id = self.create(index, Rev::Raw(current)).await?;
        self.until(index, |r| tells(r, id, current)).await?;
        self.cancel(index, id).await?;
        self.stream(index)?.lags = false;
        Ok(())
    }

    async fn open(&mut self, index: usize) -> Result<(), Status> {
        if self.streams[index].is_some() {
            return Ok(());
        }
        let mark = self.next_id();
        let watches = self.server.watch(self.own_watch(mark, Rev::Zero)).await?;
        self.streams[index] = Some(Stream {
            watches,
            mark,
            lags: false,
            large: false,
        });
        self.until(index, |r| r.created && r.watch_id == mark).await
    }

    /// Creates a watch of the mark; its id.
    async fn create(&mut self, index: usize, start: Rev) -> Result<i64, Status> {
        let id = self.next_id();
        let request = self.own_watch(id, start);
        self.stream(index)?.watches.send(request).await?;
        self.until(index, |r| r.created && r.watch_id == id).await?;
        Ok(id)
    }

    async fn cancel(&mut self, index: usize, id: i64) -> Result<(), Status> {
        self.stream(index)?.watches.send(wire::cancel(id)).await?;
        self.until(index, |r| r.canceled && r.watch_id == id).await
    }

    fn next_id(&mut self) -> i64 {
        self.own_id += 1;
        self.own_id
    }

    fn own_watch(&self, id: i64, start: Rev) -> PbWatchRequest {
        self.now.watch(&Watch {
            id,
            key: MARK.to_owned(),
            start,
            filters: vec![1],
            ..Watch::default()
        })
    }

    fn stream(&mut self, index: usize) -> Result<&mut Stream, Status> {
        self.streams[index]
            .as_mut()
            .ok_or_else(|| Status::aborted("harness: no such stream"))
    }

    /// Reads one stream until a response is as it should be, and keeps what is not the harness's own.
    async fn until(
        &mut self,
        index: usize,
        is: impl Fn(&PbWatchResponse) -> bool,
    ) -> Result<(), Status> {
        loop {
            let mut response = self.stream(index)?.watches.next().await?;
            let done = is(&response);
            if response.encoded_len() > LARGE_BYTES {
                self.stream(index)?.large = true;
            }
            // Watches are told of one revision in any order, so the last mark may or may not have reached another.
            let told = response.events.len();
            response.events.retain(|event| !is_mark(event));
            let only_marks = told > 0 && response.events.is_empty();
            if response.watch_id < OWN_IDS && !only_marks {
                self.watched.push((index, response));
            }
            if done {
                return Ok(());
            }
        }
    }
}

fn is_mark(event: &PbEvent) -> bool {
    event
        .kv
        .as_ref()
        .is_some_and(|kv| kv.key == MARK.as_bytes())
}

fn tells(response: &PbWatchResponse, id: i64, revision: i64) -> bool {
    let last = response.events.last().and_then(|event| event.kv.as_ref());
    response.watch_id == id && last.is_some_and(|kv| kv.mod_revision >= revision)
}
