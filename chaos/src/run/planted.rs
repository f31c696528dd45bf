//! Planted bugs, by real processes: each bug of a test build is on in all nodes of a cluster of its own, and the run has to find it.

use super::Options;
use crate::progress::say;
use anyhow::ensure;
use clap::{Args, Parser};
use std::path::PathBuf;
use tenure_chaos::check::{Overall, Property};

/// A bug, and the run that finds it.
#[derive(Clone, Copy)]
struct Row {
    /// Its name, as the test build knows it.
    bug: &'static str,
    /// The faults under which it shows.
    faults: &'static str,
    /// One of the properties that it breaks.
    by: Property,
    /// Runs at a time on each node, where it shows only behind a backlog.
    slots: Option<u32>,
    /// The scenario that shows it, where that is not the one that was said.
    scenario: Option<&'static str>,
}

const fn row(bug: &'static str, faults: &'static str, by: Property) -> Row {
    Row {
        bug,
        faults,
        by,
        slots: None,
        scenario: None,
    }
}

/// Where work waits, because nodes run so little at a time.
const fn behind_a_backlog(row: Row) -> Row {
    Row {
        slots: Some(2),
        ..row
    }
}

/// With work that shows it.
const fn with(scenario: &'static str, row: Row) -> Row {
    Row {
        scenario: Some(scenario),
        ..row
    }
}

/// Where faults of any sort show it.
const KILLS: &str = "leader-kill,node-kill,leader-pause";
/// Every bug that runs of real processes have been shown to find; docs/guarantees.md says which they have not.
const ROWS: &[Row] = &[
    row(
        "write-without-term",
        "leader-pause",
        Property::OneActingLeader,
    ),
    row(
        "report-without-claim",
        "node-pause,node-cut",
        Property::StaleReportRefused,
    ),
    with(
        "fencing",
        row(
            "no-self-fence",
            "node-requests-lost,node-cut",
            Property::ConcurrentRuns,
        ),
    ),
    row("hold-without-lease", KILLS, Property::OutsideHolds),
    row(
        "permits-in-flight-forgotten",
        KILLS,
        Property::SemaphoreLimits,
    ),
    row("permits-kept", KILLS, Property::Heals),
    row(
        "acknowledged-first",
        "etcd-all-kill,etcd-leader-kill",
        Property::AcceptedNeverLost,
    ),
    row(
        "reclaim-keeps-attempt",
        "node-kill",
        Property::AttemptsBounded,
    ),
    row(
        "watch-from-now",
        "etcd-leader-kill,etcd-reset",
        Property::Heals,
    ),
    row(
        "relist-skipped",
        "compaction,leader-compaction",
        Property::Heals,
    ),
    row(
        "fire-without-progress",
        "etcd-latency",
        Property::SchedulesFireOnce,
    ),
    row("due-forgotten", "all-kill", Property::SchedulesFireOnce),
    row("release-by-name", "node-kill", Property::OutsideHolds),
    with(
        "fencing",
        row("ttl-ignored", "lease-revoked", Property::Heals),
    ),
    behind_a_backlog(row("lowest-first", "node-kill", Property::PriorityOrder)),
    row(
        "key-not-compared",
        "leader-answers-lost,leader-kill",
        Property::Idempotency,
    ),
    row(
        "submit-unknown-is-done",
        "etcd-all-kill",
        Property::AcceptedNeverLost,
    ),
];

#[derive(Args)]
pub(crate) struct Planted {
    /// A tenure binary of a test build, with the feature `planted`
    #[arg(long)]
    tenure: PathBuf,
    /// The directory that holds etcd; that of the one on PATH unless said
    #[arg(long)]
    etcd: Option<PathBuf>,
    /// Where files go
    #[arg(long, default_value = ".chaos")]
    work: PathBuf,
    /// Only these bugs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The scenario that they are looked for with
    #[arg(long, default_value = "default")]
    scenario: String,
    /// For how long faults are made
    #[arg(long, default_value = "40s")]
    duration: String,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds are tried for each
    #[arg(long, default_value_t = 3)]
    seeds: u64,
}

/// The options of a run, as they are read from a command line.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Looks for each; a pass is that all were found.
pub(crate) async fn run_until_signal(planted: &Planted) -> anyhow::Result<Overall> {
    crate::stage::until_signal(Box::pin(all(planted))).await
}

