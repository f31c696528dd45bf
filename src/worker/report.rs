//! Reports outcomes: one report per claim in flight, sent again as it is until its fate is known; never builds one (that is
//! [`super::held`]).

use std::time::Duration;

use tenure_cluster::{Answer, Failure, FailureKind, KeyValue};
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::held::Desk;
use super::{LINGER, RECONCILE, Worker};
use crate::metrics;
use crate::planted::{self, Bug};
use crate::store::{Change, GuardName, Report, Seen, Verdict, batches};
use crate::task::ClaimId;

/// 4 batches of reports in flight.
pub(super) const FLIGHTS_MAX: usize = 4;

/// 200 ms before a report of unknown outcome is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// A batch of reports and what became of each.
pub(super) type Landed = Vec<(Report, Verdict)>;

/// What a refused report read instead.
struct Instead {
    run: Option<KeyValue>,
    stop: Option<KeyValue>,
    result: Option<KeyValue>,
}

impl Worker {
    /// Sends the reports that are due, and those again whose fate is not known.
    pub(super) fn send_reports(&mut self) {
        if self.reports.len() >= FLIGHTS_MAX
            || self.pause.is_some_and(|until| Instant::now() < until)
        {
            return;
        }
        let desk = Desk {
            node: &self.hands.node,
            deaths_max: self.hands.deaths_max,
            draw: draw(),
            now_ms: self.hands.store.now_ms(),
        };
        let resend = self.pause.take().is_some();
        let mut due = Vec::new();
        for (claim, held) in &mut self.claims {
            if held.wants_report(LINGER) {
                due.push(held.take_report(*claim, desk));
            } else if resend
                && let Some(flight) = &mut held.report
                && !flight.in_air
            {
                due.push(flight.report.clone());
            }
        }
        for report in &due {
            if let Some(held) = self.claims.get_mut(&report.claim) {
                held.launched();
            }
        }
        let (alone, together): (Vec<_>, Vec<_>) = due
            .into_iter()
            .partition(|report| self.goes_alone(report.claim));
        let together = together.into_iter().map(Change::Report).collect();
        let together = batches(self.hands.store.keys(), together);
        let alone = alone.into_iter().map(|report| vec![Change::Report(report)]);
        for batch in together.into_iter().chain(alone) {
            let store = self.hands.store.clone();
            self.reports.spawn(async move {
                let verdicts = store.commit_batch(None, &batch).await;
                batch
                    .into_iter()
                    .zip(verdicts)
                    .filter_map(|(change, verdict)| Some((report(change)?, verdict)))
                    .collect()
            });
        }
    }

    pub(super) fn landed(&mut self, landed: Result<Landed, JoinError>) {
        match landed {
            Ok(landed) => landed
                .into_iter()
                .for_each(|(report, verdict)| self.landed_one(&report, verdict)),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    fn goes_alone(&self, claim: ClaimId) -> bool {
        let held = self.claims.get(&claim);
        held.and_then(|held| held.report.as_ref())
            .is_some_and(|flight| flight.alone)
    }

    fn landed_one(&mut self, report: &Report, verdict: Verdict) {
        if let Verdict::Committed { .. } | Verdict::Refused { .. } = &verdict {
            self.decided.cancel();
        }
        match verdict {
            Verdict::Unavailable(failure) if failure.kind == FailureKind::Invalid => {
                self.invalid(report, &failure);
            }
            Verdict::Committed { revision } => self.committed(report.claim, revision),
            Verdict::Refused { lost, reads, .. } => self.refused(report, &lost, &reads),
            Verdict::Unknown(_) if planted::is(Bug::ReportUnknownIsDone) => {
                self.committed(report.claim, report.modified);
            }
            Verdict::Unknown(failure) | Verdict::Unavailable(failure) => {
                warn!(claim = %report.claim, %failure, "report not confirmed, sent again as it is");
                self.pause = Some(Instant::now() + PAUSE);
                if let Some(held) = self.claims.get_mut(&report.claim) {
                    held.grounded();
                }
            }
        }
    }

    /// etcd will never take the transaction. One that several reports shared is sent in parts; one of a single report is built
    /// anew, smaller.
    fn invalid(&mut self, report: &Report, failure: &Failure) {
        let claim = report.claim;
        let Some(held) = self.claims.get_mut(&claim) else {
            return;
        };
        if held.part() {
            self.pause = Some(Instant::now());
            return;
        }
        error!(%claim, %failure, "etcd calls a report invalid, built anew and smaller");
        metrics::report_shrunk();
        held.invalid(RECONCILE);
    }

    fn committed(&mut self, claim: ClaimId, revision: i64) {
        let Some(held) = self.claims.get_mut(&claim) else {
            return;
        };
        if !held.committed(revision) {
            self.forget(claim);
        }
    }

    /// Refused: an earlier copy was committed, or the claim was reclaimed, or more was cancelled meanwhile.
    fn refused(&mut self, report: &Report, lost: &[GuardName], reads: &[Answer]) {
        let instead = Instead::of(reads);
        let claim = report.claim;
        if instead.result.is_some() && !planted::is(Bug::ReportRenumbered) {
            let Some(run) = instead.run else {
                // What it left was reclaimed since: nothing of the claim is ours, and a report on an absent key must not be built.
                self.committed(claim, report.modified);
                return self.drop_claim(claim);
            };
            return self.committed(claim, run.mod_revision);
        }
        let Some(run) = instead.run.and_then(|kv| Seen::of(&kv).ok()) else {
            info!(%claim, ?lost, "report refused: the claim was reclaimed, its outcomes are dropped");
            metrics::outcomes_dropped("reclaimed", outcomes(report));
            return self.drop_claim(claim);
        };
        debug!(%claim, ?lost, "report refused, built anew");
        let Some(held) = self.claims.get_mut(&claim) else {
            return;
        };
        held.refused();
        held.run = run;
        if let Some(stop) = instead.stop.and_then(|kv| Seen::of(&kv).ok()) {
            held.stop(&stop, self.hands.store.now_ms());
        }
    }
}

impl Instead {
    fn of(reads: &[Answer]) -> Self {
        let nth = |nth: usize| match reads.get(nth) {
            Some(Answer::Kvs(kvs)) => kvs.first().cloned(),
            Some(Answer::Put | Answer::Deleted(_) | Answer::Nested(_)) | None => None,
        };
        Self {
            run: nth(0),
            stop: nth(1),
            result: nth(2),
        }
    }
}

fn report(change: Change) -> Option<Report> {
    let Change::Report(report) = change else {
        return None;
    };
    Some(report)
}

/// Of how many tasks a report tells how a run ended by itself.
fn outcomes(report: &Report) -> u64 {
    let attempts = report.settled.attempts.iter();
    let of = attempts.filter(|attempt| attempt.outcome.is_of_run());
    of.map(|attempt| attempt.which.len() as u64).sum()
}

/// A point in 0..1 for the jitter of a backoff.
fn draw() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() >> 96;
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit a float exactly")]
    let (bits, all) = (bits as f64, (1_u64 << 32) as f64);
    bits / all
}
