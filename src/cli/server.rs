//! `tenure server`: reads and validates the settings, starts the log, runs the node.

use std::future::Future;

use super::{Exit, Failure, settings};
use crate::config::{Config, Flags};
use crate::telemetry;

pub(super) async fn run<Serve, Served>(flags: &Flags, serve: Serve) -> Result<Exit, Failure>
where
    Serve: FnOnce(Config) -> Served,
    Served: Future<Output = anyhow::Result<()>>,
{
    let loaded = settings::load(flags)?;
    loaded
        .config
        .validate()
        .map_err(|invalid| Failure::usage(invalid.to_string()))?;
    telemetry::logs(loaded.config.log_format, &loaded.config.log)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let served = serve(loaded.config).await;
    served.map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    Ok(Exit::Done)
}
