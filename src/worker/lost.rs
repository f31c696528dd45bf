//! After a session is lost: its runs end before its lease can be given away, what has ended is told all the same, and what was to finish
//! does. Starts nothing, and opens no session.

use std::future::ready;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::duty::{Duty, LAST_REPORTS};
use super::lease::{Lease, Way};
use super::runs::Finished;
use super::{LINGER, Worker};
use crate::metrics;
use crate::task::Outcome;

/// 1 h: how long outcomes are kept while etcd answers nobody. By then somebody has looked, and a run may have been made again.
const KEPT: Duration = Duration::from_hours(1);

/// 10 s from the first report that etcd decided for the others to be told; a report takes milliseconds, and the node works again after it.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// 32 MiB of errors and output are kept: beyond, outcomes are kept without what the runs left behind.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// 1 s for runs that were killed to be gone, where the lease was taken away or its time is over.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// What its own session's end has left of a worker: outcomes that are not confirmed, and runs that were to finish. Dropped, those are
/// killed.
pub struct Left(pub(super) Worker);

impl Worker {
    /// Ends every run but those that are to finish: asked and then killed, or killed at once, see [`Way`].
    pub(super) async fn fence(&mut self, lease: &Lease) {
        let (began, runs) = (Instant::now(), self.runs.len());
        let ends = lease.ends();
        // Too late for all of them: that commands were ended in time was for the guard and the watchdog, who do not tell when.
        let stood_still = ends.is_some_and(|ends| began >= ends.lease);
        let by_others = stood_still && lease.leash().groups() >= runs;
        let way = ends.map_or(Way::Kill, |ends| ends.way(began));
        if let Way::Ask { kill } = way {
            self.ask();
            let _out_of_grace = timeout_at(kill, self.ended()).await;
        }
        self.runs.abort_all();
        let late = Instant::now() + GONE_WITHIN;
        let by = ends.map_or(late, |ends| ends.lease.max(late));
        let gone = timeout_at(by, async {
            self.ended().await;
            lease.leash().gone().await;
        });
        let gone = gone.await.is_ok();
        if !gone {
            let runs = self.runs.len();
            error!(
                runs,
                "runs of a lost session do not end: they block a thread, or the kernel holds them"
            );
        }
        let (took, at) = (began.elapsed(), Instant::now());
        match ends.filter(|ends| began >= ends.ask && runs > 0) {
            Some(_) if by_others => warn!(
                runs,
                ?took,
                "session lost while this node stood still: its commands were for the guard or the watchdog to end"
            ),
            Some(ends) => {
                let margin = signed(at, ends.lease);
                metrics::fencing_margin(margin);
                if gone && margin >= 0.0 {
                    warn!(
                        runs,
                        ?took,
                        margin_secs = margin,
                        "session lost: its runs are gone before its lease can be given away"
                    );
                } else {
                    error!(
                        runs,
                        ?took,
                        margin_secs = margin,
                        "session lost: its runs outlived its lease"
                    );
                }
            }
            None if gone => warn!(runs, ?took, "session lost: its runs are gone"),
            None => {}
        }
    }

    /// Asks all of them to end.
    fn ask(&self) {
        let stopping = self.claims.values().filter(|held| !held.finishes());
        for cancel in stopping.flat_map(|held| held.running.values()) {
            cancel.cancel();
        }
    }

    /// Waits until no run is left but those that are to finish.
    async fn ended(&mut self) {
        while let Some(finished) = self.runs.join_next().await {
            self.ended_late(finished);
        }
    }

    /// One that ended because it was asked to has no outcome of its own; what ended by itself has.
    pub(super) fn ended_late(&mut self, finished: Result<Finished, JoinError>) {
        let asked = finished.as_ref().is_ok_and(|run| {
            let held = self.claims.get(&run.claim);
            let by_user = held.is_some_and(|held| held.stop.1.contains(run.index));
            run.ending.outcome == Outcome::Cancelled && !by_user
        });
        if !asked {
            self.finished(finished);
        }
    }

