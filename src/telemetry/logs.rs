//! The log, on stderr, its last lines kept ([`super::recent`]): text for people, one JSON object a line for programs.

use std::io::IsTerminal as _;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::recent::Kept;
use crate::config::LogFormat;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The setting `log` is neither a level nor a list of directives.
    #[error("log: `{filter}` is not a level or directives such as `info,tenure=debug`: {problem}")]
    Filter {
        /// As set.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The process has a log already.
    #[error("the log is already set up: {0}")]
    Twice(String),
}

/// Begins the log of this process.
///
/// # Errors
/// [`LogError`].
pub fn logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let targets: Result<Targets, _> = filter.parse();
    let filter = targets.map_err(|problem| LogError::Filter {
        filter: filter.to_owned(),
        problem: problem.to_string(),
    })?;
    let people = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(Kept);
    let lines = if people {
        lines.with_ansi(colours()).boxed()
    } else {
        let lines = lines.json();
        lines.flatten_event(true).with_current_span(false).boxed()
    };
    let begun = tracing_subscriber::registry().with(lines.with_filter(filter));
    let begun = begun.try_init();
    begun.map_err(|error| LogError::Twice(error.to_string()))
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_named_with_what_would_be_right() {
        let error = logs(LogFormat::Auto, "tenure=loud")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("log: `tenure=loud` is not a level"),
            "{error}"
        );
    }
}
