//! A chapter: one cluster under work and faults, and its whole history in a file.

use super::{members, meters, ticker};
use crate::chronicle::{Chronicle, Terms};
use crate::fault::catalogue::Kind;
use crate::fault::maker::Maker;
use crate::fault::plan::Plan;
use crate::http::Client;
use crate::load::{Ground, Load, Means};
use crate::progress::say;
use crate::recorder::{Recorder, Seen};
use crate::scenario::Scenario;
use crate::store_acts::{Hash, Operator};
use crate::target::Hands;
use crate::witness::http::Server;
use crate::witness::notes::{Processes, with_notes};
use crate::witness::{Log, wall_us};
use crate::workload::SplitMix;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenure_chaos::check::Limits;
use tenure_chaos::history::{History, Marker};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// 100 s for clients to have their last answers.
const STOPPED_WITHIN: Duration = Duration::from_secs(100);
/// 10 s for etcd's members to say what they have.
const HASHED_WITHIN: Duration = Duration::from_secs(10);
/// 10 ms by which a clock that is only steered may go astray in a chapter; clusters of one machine are held to no less.
const CLOCK_SET_MS_MAX: u64 = 10;
/// 100 ms before they are asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// What is to be done.
pub(super) struct Chapter<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) kinds: &'a [Kind],
    pub(super) limits: &'a Limits,
    pub(super) seed: u64,
    pub(super) length: Duration,
    /// Where its history goes.
    pub(super) path: &'a Path,
    /// Where runs write what they do.
    pub(super) log: PathBuf,
}

/// The cluster, for whoever drives it.
pub(super) struct Ways<'a> {
    /// What all its keys begin with.
    pub(super) root: String,
    /// Whether it was there before, so that its log begins in the middle.
    pub(super) was_there: bool,
    pub(super) means: Means,
    /// The server that runs are witnessed by; it ends before its notes are read.
    pub(super) witness: Option<Server>,
    /// Makes clients; the number says at which node each is at home.
    pub(super) maker: &'a (dyn Fn(usize) -> anyhow::Result<Client> + Send + Sync),
}

impl Chapter<'_> {
    /// Its history, saved also where it broke off; what makes it doubtful is in it.
    pub(super) async fn run<T: Hands>(
        &self,
        hands: &mut T,
        mut ways: Ways<'_>,
    ) -> anyhow::Result<()> {
        let chronicle = Chronicle::begin_at(
            self.path,
            Terms {
                seed: self.seed,
                root: ways.root.clone(),
                limits: self.limits.clone(),
                expects: self.scenario.expects.properties.clone(),
            },
        )?;
        let mut log = Log::follow(&self.log)?;
        let mut processes = Processes::new();
        let ran = self.drive(hands, &ways, &chronicle, &mut processes).await;
        if let Err(error) = &ran {
            spoilt(&chronicle, format!("it broke off: {error:#}"));
        }
        if let Some(witness) = ways.witness.take()
            && let Err(error) = witness.ends().await
        {
            spoilt(&chronicle, format!("{error:#}"));
        }
        if let Err(error) = log.ends() {
            spoilt(&chronicle, format!("{error:#}"));
        }
        let set_by_ms = chronicle.clock_set_by_ms();
        if set_by_ms > CLOCK_SET_MS_MAX {
            let why = format!("this machine's clock was set by {set_by_ms} ms meanwhile");
            spoilt(&chronicle, why);
        }
        let began_us = chronicle.began_us();
        chronicle
            .finish()
            .with_context(|| self.path.display().to_string())?;
        let history = History::load(self.path).with_context(|| self.path.display().to_string())?;
        let history = with_notes(&history, began_us, log.notes(), &processes);
        history
            .save(self.path)
            .with_context(|| self.path.display().to_string())?;
        ran.with_context(|| format!("the history so far is in {}", self.path.display()))
    }

    async fn drive<T: Hands>(
        &self,
        hands: &mut T,
        ways: &Ways<'_>,
        chronicle: &Chronicle,
        processes: &mut Processes,
    ) -> anyhow::Result<()> {
        let mut dice = SplitMix(self.seed);
        let client = Arc::new((ways.maker)(0)?);
        let recorder = if ways.was_there {
            Recorder::from_now(&hands.endpoints(), &ways.root, chronicle).await?
        } else {
            Recorder::of_each(&hands.endpoints(), &ways.root, chronicle)
        };
        let mut beside = beside(hands, &client, chronicle);
        let mut plan = Plan::new(
            self.kinds.to_vec(),
            self.scenario.faults.gap_ms,
            dice.split().0,
        );
        let operator = Operator::new(hands.endpoints(), ways.root.clone());
        let at = (ways.root.as_str(), recorder.seen());
        let mut maker = Maker::new(hands, &client, chronicle, at);
        maker.healthy().await?;
        let mut name = format!("c{}", self.seed);
        if ways.was_there {
            // The keys of a run before this one are known there: under them its own tasks would be those of that run.
            name = format!("{name}-{}", wall_us() / 1_000);
        }
        let ground = Ground {
            work: &self.scenario.work,
            means: &ways.means,
            maker: ways.maker,
            chronicle,
            name: &name,
        };
        ground.lay_out().await?;
        let mut load = Load::start(ground, &mut dice)?;
        let until = Instant::now() + self.length;
        let together = usize::from(self.scenario.faults.together);
        let seen = recorder.seen();
        let made = tokio::select! {
            made = maker.run(&mut plan, until, together) => made,
            Err(error) = ticker::ticks(&mut load, &seen) => Err(error),
        };
        processes.clone_from(maker.processes());
        made?;
        maker.healthy().await?;
        maker.all_healed();
        say(&format!(
            "           {} faults are healed; waiting for work to end",
            maker.tally().total()
        ))?;
        ground.clear_away().await?;
        load.ends(STOPPED_WITHIN).await?;
        drained(recorder.seen(), self.limits.drain_ms).await?;
        beside.shutdown().await;
        let revision = recorder.seen().borrow().revision;
        hashed(&operator, revision, chronicle).await?;
        // A log without its end is judged as one of which nothing can be said.
        if let Err(error) = recorder.seal().await {
            say(&format!("the log is not whole: {error:#}"))?;
        }
        Ok(())
    }
}

