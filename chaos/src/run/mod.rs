//! `tenure-chaos run`: a scenario on a cluster, from its start to a verdict with its evidence. A run is cut into chapters, each the life
//! of one cluster with a history of its own, so that memory is bounded by a chapter, and a run that breaks off goes on with the next.

mod chapter;
mod members;
mod meters;
mod options;
pub(crate) mod planted;
mod record;
mod targets;
mod ticker;

use crate::cluster;
use crate::fault::catalogue::{self, CLOCK_JUMP_MS, Kind, What};
use crate::progress::say;
use crate::scenario::{Length, Scenario};
use crate::stage::DRAINED_WITHIN;
use anyhow::Context as _;
use chapter::Chapter;
pub(crate) use options::Options;
use options::TargetKind;
use record::{Facts, Record};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tenure_chaos::check::{Limits, Overall};
use tenure_chaos::history::{Entry, History};
use tenure_chaos::summary::{self, Expected, RunFacts, Summary};

/// 10 s: what is shorter is no chapter.
const CHAPTER_MIN: Duration = Duration::from_secs(10);
/// 1 s for which a run whose node is alive and cut off may be seen beside its successor: it is killed before its lease can be given
/// away, and what it wrote last may come a little later.
const ZOMBIE_MS: u64 = 1_000;
/// 100 years: longer than any run, and little enough to be added to.
const FOR_EVER_MS: u64 = 100 * 365 * 86_400_000;
/// The file of a chapter's history.
const HISTORY: &str = "history.jsonl";
/// 10,000 chapters at most.
const CHAPTERS_MAX: u64 = 10_000;

/// Runs it, until it is told to end.
pub(crate) async fn run_until_signal(options: &Options) -> anyhow::Result<Overall> {
    // What was drained on a cluster that goes on without us is undrained first: that target hears the signal itself.
    let summary = if options.target == TargetKind::Existing {
        Box::pin(run(options)).await?
    } else {
        crate::stage::until_signal(Box::pin(run(options))).await?
    };
    Ok(summary.overall)
}

/// What does not change between chapters.
struct Plan<'a> {
    options: &'a Options,
    scenario: Scenario,
    kinds: Vec<Kind>,
    limits: Limits,
    dir: PathBuf,
}

async fn run(options: &Options) -> anyhow::Result<Summary> {
    let scenario = options.scenario()?;
    let kinds = catalogue::chosen(&scenario.faults.kinds)?;
    let limits = limits(&scenario, &kinds, options.target)?;
    // Before anything of an earlier run is taken away.
    options.check()?;
    let dir = begin(options)?;
    let plan = Plan {
        options,
        limits,
        kinds,
        dir: dir.clone(),
        scenario,
    };
    let record = Record::at(&dir);
    let mut facts = record.begin(&plan.scenario, options)?;
    let mut chapters = record.chapters()?;
    let mut faults_ms = record.faults_ms()?;
    let wanted = plan.scenario.duration.duration();
    say(&format!(
        "scenario {}, {} kinds of faults, {} of {} to go, seed {}; all in {}",
        plan.scenario.name,
        plan.kinds.len(),
        Length::of(wanted.saturating_sub(Duration::from_millis(faults_ms))),
        plan.scenario.duration,
        options.seed,
        dir.display()
    ))?;
    let mut number = facts.chapters + 1;
    while Duration::from_millis(faults_ms) + CHAPTER_MIN <= wanted + Duration::from_secs(1)
        || chapters.is_empty()
    {
        anyhow::ensure!(number <= CHAPTERS_MAX, "more than {CHAPTERS_MAX} chapters");
        let left = wanted.saturating_sub(Duration::from_millis(faults_ms));
        let length = left.min(plan.scenario.chapter.duration());
        facts.chapters = number;
        record.told(&facts)?;
        let path = plan.dir_of(number).join(HISTORY);
        let ran = Box::pin(plan.chapter(number, length, &path)).await;
        // One that broke off counts as well: what it saw is in its history, and that it did.
        if ran.is_err() && !path.exists() {
            return broke_off(&dir, &facts, &record, ran);
        }
        let (chapter, lasted_ms) = judged(&path)?;
        record.append(&chapter, &path, lasted_ms)?;
        chapters.push(chapter);
        faults_ms += lasted_ms;
        number += 1;
        if ran.is_err() {
            return broke_off(&dir, &facts, &record, ran);
        }
        tell(&dir, &facts, &chapters, &record.histories()?)?;
        if Duration::from_millis(lasted_ms) < length.min(CHAPTER_MIN) {
            say("nothing more of what is asked for can be made here: the run ends")?;
            break;
        }
    }
    let summary = tell(&dir, &facts, &chapters, &record.histories()?)?;
    say(summary::text(&summary).trim_end())?;
    Ok(summary)
}

