//! Reads on where a window runs low: bounded at both ends once a backlog is long, because etcd counts all keys of a range, whatever
//! its limit. Beside everything else: events are folded, and plans made, while a read is on its way.

use std::ops::Bound;

use tenure_cluster::{KeyValue, Page, Range};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use super::PAUSE;
use crate::plan::{View, Window};
use crate::store::{Keys, Lane, Live, LookError, Record, Seen, Store};

/// 10,000 keys behind the edge: counting them takes etcd about a millisecond (some 90 ns each, docs/benchmarks.md); more are read in
/// bounded ranges.
const OPEN_KEYS_MAX: i64 = 10_000;

/// 8 windows are read at a time: each read is a page of up to 1,024 records, and a term begins with one of each lane.
pub(super) const READS_MAX: usize = 8;

/// What is read on behind its edge.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Lane(Lane),
    Due,
    Ticks,
}

/// What a window wants.
struct Want {
    what: What,
    from: String,
    to: String,
    /// Whether `to` is nearer than the end of the range.
    near: bool,
    room: usize,
}

/// What was read for it.
pub(super) struct Read {
    want: Want,
    page: Result<Page, LookError>,
}

/// The reads on their way. They belong to one view.
pub(super) struct Refills {
    store: Store,
    air: JoinSet<Read>,
    /// The lane that was read last: the next in order is next.
    last: Option<Lane>,
    /// Nothing is read before this.
    after: Option<Instant>,
}

/// The revision of a read is compacted: the view has to be loaded anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compacted;

impl Refills {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            air: JoinSet::new(),
            last: None,
            after: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.air.is_empty()
    }

    pub(super) fn under_way(&self) -> usize {
        self.air.len()
    }

    /// Begins to read what the windows want, at the view's revision, as far as there is room in flight.
    pub(super) fn start(&mut self, view: &mut View) {
        if self.after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        self.after = None;
        while self.air.len() < READS_MAX
            && let Some(want) = self.next_want(view)
        {
            let (from, to) = (want.from.clone(), want.to.clone());
            let limit = i64::try_from(want.room).unwrap_or(i64::MAX);
            let range = Range::between(from, to).limit(limit).at(view.revision);
            match &want.what {
                What::Lane(lane) => {
                    view.lanes.entry(lane.clone()).and_modify(Window::begin);
                    self.last = Some(lane.clone());
                }
                What::Due => view.due.begin(),
                What::Ticks => view.ticks.begin(),
            }
            let connection = self.store.connection().clone();
            self.air.spawn(async move {
                let page = connection.range(&range).await.map_err(LookError::from);
                Read { want, page }
            });
        }
    }

    /// The next window that wants to be read: what is due, schedules that are, then the lanes in turn.
    fn next_want(&self, view: &View) -> Option<Want> {
        let keys = self.store.keys();
        let timed = |what, edge: &str, prefix: &str, room| Want {
            what,
            from: edge.to_owned(),
            to: Keys::past(prefix),
            near: false,
            room,
        };
        if let Some(edge) = view.due.wants() {
            return Some(timed(What::Due, edge, &keys.due_prefix(), view.due.room()));
        }
        if let Some(edge) = view.ticks.wants() {
            let room = view.ticks.room();
            return Some(timed(What::Ticks, edge, &keys.tick_prefix(), room));
        }
        let after = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let turn = view.lanes.range((after, Bound::Unbounded));
        let mut turn = turn.chain(&view.lanes);
        turn.find_map(|(lane, window)| {
            let from = window.wants()?.to_owned();
            let span = window.span_ms();
            let near = span.and_then(|span| bound(keys, lane, &from, span));
            Some(Want {
                what: What::Lane(lane.clone()),
                from,
                near: near.is_some(),
                to: near.unwrap_or_else(|| Keys::past(&keys.ready_lane(lane))),
                room: window.room(),
            })
        })
    }

    /// Waits for a read to land. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Read> {
        match self.air.join_next().await? {
            Ok(read) => Some(read),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// Folds a read that landed into the view it was begun for. What cannot be read now is tried again after a pause; planning goes on
    /// with what is there.
    ///
    /// # Errors
    /// [`Compacted`].
    pub(super) fn fold(&mut self, view: &mut View, read: Read) -> Result<(), Compacted> {
        let Read { want, page } = read;
        match page {
            Ok(page) => folded(self.store.keys(), view, want, page),
            Err(problem) if problem.is_compacted() => return Err(Compacted),
            Err(problem) => {
                warn!(%problem, "a window could not be refilled");
                self.after = Some(Instant::now() + PAUSE);
                match want.what {
                    What::Lane(lane) => {
                        view.lanes.entry(lane).and_modify(Window::abandon);
                    }
                    What::Due => view.due.abandon(),
                    What::Ticks => view.ticks.abandon(),
                }
            }
        }
        Ok(())
    }
}

