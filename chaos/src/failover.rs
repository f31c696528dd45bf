//! The failover test: leaders, nodes, links and etcd are broken one at a time on a cluster under load, many times each, and each
//! time it is measured from outside how long it costs and whether a promise was broken. It goes on where it was interrupted.
//!
//! A plan of trials is cut into chapters, each the life of one cluster, whose whole history is recorded, judged by the same checks
//! as the simulation, and measured ([`tenure_chaos::check::shows`]). What came of a chapter is written down when it is over.

mod acts;
mod chapter;
mod load;
mod plan;
mod record;
mod report;

use crate::cluster::{self, Layout};
use crate::progress::say;
use crate::stage;
use crate::verdict::Ending;
use anyhow::Context as _;
use chapter::Chapter;
use clap::{Args, value_parser};
use record::{Line, Record};
use report::Report;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tenure_chaos::check::shows::{self, Shown};
use tenure_chaos::history::{History, Show};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: stage::Place,
    /// Makes the work, and when faults come
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these shows: letters of groups or names, as `a,both-leaders`; all unless said
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each show of the groups a to c is tried; those of d to g a tenth as often, once at least
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(1..=1_000))]
    repeat: u64,
    /// For how long all of etcd is away, in seconds
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u64).range(5..=600))]
    outage: u64,
    /// Trials with one cluster, before there is a new one
    #[arg(long, default_value_t = 13, value_parser = value_parser!(u64).range(1..=50))]
    chapter: u64,
    /// Runs at a time on each node
    #[arg(long, default_value_t = 12, value_parser = value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Go on with what is in the directory
    #[arg(long)]
    resume: bool,
    /// Run nothing: measure this chapter's history again
    #[arg(long, conflicts_with_all = ["tenure", "etcd", "work", "resume"])]
    saved: Option<PathBuf>,
}

/// Runs it, until it is told to end.
pub(crate) async fn run_until_signal(options: &Options) -> anyhow::Result<Ending> {
    stage::until_signal(Box::pin(run(options))).await
}

async fn run(options: &Options) -> anyhow::Result<Ending> {
    if let Some(path) = &options.saved {
        let history = History::load(path).with_context(|| path.display().to_string())?;
        let lines = lines_of(0, &history, path.clone())?;
        return told(&lines, &BTreeMap::new());
    }
    let shows = plan::chosen(&options.only)?;
    let (layout, record) = begin(options)?;
    let mut lines = record.lines()?;
    let skipped = skipped(&shows, &layout)?;
    let shows: Vec<Show> = shows
        .into_iter()
        .filter(|show| !skipped.contains_key(show))
        .collect();
    let missing = plan::missing(&shows, options.repeat, &record::counts(&lines));
    let trials = missing.len();
    say(&format!(
        "{trials} trials of {} shows, seed {}; logs and histories in {}",
        shows.len(),
        options.seed,
        layout.dir.display()
    ))?;
    let size = usize::try_from(options.chapter)?;
    for trials in plan::chapters(&missing, size) {
        let number = record::chapters(&lines) + 1;
        let chapter = Chapter {
            layout: &layout,
            number,
            seed: options.seed.wrapping_add(number),
            outage: Duration::from_secs(options.outage),
            trials: &trials,
        };
        let (history, path) = chapter.run().await?;
        let more = lines_of(number, &history, path)?;
        record.append(&more)?;
        lines.extend(more);
    }
    let ending = told(&lines, &skipped)?;
    say(&format!(
        "gone on with by tenure-chaos failover {} --seed {} --repeat {} --outage {} --slots {} --resume",
        stage::again(&layout),
        options.seed,
        options.repeat,
        options.outage,
        options.slots
    ))?;
    Ok(ending)
}

/// The directory, made anew or gone on with, and the record in it.
fn begin(options: &Options) -> anyhow::Result<(Layout, Record)> {
    let mut layout = options.place.layout("failover", options.slots)?;
    if !options.resume || !layout.dir.exists() {
        cluster::emptied(&layout.dir)?;
    }
    layout.dir = layout.dir.canonicalize()?;
    // Longer than every run but those that are to outlive etcd, and short enough to be waited for.
    let grace = ("TENURE_SHUTDOWN_GRACE".to_owned(), "5s".to_owned());
    layout.env.push(grace);
    let record = Record::at(&layout.dir.join("record.jsonl"));
    Ok((layout, record))
}

/// What cannot be shown here, and why.
fn skipped(shows: &[Show], layout: &Layout) -> anyhow::Result<BTreeMap<Show, String>> {
    let mut skipped = BTreeMap::new();
    let cuts = [Show::LeaderCut, Show::NodeCut];
    if let Err(error) = crate::netns::Networks::make(0)
        && shows.iter().any(|show| cuts.contains(show))
    {
        let why = format!("no network namespaces here: {error:#}");
        skipped.extend(cuts.map(|show| (show, why.clone())));
    }
    if !cluster::speaks_of_peers(&layout.tenure)? {
        skipped.insert(Show::LinkCut, "no links between nodes".to_owned());
    }
    skipped.retain(|show, _| shows.contains(show));
    Ok(skipped)
}

/// Judges and measures a chapter.
fn lines_of(chapter: u64, history: &History, path: PathBuf) -> anyhow::Result<Vec<Line>> {
    let judgement = tenure_chaos::check::judge(history);
    let shown = shows::shown(history).context("the history does not begin with its setup")?;
    let trial = |shown: Shown| Line::Trial { chapter, shown };
    let mut lines: Vec<Line> = shown.into_iter().map(trial).collect();
    let failures = judgement.violated().flat_map(|(property, evidence)| {
        let told = evidence.iter();
        told.map(move |one| format!("{property}: {one}"))
    });
    lines.push(Line::Chapter {
        chapter,
        failures: failures.collect(),
        gap: judgement.gap.clone(),
        history: path,
    });
    Ok(lines)
}

fn told(lines: &[Line], skipped: &BTreeMap<Show, String>) -> anyhow::Result<Ending> {
    let report = Report { lines, skipped };
    say(report.text().trim_end())?;
    report.ending()
}
