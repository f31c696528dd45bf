//! A kind of work, `work`, whose runs wait at a gate and are written down; decides nothing about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tenure::task::{State, TaskId};
use tenure::worker::kinds::{Builder, Context, HandlerError};
use tokio::sync::watch;

use super::common::{Cluster, task, within};

/// The name of the kind.
pub(crate) const WORK: &str = "work";

/// A run that began.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) task: TaskId,
    pub(crate) node: &'static str,
    pub(crate) attempt: u32,
    pub(crate) fence: i64,
    pub(crate) payload: Value,
}

#[derive(Debug, Default)]
struct Book {
    starts: Vec<Start>,
    /// Running now, and the most that ever were at once, by node.
    running: BTreeMap<&'static str, (usize, usize)>,
}

/// Writes down every run of `work`. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    book: Arc<watch::Sender<Book>>,
    gate: Arc<watch::Sender<bool>>,
    /// How long each run takes once it is through.
    takes: Duration,
}

struct Going {
    book: Arc<watch::Sender<Book>>,
    node: &'static str,
}

impl Recorder {
    /// Runs wait until the gate opens.
    pub(crate) fn closed() -> Self {
        Self {
            book: Arc::new(watch::Sender::default()),
            gate: Arc::new(watch::Sender::new(false)),
            takes: Duration::ZERO,
        }
    }

    /// The same, and then take so long.
    pub(crate) fn slow(takes: Duration) -> Self {
        Self {
            takes,
            ..Self::closed()
        }
    }

    /// Runs end at once.
    pub(crate) fn open() -> Self {
        let recorder = Self::closed();
        recorder.let_through(true);
        recorder
    }

    /// Has 200 runs end at once, and closes the gate: a node that has shown that it is fast is given work ahead.
    pub(crate) async fn warm(&self, cluster: &Cluster) {
        let runs = (0..200).map(|_| task(WORK, "0")).collect();
        let runs = cluster.batch(runs).await;
        cluster.until_all(&runs, State::Succeeded).await;
        self.let_through(false);
    }

    pub(crate) fn let_through(&self, open: bool) {
        self.gate.send_replace(open);
    }

    /// The kind, for a node of this name.
    pub(crate) fn on(&self, node: &'static str) -> impl FnOnce(Builder) -> Builder + use<> {
        let recorder = self.clone();
        move |kinds| {
            kinds.handler_fn(WORK, move |context| {
                let recorder = recorder.clone();
                async move { recorder.work(node, context).await }
            })
        }
    }

    /// Waits until so many runs have begun; all that have.
    pub(crate) async fn started(&self, count: usize) -> Vec<Start> {
        let mut book = self.book.subscribe();
        let book = within(book.wait_for(|book| book.starts.len() >= count)).await;
        book.expect("the recorder lives").starts.clone()
    }

    pub(crate) fn starts(&self) -> Vec<Start> {
        self.book.borrow().starts.clone()
    }

    /// The most runs that a node ever had at once.
    pub(crate) fn most_at_once(&self, node: &str) -> usize {
        self.book
            .borrow()
            .running
            .get(node)
            .map_or(0, |(_, most)| *most)
    }

    /// Waits until no run is left on a node.
    pub(crate) async fn idle(&self, node: &str) {
        let mut book = self.book.subscribe();
        let idle = |book: &Book| book.running.get(node).is_none_or(|(now, _)| *now == 0);
        within(book.wait_for(idle))
            .await
            .expect("the recorder lives");
    }

    async fn work(&self, node: &'static str, context: Context) -> Result<Value, HandlerError> {
        let start = Start {
            task: context.task_id().to_string().parse()?,
            node,
            attempt: context.attempt(),
            fence: context.fence(),
            payload: context.payload()?,
        };
        let _going = self.begin(start);
        let mut gate = self.gate.subscribe();
        let opened = async { gate.wait_for(|open| *open).await.is_ok() };
        let through = tokio::select! {
            through = opened => through,
            () = context.cancelled() => false,
        };
        if !through {
            return Err(HandlerError::new("stopped"));
        }
        // Not a wait for anything: runs that take time are what a test asked for.
        tokio::time::sleep(self.takes).await;
        Ok(Value::Null)
    }

    fn begin(&self, start: Start) -> Going {
        let node = start.node;
        self.book.send_modify(|book| {
            book.starts.push(start);
            let (now, most) = book.running.entry(node).or_default();
            *now += 1;
            *most = (*most).max(*now);
        });
        Going {
            book: Arc::clone(&self.book),
            node,
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.book.send_modify(|book| {
            if let Some((now, _)) = book.running.get_mut(self.node) {
                *now -= 1;
            }
        });
    }
}