/// A run that cannot go on: a promise that was broken before is its verdict, else why it could not.
fn broke_off(
    dir: &Path,
    facts: &Facts,
    record: &Record,
    ran: anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let summary = tell(dir, facts, &record.chapters()?, &record.histories()?)?;
    match ran {
        Err(error) if summary.overall == Overall::Fail => {
            say(summary::text(&summary).trim_end())?;
            say(&format!("it broke off: {error:#}"))?;
            Ok(summary)
        }
        ran => ran.map(|()| summary),
    }
}

/// Makes all reports anew from what is in a run's directory.
pub(crate) fn report(dir: &Path) -> anyhow::Result<Overall> {
    let record = Record::at(dir);
    let facts = record.facts()?;
    let summary = tell(dir, &facts, &record.chapters()?, &record.histories()?)?;
    say(summary::text(&summary).trim_end())?;
    Ok(summary.overall)
}

/// Makes reports of histories that were saved.
pub(crate) fn report_of(histories: &[PathBuf], dir: &Path) -> anyhow::Result<Overall> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let chapters = histories
        .iter()
        .map(|path| Ok(judged(path)?.0))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let facts = Facts::of_histories(histories);
    let summary = tell(dir, &facts, &chapters, histories)?;
    say(summary::text(&summary).trim_end())?;
    Ok(summary.overall)
}

fn tell(
    dir: &Path,
    facts: &Facts,
    chapters: &[summary::Chapter],
    histories: &[PathBuf],
) -> anyhow::Result<Summary> {
    let scenario = &facts.scenario;
    let properties = &scenario.expects.properties;
    let asked = kinds(scenario);
    let distinct: BTreeSet<&String> = asked.iter().collect();
    // No more than were asked for can be made.
    let kinds_asked = u64::try_from(distinct.len()).unwrap_or(u64::MAX);
    let judged = u64::try_from(chapters.len()).unwrap_or(u64::MAX);
    let run = RunFacts {
        cut_short: facts.chapters.saturating_sub(judged),
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seed: facts.seed,
        target: facts.target.clone(),
        version: facts.version.clone(),
        nodes: scenario.nodes.into(),
        members: scenario.members.into(),
        started: facts.started.clone(),
        duration_ms: scenario.duration.millis(),
        faults: asked,
        expected: Expected {
            properties: (!properties.is_empty()).then(|| properties.clone()),
            faults: scenario.expects.faults,
            kinds: scenario.expects.kinds.min(kinds_asked),
        },
        command: facts.command.clone(),
        directory: dir.display().to_string(),
        histories: histories
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    };
    let summary = Summary::of(run, chapters);
    summary::write_all(dir, &summary).with_context(|| dir.display().to_string())?;
    Ok(summary)
}

/// The names of the kinds that a scenario asks for; what it says itself, where that is of another program.
fn kinds(scenario: &Scenario) -> Vec<String> {
    let words = &scenario.faults.kinds;
    let kinds =
        catalogue::chosen(words).map(|kinds| kinds.iter().map(ToString::to_string).collect());
    kinds.unwrap_or_else(|_| words.clone())
}

/// What a chapter came to, and for how long faults were made in it, in milliseconds.
fn judged(path: &Path) -> anyhow::Result<(summary::Chapter, u64)> {
    let began = Instant::now();
    let history = History::load(path).with_context(|| path.display().to_string())?;
    let judgement = tenure_chaos::check::judge(&history);
    say(&format!(
        "judged {} records of {} in {:.1} s: {}",
        history.records().len(),
        path.display(),
        began.elapsed().as_secs_f64(),
        judgement.overall
    ))?;
    let records = history.records();
    let healed = records
        .iter()
        .find(|record| record.entry == Entry::AllHealed);
    let last = records.last().map_or(0, |record| record.at_ms);
    let lasted_ms = healed.map_or(last, |record| record.at_ms);
    Ok((summary::Chapter::of(&history, &judgement), lasted_ms))
}

