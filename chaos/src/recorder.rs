//! The store's log of a real cluster: every event of its keys from the first revision on, with what was there before. A stream
//! that breaks is taken up where it ended. Where something is missing it says so, and then nothing can be judged. Several streams,
//! each of a member, make one log, in which an event has the instant at which the first of them told of it.

use crate::chronicle::Chronicle;
use anyhow::Context as _;
use etcd_client::{
    Client, ConnectOptions, Event, EventType, GetOptions, KeyValue, ResponseHeader, WatchOptions,
    WatchRequestSender, WatchResponse, WatchResponseStream,
};
pub(crate) use seen::Seen;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound::{Excluded, Included};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tenure_chaos::history::{Entry, Marker, StoreEvent, Value};
use there::There;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

mod seen;
mod there;

/// 5 s for etcd to take a call.
const CALL: Duration = Duration::from_secs(5);
/// 500 ms without an event: then etcd is asked how far the stream is.
const QUIET: Duration = Duration::from_millis(500);
/// 10 quiet times in a row without an answer to that, and the stream is taken for broken.
const UNANSWERED_MAX: u32 = 10;
/// 100 ms before a stream that broke is taken up again.
const AGAIN: Duration = Duration::from_millis(100);
/// 30 s for the stream to come to the last revision.
const RECORDED_WITHIN: Duration = Duration::from_secs(30);
/// 256 MiB to an answer: etcd puts up to 1,000 revisions into one for a watch that is behind.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// 1,000,000 events, some 2 GiB: beyond, the log has a gap, and the machine still has memory.
const EVENTS_MAX: u64 = 1_000_000;
/// 100,000 revisions that not all sources have told yet are kept for comparison; of older ones only the first source is believed.
const COMPARED_MAX: usize = 100_000;

/// Records until it is sealed or dropped.
pub(crate) struct Recorder {
    endpoints: Vec<String>,
    chronicle: Chronicle,
    seen: watch::Receiver<Seen>,
    recording: JoinSet<()>,
}

impl Recorder {
    /// Begins with revision 1 of all keys below `root`, from whichever member answers.
    pub(crate) fn start(endpoints: &[String], root: &str, chronicle: &Chronicle) -> Self {
        Self::of(vec![endpoints.to_vec()], endpoints, root, chronicle)
    }

    /// From every member at once, on a cluster that was there before: what it holds now, and from there on.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn from_now(
        endpoints: &[String],
        root: &str,
        chronicle: &Chronicle,
    ) -> anyhow::Result<Self> {
        let there = there::read(endpoints, root).await?;
        let each = endpoints.iter().map(|one| vec![one.clone()]);
        Ok(Self::after(
            there,
            each.collect(),
            endpoints,
            root,
            chronicle,
        ))
    }

    /// The same, from every member at once, so that the loss of one delays nothing.
    pub(crate) fn of_each(endpoints: &[String], root: &str, chronicle: &Chronicle) -> Self {
        let each = endpoints.iter().map(|one| vec![one.clone()]);
        Self::of(each.collect(), endpoints, root, chronicle)
    }

    fn of(
        streams: Vec<Vec<String>>,
        endpoints: &[String],
        root: &str,
        chronicle: &Chronicle,
    ) -> Self {
        Self::after(There::default(), streams, endpoints, root, chronicle)
    }

    fn after(
        there: There,
        streams: Vec<Vec<String>>,
        endpoints: &[String],
        root: &str,
        chronicle: &Chronicle,
    ) -> Self {
        let mut begun = Seen::default();
        if there.revision > 0 {
            let revision = there.revision;
            chronicle.saw(Marker::Baseline { revision });
        }
        for told in there.events {
            begun.holds(root, &told);
            chronicle.saw(told);
        }
        (begun.revision, begun.least) = (there.revision, there.revision);
        let (sender, seen) = watch::channel(begun);
        let log = Log {
            root: root.to_owned(),
            chronicle: chronicle.clone(),
            seen: sender,
            last: there.revision,
            events: 0,
            gap: false,
            told: vec![there.revision; streams.len()],
            sums: BTreeMap::new(),
            forgotten: there.revision,
        };
        let log = Arc::new(Mutex::new(log));
        let mut recording = JoinSet::new();
        for (nth, endpoints) in streams.into_iter().enumerate() {
            let log = Arc::clone(&log);
            let root = root.to_owned();
            recording.spawn(
                Stream {
                    nth,
                    endpoints,
                    root,
                    log,
                }
                .record(),
            );
        }
        Self {
            endpoints: endpoints.to_vec(),
            chronicle: chronicle.clone(),
            seen,
            recording,
        }
    }

    /// How far it is.
    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// Ends the log at a revision not before what is in the store now. What cannot be had in time leaves it unsealed.
    pub(crate) async fn seal(mut self) -> anyhow::Result<()> {
        let revision = self.revision().await?;
        let has_all = timeout(
            RECORDED_WITHIN,
            self.seen.wait_for(|seen| seen.revision >= revision),
        );
        let has_all = has_all.await.is_ok_and(|seen| seen.is_ok());
        // It may have gone on since: only when it has ended is its last revision the last.
        self.recording.shutdown().await;
        anyhow::ensure!(has_all, "the log did not come to revision {revision}");
        let revision = self.seen.borrow().revision;
        self.chronicle.saw(Marker::Sealed { revision });
        Ok(())
    }

    async fn revision(&self) -> anyhow::Result<i64> {
        let mut client = connect(&self.endpoints).await?;
        let options = GetOptions::new().with_count_only();
        let answer = timeout(CALL, client.get("/", Some(options))).await??;
        let header = answer.header().context("an answer without a header")?;
        Ok(header.revision())
    }
}

