//! `tenure dev`: the settings of a small cluster in one process, where nobody says otherwise safe ones that work at once.

use std::future::Future;

use super::server::{begin, until_stopped};
use super::{Exit, Failure, Start, settings};
use crate::config::{Config, Embedded, Flags, Loaded, LogFormat, Secret};

/// What is logged unless told otherwise: enough to see who joins and who leads.
const LOG: &str = "warn,tenure=info";

#[derive(Debug, clap::Args)]
pub(super) struct Dev {
    /// Nodes in this process, 1 to 9
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run<Serve, Served>(asked: Dev, serve: Serve) -> Result<Exit, Failure>
where
    Serve: FnOnce(Start) -> Served,
    Served: Future<Output = anyhow::Result<()>>,
{
    let Dev { nodes, mut flags } = asked;
    flags.set("embedded", "memory");
    let config = for_trying(&settings::load(&flags)?);
    begin(&config)?;
    until_stopped(serve(Start::Dev { config, nodes })).await
}

/// Fills in what nobody said. Programs may be run where only this machine can ask for it.
fn for_trying(loaded: &Loaded) -> Config {
    let given = |name| loaded.is_given(name);
    let mut config = loaded.config.clone();
    if config.data_dir.is_some() {
        config.embedded = Embedded::Durable;
    }
    if !given("node-name") {
        "dev".clone_into(&mut config.node_name);
    }
    if !given("allow-command") && !given("allow-command-path") {
        config.allow_command = config.listen.ip().is_loopback();
    }
    if !given("token") && !given("token-file") {
        config.token = Some(Secret::new(uuid::Uuid::new_v4().simple().to_string()));
    }
    if !given("log") {
        LOG.clone_into(&mut config.log);
    }
    if !given("log-format") {
        config.log_format = LogFormat::Text;
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn tried(flags: &[(&'static str, &str)]) -> Config {
        let mut flags = Flags::given(flags);
        flags.set("embedded", "memory");
        let sources = Sources {
            flags: &flags,
            env: &|_| None,
        };
        for_trying(&Loaded::read(&sources).unwrap())
    }

    #[test]
    fn nothing_said_is_a_cluster_in_memory_with_a_new_token_each_time() {
        let config = tried(&[]);
        config.validate().unwrap();
        assert_eq!(config.embedded, Embedded::Memory);
        assert_eq!(config.node_name, "dev");
        assert!(config.allow_command);
        assert_ne!(config.token, tried(&[]).token);
    }

    #[test]
    fn what_is_said_is_kept() {
        let config = tried(&[
            ("data-dir", "d"),
            ("allow-command", "false"),
            ("log", "debug"),
            ("slots", "2"),
            ("node-name", "mine"),
        ]);
        config.validate().unwrap();
        assert_eq!(config.embedded, Embedded::Durable);
        assert!(!config.allow_command);
        let said = (
            config.log.as_str(),
            config.slots.max,
            config.node_name.as_str(),
        );
        assert_eq!(said, ("debug", 2, "mine"));
    }

    #[test]
    fn whom_others_can_reach_runs_no_programs_unless_told_to() {
        let open = ("listen", "0.0.0.0:8700");
        assert!(!tried(&[open]).allow_command);
        assert!(tried(&[open, ("allow-command", "true")]).allow_command);
        let only = tried(&[("allow-command-path", "/bin/ls")]);
        assert!(!only.allow_command);
    }

    #[test]
    fn another_etcd_is_refused_by_name() {
        let config = tried(&[("etcd-endpoints", "http://a:1")]);
        let faults = config.validate().unwrap_err().to_string();
        assert!(
            faults.contains("etcd-endpoints: `http://a:1` is given beside embedded"),
            "{faults}"
        );
    }
}
