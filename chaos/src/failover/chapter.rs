//! A chapter: one cluster from its start to its end, under load, with some trials, and its whole history.

use super::acts::Acts;
use super::load::{Load, SEMAPHORE, Submitter};
use crate::chronicle::{Chronicle, Terms};
use crate::cluster::{self, Cluster, Layout, Ways};
use crate::load::Paper;
use crate::netns::Networks;
use crate::progress::say;
use crate::reaper::Reaper;
use crate::recorder::Recorder;
use crate::stage::{self, DRAINED_WITHIN};
use crate::witness::Log;
use crate::witness::notes::{Processes, with_notes};
use crate::workload::SplitMix;
use anyhow::Context as _;
use reqwest::Method;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tenure_chaos::check::{Limits, Property};
use tenure_chaos::history::{Entry, History, Show};
use tokio::time::timeout;

/// 100 s for clients to have their last answers.
const STOPPED_WITHIN: Duration = Duration::from_secs(100);

/// What is to be done.
pub(super) struct Chapter<'a> {
    pub(super) layout: &'a Layout,
    /// Counts chapters, from 1.
    pub(super) number: u64,
    pub(super) seed: u64,
    /// For how long etcd is away.
    pub(super) outage: Duration,
    /// Shows and the numbers of their trials.
    pub(super) trials: &'a [(Show, u64)],
}

impl Chapter<'_> {
    /// Its history, which is saved, also where it broke off, and where.
    pub(super) async fn run(&self) -> anyhow::Result<(History, PathBuf)> {
        let mut layout = self.layout.clone();
        let dir = layout.dir.join(format!("chapter-{:03}", self.number));
        layout.dir = cluster::emptied(&dir)?;
        let path = layout.dir.join("history.jsonl");
        let chronicle = Chronicle::begin(Terms {
            seed: self.seed,
            root: Cluster::root(),
            limits: limits(),
            expects: vec![Property::AcceptedNeverLost, Property::LocksExclude],
        });
        let paper = Paper::lay_out(&layout.dir)?;
        let mut log = Log::create(paper.log())?;
        let mut processes = Processes::new();
        let ran = self
            .record(&layout, &chronicle, &paper, &mut processes)
            .await;
        log.catch_up()?;
        let history = chronicle.close();
        let history = with_notes(&history, chronicle.began_us(), log.notes(), &processes);
        history
            .save(&path)
            .with_context(|| path.display().to_string())?;
        ran.with_context(|| format!("the history so far is in {}", path.display()))?;
        Ok((history, path))
    }

    /// The run, written down.
    async fn record(
        &self,
        layout: &Layout,
        chronicle: &Chronicle,
        paper: &Paper,
        processes: &mut Processes,
    ) -> anyhow::Result<()> {
        let mut dice = SplitMix(self.seed);
        let cuts = |trial: &(Show, u64)| matches!(trial.0, Show::LeaderCut | Show::NodeCut);
        let cut_off = self.trials.iter().any(cuts);
        let ways = Ways {
            networks: cut_off.then(|| Networks::make(layout.nodes)).transpose()?,
            proxies: self.trials.iter().any(|trial| trial.0 == Show::LinkCut),
            ..Ways::default()
        };
        let mut cluster = Cluster::start_in(layout, ways).await?;
        let recorder = Recorder::of_each(cluster.endpoints(), &Cluster::root(), chronicle);
        let (name, limit) = SEMAPHORE;
        let (path, body) = (format!("/v1/semaphores/{name}"), json!({ "limit": limit }));
        let client = cluster.client();
        client.until_done(Method::PUT, &path, Some(&body)).await?;
        let load = Load::start(&cluster, chronicle, paper, &mut dice)?;
        let submitter = Submitter::new(&cluster, chronicle, 0, "extra")?;
        let mut acts = Acts {
            reaper: Reaper::new(&mut cluster, chronicle),
            chronicle: chronicle.clone(),
            seen: recorder.seen(),
            dice: dice.split(),
            paper: paper.clone(),
            submitter,
            outage: self.outage,
        };
        let mut tried = Ok(());
        for (show, number) in self.trials {
            tried = acts.trial(*show, *number).await;
            if tried.is_err() {
                break;
            }
        }
        processes.clone_from(acts.reaper.processes());
        tried?;
        chronicle.saw(Entry::AllHealed);
        timeout(STOPPED_WITHIN, load.ends())
            .await
            .context("a client does not end")??;
        stage::drained(&mut cluster, recorder.seen()).await?;
        tell_failovers(layout, &cluster)?;
        // A log without its end is judged as one of which nothing can be said.
        if let Err(error) = recorder.seal().await {
            say(&format!("the log is not whole: {error:#}"))?;
        }
        Ok(())
    }
}

/// The bounds of a real cluster on one machine; those that are not named are the usual ones.
fn limits() -> Limits {
    Limits {
        drain_ms: u64::try_from(DRAINED_WITHIN.as_millis()).expect("some seconds fit"),
        skew_ms: 0,
        ahead_ms: 10,
        ..Limits::default()
    }
}

/// What the product itself tells of its failovers, as a user would ask it: printed, and kept.
fn tell_failovers(layout: &Layout, cluster: &Cluster) -> anyhow::Result<()> {
    let server = cluster.address("n1")?;
    let ask = |words: &[&str]| {
        let mut command = Command::new(&layout.tenure);
        command.args(words).args(["--server", &server]);
        command.env("TENURE_TOKEN", &layout.token).output()
    };
    let mut told = ask(&["failovers"])?;
    let mut words = "failovers";
    if !told.status.success() {
        // A product of before there were records of failovers.
        told = ask(&["leader", "history"])?;
        words = "leader history";
    }
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    let path = layout.dir.join("failovers.txt");
    std::fs::write(&path, &said).with_context(|| path.display().to_string())?;
    say(&format!(
        "tenure {words}, kept in {}\n{}",
        path.display(),
        said.trim_end()
    ))
}