async fn connect(endpoints: &[String]) -> anyhow::Result<Client> {
    let options = ConnectOptions::new()
        .with_connect_timeout(CALL)
        .with_keep_alive(CALL, CALL);
    Ok(timeout(CALL, Client::connect(endpoints, Some(options))).await??)
}

/// The log in the making.
struct Log {
    root: String,
    chronicle: Chronicle,
    seen: watch::Sender<Seen>,
    /// The last revision of which it has an event.
    last: i64,
    events: u64,
    gap: bool,
    /// Up to which revision each source has told.
    told: Vec<i64>,
    /// What the first source told of each revision that some others have yet to tell, as a sum.
    sums: BTreeMap<i64, u64>,
    /// Sums up to this revision are not kept any more.
    forgotten: i64,
}

/// One of its sources.
struct Stream {
    /// Its number among the sources.
    nth: usize,
    endpoints: Vec<String>,
    root: String,
    log: Arc<Mutex<Log>>,
}

/// Why a stream ended.
enum Ended {
    /// It goes on with another.
    Broken,
    /// Events are missing.
    Gap,
}

impl Stream {
    async fn record(self) {
        loop {
            match self.follow().await {
                Ok(Ended::Gap) => return self.log().missed(),
                Ok(Ended::Broken) | Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Short: what is done under it waits for nobody.
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().expect("no writer panics")
    }

    /// Takes what one stream gives.
    async fn follow(&self) -> anyhow::Result<Ended> {
        let (mut sender, mut answers) = self.open().await?;
        let mut unanswered = 0;
        loop {
            match timeout(QUIET, answers.message()).await {
                Ok(Ok(Some(answer))) => {
                    unanswered = 0;
                    if answer.canceled() {
                        return Ok(self.log().cancelled(self.nth, answer.compact_revision()));
                    }
                    if !self.log().take(self.nth, &answer) {
                        return Ok(Ended::Gap);
                    }
                }
                Ok(Ok(None) | Err(_)) => return Ok(Ended::Broken),
                Err(_) if unanswered >= UNANSWERED_MAX => return Ok(Ended::Broken),
                Err(_) => {
                    unanswered += 1;
                    timeout(CALL, sender.request_progress()).await??;
                }
            }
        }
    }

    async fn open(&self) -> anyhow::Result<(WatchRequestSender, WatchResponseStream)> {
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(self.log().told[self.nth] + 1)
            .with_prev_key();
        let client = connect(&self.endpoints).await?.watch_client();
        let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
        let stream = timeout(CALL, client.watch(self.root.as_str(), Some(options))).await??;
        Ok(stream.split())
    }
}

impl Log {
    /// A source was cut off. Where that is for a compaction, what it missed may have come from another: then it goes on from there.
    fn cancelled(&mut self, nth: usize, compacted: i64) -> Ended {
        if compacted > self.last + 1 {
            return Ended::Gap;
        }
        self.told[nth] = self.told[nth].max(compacted - 1);
        Ended::Broken
    }

    /// Writes down what an answer has that no other stream brought, and compares the rest. False where something is missing.
    fn take(&mut self, nth: usize, answer: &WatchResponse) -> bool {
        // All events of a revision come in one answer.
        let (before, from) = (self.last, self.told[nth]);
        let mut seen = self.seen.borrow().clone();
        let mut sums: BTreeMap<i64, DefaultHasher> = BTreeMap::new();
        for event in answer.events() {
            let Some(kv) = event.kv() else { return false };
            let told = told(event, kv);
            let revision = told.revision;
            (&told.key, &told.value, told.version, told.create_revision)
                .hash(sums.entry(revision).or_default());
            self.told[nth] = self.told[nth].max(revision);
            if revision <= before {
                continue;
            }
            self.last = revision;
            self.events += 1;
            seen.counts(&self.root, &told);
            self.chronicle.saw(told);
        }
        // What answers a request for progress has no events: all up to its revision were sent. The first answer is none of these.
        let progress = answer.events().is_empty() && !answer.created();
        let header = answer.header().filter(|_| progress);
        let revision = header.map_or(self.last, ResponseHeader::revision);
        if progress {
            self.told[nth] = self.told[nth].max(revision);
        }
        let sums = sums.into_iter().map(|(at, sum)| (at, sum.finish()));
        self.compare(nth, from, &sums.collect(), before);
        seen.revision = seen.revision.max(revision);
        seen.least = self.told.iter().copied().min().unwrap_or_default();
        self.sums = self.sums.split_off(&seen.least.saturating_add(1));
        self.forgotten = self.forgotten.max(seen.least);
        self.seen.send_replace(seen);
        self.events <= EVENTS_MAX
    }

    /// All sources tell of the same revisions, and the same of each; these are new of this source, which had told all up to `from`.
    fn compare(&mut self, nth: usize, from: i64, sums: &BTreeMap<i64, u64>, before: i64) {
        let known = |revision: &i64| (from.max(self.forgotten) + 1..=before).contains(revision);
        let others = self.sums.range((Excluded(from), Included(self.told[nth])));
        let untold = others
            .map(|(revision, _)| revision)
            .filter(|revision| known(revision) && !sums.contains_key(revision));
        let told = sums.iter().filter(|(revision, _)| known(revision));
        let differs = told.filter(|(revision, sum)| self.sums.get(revision) != Some(sum));
        let differing: Vec<i64> = untold.chain(differs.map(|one| one.0)).copied().collect();
        for revision in differing {
            let member = format!("source {}", nth + 1);
            self.chronicle.saw(Marker::Differs { member, revision });
        }
        let new = sums.iter().filter(|(revision, _)| **revision > before);
        self.sums.extend(new);
        while self.sums.len() > COMPARED_MAX {
            let gone = self.sums.pop_first();
            self.forgotten = gone.map_or(self.forgotten, |gone| gone.0);
        }
    }

    fn missed(&mut self) {
        if !std::mem::replace(&mut self.gap, true) {
            let after = self.last;
            self.chronicle.saw(Entry::Marker(Marker::Gap { after }));
        }
    }
}

fn told(event: &Event, kv: &KeyValue) -> StoreEvent {
    let put = event.event_type() == EventType::Put;
    let prev = event.prev_kv();
    StoreEvent {
        revision: kv.mod_revision(),
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        value: put.then(|| Value(kv.value().to_vec())),
        prev: prev.map(|kv| Value(kv.value().to_vec())),
        lease: if put {
            kv.lease()
        } else {
            prev.map_or(0, KeyValue::lease)
        },
        create_revision: if put { kv.create_revision() } else { 0 },
        version: if put { kv.version() } else { 0 },
        by: None,
    }
}

#[cfg(test)]
#[path = "recorder/tests.rs"]
mod tests;
