//! One claim in a node's hands: what waits, runs and has ended of it; a value, starts and sends nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::Deferral;
use crate::plan::{Ending, Of, settle};
use crate::planted::{self, Bug};
use crate::store::{Report, Run, Seen, Stop};
use crate::task::{ClaimId, Name, OnLost, Outcome, PACK_TASKS_MAX, Pack, Which};

/// 256 KiB of errors and output to one report: four of them fit a batch of 1 MiB.
const REPORT_BYTES_MAX: usize = 256 << 10;

/// 500 ms with its pack at hand: what was claimed ahead and has not started by then is handed back; ten times what is claimed ahead.
const HAND_BACK: Duration = Duration::from_millis(500);

/// 5 s in hand before work whose pack cannot be read is handed back: the leader gives it out again at once, and what is not in the
/// store does not come back.
const UNREADABLE: Duration = Duration::from_secs(5);

/// What an ending says instead of what was taken out of it.
const NOT_KEPT: &str = "what the run left behind was not kept: etcd refused the report that held it, or was silent for long";

/// A claim and how far it is.
pub(super) struct Held {
    /// The claim as the store has it, as far as we know.
    pub(super) run: Seen<Run>,
    /// What is to be stopped of it, and the mod revision that says so; 0 for none.
    pub(super) stop: (i64, Which),
    /// The specs; none until they are read.
    pub(super) pack: Option<Arc<Pack>>,
    /// Not started.
    pub(super) waiting: Which,
    /// Started, with the token that cancels each.
    pub(super) running: BTreeMap<u8, CancellationToken>,
    /// Ended, not yet in a report.
    ended: BTreeMap<Ending, Which>,
    ended_bytes: usize,
    ended_since: Option<Instant>,
    /// The report in flight, to be sent again as it is until its fate is known.
    pub(super) report: Option<Box<InFlight>>,
    /// What has not started by then goes back to the queue; none while the pack is being read, which ends within a bound of its own.
    pub(super) hand_back_at: Option<Instant>,
    /// 1 to [`PACK_TASKS_MAX`]: how many different endings one report tells; less after etcd called one invalid.
    endings_max: usize,
    /// No report is built before this.
    report_after: Option<Instant>,
}

/// A report and the endings it tells, which go back where it is refused.
pub(super) struct InFlight {
    pub(super) report: Report,
    /// Whether a copy is on its way; without one, its fate is not known.
    pub(super) in_air: bool,
    /// Whether it travels in a transaction of its own, because one that it shared was invalid.
    pub(super) alone: bool,
    endings: BTreeMap<Ending, Which>,
}

/// What a report is built with.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) node: &'a Name,
    pub(super) deaths_max: u32,
    pub(super) draw: f64,
    pub(super) now_ms: u64,
}

impl Held {
    pub(super) fn new(run: Seen<Run>) -> Self {
        let pack = run.value.inline.as_deref().cloned().map(Arc::new);
        let mut held = Self {
            waiting: run.value.which,
            stop: (0, Which::NONE),
            run,
            pack: None,
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_bytes: 0,
            ended_since: None,
            report: None,
            hand_back_at: None,
            endings_max: PACK_TASKS_MAX,
            report_after: None,
        };
        if let Some(pack) = pack {
            held.arrived(pack);
        }
        held
    }

    /// Its pack is here: it may start.
    pub(super) fn arrived(&mut self, pack: Arc<Pack>) {
        self.pack = Some(pack);
        self.hand_back_at = Some(Instant::now() + HAND_BACK);
    }

    /// Folds a stop: runs are told, what has not started ends at once.
    pub(super) fn stop(&mut self, stop: &Seen<Stop>, now_ms: u64) {
        self.stop = (stop.modified, stop.value.which);
        for (index, cancel) in &self.running {
            if stop.value.which.contains(*index) {
                cancel.cancel();
            }
        }
        let never = self.waiting.and(stop.value.which);
        if !never.is_empty() {
            self.waiting = self.waiting.minus(never);
            self.end(never, unstarted(Outcome::Cancelled, None, now_ms));
        }
    }

