//! One watch stream to one member, from opening to its end. Never resumes; [`Watch`](crate::Watch) does.
//!
//! A member that stops in its tracks closes nothing. Its connection is given up by HTTP/2 pings after 7 s, which cannot be less:
//! etcd closes connections that ping more often than every 5 s. It is noticed sooner where it matters, by what this process
//! learns elsewhere: once another answer shows a later revision than the stream has told of, or another request has left a
//! member, the stream is asked for progress, and has 2 s to answer. Where nothing happens nothing is asked.

use std::time::Duration;

use etcd_client as etcd;
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::read::Span;
use crate::watch::WatchSpec;

/// 5 s without a message: then progress is asked for, so that compaction does not overtake an idle watch.
const IDLE: Duration = Duration::from_secs(5);
/// 1 s between looks at what was seen elsewhere; a stream that spoke within it is not doubted. A look sends nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An open stream with one watcher.
pub(crate) struct Stream {
    pub(crate) member: usize,
    connection: Connection,
    sender: etcd::WatchRequestSender,
    responses: etcd::WatchResponseStream,
    /// Where it started: etcd answers no progress request before something happened from there on.
    from: i64,
    /// It has told of everything up to here.
    told: i64,
    /// The connection's primary at the last look.
    primary: usize,
    looked: Instant,
    created: bool,
    heard: Instant,
    asked: Option<Asked>,
    wants_progress: bool,
}

/// A progress request on its way.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    /// Whether etcd had to answer it, by what was known when it was sent.
    due: bool,
}

/// What came of one look at the stream.
pub(crate) enum Turn {
    /// Events, oldest first.
    Events(Vec<etcd::Event>),
    /// Everything up to this revision was delivered on this stream.
    Progress(i64),
    /// History from where it wanted to start is gone up to this revision.
    Compacted(i64),
    /// No answer to a progress request, and maybe none was due.
    Doubtful,
    /// It is over, and why.
    Over(&'static str, String),
}

impl Stream {
    /// Opens a watcher from a revision, at one member.
    pub(crate) async fn open(
        connection: Connection,
        member: usize,
        spec: WatchSpec,
        from: i64,
        log_in: bool,
    ) -> Result<Self, Failure> {
        let endpoint = connection.endpoint(member);
        let limit = connection.request_timeout();
        let opening = async {
            if log_in {
                endpoint.log_in_again(limit).await;
            }
            let mut client = endpoint.streams(connection.options()).await?.watch.clone();
            client
                .watch(spec.key.as_str(), Some(watch_options(&spec, from)))
                .await
                .map_err(|error| Failure::from_client(&error, &endpoint.url))
        };
        let stream = tokio::time::timeout(limit, opening)
            .await
            .unwrap_or_else(|_| {
                Err(Failure::new(
                    FailureKind::Timeout,
                    &endpoint.url,
                    "opening a watch timed out",
                ))
            })?;
        let (sender, responses) = stream.split();
        let now = Instant::now();
        Ok(Self {
            member,
            connection,
            sender,
            responses,
            from,
            told: from - 1,
            primary: member,
            looked: now,
            created: false,
            heard: now,
            asked: None,
            wants_progress: false,
        })
    }

    /// Asks for progress, at once or as soon as the watcher exists.
    pub(crate) fn want_progress(&mut self) {
        self.wants_progress = true;
    }

    /// Asks for progress if, by what was seen elsewhere, there is some.
    pub(crate) fn settle_doubt(&mut self) {
        self.wants_progress |= self.is_behind();
    }

    /// Waits for something worth telling. A stream silent for `answer_within` after it was asked for
    /// progress is over where an answer was due, by what was seen elsewhere. May be dropped at any await and
    /// called again.
    pub(crate) async fn turn(&mut self, answer_within: Duration) -> Turn {
        loop {
            if self.created && self.asked.is_none() && self.wants_progress {
                self.asked = Some(Asked {
                    at: Instant::now(),
                    due: self.connection.seen_revision() >= self.from,
                });
                self.wants_progress = false;
                // One is asked at a time, so the channel has room and this does not wait.
                if let Err(error) = self.sender.request_progress().await {
                    return Turn::Over("stream", error.to_string());
                }
            }
            let until = match self.asked {
                Some(asked) => asked.at + answer_within,
                None if !self.created => self.heard + answer_within,
                None => (self.heard + IDLE).min(self.looked + LOOK_EVERY),
            };
            match timeout_at(until, self.responses.message()).await {
                Ok(Ok(Some(response))) => {
                    if let Some(turn) = self.read(&response) {
                        return turn;
                    }
                }
                Ok(Ok(None)) => return Turn::Over("ended", "the member ended the stream".into()),
                Ok(Err(error)) => return Turn::Over("stream", error.to_string()),
                Err(_) => {
                    if let Some(turn) = self.silence() {
                        return turn;
                    }
                }
            }
        }
    }

    /// What it means that nothing came in time.
    fn silence(&mut self) -> Option<Turn> {
        match self.asked {
            Some(asked) if !asked.due => {
                self.asked = None;
                self.heard = Instant::now();
                Some(Turn::Doubtful)
            }
            Some(_) => Some(Turn::Over(
                "silent",
                "no answer to a progress request".into(),
            )),
            None if !self.created => Some(Turn::Over("silent", "no watcher was made".into())),
            None => self.look(),
        }
    }

    /// Looks at what was seen elsewhere.
    fn look(&mut self) -> Option<Turn> {
        self.looked = Instant::now();
        let quiet = self.heard.elapsed();
        self.wants_progress |= quiet >= IDLE || quiet >= LOOK_EVERY && self.is_behind();
        let before = std::mem::replace(&mut self.primary, self.connection.primary());
        // Whoever left a member found it failing, and it may be ours: the store's revision tells whether that matters.
        (before != self.primary && !self.wants_progress).then_some(Turn::Doubtful)
    }

    /// Whether something happened, by what was seen elsewhere, that this stream has not told of.
    fn is_behind(&self) -> bool {
        self.connection.seen_revision() > self.told
    }

    fn read(&mut self, response: &etcd::WatchResponse) -> Option<Turn> {
        self.heard = Instant::now();
        if response.canceled() {
            // etcd gives no reason with a compaction, and leaves the stream open and silent.
            if response.compact_revision() > 0 {
                return Some(Turn::Compacted(response.compact_revision()));
            }
            return Some(Turn::Over("cancelled", response.cancel_reason().to_owned()));
        }
        if response.created() {
            // Its revision says nothing about what was delivered: the cursor stays.
            self.created = true;
            return None;
        }
        self.asked = None;
        if response.events().is_empty() {
            let revision = response.header()?.revision();
            self.told = self.told.max(revision);
            return Some(Turn::Progress(revision));
        }
        let revisions = response.events().iter().filter_map(etcd::Event::kv);
        let last = revisions.map(etcd::KeyValue::mod_revision).max();
        self.told = self.told.max(last.unwrap_or(0));
        Some(Turn::Events(response.events().to_vec()))
    }
}

fn watch_options(spec: &WatchSpec, from: i64) -> etcd::WatchOptions {
    let mut options = etcd::WatchOptions::new().with_start_revision(from);
    match &spec.span {
        Span::Key => {}
        Span::Prefix => options = options.with_prefix(),
        Span::Until(end) => options = options.with_range(end.as_str()),
    }
    if spec.previous {
        options = options.with_prev_key();
    }
    options
}
