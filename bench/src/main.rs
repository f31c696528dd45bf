//! Measures a Tenure cluster from outside it: it starts etcd and nodes as processes of their own, loads them over HTTP and
//! reads the outcomes back. It imports nothing of Tenure's, and prints no figure that it did not measure in this run.

mod cluster;
mod figure;
mod finished;
mod http;
mod load;
mod machine;
mod measure;
mod numbers;
mod outcomes;
mod process;

use clap::{Parser, ValueEnum, value_parser};
use figure::Report;
use measure::{Bench, Measure, Scale};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "tenure-bench",
    version,
    about = "Measures throughput, latency, memory and take-over of a Tenure cluster"
)]
struct Cli {
    /// The tenure binary, a release build
    #[arg(long)]
    tenure: PathBuf,
    /// The directory that holds etcd
    #[arg(long)]
    etcd: PathBuf,
    /// Where etcd's data and the logs go; on a disk, or the figures mean nothing
    #[arg(long)]
    work: PathBuf,
    /// Members of etcd, and as many nodes; both unless given
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3], value_parser = one_or_three)]
    members: Vec<u8>,
    /// What to measure; all unless given
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measure>,
    /// How much: quick is a tenth and for trying out, full is what docs/benchmarks.md records
    #[arg(long, value_enum, default_value = "full")]
    scale: Scale,
    /// Runs at a time on each node; the server's default unless given
    #[arg(long, value_parser = value_parser!(u32).range(1..=4096))]
    slots: Option<u32>,
    /// Also write the figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn one_or_three(word: &str) -> Result<u8, String> {
    match word {
        "1" => Ok(1),
        "3" => Ok(3),
        other => Err(format!("{other} members are not measured, 1 or 3 are")),
    }
}

fn main() -> ExitCode {
    // One thread: the generator shares the cores with what it measures, and one is enough for it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run_until_signal(&Cli::parse())),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("could not run: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// An interrupt or a TERM ends the run and every process that it started.
async fn run_until_signal(cli: &Cli) -> anyhow::Result<bool> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ended = run(cli) => ended,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = term.recv() => anyhow::bail!("terminated"),
    }
}

/// True where every measure came to its end and every outcome was as it should be.
async fn run(cli: &Cli) -> anyhow::Result<bool> {
    let mut bench = Bench::prepare(cli)?;
    let mut report = Report::new(machine::look(&bench)?);
    eprintln!("{}", report.machine());
    let wanted = |measure: &Measure| cli.only.is_empty() || cli.only.contains(measure);
    for members in &cli.members {
        bench.members = usize::from(*members);
        for measure in Measure::value_variants()
            .iter()
            .copied()
            .filter(|measure| wanted(measure))
        {
            eprintln!("== {} on {members} member(s)", measure.title());
            measure::run(measure, &bench, &mut report).await;
            if let Some(path) = &cli.json {
                std::fs::write(path, report.json())?;
            }
        }
    }
    report.print()?;
    Ok(report.is_good())
}
