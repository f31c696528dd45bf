//! One who submits, and then cancels, reads and revives some of it. Submits go to its own node first, reads to another's, so that what
//! one node acknowledged is asked of another.

use super::acts::AGAIN;
use super::sorts::{Keyed, Sorts, Wanted};
use super::{Counts, Ground, Stop};
use crate::calls::{self, Caller};
use crate::http::{Heard, Refusal};
use crate::witness::wall_us;
use crate::workload::SplitMix;
use anyhow::{Context as _, bail, ensure};
use reqwest::Method;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tenure_chaos::history::Op;

/// 11 min to have a submit acknowledged: far longer than any fault and its healing, so that only who takes nothing more ends the load.
const PATIENCE: Duration = Duration::from_mins(11);
/// It remembers the last 64 tasks that are to end dead, and looks at the oldest after each 8th submit, when there are 2: by then it had
/// time to.
const MORTALS_MAX: usize = 64;
const MORTALS_LOOKED_AT: usize = 2;
const LOOK_AFTER: u64 = 8;
/// One dead task in two is revived.
const REVIVED_OF: usize = 2;

/// One who submits.
pub(super) struct Submitter {
    caller: Caller,
    /// The same one, asking at another node.
    elsewhere: Caller,
    sorts: Arc<Sorts>,
    counts: Arc<Counts>,
    /// Decides what it submits, and nothing else does.
    work: SplitMix,
    /// Decides the rest, as often as it comes.
    pace: SplitMix,
    pause_ms: [u64; 2],
    submits: u64,
    mortals: VecDeque<String>,
}

impl Submitter {
    /// The `number`th.
    pub(super) fn new(
        ground: Ground<'_>,
        number: usize,
        sorts: &Arc<Sorts>,
        counts: &Arc<Counts>,
        mut dice: SplitMix,
    ) -> anyhow::Result<Self> {
        let caller = |name: String, home: usize| {
            let client = Arc::new((ground.maker)(home)?);
            anyhow::Ok(Caller::new(name, &client, ground.chronicle))
        };
        Ok(Self {
            caller: caller(format!("{}-client-{number}", ground.name), number)?,
            elsewhere: caller(format!("{}-reader-{number}", ground.name), number + 1)?,
            sorts: Arc::clone(sorts),
            counts: Arc::clone(counts),
            work: dice.split(),
            pace: dice,
            pause_ms: ground.work.pause_ms,
            submits: 0,
            mortals: VecDeque::new(),
        })
    }

    /// Until it is told to stop.
    pub(super) async fn goes_on(mut self, mut stop: Stop) -> anyhow::Result<()> {
        while !stop.is_told() {
            let wanted = self.sorts.next(&mut self.work);
            let wanted = wanted.context("work.task: there is none with a share")?;
            let tasks = self.submits(&wanted, &mut stop).await?;
            if let Some(tasks) = tasks {
                self.follows(&wanted, &tasks, &mut stop).await;
            }
            self.looks_after_the_dead().await;
            let [from, to] = self.pause_ms;
            stop.pause(self.pace.within(from..=to)).await;
        }
        Ok(())
    }

    /// Submits it until it is acknowledged or told to stop, without a key once only; the tasks' ids, where it knows them.
    async fn submits(
        &mut self,
        wanted: &Wanted,
        stop: &mut Stop,
    ) -> anyhow::Result<Option<Vec<String>>> {
        self.submits += 1;
        let key = format!("{}-{}", self.caller.name(), self.submits);
        let key = (wanted.key != Keyed::Not).then_some(key);
        let run_at_ms = wanted.delay_ms.map(|delay_ms| wall_us() / 1_000 + delay_ms);
        let (path, body) = wanted.request(key.as_deref(), run_at_ms)?;
        let op = Op::Submit(wanted.submit(key.as_deref(), run_at_ms));
        self.caller.comes_home();
        let until = Instant::now() + PATIENCE;
        let (mut again, mut acknowledged) = (wanted.key == Keyed::Twice, None);
        loop {
            let call = self.caller.invoke(op.clone());
            match self.caller.ask(Method::POST, path, Some(&body)).await {
                Heard::Done(said) => {
                    let answer = calls::accepted(&said);
                    self.caller.done(call, answer.clone());
                    if acknowledged.is_none() {
                        self.count(|counts| &counts.acknowledged, answer.tasks.len());
                    }
                    acknowledged = Some(answer.tasks);
                    if !std::mem::take(&mut again) {
                        return Ok(acknowledged);
                    }
                    continue;
                }
                Heard::Nothing(why) => {
                    self.caller.unknown(call, why);
                    self.count(|counts| &counts.unknown, 1);
                }
                Heard::Refused(refused) => {
                    self.count(|counts| &counts.refused, 1);
                    self.caller.failed(call, refused.why.clone());
                    match refused.refusal() {
                        Refusal::Again => {}
                        Refusal::Passed => return Ok(acknowledged),
                        Refusal::Ever if wanted.narrow && refused.status == Some(422) => {
                            return Ok(acknowledged);
                        }
                        Refusal::Ever => {
                            bail!("{}.task is refused: {}", wanted.field, refused.why)
                        }
                    }
                }
            }
            if wanted.key == Keyed::Not || stop.is_told() {
                return Ok(acknowledged);
            }
            let (field, secs) = (&wanted.field, PATIENCE.as_secs());
            ensure!(
                Instant::now() < until,
                "{field}.task was not acknowledged in {secs} s"
            );
            stop.pause(u64::try_from(AGAIN.as_millis()).unwrap_or(u64::MAX))
                .await;
        }
    }

    fn count(&self, of: impl Fn(&Counts) -> &AtomicU64, more: usize) {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        of(&self.counts).fetch_add(more, Ordering::Relaxed);
    }

    /// Cancels and reads what of it is to be.
    async fn follows(&mut self, wanted: &Wanted, tasks: &[String], stop: &mut Stop) {
        let named = |which: usize| tasks.get(which).map(String::as_str);
        if let Some(task) = wanted.read.and_then(named) {
            self.elsewhere.reads(task).await;
        }
        if let Some((which, moment_ms)) = wanted.cancelled
            && let Some(task) = named(which)
        {
            stop.pause(moment_ms).await;
            self.caller.cancels(task).await;
        }
        let mortal = wanted.mortal.iter().filter_map(|which| named(*which));
        self.mortals.extend(mortal.map(str::to_owned));
        let more = self.mortals.len().saturating_sub(MORTALS_MAX);
        self.mortals.drain(..more);
    }

    /// Now and then, looks at a task of some time ago, and revives some of those that are dead.
    async fn looks_after_the_dead(&mut self) {
        let is_time =
            self.submits.is_multiple_of(LOOK_AFTER) && self.mortals.len() >= MORTALS_LOOKED_AT;
        let Some(task) = is_time.then(|| self.mortals.pop_front()).flatten() else {
            return;
        };
        let stands = self.elsewhere.reads(&task).await;
        let is_dead = stands.is_some_and(|answer| answer.state.as_deref() == Some("dead"));
        if is_dead && self.pace.below(REVIVED_OF) == 0 {
            self.caller.revives(&task).await;
        }
    }
}
