//! The load: carries out what a scenario says of its work, against whatever cluster clients can be made for. Clients submit, cancel,
//! read and revive; others outside hold; limits are changed; somebody looks. Each call is on record as done, refused or unknown, by
//! what is certain. It breaks nothing and judges nothing.

mod acts;
mod ground;
mod hold;
mod limits;
mod look;
mod means;
mod sorts;
mod submit;
mod triggers;

use crate::chronicle::Chronicle;
use crate::http::Client;
use crate::scenario::Work;
use crate::workload::SplitMix;
use anyhow::Context as _;
use sorts::Sorts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(crate) use means::{Length, Means, Paper};

/// Makes clients: the `number`th is at home at the `number`th node, counted round, and goes to the others where that does not answer.
/// Each of its calls has a deadline of its own; 3 s are good, for no request here asks to wait longer than 2.
pub(crate) type Maker<'a> = &'a (dyn Fn(usize) -> anyhow::Result<Client> + Send + Sync);

/// What work there is, and where.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) work: &'a Work,
    pub(crate) means: &'a Means,
    pub(crate) maker: Maker<'a>,
    pub(crate) chronicle: &'a Chronicle,
    /// What names of clients and keys begin with; no other load of this cluster has it.
    pub(crate) name: &'a str,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Tasks of submits that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Calls of submits that were refused.
    pub(crate) refused: u64,
    /// Calls of submits of which nobody knows whether they were done.
    pub(crate) unknown: u64,
}

/// The same as it is counted.
#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
}

/// Whoever is told to stop.
#[derive(Clone)]
struct Stop(watch::Receiver<bool>);

impl Stop {
    fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// So many milliseconds, or less where it is told to stop meanwhile.
    async fn pause(&mut self, ms: u64) {
        let told = self.0.wait_for(|told| *told);
        tokio::select! {
            () = sleep(Duration::from_millis(ms)) => {}
            // Whoever could tell is gone: so is the load.
            _told = told => {}
        }
    }
}

/// Everybody who asks for something.
pub(crate) struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
}

/// Says whether a scenario can be had with these means, before anything is started.
///
/// # Errors
/// Names the field that cannot.
pub(crate) fn check(work: &Work, means: &Means) -> anyhow::Result<()> {
    Sorts::of(work, means).map(drop)
}

impl Load {
    /// Starts all clients of the scenario. The same dice make the same work; how far each client comes is the cluster's to say.
    ///
    /// # Errors
    /// A field that cannot be had, or a client that cannot be made.
    pub(crate) fn start(ground: Ground<'_>, dice: &mut SplitMix) -> anyhow::Result<Self> {
        let sorts = Arc::new(Sorts::of(ground.work, ground.means)?);
        let (stop, told) = watch::channel(false);
        let mut load = Self {
            clients: JoinSet::new(),
            counts: Arc::new(Counts::default()),
            stop,
        };
        let stop = Stop(told);
        for number in 0..usize::from(ground.work.clients) {
            let submitter =
                submit::Submitter::new(ground, number, &sorts, &load.counts, dice.split())?;
            load.clients.spawn(submitter.goes_on(stop.clone()));
        }
        for holder in hold::all(ground, dice)? {
            load.clients.spawn(holder.goes_on(stop.clone()));
        }
        for swing in limits::all(ground)? {
            load.clients.spawn(swing.goes_on(stop.clone()));
        }
        for trigger in triggers::all(ground, dice)? {
            load.clients.spawn(trigger.goes_on(stop.clone()));
        }
        if let Some(reader) = look::Reader::new(ground)? {
            load.clients.spawn(reader.goes_on(stop.clone()));
        }
        Ok(load)
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress {
            acknowledged: read(&self.counts.acknowledged),
            refused: read(&self.counts.refused),
            unknown: read(&self.counts.unknown),
        }
    }

    /// Whether every client still works.
    ///
    /// # Errors
    /// What ended the first one that does not: a refusal that a retry cannot change, with the scenario's field.
    pub(crate) fn ensure_well(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.clients.try_join_next() {
            ended.context("a client of the load")??;
        }
        Ok(())
    }

    /// Ends it: whoever has a call open gets its answer first, what is held is given back, limits are set to their highest. The final
    /// counts.
    ///
    /// # Errors
    /// What ended a client, or that one did not end in time; then nobody waits for it any more.
    pub(crate) async fn ends(mut self, within: Duration) -> anyhow::Result<Progress> {
        self.stop.send_replace(true);
        let ended = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.context("a client of the load")??;
            }
            anyhow::Ok(())
        };
        let ended = timeout(within, ended).await;
        ended.with_context(|| {
            format!(
                "a client of the load does not end in {} s",
                within.as_secs()
            )
        })??;
        Ok(self.progress())
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
