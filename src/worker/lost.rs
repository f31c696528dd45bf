//! After a session is lost: its runs end before its lease can be given away, what has ended is told all the same, and what was to finish
//! does. Starts nothing, and opens no session.

use std::future::ready;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::duty::{Duty, LAST_REPORTS};
use super::lease::{Ends, Lease, Way};
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

/// What there was to end when a session was found lost.
#[derive(Clone, Copy, Debug)]
struct There {
    /// Runs, but for those that are to finish.
    runs: usize,
    /// Process groups on the session's leash.
    groups: usize,
}

/// Whether runs were gone before their lease could be given away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum InTime {
    /// There was nothing to be in time with: nothing ran, or the session was taken away before its time.
    NotAsked,
    /// It was too late for this node when it looked, and all that ran were commands: guard or watchdog ended those, and do not tell when.
    OthersKnow,
    /// So many seconds before; negative after.
    By { margin: f64 },
}

/// Of runs that this node began to end at one instant and found ended at another.
fn in_time(ends: Option<Ends>, (began, ended): (Instant, Instant), there: There) -> InTime {
    let Some(ends) = ends.filter(|ends| began >= ends.ask && there.runs > 0) else {
        return InTime::NotAsked;
    };
    if began >= ends.lease && there.groups >= there.runs {
        return InTime::OthersKnow;
    }
    InTime::By {
        margin: signed(ended, ends.lease),
    }
}

impl Worker {
    /// Ends every run but those that are to finish: asked and then killed, or killed at once, see [`Way`].
    pub(super) async fn fence(&mut self, lease: &Lease) {
        let (began, ends) = (Instant::now(), lease.ends());
        let there = There {
            runs: self.runs.len(),
            groups: lease.leash().groups(),
        };
        let runs = there.runs;
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
        match in_time(ends, (began, at), there) {
            InTime::OthersKnow => warn!(
                runs,
                ?took,
                "session lost while this node stood still: its commands were for the guard or the watchdog to end"
            ),
            InTime::By { margin } => {
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
            InTime::NotAsked if gone => warn!(runs, ?took, "session lost: its runs are gone"),
            InTime::NotAsked => {}
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
    pub(super) async fn tell_within(
        &mut self,
        first: impl Future<Output = ()>,
        stop: &CancellationToken,
    ) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_told_but_where_only_others_know_it() {
        let ask = Instant::now();
        let at = |ms| ask + Duration::from_millis(ms);
        let ends = Ends {
            ask,
            kill: at(500),
            lease: at(1_000),
        };
        let early = ask - Duration::from_millis(1);
        let by = |margin| InTime::By { margin };
        // When it began to end them and when they were gone, how many ran, how many of them as commands.
        for (began, ended, runs, groups, expected) in [
            (early, at(0), 1, 1, InTime::NotAsked),
            (at(0), at(0), 0, 0, InTime::NotAsked),
            (at(0), at(250), 2, 2, by(0.75)),
            (at(0), at(1_500), 2, 2, by(-0.5)),
            (at(999), at(1_250), 2, 2, by(-0.25)),
            (at(1_000), at(1_250), 2, 2, InTime::OthersKnow),
            (at(7_000), at(7_001), 1, 2, InTime::OthersKnow),
            (at(1_000), at(1_250), 2, 1, by(-0.25)),
            (at(1_000), at(1_250), 1, 0, by(-0.25)),
        ] {
            let there = There { runs, groups };
            let told = in_time(Some(ends), (began, ended), there);
            assert_eq!(
                told,
                expected,
                "{there:?} at {:?}",
                began.duration_since(ask)
            );
            assert_eq!(in_time(None, (began, ended), there), InTime::NotAsked);
        }
    }
}
