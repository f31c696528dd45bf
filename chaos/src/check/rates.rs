//! Rates hold: within one term, over any span of time, no more tasks of a queue are claimed than its burst and what its rate
//! gives in that span. Times are those at which the recorder saw the revisions. A claim is seen later than it was decided, so
//! [`Limits::rate_ms`](super::Limits::rate_ms) more of the rate is allowed, and a span does not reach across a fault or a
//! change of the queue. Exercised by each claim of a queue with a rate.

use std::collections::HashMap;

use super::Facts;
use super::calm::Calm;
use super::fold::{Change, Step};
use super::holds::tasks;
use super::keyspace::{Claim, Key, Rate, Value};
use super::verdict::{Case, Property, Verdict};

/// A bucket that fills with what is claimed and drains by the rate: it is never fuller than the burst, over no span.
struct Bucket {
    rate: Rate,
    term: i64,
    at_ms: u64,
    level: f64,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::RateLimits);
    let calm = Calm::without_faults(facts.history, facts.end_ms);
    let late_ms = facts.setup.limits.rate_ms;
    let mut buckets: HashMap<String, Bucket> = HashMap::new();
    for step in &facts.steps {
        for change in &step.changes {
            if let Key::Queue(name) = &change.key {
                buckets.remove(name);
                if let Some(rate) = rate(change) {
                    buckets.insert(name.clone(), Bucket::empty(rate, step.at_ms));
                }
            }
        }
        for change in &step.changes {
            let (Key::Run { claim, .. }, None, Some(Value::Run(held))) =
                (&change.key, change.was.as_deref(), change.is.as_deref())
            else {
                continue;
            };
            if let Some(bucket) = buckets.get_mut(&held.routing.queue) {
                case.exercised(1);
                bucket.claimed((&calm, late_ms), step, claim, tasks(held));
                bucket.judge(&mut case, facts, step, change);
            }
        }
    }
    case.close()
}

fn rate(change: &Change) -> Option<Rate> {
    if let Some(Value::Queue(queue)) = change.is.as_deref() {
        return queue.rate;
    }
    None
}

impl Bucket {
    fn empty(rate: Rate, at_ms: u64) -> Self {
        Self {
            rate,
            term: 0,
            at_ms,
            level: 0.0,
        }
    }

    fn claimed(&mut self, (calm, late_ms): (&Calm, u64), step: &Step, claim: &Claim, tasks: u64) {
        // What a fault held up may be seen soon after its end, all at once.
        let since_ms = self.at_ms.saturating_sub(late_ms);
        if self.term != claim.term || !calm.holds(since_ms, step.at_ms) {
            self.level = 0.0;
        }
        self.term = claim.term;
        let passed_ms = step.at_ms.saturating_sub(self.at_ms);
        self.at_ms = step.at_ms;
        let drained = self.rate.per_second() * seconds(passed_ms);
        self.level = (self.level - drained).max(0.0) + float(tasks);
    }

    fn judge(&self, case: &mut Case, facts: &Facts<'_>, step: &Step, change: &Change) {
        let slack = self.rate.per_second() * seconds(facts.setup.limits.rate_ms);
        let most = float(self.rate.burst) + slack;
        if self.level > most {
            let what = format!(
                "{:.0} tasks beyond the rate are claimed, {most:.0} may be",
                self.level
            );
            case.violated(what, &[step.revision], &[&change.text]);
        }
    }
}

fn seconds(ms: u64) -> f64 {
    float(ms) / 1_000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and milliseconds of a history are far below 2^52"
)]
fn float(count: u64) -> f64 {
    count as f64
}