/// Those who look on.
fn beside<T: Hands>(hands: &T, client: &Arc<Client>, chronicle: &Chronicle) -> JoinSet<()> {
    let mut beside = JoinSet::new();
    beside.spawn(members::watch(
        hands.endpoints(),
        hands.members(),
        chronicle.clone(),
    ));
    let mut nodes = Vec::new();
    // Of a cluster that was there not all may be known.
    for node in hands.nodes() {
        if let Ok(address) = hands.address(&node) {
            nodes.push((node, address));
        }
    }
    beside.spawn(meters::read(Arc::clone(client), nodes, chronicle.clone()));
    beside
}

/// Waits until nothing is ready, due or claimed. What is left then is for the checks to say.
async fn drained(mut seen: watch::Receiver<Seen>, within_ms: u64) -> anyhow::Result<()> {
    let within = Duration::from_millis(within_ms);
    let empty = seen.wait_for(|seen| seen.open <= 0);
    if let Ok(empty) = timeout(within, empty).await {
        empty.context("the recorder has ended")?;
    }
    Ok(())
}

/// What each member has at one revision, once all have compacted as much: they do so one after another.
async fn hashed(operator: &Operator, revision: i64, chronicle: &Chronicle) -> anyhow::Result<()> {
    let hashes = async {
        // A member may be a little behind the one that told of this revision first.
        loop {
            match operator.hashes(revision).await {
                Ok(hashes) if alike(hashes.values()) => return hashes,
                Ok(_) | Err(_) => sleep(AGAIN).await,
            }
        }
    };
    let hashes = timeout(HASHED_WITHIN, hashes).await;
    let hashes = hashes.context("etcd's members do not say what they have")?;
    for (member, found) in hashes {
        let hash = found.hash;
        chronicle.saw(Marker::Hash {
            member,
            revision,
            hash,
        });
    }
    Ok(())
}

/// Whether all have compacted as much.
fn alike<'h>(mut hashes: impl Iterator<Item = &'h Hash>) -> bool {
    let first = hashes.next().map(|first| first.compacted);
    hashes.all(|one| Some(one.compacted) == first)
}

/// Nothing can be said by this history any more.
fn spoilt(chronicle: &Chronicle, why: String) {
    chronicle.saw(Marker::Spoilt { why });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_compared_once_all_have_compacted_as_much() {
        let hash = |compacted| Hash { compacted, hash: 1 };
        assert!(alike([hash(5), hash(5), hash(5)].iter()));
        assert!(!alike([hash(5), hash(5), hash(4)].iter()));
        assert!(!alike([hash(4), hash(5)].iter()));
    }
}
