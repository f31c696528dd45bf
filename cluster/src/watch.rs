//! Every event after a revision, in order, once, over lost streams and members.
//! Never hides a gap: compaction is delivered and final.

use std::time::Duration;

use etcd_client as etcd;
use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::read::{KeyValue, Range, ReadError, Span};
use crate::watch_stream::{Stream, Turn};
use crate::wire;
use crate::{meter, planted};

/// 2 s for the answer to a progress request, as for a ping; doubled after each silence: a member that catches up on a long
/// history does not answer before it has.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// 30 s, where the doubling ends.
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(30);
/// 50 ms before the second attempt, doubled up to [`PAUSE_MAX`]; the first is at once.
const PAUSE: Duration = Duration::from_millis(50);
/// 2 s, the longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSpec {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) start: Option<i64>,
    pub(crate) previous: bool,
}

/// A watch. Dropping it ends it.
pub struct Watch {
    connection: Connection,
    spec: WatchSpec,
    /// Everything up to this revision was delivered; `None` until "now" is known.
    cursor: Option<i64>,
    phase: Phase,
    /// Failures since the last message.
    failed: u32,
    answer_within: Duration,
    log_in: bool,
    wants_progress: bool,
}

enum Phase {
    Waiting {
        until: Instant,
    },
    Opening(BoxFuture<'static, Result<(Stream, i64), Failure>>),
    Open {
        stream: Box<Stream>,
        /// A look at the store's revision, while the stream's silence may mean that nothing happened.
        doubt: Option<BoxFuture<'static, ()>>,
    },
    Ended {
        at: i64,
    },
}

/// What a watch delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Whole revisions, never a part of one.
    Events {
        /// Everything up to this revision has now been delivered on this watch.
        revision: i64,
        /// Oldest first.
        events: Vec<Event>,
    },
    /// Nothing happened up to this revision that was not delivered.
    Progress {
        /// Everything up to this revision has been delivered on this watch.
        revision: i64,
    },
    /// History after the cursor is gone: read the range again and watch anew from its revision + 1. Final.
    Compacted {
        /// The revision up to which history is gone.
        at: i64,
    },
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Written or deleted.
    pub kind: EventKind,
    /// The key as it is now; of a deleted one only the key and the revision of its deletion, in `mod_revision`.
    pub kv: KeyValue,
    /// The key as it was, where [`WatchSpec::with_previous`] asked for it and it existed and is not compacted.
    pub previous: Option<KeyValue>,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Written; created where `kv.version` is 1.
    Put,
    /// Deleted.
    Delete,
}

impl WatchSpec {
    /// One key.
    pub fn key(key: impl Into<String>) -> Self {
        Self::new(key.into(), Span::Key)
    }

    /// Every key that begins so.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new(prefix.into(), Span::Prefix)
    }

    /// From the first, including it, to the second, without it.
    pub fn between(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::new(from.into(), Span::Until(to.into()))
    }

    fn new(key: String, span: Span) -> Self {
        Self {
            key,
            span,
            start: None,
            previous: false,
        }
    }

    /// The first revision of interest: what you read, plus one. Without it, from the first connection on.
    #[must_use]
    pub fn from(mut self, start_revision: i64) -> Self {
        self.start = Some(start_revision.max(1));
        self
    }

    /// With each key as it was before.
    #[must_use]
    pub fn with_previous(mut self) -> Self {
        self.previous = true;
        self
    }
}

impl Connection {
    /// Watches; the stream is opened by the first [`Watch::next`].
    pub fn watch(&self, spec: WatchSpec) -> Watch {
        Watch {
            connection: self.clone(),
            cursor: spec.start.map(|start| start - 1),
            spec,
            phase: Phase::Waiting {
                until: Instant::now(),
            },
            failed: 0,
            answer_within: ANSWER_WITHIN,
            log_in: false,
            wants_progress: false,
        }
    }
}

impl Watch {
    /// The next delivery; waits as long as it takes, reconnecting. May be dropped and called again without
    /// losing anything. After `Compacted` it answers `Compacted` again.
    pub async fn next(&mut self) -> Delivery {
        loop {
            match &mut self.phase {
                Phase::Ended { at } => return Delivery::Compacted { at: *at },
                Phase::Waiting { until } => {
                    sleep_until(*until).await;
                    self.phase = Phase::Opening(self.opening());
                }
                Phase::Opening(opening) => match opening.await {
                    Ok((stream, cursor)) => self.opened(stream, cursor),
                    Err(failure) => {
                        self.log_in = failure.kind == FailureKind::Denied;
                        self.restart("connect", &failure.to_string());
                    }
                },
                Phase::Open { stream, doubt } => {
                    let turn = tokio::select! {
                        biased;
                        turn = stream.turn(self.answer_within) => turn,
                        _ = OptionFuture::from(doubt.as_mut()), if doubt.is_some() => {
                            *doubt = None;
                            stream.settle_doubt();
                            continue;
                        }
                    };
                    if let Some(delivery) = self.take(turn) {
                        return delivery;
                    }
                }
            }
        }
    }

    /// Everything up to this revision has been delivered; 0 before the first connection of a watch from now.
    pub fn cursor(&self) -> i64 {
        self.cursor.unwrap_or(0)
    }

