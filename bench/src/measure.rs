//! What is measured: the list, its sizes, and how each measure is run on a cluster of its own.

mod backlog;
mod drain;
mod idle;
mod latency;
mod limits;
mod parked;
mod schedules;
mod steady;
mod submit;

use crate::Cli;
use crate::cluster::{self, Cluster, Layout};
use crate::figure::Report;
use anyhow::Context as _;
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

/// Bound on one measure on one cluster size, so that a run ends whatever happens.
const MEASURE_WITHIN: Duration = Duration::from_mins(45);

/// A measure; the letters are those of docs/benchmarks.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// Submits per second over HTTP
    A,
    /// Drained tasks per second, from a backlog
    B,
    /// Submitted and drained at once
    C,
    /// Submit to start, one at a time
    D,
    /// Memory of an idle node, size of the binary
    E,
    /// Memory of the leader and take-over with many tasks waiting
    F,
    /// Drained tasks per second with permits and locks, beside the same without
    G,
    /// Submit to start in a free queue, with many tasks behind a full semaphore
    H,
    /// Many schedules: declared, fired at once, taken over
    I,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// A tenth, for trying out
    Quick,
    /// What docs/benchmarks.md records
    Full,
}

impl Scale {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// This many, or a tenth of them.
    fn of(self, full: u64) -> u64 {
        match self {
            Self::Quick => full / 10,
            Self::Full => full,
        }
    }

    /// This long, or a third of it.
    fn lasting(self, full: Duration) -> Duration {
        match self {
            Self::Quick => full / 3,
            Self::Full => full,
        }
    }
}

impl Measure {
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::D => "d",
            Self::E => "e",
            Self::F => "f",
            Self::G => "g",
            Self::H => "h",
            Self::I => "i",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::A => "submits per second over HTTP",
            Self::B => "drained tasks per second",
            Self::C => "submitted and drained at once",
            Self::D => "submit to start, one at a time",
            Self::E => "an idle node",
            Self::F => "many tasks waiting",
            Self::G => "drained with permits and with locks",
            Self::H => "many tasks behind a full semaphore",
            Self::I => "many schedules",
        }
    }
}

/// What a run is told.
pub(crate) struct Bench {
    pub(crate) tenure: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) members: usize,
    pub(crate) scale: Scale,
    slots: Option<u32>,
}

impl Bench {
    /// Finds the binaries and makes the work directory.
    pub(crate) fn prepare(cli: &Cli) -> anyhow::Result<Self> {
        let found = |path: &PathBuf| {
            path.canonicalize()
                .with_context(|| path.display().to_string())
        };
        std::fs::create_dir_all(&cli.work).with_context(|| cli.work.display().to_string())?;
        Ok(Self {
            tenure: found(&cli.tenure)?,
            etcd: found(&cli.etcd)?,
            work: found(&cli.work)?,
            members: 1,
            scale: cli.scale,
            slots: cli.slots,
        })
    }

    /// How to repeat a measure.
    pub(crate) fn command(&self, measure: Measure) -> String {
        let slots = self.slots.map(|slots| format!(" --slots {slots}"));
        let scale = match self.scale {
            Scale::Quick => " --scale quick",
            Scale::Full => "",
        };
        format!(
            "scripts/bench --members {} --only {}{scale}{}",
            self.members,
            measure.letter(),
            slots.unwrap_or_default()
        )
    }

    /// A new cluster with an etcd of its own, empty.
    async fn cluster(&self, name: &str) -> anyhow::Result<Cluster> {
        let dir = self.work.join(format!("{}m-{name}", self.members));
        cluster::fresh(&dir)?;
        let layout = Layout {
            tenure: self.tenure.clone(),
            etcd: self.etcd.clone(),
            members: self.members,
            slots: self.slots,
            dir: dir.clone(),
        };
        let started = Cluster::start(layout).await;
        started.with_context(|| format!("no cluster; logs in {}", dir.display()))
    }
}

/// Runs one measure; what goes wrong in it is a fault of the report, and the next one is run all the same.
pub(crate) async fn run(measure: Measure, bench: &Bench, report: &mut Report) {
    let measured = async {
        match measure {
            Measure::A => submit::run(bench, report).await,
            Measure::B => drain::run(bench, report).await,
            Measure::C => steady::run(bench, report).await,
            Measure::D => latency::run(bench, report).await,
            Measure::E => idle::run(bench, report).await,
            Measure::F => backlog::run(bench, report).await,
            Measure::G => limits::run(bench, report).await,
            Measure::H => parked::run(bench, report).await,
            Measure::I => schedules::run(bench, report).await,
        }
    };
    let fault = match tokio::time::timeout(MEASURE_WITHIN, measured).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("not done in {MEASURE_WITHIN:?}"),
    };
    let (letter, members) = (measure.letter(), bench.members);
    report.fault(format!("{letter} on {members} member(s): {fault}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;
    use serde_json::{Value, json};

    fn bench() -> Bench {
        Bench {
            tenure: PathBuf::new(),
            etcd: PathBuf::new(),
            work: PathBuf::new(),
            members: 3,
            scale: Scale::Quick,
            slots: Some(16),
        }
    }

    #[test]
    fn a_figure_stands_beside_its_ground_and_the_command_that_repeats_it() {
        let mut report = Report::new(json!({}));
        let figure = Figure {
            what: "drained".to_owned(),
            measured: "9/s".to_owned(),
            ground: "15,000",
            values: json!({ "per_second": 9 }),
        };

        report.add(Measure::B, &bench(), figure);

        let command = "scripts/bench --members 3 --only b --scale quick --slots 16";
        let row = format!("| b | drained | 9/s | 15,000 | `{command}` |");
        assert!(report.markdown().contains(&row), "{}", report.markdown());
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["rows"][0]["values"]["per_second"], 9);
        assert_eq!(json["rows"][0]["command"], command);
    }

    #[test]
    fn a_fault_makes_the_run_fail_and_is_shown() {
        let mut report = Report::new(json!({}));
        assert!(report.is_good());

        report.fault("999 of 1000".to_owned());

        assert!(!report.is_good());
        assert!(report.markdown().contains("FAULT: 999 of 1000"));
        assert!(report.json().contains("999 of 1000"));
    }
}
