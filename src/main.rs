//! The `tenure` binary: the command line, with a node behind `tenure server`.

use std::process::ExitCode;

use clap::Parser as _;
use tenure::cli::{self, Cli};
use tenure::config::Config;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(Cli::parse(), serve).await.into()
}

/// Runs a node until it is told to stop.
async fn serve(config: Config) -> anyhow::Result<()> {
    anyhow::bail!("this build holds no node to start as {}", config.node_name)
}