    /// Asks for a [`Delivery::Progress`], which a later [`next`](Self::next) delivers.
    #[expect(
        clippy::unused_async,
        reason = "asking may have to wait where another transport is used"
    )]
    pub async fn request_progress(&mut self) {
        match &mut self.phase {
            Phase::Open { stream, .. } => stream.want_progress(),
            Phase::Waiting { .. } | Phase::Opening(_) | Phase::Ended { .. } => {
                self.wants_progress = true;
            }
        }
    }

    fn opening(&mut self) -> BoxFuture<'static, Result<(Stream, i64), Failure>> {
        let (connection, spec, cursor) = (self.connection.clone(), self.spec.clone(), self.cursor);
        let log_in = std::mem::take(&mut self.log_in);
        async move {
            let cursor = match cursor {
                Some(cursor) => cursor,
                None => now(&connection, &spec).await?,
            };
            let member = connection.primary();
            let opened = Stream::open(connection.clone(), member, spec, cursor + 1, log_in).await;
            if opened.is_err() {
                connection.leave(member);
            }
            Ok((opened?, cursor))
        }
        .boxed()
    }

    fn opened(&mut self, mut stream: Stream, cursor: i64) {
        self.cursor = Some(cursor);
        if std::mem::take(&mut self.wants_progress) {
            stream.want_progress();
        }
        self.phase = Phase::Open {
            stream: Box::new(stream),
            doubt: None,
        };
    }

    fn take(&mut self, turn: Turn) -> Option<Delivery> {
        match turn {
            Turn::Events(events) => {
                self.heard();
                self.deliver(&events)
            }
            Turn::Progress(revision) => {
                self.heard();
                Some(Delivery::Progress {
                    revision: self.advance(revision),
                })
            }
            Turn::Compacted(at) if planted::is("relist-skipped") => {
                self.cursor = Some(at.max(self.connection.seen_revision()));
                self.restart("compacted", "nothing is read again");
                None
            }
            Turn::Compacted(at) => {
                self.phase = Phase::Ended { at };
                Some(Delivery::Compacted { at })
            }
            Turn::Doubtful => {
                let look = look(self.connection.clone(), self.spec.key.clone()).boxed();
                if let Phase::Open { doubt, .. } = &mut self.phase {
                    doubt.get_or_insert(look);
                }
                None
            }
            Turn::Over(reason, message) => {
                if reason == "silent" {
                    self.answer_within = (self.answer_within * 2).min(ANSWER_WITHIN_MAX);
                }
                self.log_in = self.connection.options().credentials.is_some();
                self.restart(reason, &message);
                None
            }
        }
    }

    fn heard(&mut self) {
        self.failed = 0;
        self.answer_within = ANSWER_WITHIN;
    }

    fn deliver(&mut self, events: &[etcd::Event]) -> Option<Delivery> {
        let cursor = self.cursor();
        // Released versions have repeated events after a reconnect.
        let events: Vec<Event> = events
            .iter()
            .filter_map(event)
            .filter(|event| event.kv.mod_revision > cursor)
            .collect();
        let last = events.iter().map(|event| event.kv.mod_revision).max()?;
        let revision = self.advance(last);
        meter::watch_events(events.len());
        Some(Delivery::Events { revision, events })
    }

    fn advance(&mut self, revision: i64) -> i64 {
        let cursor = self.cursor().max(revision);
        self.cursor = Some(cursor);
        self.connection.saw(revision);
        cursor
    }

    fn restart(&mut self, reason: &'static str, message: &str) {
        if let Phase::Open { stream, .. } = &self.phase {
            self.connection.leave(stream.member);
        }
        if planted::is("watch-from-now") {
            self.cursor = self.cursor.max(Some(self.connection.seen_revision()));
        }
        meter::watch_restart(reason);
        tracing::debug!(key = %self.spec.key, cursor = self.cursor(), reason, message, "watch restarts");
        let pause = match self.failed {
            0 => Duration::ZERO,
            failed => (PAUSE * (1 << (failed - 1).min(10))).min(PAUSE_MAX),
        };
        self.failed = self.failed.saturating_add(1);
        self.phase = Phase::Waiting {
            until: Instant::now() + pause,
        };
    }
}

/// Learns the store's revision, which the connection then has seen.
async fn look(connection: Connection, key: String) {
    if let Err(error) = connection.range(&Range::key(key).count_only()).await {
        tracing::debug!(%error, "the store's revision is not known");
    }
}

/// Where "from now" begins: a revision that was current after the watch was asked for.
async fn now(connection: &Connection, spec: &WatchSpec) -> Result<i64, Failure> {
    match connection.range(&Range::key(&spec.key).count_only()).await {
        Ok(page) => Ok(page.revision),
        Err(ReadError::Unavailable(failure) | ReadError::Definite(failure)) => Err(failure),
        Err(ReadError::Compacted { at }) => unreachable!("read without a revision, not at {at}"),
    }
}

fn event(event: &etcd::Event) -> Option<Event> {
    let kind = match event.event_type() {
        etcd::EventType::Put => EventKind::Put,
        etcd::EventType::Delete => EventKind::Delete,
    };
    let previous = event.prev_kv().cloned().map(wire::key_value);
    Some(Event {
        kind,
        kv: wire::key_value(event.kv()?.clone()),
        previous,
    })
}