fn folded(keys: &Keys, view: &mut View, want: Want, page: Page) {
    let lane = match want.what {
        What::Lane(lane) => lane,
        What::Due => {
            let edge = edge_of(&page, None);
            let due = |kv: KeyValue| match keys.live(&kv.key) {
                Some(Live::Due(ms, id)) => Some((kv.key.clone(), (ms, id, seen(&kv)?))),
                Some(_) | None => None,
            };
            return view.due.extend(page.kvs.into_iter().filter_map(due), edge);
        }
        What::Ticks => {
            let edge = edge_of(&page, None);
            let tick = |kv: KeyValue| match keys.live(&kv.key) {
                Some(Live::Tick(ms, name)) => Some((kv.key.clone(), (ms, name))),
                Some(_) | None => None,
            };
            return view
                .ticks
                .extend(page.kvs.into_iter().filter_map(tick), edge);
        }
    };
    let Some(window) = view.lanes.get_mut(&lane) else {
        return;
    };
    if want.near && page.kvs.is_empty() {
        // Nothing within the bound: read openly next time, the backlog is thinner than it was.
        window.extend([], Some(want.to));
        return window.set_span(None);
    }
    let edge = edge_of(&page, want.near.then_some(want.to));
    let span = span(keys, &page);
    let ready = |kv: KeyValue| match keys.live(&kv.key) {
        Some(Live::Ready(_, id)) => Some((kv.key.clone(), (id, seen(&kv)?))),
        Some(_) | None => None,
    };
    window.extend(page.kvs.into_iter().filter_map(ready), edge);
    if span.is_some() || !want.near {
        window.set_span(span);
    }
}

/// Where the window is complete up to after this page.
fn edge_of(page: &Page, bounded: Option<String>) -> Option<String> {
    if page.more {
        page.kvs.last().map(|kv| Keys::following(&kv.key))
    } else {
        bounded
    }
}

/// How much time of packs to read next, in milliseconds: twice what this page spans, where the backlog behind it is long.
fn span(keys: &Keys, page: &Page) -> Option<u64> {
    if page.count < OPEN_KEYS_MAX {
        return None;
    }
    let made_ms = |kv: &KeyValue| match keys.live(&kv.key) {
        Some(Live::Ready(_, id)) => Some(id.pack.unix_ms()),
        Some(
            Live::Node(_)
            | Live::Drain(_)
            | Live::Lane(_)
            | Live::Due(..)
            | Live::Run(..)
            | Live::Stop(..)
            | Live::Semaphore(_)
            | Live::Queue(_)
            | Live::Rules
            | Live::Tick(..)
            | Live::Want(..)
            | Live::Hold(..)
            | Live::Death(_),
        )
        | None => None,
    };
    let (first, last) = (made_ms(page.kvs.first()?)?, made_ms(page.kvs.last()?)?);
    Some(last.saturating_sub(first).max(1) * 2)
}

/// A bound that much later than the edge.
fn bound(keys: &Keys, lane: &Lane, edge: &str, span_ms: u64) -> Option<String> {
    let pack = keys.ready_edge(lane, edge)?;
    Some(keys.ready_since(lane, pack.unix_ms() + span_ms))
}

/// None for what cannot be decoded: one such record must not keep the others waiting.
fn seen(kv: &KeyValue) -> Option<Seen<Record>> {
    Seen::of(kv)
        .inspect_err(|problem| error!(%problem, "left out of the view"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tenure_cluster::{Connection, Options};

    fn lane(nth: usize) -> Lane {
        Lane {
            queue: format!("q{nth:02}").parse().unwrap(),
            kind: "k".parse().unwrap(),
            place: None,
            gate: None,
            priority: crate::task::Priority::default(),
        }
    }

    /// Reads of an etcd that is away, and a view of 20 lanes of which nothing is known.
    fn refills() -> (Refills, View) {
        let mut options = Options::new(["127.0.0.1:1"]);
        options.request_timeout = Duration::from_millis(100);
        let keys = Keys::new(&"c".parse().unwrap());
        let store = Store::new(Connection::open(options).unwrap(), keys.clone());
        let mut view = View::new(keys, 5, 8);
        (0..20).for_each(|nth| view.unread(lane(nth), 1));
        (Refills::new(store), view)
    }

    #[tokio::test]
    async fn reads_are_bounded_and_go_round_and_what_failed_is_wanted_again() {
        let (mut refills, mut view) = refills();

        refills.start(&mut view);
        refills.start(&mut view);

        assert_eq!(refills.air.len(), READS_MAX);
        assert_eq!(
            refills.last,
            Some(lane(READS_MAX - 3)),
            "with what is due and schedules"
        );
        assert!(view.lanes[&lane(0)].is_awaited());
        while let Some(read) = refills.next().await {
            assert_eq!(refills.fold(&mut view, read), Ok(()));
        }
        assert!(view.lanes[&lane(0)].wants().is_some());
        refills.start(&mut view);
        assert!(refills.is_empty(), "not before the pause is over");
        tokio::time::sleep(PAUSE).await;
        refills.start(&mut view);
        assert_eq!(refills.last, Some(lane(2 * READS_MAX - 5)));
    }
}
