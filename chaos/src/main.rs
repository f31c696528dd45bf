//! Faults, workload, witness and verdict for a Tenure cluster, from outside it: this program starts a cluster of
//! processes, gives it real work, kills parts of it and judges what came of the work; it also judges saved histories. It
//! imports nothing of Tenure's and believes nothing that Tenure says without a second source.

mod calls;
mod chronicle;
mod cluster;
mod crash;
mod demo;
#[cfg(test)]
mod etcd_of_tests;
mod failover;
mod fault;
mod http;
mod killer;
mod limits;
mod load;
mod members;
mod netns;
mod nets;
mod outside;
mod process;
mod progress;
mod proxy;
mod reaper;
mod recorder;
mod report;
mod run;
mod scenario;
mod schedules;
mod stage;
mod store_acts;
mod target;
mod tools;
mod verdict;
mod witness;
mod workload;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tenure_chaos::check::Overall;
use tenure_chaos::history::History;

#[derive(Parser)]
#[command(
    name = "tenure-chaos",
    version,
    about = "Kills parts of a Tenure cluster and judges what came of its work"
)]
struct Cli {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Run a scenario: a cluster under work meets faults, and all that happened is judged
    ///
    /// Reports are written as HTML, JSON, XML for test tools, SVG and PNG. Exits 0 when each promise held and was put to the test as the scenario
    /// asks, 1 when one was violated, 2 when it could not run or etcd's log has a gap, 3 when not all was put to the test.
    Run(Box<run::Options>),
    /// Make the reports anew: of a run's directory, or of histories that were saved
    Report {
        /// The directory `run` of a run, or histories
        #[arg(required = true)]
        what: Vec<PathBuf>,
        /// Where reports of histories go
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// List the scenarios that come with this program, or print one as a file to begin with
    Scenarios {
        /// Print this one
        name: Option<String>,
    },
    /// List the kinds of faults
    Faults,
    /// Plant each bug of a test build in a cluster of its own, and look whether a run finds it
    ///
    /// Exits 0 when each was found, 1 when one was not, 2 when it could not run.
    Planted(run::planted::Planted),
    /// Hash real files on a cluster of processes while the leader and another node are killed
    ///
    /// Exits 0 when every claim held, 1 when one was violated, 2 when it could not run, 3 when no kill took a task with
    /// it, so that nothing was proved.
    Demo(demo::Options),
    /// Kill a node with its own etcd over and over while tasks are submitted to it
    ///
    /// Exits 0 when each acknowledged task is there and ended once, 1 when one is not, 2 when it could not run, 3 when a kill met
    /// no submit, so that nothing was proved.
    Crash(crash::Options),
    /// Kill leaders and other nodes while tasks ask for permits, locks, shares and a rate
    ///
    /// Exits 0 when every limit held at every revision and every figure is as set, 1 when not, 2 when it could not run or the log
    /// has a gap, 3 when not all was put to the test.
    Limits(limits::Options),
    /// Kill leaders, then stop all nodes, while many schedules are due
    ///
    /// Exits 0 when each due time was fired once or skipped for a reason that is true, 1 when not, 2 when it could not run or the log
    /// has a gap, 3 when not all was put to the test.
    Schedules(schedules::Options),
    /// Break leaders, nodes, links and etcd one at a time, and measure how long each costs
    ///
    /// Exits 0 when no promise was broken, 1 when one was, 2 when it could not run or a log has a gap, 3 when some show was not
    /// shown.
    Failover(failover::Options),
    /// Judge a saved history by every property
    ///
    /// Exits 0 when each held and was put to the test, 1 when one was violated, 2 when the file is no history or its log has
    /// a gap, so that nothing can be said, 3 when some were not put to the test.
    #[command(alias = "judge")]
    Check {
        /// The history, a JSON line to each record
        file: PathBuf,
        /// Print the judgement as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command and write down that it started and ended; the demo's tasks are made of this
    #[command(hide = true)]
    WitnessRun(witness::Options),
}

fn main() -> ExitCode {
    match Cli::parse().act {
        Act::Demo(options) => code(on_runtime(demo::run_until_signal(&options))),
        Act::Crash(options) => code(on_runtime(crash::run_until_signal(&options))),
        Act::Limits(options) => code(on_runtime(limits::run_until_signal(&options))),
        Act::Schedules(options) => code(on_runtime(schedules::run_until_signal(&options))),
        Act::Failover(options) => code(on_runtime(failover::run_until_signal(&options))),
        Act::Run(options) => ended(on_runtime(run::run_until_signal(&options))),
        Act::Report { what, out } => ended(report(&what, &out)),
        Act::Scenarios { name } => listed(scenarios(name.as_deref())),
        Act::Faults => listed(faults()),
        Act::Planted(options) => ended(on_runtime(run::planted::run_until_signal(&options))),
        Act::Check { file, json } => ended(judge(&file, json)),
        Act::WitnessRun(options) => witness::run(&options),
    }
}

fn report(what: &[PathBuf], out: &Path) -> anyhow::Result<Overall> {
    match what {
        [dir] if dir.is_dir() => run::report(dir),
        histories => run::report_of(histories, out),
    }
}

fn scenarios(name: Option<&str>) -> anyhow::Result<()> {
    if let Some(name) = name {
        return progress::say(scenario::Scenario::text_of(name)?.trim_end());
    }
    for one in scenario::Scenario::built_in()? {
        progress::say(&format!("{:<10} {}", one.name, one.about))?;
    }
    Ok(())
}

fn faults() -> anyhow::Result<()> {
    for kind in fault::catalogue::ALL {
        progress::say(&format!("{:<22} {}", kind.name, kind.about))?;
    }
    Ok(())
}

fn listed(said: anyhow::Result<()>) -> ExitCode {
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => could_not_run(&error),
    }
}

/// A log with a gap is a run that could not be judged.
fn ended(ended: anyhow::Result<Overall>) -> ExitCode {
    match ended {
        Ok(Overall::Pass) => ExitCode::SUCCESS,
        Ok(Overall::Fail) => ExitCode::from(1),
        Ok(Overall::NotExercised) => ExitCode::from(3),
        Ok(Overall::Unknown) => ExitCode::from(2),
        Err(error) => could_not_run(&error),
    }
}

fn judge(file: &Path, json: bool) -> anyhow::Result<Overall> {
    let history = History::load(file).with_context(|| file.display().to_string())?;
    let judgement = tenure_chaos::check::judge(&history);
    let text = if json {
        serde_json::to_string_pretty(&judgement)?
    } else {
        judgement.to_string()
    };
    progress::say(text.trim_end())?;
    Ok(judgement.overall)
}

fn on_runtime<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run)
}

fn code(ended: anyhow::Result<verdict::Ending>) -> ExitCode {
    match ended {
        Ok(verdict::Ending::Pass) => ExitCode::SUCCESS,
        Ok(verdict::Ending::Violated) => ExitCode::from(1),
        Ok(verdict::Ending::NotExercised) => ExitCode::from(3),
        Err(error) => could_not_run(&error),
    }
}

fn could_not_run(error: &anyhow::Error) -> ExitCode {
    eprintln!("could not run: {error:#}");
    ExitCode::from(2)
}