    /// What is left of it once its runs have ended.
    pub(super) fn left(mut self) -> Option<Left> {
        self.lost = true;
        self.handover
            .take(Duty::Leave, Instant::now(), Duration::ZERO);
        let now_ms = self.hands.store.now_ms();
        let mut bytes = 0;
        for held in self.claims.values_mut() {
            if held.finishes() {
                held.hand_back(now_ms);
            } else {
                held.give_up("the node lost its session", now_ms);
            }
            bytes += held.kept_bytes();
            if bytes > KEPT_BYTES_MAX {
                bytes -= held.forget_outputs();
            }
        }
        self.line.clear();
        let all = !self.claims.is_empty() || !self.finishing.is_empty();
        all.then(|| Left(self))
    }

    /// Reports until everything that has ended is confirmed or refused.
    async fn tell(&mut self) {
        let mut ticks = interval(LINGER);
        while self.claims.values().any(super::Held::has_news) {
            self.send_reports();
            tokio::select! {
                Some(landed) = self.reports.join_next(), if !self.reports.is_empty() => self.landed(landed),
                Some(finished) = self.finishing.join_next(), if !self.finishing.is_empty() => self.finished(finished),
                _ = ticks.tick() => {}
            }
        }
    }

    /// The same within bounds; what is not told by then is dropped.
    async fn tell_within(&mut self, first: impl Future<Output = ()>, stop: &CancellationToken) {
        self.decided = CancellationToken::new();
        let decided = self.decided.clone();
        let answers = async {
            decided.cancelled().await;
            sleep(TOLD_WITHIN).await;
        };
        let tell = async {
            first.await;
            self.tell().await;
        };
        let stopped = async {
            stop.cancelled().await;
            sleep(LAST_REPORTS).await;
        };
        tokio::select! {
            biased;
            () = tell => return,
            () = answers => {}
            () = stopped => {}
            () = sleep(KEPT) => {}
        }
        let tasks = self.claims.values().map(super::Held::untold).sum();
        error!(
            tasks,
            "outcomes of a lost session could not be told in time, dropped"
        );
        metrics::outcomes_dropped("late", tasks);
        self.reports.abort_all();
        self.claims.retain(|_, held| !held.has_news());
    }
}

impl Left {
    /// Tells what has ended: as soon as etcd answers, and before the session is closed, so that nobody can have reclaimed it where etcd
    /// was gone for everybody. After `first`, and until `stop` and 5 s more at most. Answers with the runs that go on, where there are any.
    pub async fn tell(
        mut self,
        first: impl Future<Output = ()>,
        stop: &CancellationToken,
    ) -> Option<Self> {
        let kept = self.0.claims.values().filter(|held| held.has_news());
        let claims = kept.count();
        info!(claims, "telling what ended before the session did");
        self.0.tell_within(first, stop).await;
        (!self.0.finishing.is_empty()).then_some(self)
    }

    /// Waits for the runs that go on, and tells how they ended where that is still asked. Where the node is told to stop they have this
    /// grace, and are killed; 5 s after it what is not told is dropped, however many ended.
    pub async fn finish(self, stop: CancellationToken, grace: Duration) {
        let late = async {
            stop.cancelled().await;
            sleep(grace + LAST_REPORTS).await;
        };
        tokio::select! {
            () = self.finish_in(&stop, grace) => {}
            () = late => {}
        }
    }

    async fn finish_in(mut self, stop: &CancellationToken, grace: Duration) {
        let over = async {
            stop.cancelled().await;
            sleep(grace).await;
        };
        tokio::pin!(over);
        loop {
            let finished = tokio::select! {
                biased;
                finished = self.0.finishing.join_next() => finished,
                () = &mut over => return,
            };
            let Some(finished) = finished else { return };
            self.0.finished(finished);
            self.0.tell_within(ready(()), stop).await;
        }
    }
}

/// Seconds from one instant to another; negative where that is earlier.
fn signed(from: Instant, to: Instant) -> f64 {
    let ahead = to.saturating_duration_since(from).as_secs_f64();
    ahead - from.saturating_duration_since(to).as_secs_f64()
}
