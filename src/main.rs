//! The `tenure` binary: the command line, with a node behind `tenure server`.

use std::process::ExitCode;

use clap::Parser as _;
use tenure::cli::{self, Cli};
use tenure::node;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(Cli::parse(), node::serve).await.into()
}