    /// Notes that its pack cannot be read: nothing of it can be run here.
    pub(super) fn unreadable(&mut self) {
        self.hand_back_at = Some(Instant::now() + UNREADABLE);
    }

    /// Gives up what has not started.
    pub(super) fn hand_back(&mut self, now_ms: u64) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        if planted::is(Bug::HandBackDrops) {
            return;
        }
        let mut how = Outcome::Returned;
        if planted::is(Bug::HandBackIsDone) {
            how = Outcome::Succeeded;
        }
        self.end(waiting, unstarted(how, None, now_ms));
    }

    /// Puts off one that was to start and may not.
    pub(super) fn defer(&mut self, index: u8, deferral: Deferral, now_ms: u64) {
        let ending = Ending {
            wait: Some(deferral.wait),
            ..unstarted(Outcome::Deferred, Some(deferral.why), now_ms)
        };
        self.end(Which::only(index), ending);
    }

    /// Gives up what runs; the caller has ended the runs.
    pub(super) fn give_up(&mut self, why: &str, now_ms: u64) {
        let running: Which = std::mem::take(&mut self.running).into_keys().collect();
        if !running.is_empty() {
            self.end(
                running,
                unstarted(Outcome::Lost, Some(why.to_owned()), now_ms),
            );
        }
        self.hand_back(now_ms);
    }

    /// Notes how runs ended.
    pub(super) fn end(&mut self, which: Which, ending: Ending) {
        for index in which.iter() {
            self.running.remove(&index);
        }
        self.ended_bytes += bytes(&ending);
        self.ended_since.get_or_insert_with(Instant::now);
        let of = self.ended.entry(ending).or_default();
        *of = of.or(which);
    }

    /// Whether nothing more will end before a report.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Whether a report is due: everything has ended, or something has for that long, or it grows large.
    pub(super) fn wants_report(&self, linger: Duration) -> bool {
        let old = self
            .ended_since
            .is_some_and(|since| since.elapsed() >= linger);
        let may = self
            .report_after
            .is_none_or(|after| Instant::now() >= after);
        self.report.is_none()
            && may
            && !self.ended.is_empty()
            && (self.is_done() || old || self.ended_bytes >= REPORT_BYTES_MAX)
    }

    /// Whether its runs go on past a lost session.
    pub(super) fn finishes(&self) -> bool {
        let pack = self.pack.as_ref();
        let all = planted::is(Bug::NoSelfFence);
        pack.is_some_and(|pack| all || pack.policy.on_lost == OnLost::Finish)
    }

    /// Whether something is to be told, or was and is not confirmed.
    pub(super) fn has_news(&self) -> bool {
        self.has_ended() || self.report.is_some()
    }

    /// How many of its tasks have an outcome of their run that is not known to be told.
    pub(super) fn untold(&self) -> u64 {
        let told = self.report.iter().flat_map(|report| &report.endings);
        let own = |(ending, _): &(&Ending, &Which)| ending.outcome.is_of_run();
        let tasks = self.ended.iter().chain(told).filter(own);
        tasks.map(|(_, which)| which.len() as u64).sum()
    }

    /// What its outcomes take until they are told, about.
    pub(super) fn kept_bytes(&self) -> usize {
        self.ended_bytes
    }

    /// Forgets what runs have left behind that no report tells yet, and says so in its place; how many bytes that was.
    pub(super) fn forget_outputs(&mut self) -> usize {
        let before = self.ended_bytes;
        self.ended_bytes = 0;
        for (mut ending, which) in std::mem::take(&mut self.ended) {
            shrink(&mut ending);
            self.end(which, ending);
        }
        before.saturating_sub(self.ended_bytes)
    }

    /// Whether something has ended that no report tells yet.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Builds the report of what has ended, as much as fits one, and puts it in flight.
    pub(super) fn take_report(&mut self, claim: ClaimId, desk: Desk<'_>) -> Report {
        let endings = self.take_endings();
        let of = Of {
            run: &self.run.value,
            fence: self.run.created,
            node: desk.node,
            policy: self.pack.as_ref().map(|pack| &pack.policy),
            stopped: self.stop.1,
            deaths_max: desk.deaths_max,
            blame: false,
            split: 1,
            draw: desk.draw,
            now_ms: desk.now_ms,
        };
        let (rest, settled) = settle(of, &endings);
        let report = Report {
            node: desk.node.clone(),
            claim,
            pack: self.run.value.pack,
            routing: self.run.value.routing.clone(),
            modified: self.run.modified,
            stop: self.stop.0,
            rest,
            settled,
            now_ms: desk.now_ms,
        };
        self.report = Some(Box::new(InFlight {
            report: report.clone(),
            in_air: true,
            alone: false,
            endings,
        }));
        report
    }

    fn take_endings(&mut self) -> BTreeMap<Ending, Which> {
        let mut taken = BTreeMap::new();
        let mut size = 0;
        while let Some((ending, which)) = self.ended.pop_first() {
            size += bytes(&ending);
            taken.insert(ending, which);
            if size >= REPORT_BYTES_MAX || taken.len() >= self.endings_max {
                break;
            }
        }
        self.ended_bytes = self.ended_bytes.saturating_sub(size);
        self.ended_since = (!self.ended.is_empty()).then(Instant::now);
        taken
    }

    /// A copy of the report is on its way.
    pub(super) fn launched(&mut self) {
        if let Some(flight) = &mut self.report {
            flight.in_air = true;
        }
    }

    /// The copy's fate is not known.
    pub(super) fn grounded(&mut self) {
        if let Some(flight) = &mut self.report {
            flight.in_air = false;
        }
    }

    /// The report goes in a transaction of its own from now on; false where it did already.
    pub(super) fn part(&mut self) -> bool {
        match &mut self.report {
            Some(flight) if !flight.alone => {
                (flight.alone, flight.in_air) = (true, false);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The report was committed at this revision; whether anything of the claim is left.
    pub(super) fn committed(&mut self, revision: i64) -> bool {
        let Some(flight) = self.report.take() else {
            return true;
        };
        self.endings_max = (self.endings_max * 2).min(PACK_TASKS_MAX);
        let Some(rest) = flight.report.rest else {
            return false;
        };
        self.run = Seen {
            value: rest,
            modified: revision,
            ..self.run.clone()
        };
        true
    }

    /// The report was refused for good: what it told has to be told anew.
    pub(super) fn refused(&mut self) {
        let Some(flight) = self.report.take() else {
            return;
        };
        for (ending, which) in flight.endings {
            self.end(which, ending);
        }
    }

    /// etcd called the report invalid, and would again: what it told is told in smaller ones, down to a single ending, and that
    /// one without what made it large. One that is as small as it gets is built anew after `rest`.
    pub(super) fn invalid(&mut self, rest: Duration) {
        let Some(flight) = self.report.take() else {
            return;
        };
        let several = flight.endings.len() > 1;
        if several {
            self.endings_max = flight.endings.len() / 2;
        }
        for (mut ending, which) in flight.endings {
            if !several && !shrink(&mut ending) {
                self.report_after = Some(Instant::now() + rest);
            }
            self.end(which, ending);
        }
    }
}

/// Takes the largest part out of an ending and says so in it; false where nothing is left to take.
fn shrink(ending: &mut Ending) -> bool {
    if ending.output.take().is_some() {
        ending.error.get_or_insert_with(|| NOT_KEPT.to_owned());
        return true;
    }
    let long = ending
        .error
        .as_deref()
        .is_some_and(|error| error != NOT_KEPT);
    if long {
        ending.error = Some(NOT_KEPT.to_owned());
    }
    long
}

fn unstarted(outcome: Outcome, error: Option<String>, now_ms: u64) -> Ending {
    Ending {
        outcome,
        started_ms: None,
        finished_ms: now_ms,
        error,
        output: None,
        wait: None,
    }
}

fn bytes(ending: &Ending) -> usize {
    let output = ending.output.as_ref().map_or(0, |output| {
        written(&output.stdout)
            + written(&output.stderr)
            + output.value.as_deref().map_or(0, written)
    });
    64 + output + ending.error.as_deref().map_or(0, written)
}

/// Bytes of a text as JSON: control characters take six, quotes and backslashes two.
fn written(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(more).sum::<usize>()
}
