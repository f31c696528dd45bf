//! etcd's service `Watch`. A stream is driven by whoever reads it: it looks at the log of revisions when it
//! is asked for the next answer, so a slow reader costs no memory; one that is slower than compaction is
//! told so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::{PbWatchRequest, PbWatchRequestUnion, PbWatchResponse, PbWatchService};
use futures::stream::{BoxStream, unfold};
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};
use tonic::{Request, Response, Status, Streaming};

use super::core::Core;
use super::status::stopped;
use super::watcher::{Look, Spec, Watcher, progress};
use crate::engine::{Engine, Error};

/// The id of answers that are about no single watch.
const NO_WATCH: i64 = -1;
/// The filter that leaves out puts, and the one that leaves out deletes.
const NO_PUT: i32 = 0;
const NO_DELETE: i32 = 1;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Watches {
    pub(crate) core: Arc<Core>,
    /// How often a quiet watch is told of progress, where it asked for that.
    pub(crate) progress_every: Duration,
}

#[tonic::async_trait]
impl PbWatchService for Watches {
    type WatchStream = BoxStream<'static, Result<PbWatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let stream = Stream {
            core: Arc::clone(&self.core),
            generation: self.core.gate.generation()?,
            requests: request.into_inner(),
            watchers: BTreeMap::new(),
            next_id: 0,
            answers: VecDeque::new(),
            progress_wanted: false,
            progress_every: self.progress_every,
            progress_at: Instant::now() + self.progress_every,
        };
        let answers = unfold(Some(stream), |stream| async {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(answer)) => Some((Ok(answer), Some(stream))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// One stream with its watches.
struct Stream {
    core: Arc<Core>,
    generation: u64,
    requests: Streaming<PbWatchRequest>,
    watchers: BTreeMap<i64, Watcher>,
    /// The id that is tried first for a watch that brings none.
    next_id: i64,
    /// To be read next: what one look gave, so at most an answer for each watch.
    answers: VecDeque<PbWatchResponse>,
    /// Somebody asked how far the stream is, and has not been told.
    progress_wanted: bool,
    progress_every: Duration,
    progress_at: Instant,
}

impl Stream {
    async fn next(&mut self) -> Result<Option<PbWatchResponse>, Status> {
        loop {
            let core = Arc::clone(&self.core);
            let changed = core.gate.changed();
            if !core.gate.goes_on(self.generation) {
                return Err(stopped());
            }
            if let Some(answer) = self.answers.pop_front() {
                return Ok(Some(answer));
            }
            // Also while there is always more to tell, requests are heard.
            if let Some(request) = self.requests.message().now_or_never() {
                match request? {
                    Some(request) => self.handle(request),
                    None => return Ok(None),
                }
                continue;
            }
            if self.look() {
                continue;
            }
            let progress = self.watchers.values().any(Watcher::wants_progress);
            tokio::select! {
                biased;
                request = self.requests.message() => match request? {
                    Some(request) => self.handle(request),
                    None => return Ok(None),
                },
                () = changed => {}
                () = sleep_until(self.progress_at), if progress => self.tell_progress(),
            }
        }
    }

    /// Looks for what is to be told. Returns whether there may be more.
    fn look(&mut self) -> bool {
        let (watchers, answers) = (&mut self.watchers, &mut self.answers);
        let more = self.core.look(|engine, visible| {
            let mut more = false;
            for watcher in watchers.values_mut() {
                match watcher.look(engine, visible) {
                    Look::Done => {}
                    Look::More(told) => {
                        more = true;
                        answers.extend(told);
                    }
                    Look::Compacted(last) => answers.push_back(last),
                }
            }
            more
        });
        if !more && self.progress_wanted {
            self.progress_wanted = false;
            self.answer_progress();
        }
        more || !self.answers.is_empty()
    }

    fn handle(&mut self, request: PbWatchRequest) {
        match request.request_union {
            Some(PbWatchRequestUnion::CreateRequest(create)) => {
                let filtered = |filter| create.filters.contains(&filter);
                let spec = Spec {
                    no_put: filtered(NO_PUT),
                    no_delete: filtered(NO_DELETE),
                    // The smallest key there can be.
                    key: if create.key.is_empty() {
                        vec![0]
                    } else {
                        create.key
                    },
                    range_end: create.range_end,
                    start_revision: create.start_revision,
                    prev_kv: create.prev_kv,
                    fragment: create.fragment,
                    progress_notify: create.progress_notify,
                };
                self.create(create.watch_id, spec);
            }
            Some(PbWatchRequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(PbWatchRequestUnion::ProgressRequest(_)) => self.progress_wanted = true,
            None => {}
        }
    }

    fn create(&mut self, id: i64, spec: Spec) {
        let refused = if spec.start_revision < 0 {
            Some(Error::Compacted.to_string())
        } else if spec.empty() {
            Some("mvcc: watcher range is empty".to_owned())
        } else if id != 0 && self.watchers.contains_key(&id) {
            Some("mvcc: duplicate watch ID provided on the WatchStream".to_owned())
        } else {
            None
        };
        let id = match (&refused, id) {
            (Some(_), _) => NO_WATCH,
            (None, 0) => self.choose_id(),
            (None, id) => id,
        };
        let header = self.core.look(|engine, visible| {
            if refused.is_none() {
                self.watchers.insert(id, Watcher::new(id, spec, visible));
            }
            engine.header_at(visible)
        });
        self.answers.push_back(PbWatchResponse {
            header: Some(header),
            watch_id: id,
            created: true,
            canceled: refused.is_some(),
            cancel_reason: refused.unwrap_or_default(),
            ..PbWatchResponse::default()
        });
    }

    fn choose_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// Ends a watch; of one that is not there nothing is said, as in etcd.
    fn cancel(&mut self, id: i64) {
        if self.watchers.remove(&id).is_some() {
            let header = self.core.look(Engine::header_at);
            self.answers.push_back(PbWatchResponse {
                header: Some(header),
                watch_id: id,
                canceled: true,
                ..PbWatchResponse::default()
            });
        }
    }

    /// Says how far the stream is, where every watch is as far. As in etcd a stream without watches, or
    /// with one that waits for a later revision, is told nothing.
    fn answer_progress(&mut self) {
        let (watchers, answers) = (&self.watchers, &mut self.answers);
        self.core.look(|engine, visible| {
            let synced = watchers.values().all(|watcher| watcher.synced(visible));
            if synced && !watchers.is_empty() {
                answers.push_back(progress(engine, NO_WATCH, visible));
            }
        });
    }

    /// Tells the watches that asked for it, and were told nothing since the last time, how far they are.
    fn tell_progress(&mut self) {
        self.progress_at = Instant::now() + self.progress_every;
        let (watchers, answers) = (&mut self.watchers, &mut self.answers);
        self.core.look(|engine, visible| {
            for watcher in watchers.values_mut() {
                let quiet = !std::mem::take(&mut watcher.told);
                if quiet && watcher.wants_progress() && watcher.synced(visible) {
                    answers.push_back(watcher.progress(engine, visible));
                }
            }
        });
    }
}
