//! How fast a queue with a rate went, while somebody led and there was something to start.

use super::led::reigned;
use super::shares::{added, started};
use super::{TOLERANCE, float};
use crate::check::Facts;
use crate::check::keyspace::{Key, Value};

/// 200 ms of the rate: so much later than what follows may the begin of a term be seen.
const LATE_MS: u64 = 200;
/// How long a window is in which starts are counted.
const WINDOW_MS: u64 = 1_000;

/// How fast a queue went.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Which.
    pub queue: String,
    /// How many of its tasks may start in a second.
    pub rate: u32,
    /// How many were claimed while somebody led and there was more.
    pub starts: u64,
    /// How long that was, in milliseconds.
    pub led_ms: u64,
    /// The most that were claimed within a second.
    pub most_in_a_second: u64,
    /// How many more than the rate gives were claimed at most, from the begin of a term to any claim of it. A bucket is empty when
    /// a term begins, so it is none, whatever the burst.
    pub ahead: f64,
}

/// One claim: when, in which term, how many tasks.
struct Start {
    at_ms: u64,
    revision: i64,
    tasks: u64,
}

pub(super) fn of(facts: &Facts<'_>, (queue, rate): &(String, u32)) -> Pace {
    let mut starts = Vec::new();
    let (mut backlog, mut since_ms, mut spans) = (0, None, Vec::new());
    for step in &facts.steps {
        let tasks = started(step, queue);
        if tasks > 0 {
            let (at_ms, revision) = (step.at_ms, step.revision);
            starts.push(Start {
                at_ms,
                revision,
                tasks,
            });
        }
        backlog += added(step, queue);
        match since_ms {
            None if backlog > 0 => since_ms = Some(step.at_ms),
            Some(from) if backlog <= 0 => {
                spans.push((from, step.at_ms));
                since_ms = None;
            }
            _ => {}
        }
    }
    spans.extend(since_ms.map(|from| (from, facts.end_ms)));
    let led = led(facts, &spans);
    Pace {
        queue: queue.clone(),
        rate: *rate,
        starts: starts
            .iter()
            .filter(|start| led.iter().any(|span| within(*span, start.at_ms)))
            .map(|start| start.tasks)
            .sum(),
        led_ms: led.iter().map(|(from, to)| to - from).sum(),
        most_in_a_second: most_in_a_window(&starts),
        ahead: ahead(facts, queue, *rate, &starts),
    }
}

fn within((from, to): (u64, u64), at_ms: u64) -> bool {
    from <= at_ms && at_ms <= to
}

/// When somebody led, within these spans.
fn led(facts: &Facts<'_>, spans: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut led = Vec::new();
    for (from, to) in facts
        .reigns
        .iter()
        .filter_map(|reign| reigned(facts, reign))
    {
        let both = spans.iter().map(|span| (span.0.max(from), span.1.min(to)));
        led.extend(both.filter(|span| span.0 < span.1));
    }
    led
}

fn most_in_a_window(starts: &[Start]) -> u64 {
    let (mut most, mut first, mut sum) = (0, 0, 0);
    for start in starts {
        sum += start.tasks;
        while starts[first].at_ms + WINDOW_MS <= start.at_ms {
            sum -= starts[first].tasks;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

/// How far claims were ahead of the rate, counted anew in each term and when the queue's rules change.
fn ahead(facts: &Facts<'_>, queue: &str, rate: u32, starts: &[Start]) -> f64 {
    let begins = facts.reigns.iter().map(|reign| reign.from);
    let mut begins: Vec<(i64, u64)> = begins.chain(ruled(facts, queue)).collect();
    begins.sort_unstable();
    let (mut most, mut sum, mut nth) = (0.0_f64, 0, 0);
    for start in starts {
        while begins
            .get(nth + 1)
            .is_some_and(|next| next.0 <= start.revision)
        {
            (nth, sum) = (nth + 1, 0);
        }
        sum += start.tasks;
        let passed_ms = start
            .at_ms
            .saturating_sub(begins.get(nth).map_or(0, |begin| begin.1));
        let given = f64::from(rate) * float(passed_ms) / 1_000.0;
        most = most.max(float(sum) - given);
    }
    most
}

/// When the rules of a queue were set: revisions and milliseconds.
fn ruled(facts: &Facts<'_>, queue: &str) -> impl Iterator<Item = (i64, u64)> {
    let set = move |change: &crate::check::fold::Change| {
        let value = change.is.as_deref();
        matches!((&change.key, value), (Key::Queue(name), Some(Value::Queue(_))) if name == queue)
    };
    let steps = facts.steps.iter();
    let steps = steps.filter(move |step| step.changes.iter().any(set));
    steps.map(|step| (step.revision, step.at_ms))
}

impl Pace {
    /// How many were started in a second of the time that somebody led.
    pub fn per_second(&self) -> f64 {
        float(self.starts) * 1_000.0 / float(self.led_ms.max(1))
    }

    pub(super) fn violations(&self) -> Vec<String> {
        let Self {
            queue,
            rate,
            led_ms,
            ahead,
            ..
        } = self;
        let (pace, rate) = (self.per_second(), f64::from(*rate));
        let mut wrong = Vec::new();
        if *led_ms > 0 && (pace / rate - 1.0).abs() > TOLERANCE {
            let far = format!("queue {queue} started {pace:.1} a second, and not {rate:.1}");
            wrong.push(far);
        }
        if *ahead > rate * float(LATE_MS) / 1_000.0 {
            wrong.push(format!(
                "queue {queue} was {ahead:.0} starts ahead of its rate"
            ));
        }
        wrong
    }
}
