//! Faults, workload, witness and verdict for a Tenure cluster, from outside it: this program starts a cluster of
//! processes, gives it real work, kills parts of it and judges what came of the work. It imports nothing of Tenure's
//! and believes nothing that Tenure says without a second source.

mod cluster;
mod demo;
mod http;
mod killer;
mod process;
mod progress;
mod report;
mod verdict;
mod witness;
mod workload;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Hash real files on a cluster of processes while the leader and another node are killed
    ///
    /// Exits 0 when every claim held, 1 when one was violated, 2 when it could not run, 3 when no kill took a task with
    /// it, so that nothing was proved.
    Demo(demo::Options),
    /// Run a command and write down that it started and ended; the demo's tasks are made of this
    #[command(hide = true)]
    WitnessRun {
        /// The file that each note is appended to
        #[arg(long)]
        log: PathBuf,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().act {
        Act::Demo(options) => run_demo(&options),
        Act::WitnessRun { log, argv } => witness::run(&log, &argv),
    }
}

fn run_demo(options: &demo::Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return could_not_run(&error.into()),
    };
    match runtime.block_on(demo::run_until_signal(options)) {
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