/// The run's directory, made anew unless it is gone on with.
fn begin(options: &Options) -> anyhow::Result<PathBuf> {
    let dir = options.work.join("run");
    if options.resume {
        let there = dir.canonicalize();
        return there.with_context(|| format!("--resume: there is no run in {}", dir.display()));
    }
    cluster::emptied(&dir)
}

/// The bounds that a history is held to: those of one machine, whose clocks jump where that is asked for, and over them what the
/// scenario says.
fn limits(scenario: &Scenario, kinds: &[Kind], target: TargetKind) -> anyhow::Result<Limits> {
    let jumps = kinds
        .iter()
        .any(|kind| matches!(kind.what, What::Clock(..)));
    let jump_ms = if jumps { CLOCK_JUMP_MS } else { 0 };
    let (retention_ms, collect_ms) = match target {
        TargetKind::Processes | TargetKind::Compose => {
            (options::RETENTION_MS, Limits::default().collect_ms)
        }
        // How long somebody's cluster keeps what has ended is not known here.
        TargetKind::Existing => (0, FOR_EVER_MS),
    };
    let usual = Limits {
        drain_ms: u64::try_from(DRAINED_WITHIN.as_millis()).expect("some seconds fit"),
        // Two clocks, one of which is ahead and one behind.
        skew_ms: 2 * jump_ms,
        ahead_ms: 10 + jump_ms,
        retention_ms,
        collect_ms,
        zombie_ms: Some(ZOMBIE_MS),
        ..Limits::default()
    };
    scenario.limits_over(&usual)
}

impl Plan<'_> {
    fn dir_of(&self, number: u64) -> PathBuf {
        self.dir.join(format!("chapter-{number:03}"))
    }

    /// One cluster, from its start to its end; its history is at `path` then.
    async fn chapter(&self, number: u64, length: Duration, path: &Path) -> anyhow::Result<()> {
        let dir = cluster::emptied(&self.dir_of(number))?;
        let chapter = Chapter {
            scenario: &self.scenario,
            kinds: &self.kinds,
            limits: &self.limits,
            seed: self.options.seed.wrapping_add(number - 1),
            length,
            path,
            log: dir.join("witness.jsonl"),
        };
        match self.options.target {
            TargetKind::Processes => Box::pin(self.on_processes(chapter, &dir)).await,
            TargetKind::Compose => Box::pin(self.on_compose(chapter, &dir)).await,
            TargetKind::Existing => Box::pin(self.on_existing(chapter, &dir)).await,
        }
        .with_context(|| format!("chapter {number}; its files are in {}", dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;
    use tenure_chaos::history::{Marker, NodeEvent};

    /// What a run comes to that breaks off after a chapter in which a promise was broken, or none was.
    fn after(broken: bool) -> anyhow::Result<Overall> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(HISTORY);
        let mut history = History::new("/t/", Limits::default());
        if broken {
            let node = "n1".to_owned();
            history.push(1, NodeEvent::NotReady { node, after_ms: 1 });
        }
        history.push(2, Entry::AllHealed);
        history.push(3, Marker::Sealed { revision: 0 });
        history.save(&path).unwrap();
        let (chapter, lasted_ms) = judged(&path).unwrap();
        let record = Record::at(dir.path());
        record.append(&chapter, &path, lasted_ms).unwrap();

        let facts = Facts::of_histories(&[]);
        let ran = broke_off(dir.path(), &facts, &record, Err(anyhow!("no etcd")));
        ran.map(|summary| summary.overall)
    }

    #[test]
    fn a_promise_that_was_broken_stays_the_verdict_of_a_run_that_breaks_off() {
        assert_eq!(after(true).unwrap(), Overall::Fail);
        assert_eq!(after(false).unwrap_err().to_string(), "no etcd");
    }
}
