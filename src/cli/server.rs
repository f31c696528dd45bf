//! `tenure server`: reads and validates the settings, starts the log, runs the node.

use std::future::Future;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::{Exit, Failure, settings};
use crate::config::{Config, Flags, LogFormat};

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
    start_log(&loaded.config)?;
    let served = serve(loaded.config).await;
    served.map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    Ok(Exit::Done)
}

/// Log lines go to stderr.
fn start_log(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Failure::usage(format!("log: `{}` {error}", config.log)))?;
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
    let started = match (config.log_format, terminal) {
        (LogFormat::Text, _) | (LogFormat::Auto, true) => log.try_init(),
        (LogFormat::Json, _) | (LogFormat::Auto, false) => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failed, format!("cannot start the log: {error}")))
}