async fn all(planted: &Planted) -> anyhow::Result<Overall> {
    let mut lines = Vec::new();
    let mut missed = 0;
    for row in chosen(&planted.only)? {
        let found = Box::pin(look(planted, row)).await?;
        missed += usize::from(found.is_none());
        let line = told(row, found.as_ref());
        say(&line)?;
        lines.push(line);
    }
    say("\n| bug | faults | found by | seed |\n|---|---|---|---|")?;
    say(&lines.join("\n"))?;
    say(&format!("{} bugs, {missed} not found", lines.len()))?;
    Ok(if missed == 0 {
        Overall::Pass
    } else {
        Overall::Fail
    })
}

/// The rows of these bugs, in their own order; all for none.
fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    for name in only {
        ensure!(
            ROWS.iter().any(|row| row.bug == name),
            "{name:?} is no bug that runs are known to find; there are {}",
            ROWS.iter()
                .map(|row| row.bug)
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let named = |row: &&Row| only.is_empty() || only.iter().any(|name| name == row.bug);
    Ok(ROWS.iter().filter(named).collect())
}

/// A row of the table for people.
fn told(row: &Row, found: Option<&(u64, Vec<Property>)>) -> String {
    let faults = row.faults.replace(',', ", ");
    let (by, seed) = found.map_or(("NOT FOUND".to_owned(), "-".to_owned()), |(seed, by)| {
        let by: Vec<String> = by.iter().map(|one| format!("`{one}`")).collect();
        (by.join(", "), seed.to_string())
    });
    format!("| `{}` | {faults} | {by} | {seed} |", row.bug)
}

/// The first seed that finds it, and what was broken there.
async fn look(planted: &Planted, row: &Row) -> anyhow::Result<Option<(u64, Vec<Property>)>> {
    for seed in planted.seed..planted.seed + planted.seeds {
        say(&format!("\n{} with seed {seed}", row.bug))?;
        let mut words = vec![
            "run".to_owned(),
            "--tenure".to_owned(),
            planted.tenure.display().to_string(),
        ];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        if let Some(etcd) = &planted.etcd {
            option("etcd", etcd.display().to_string());
        }
        option(
            "work",
            planted
                .work
                .join(format!("planted-{}", row.bug))
                .display()
                .to_string(),
        );
        let scenario = row.scenario.unwrap_or(&planted.scenario);
        option("scenario", scenario.to_owned());
        option("duration", planted.duration.clone());
        option("faults", row.faults.to_owned());
        if let Some(slots) = row.slots {
            option("slots", slots.to_string());
        }
        option("seed", seed.to_string());
        option("node-env", format!("TENURE_PLANTED={}", row.bug));
        let line = Line::try_parse_from(words)?;
        let summary = match Box::pin(super::run(&line.options)).await {
            Ok(summary) => summary,
            // A cluster that breaks down altogether is no verdict.
            Err(error) => {
                say(&format!("{} broke the run off: {error:#}", row.bug))?;
                continue;
            }
        };
        let broken: Vec<Property> = summary
            .properties()
            .filter(|judged| judged.violated > 0)
            .map(|judged| judged.property)
            .collect();
        if broken.contains(&row.by) {
            return Ok(Some((seed, broken)));
        }
        say(&format!(
            "{} was not found by {}: {broken:?}",
            row.bug, row.by
        ))?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bugs(only: &[&str]) -> anyhow::Result<Vec<&'static str>> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&only)?.iter().map(|row| row.bug).collect())
    }

    #[test]
    fn a_name_that_no_bug_has_is_refused_with_those_there_are() {
        let told = bugs(&["permits-kept", "typo"]).unwrap_err().to_string();

        assert!(told.contains("\"typo\" is no bug"), "{told}");
        assert!(told.contains("relist-skipped, "), "{told}");
    }

    #[test]
    fn only_bugs_that_are_named_are_looked_for_and_all_where_none_is() {
        let some = ["permits-kept", "due-forgotten"];
        assert_eq!(bugs(&["due-forgotten", "permits-kept"]).unwrap(), some);
        assert_eq!(bugs(&[]).unwrap().len(), ROWS.len());
    }
}
