//! A view that the next in line keeps while another node leads, so that taking over reads nothing but the windows; decides nothing and
//! writes nothing.

use std::convert::Infallible;
use std::time::Duration;

use tenure_cluster::{Delivery, Watch, WatchSpec};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, info, warn};

use super::{PAUSE, Post, load};
use crate::metrics;
use crate::plan::View;
use crate::planted::{self, Bug};
use crate::store::LookError;

/// 500 ms for the watch to reach the activation's revision, some round trips to etcd: a view that is further behind is loaded anew.
const REACH_WITHIN: Duration = Duration::from_millis(500);

/// The view of one candidacy. Its windows are folded and never read on: what waits is read by whoever leads.
#[derive(Default)]
pub struct Warm {
    kept: Option<Kept>,
}

/// A view, and the watch that goes on where it is.
pub(super) struct Kept {
    pub(super) view: View,
    pub(super) watch: Watch,
}

impl Kept {
    /// The view at a revision at or after this one, as etcd has it, and a watch from there.
    ///
    /// # Errors
    /// [`LookError`]; nothing has been written, try again.
    pub(super) async fn load(post: &Post, at_least: i64) -> Result<Self, LookError> {
        let view = load::load(&post.store, at_least, post.window).await?;
        let spec = WatchSpec::prefix(post.store.keys().live_prefix()).from(view.revision + 1);
        let watch = post.store.connection().watch(spec);
        Ok(Self { view, watch })
    }

    /// Folds one delivery. False where the watch fell behind compaction. Cancel-safe.
    async fn fold(&mut self, now_ms: impl Fn() -> u64) -> bool {
        match self.watch.next().await {
            Delivery::Events { revision, events } => {
                for problem in self.view.fold(&events, revision, now_ms()) {
                    error!(%problem, "left out of the view");
                }
            }
            Delivery::Progress { revision } => {
                self.view.revision = self.view.revision.max(revision);
            }
            Delivery::Compacted { .. } => return false,
        }
        true
    }
}

impl Warm {
    /// Keeps the view up to date while only one comes before this candidate, or none; forgets it while more do. May be dropped and
    /// called again.
    pub async fn keep(
        &mut self,
        post: &Post,
        mut ahead: watch::Receiver<Option<usize>>,
    ) -> Infallible {
        loop {
            let before = *ahead.borrow_and_update();
            match (before, &self.kept) {
                // Its turn has come: loading would only delay the term, which does it.
                (Some(1), _) | (Some(0), Some(_)) => {}
                (Some(0) | None, _) => {
                    changed(&mut ahead).await;
                    continue;
                }
                (Some(_), _) => {
                    self.kept = None;
                    changed(&mut ahead).await;
                    continue;
                }
            }
            tokio::select! {
                () = changed(&mut ahead) => {}
                never = self.fold(post) => match never {},
            }
        }
    }

    async fn fold(&mut self, post: &Post) -> Infallible {
        loop {
            let Some(kept) = &mut self.kept else {
                match Kept::load(post, 0).await {
                    Ok(kept) => {
                        debug!(revision = kept.view.revision, "next in line, view loaded");
                        self.kept = Some(kept);
                    }
                    Err(problem) => {
                        warn!(%problem, "the view of the next in line could not be loaded, trying again");
                        sleep(PAUSE).await;
                    }
                }
                continue;
            };
            if !kept.fold(|| post.store.now_ms()).await {
                self.kept = None;
            }
        }
    }

    /// A view at or after this revision, so that nothing of a former term is missing from it: the one that was kept, or one that is
    /// loaded, however long etcd takes.
    pub(super) async fn ready(&mut self, activated: i64, post: &Post) -> Kept {
        let began = Instant::now();
        let reached = self.reached(activated, post).await;
        let warm = reached.is_some();
        let mut kept = match reached {
            Some(kept) => kept,
            None => loop {
                match Kept::load(post, activated).await {
                    Ok(kept) => break kept,
                    Err(problem) => {
                        warn!(%problem, "the view could not be loaded, trying again");
                        sleep(PAUSE).await;
                    }
                }
            },
        };
        if planted::is(Bug::StopsNotLoaded) {
            kept.view.stops.clear();
        }
        let took = began.elapsed();
        metrics::view_ready(warm, took);
        let (revision, claims) = (kept.view.revision, kept.view.claims.len());
        info!(revision, claims, warm, ?took, "view ready");
        kept
    }

