//! `tenure server`: reads and validates the settings, starts the log, runs the node.

use std::future::Future;

use super::{Exit, Failure, Start, settings};
use crate::config::{Config, Flags};
#[cfg(feature = "planted")]
use crate::planted;
use crate::telemetry;

pub(super) async fn run<Serve, Served>(flags: &Flags, serve: Serve) -> Result<Exit, Failure>
where
    Serve: FnOnce(Start) -> Served,
    Served: Future<Output = anyhow::Result<()>>,
{
    let config = settings::load(flags)?.config;
    begin(&config)?;
    #[cfg(feature = "planted")]
    plant()?;
    until_stopped(serve(Start::Server(config))).await
}

/// Validates the settings and starts the log.
pub(super) fn begin(config: &Config) -> Result<(), Failure> {
    config
        .validate()
        .map_err(|invalid| Failure::usage(invalid.to_string()))?;
    telemetry::logs(config.log_format, &config.log)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Plants the bug that the environment names. No release has this.
#[cfg(feature = "planted")]
fn plant() -> Result<(), Failure> {
    let bug = planted::named(|name| std::env::var(name).ok()).map_err(Failure::usage)?;
    if let Some(bug) = bug {
        planted::plant(bug);
        tracing::warn!(%bug, "a bug is planted in this node: {}", bug.what());
    }
    Ok(())
}

pub(super) async fn until_stopped(
    served: impl Future<Output = anyhow::Result<()>>,
) -> Result<Exit, Failure> {
    let served = served.await;
    served.map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    Ok(Exit::Done)
}
