//! The `tenure` binary: the command line, with a node behind `tenure server` and several behind `tenure dev`.

use std::process::ExitCode;

use clap::Parser as _;
use tenure::cli::{self, Cli, Start};
use tenure::{dev, guard, node};

fn main() -> ExitCode {
    guard::begin();
    run()
}

/// What samples allocations has to make them.
#[cfg(feature = "profiling")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn run() -> ExitCode {
    Box::pin(cli::run(Cli::parse(), start)).await.into()
}

async fn start(asked: Start) -> anyhow::Result<()> {
    match asked {
        Start::Server(config) => node::serve(config).await,
        Start::Dev { config, nodes } => dev::serve(config, nodes).await,
    }
}