    /// The view that was kept, where its watch reaches this revision soon.
    async fn reached(&mut self, activated: i64, post: &Post) -> Option<Kept> {
        let mut kept = self.kept.take()?;
        let reached = async {
            while kept.view.revision < activated {
                kept.watch.request_progress().await;
                if !kept.fold(|| post.store.now_ms()).await {
                    return false;
                }
            }
            true
        };
        let reached = timeout(REACH_WITHIN, reached).await;
        (reached == Ok(true)).then_some(kept)
    }
}

/// Waits for another place in the line; for ever where the candidate is gone.
async fn changed(ahead: &mut watch::Receiver<Option<usize>>) {
    if ahead.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tenure_cluster::{Connection, Options, Txn};
    use tenure_testkit::{Backend, Etcd, on_each_backend};

    use super::*;
    use crate::store::{Keys, NodeRecord, Store, encode};

    on_each_backend!(
        what_was_kept_is_what_a_load_would_find,
        what_fell_behind_compaction_is_not_used,
        only_the_next_in_line_keeps_a_view,
    );

    /// 50 ms to look whether a view is there.
    const LOOK: Duration = Duration::from_millis(50);

    fn post(etcd: &Etcd) -> Post {
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        Post {
            store: Store::new(connection, Keys::new(&"c".parse().unwrap())),
            node: "b".parse().unwrap(),
            address: String::new(),
            window: 16,
            deaths_max: 3,
            retention: Duration::from_hours(1),
            compaction: None,
            quota: 1 << 30,
            full: watch::Sender::new(false).subscribe(),
        }
    }

    /// Writes a node's key, or deletes it; the revision.
    async fn node(post: &Post, name: &str, there: bool) -> i64 {
        let key = post.store.keys().node(&name.parse().unwrap());
        let record = NodeRecord {
            instance: name.to_owned(),
            address: String::new(),
            slots: 4,
            kinds: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            version: String::new(),
            started_ms: 1,
            draining: false,
            peer: None,
            network: None,
            adaptive: None,
        };
        let txn = if there {
            Txn::new().put(key, encode(&record))
        } else {
            Txn::new().delete(key)
        };
        let done = post.store.connection().commit(&txn).await;
        done.committed().expect("nothing is compared").revision
    }

    fn names(kept: &Kept) -> Vec<String> {
        kept.view.nodes.keys().map(ToString::to_string).collect()
    }

    async fn kept(post: &Post, ahead: &watch::Sender<Option<usize>>) -> Warm {
        let mut warm = Warm::default();
        while warm.kept.is_none() {
            let keeping = warm.keep(post, ahead.subscribe());
            let _ = timeout(LOOK, keeping).await;
        }
        warm
    }

    async fn what_was_kept_is_what_a_load_would_find(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let post = post(&etcd);
        node(&post, "a", true).await;
        let ahead = watch::Sender::new(Some(1));
        let mut warm = kept(&post, &ahead).await;
        node(&post, "c", true).await;
        let activated = node(&post, "a", false).await;

        let reached = warm.reached(activated, &post).await;

        let reached = reached.expect("its watch goes on");
        let loaded = Kept::load(&post, activated).await.unwrap();
        assert!(reached.view.revision >= activated);
        assert_eq!(names(&reached), names(&loaded));
        assert_eq!(names(&reached), ["c"]);
    }

    async fn what_fell_behind_compaction_is_not_used(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let post = post(&etcd);
        node(&post, "a", true).await;
        // Its watch is opened by the first look at it.
        let mut warm = Warm {
            kept: Some(Kept::load(&post, 0).await.unwrap()),
        };
        node(&post, "c", true).await;
        let activated = node(&post, "a", false).await;
        let compacted = post.store.connection().compact(activated).await;
        compacted.unwrap();

        let ready = warm.ready(activated, &post).await;

        assert_eq!(names(&ready), ["c"]);
        assert!(warm.reached(activated, &post).await.is_none());
    }

    async fn only_the_next_in_line_keeps_a_view(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let post = post(&etcd);
        node(&post, "a", true).await;
        let ahead = watch::Sender::new(Some(1));
        let mut warm = kept(&post, &ahead).await;

        ahead.send_replace(Some(0));
        let _ = timeout(LOOK, warm.keep(&post, ahead.subscribe())).await;
        assert!(warm.kept.is_some(), "its turn has come");
        ahead.send_replace(Some(2));
        let _ = timeout(LOOK, warm.keep(&post, ahead.subscribe())).await;
        assert!(warm.kept.is_none(), "others come before it");
        for before in [None, Some(0), Some(2)] {
            ahead.send_replace(before);
            let _ = timeout(LOOK, warm.keep(&post, ahead.subscribe())).await;
            assert!(warm.kept.is_none(), "{before:?}");
        }
    }
}
