//! The command line: what a person or a script says to a cluster, and what it is told back. Data goes
//! to stdout, messages to stderr. It reaches a cluster through the admin API only, except `server`,
//! which is a node, and `check`, which looks at etcd itself.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Config, Flags, Value as _};

pub use exit::{Exit, Failure};
pub(crate) use note::{Left, Note};
pub(crate) use out::line as say;

mod breakers;
mod chaos;
mod check;
mod client;
mod cluster;
mod debug;
mod dev;
mod drain;
mod exit;
mod failovers;
mod files;
mod health;
mod hold;
mod limits;
mod note;
mod out;
mod patience;
mod schedule;
mod server;
mod settings;
mod table;
mod task;
#[cfg(test)]
mod tests;

/// A clustered task scheduler coordinated by etcd.
#[derive(Debug, Parser)]
#[command(
    name = "tenure",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Any node's admin API; if not given, and no token either, that of a `tenure dev` of this user, else
    /// port 8700 of this machine
    #[arg(short, long, global = true, env = "TENURE_SERVER", value_name = "URL")]
    #[arg(help_heading = "Global options")]
    server: Option<String>,
    /// File with lines `role token`; as a client, the strongest of them is used (or `TENURE_TOKEN`)
    #[arg(
        id = "token-file",
        long,
        global = true,
        env = "TENURE_TOKEN_FILE",
        value_name = "FILE"
    )]
    #[arg(help_heading = "Global options")]
    token_file: Option<PathBuf>,
    /// What stdout is for: people, or programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Global options"
    )]
    output: Output,
    /// How long to wait: for an answer (30s if not given), or for a task (forever if not given)
    #[arg(long, global = true, value_parser = duration, value_name = "DURATION")]
    #[arg(help_heading = "Global options")]
    timeout: Option<Duration>,
    /// Do not ask before acting on many things
    #[arg(short, long, global = true, help_heading = "Global options")]
    yes: bool,
}

/// What stdout is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// People.
    #[default]
    Table,
    /// Programs: the server's JSON, untouched.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: scheduler, worker and admin API
    Server(Flags),
    /// Run a small cluster in this process, with an etcd of its own: to try and to develop with
    Dev(Box<dev::Dev>),
    /// Submit tasks and see what became of them
    #[command(subcommand)]
    Task(task::Command),
    /// Tasks that failed for good and wait for a decision
    #[command(subcommand)]
    Dead(task::DeadCommand),
    /// Tasks that are made again and again, or once, when they are due
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// The machines of the cluster
    #[command(subcommand)]
    Node(cluster::NodeCommand),
    /// Who leads, and who did
    #[command(subcommand)]
    Leader(cluster::LeaderCommand),
    /// What became of nodes and leaders that left or died: how it was noticed, who took over when, where their tasks went
    Failovers(failovers::Asked),
    /// Where tasks wait, and by which rules they start
    #[command(subcommand)]
    Queue(cluster::QueueCommand),
    /// What one holder has at a time
    #[command(subcommand)]
    Lock(hold::LockCommand),
    /// What only so many may hold at once
    #[command(subcommand)]
    Semaphore(limits::SemaphoreCommand),
    /// What is held back because it keeps failing
    #[command(subcommand)]
    Breaker(breakers::BreakerCommand),
    /// Make schedules, rules of queues and semaphores as files say; exits 8 where some was done
    Apply(files::Apply),
    /// Say how files and the cluster differ; exits 0 where they do not, 1 where they do
    Diff(files::Files),
    /// Print all schedules, rules of queues and semaphores as a file: TOML, or JSON with -o json
    Export,
    /// The cluster on one screen; exits 0 when healthy, 1 when degraded, 6 when unreachable
    Status,
    /// Ask the node at --server whether it can do its part; exits 0 or 1, or 6 when unreachable
    Healthcheck(health::Healthcheck),
    /// Look at etcd itself before a node is started: version, latency, room, alarms, clocks
    Check(Box<Flags>),
    /// Look into a node, and gather what helps to find a fault
    #[command(subcommand)]
    Debug(debug::DebugCommand),
    /// Break a cluster on purpose and judge what came of its work: runs `tenure-chaos` with these words
    #[command(disable_help_flag = true)]
    Chaos {
        /// As `tenure-chaos` takes them: `run`, `check`, `report`, `scenarios`, `faults`, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
    /// The settings of a node
    #[command(subcommand)]
    Config(settings::Command),
    /// Print the completions of a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
    /// Guards a command that runs under a hold
    #[command(hide = true)]
    HoldGuard,
    /// Becomes a command that runs under a hold
    #[command(hide = true)]
    HoldExec {
        /// The process that starts it
        parent: i32,
        /// Until when it may begin: nanoseconds since this machine was booted
        until: u64,
        /// The command
        #[arg(last = true)]
        command: Vec<std::ffi::OsString>,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(&[text.to_owned()])
}

/// What the command line starts and is not itself; it runs until it is told to stop.
#[derive(Debug)]
pub enum Start {
    /// A node.
    Server(Config),
    /// So many nodes in one process, on the etcd that these settings bring along.
    Dev {
        /// The settings of each but its name and address.
        config: Config,
        /// 1 to 9.
        nodes: u8,
    },
}

/// Does what the command line says; `serve` runs what it starts.
pub async fn run<Serve, Served>(cli: Cli, serve: Serve) -> Exit
where
    Serve: FnOnce(Start) -> Served,
    Served: Future<Output = anyhow::Result<()>>,
{
    let Cli { global, command } = cli;
    let done = match command {
        Command::Server(flags) => server::run(&flags, serve).await,
        Command::Dev(asked) => dev::run(*asked, serve).await,
        Command::Task(command) => task::run(&global, command).await,
        Command::Dead(command) => task::run_dead(&global, command).await,
        Command::Schedule(command) => schedule::run(&global, command).await,
        Command::Node(command) => cluster::node(&global, command).await,
        Command::Leader(command) => cluster::leader(&global, command).await,
        Command::Failovers(asked) => failovers::run(&global, asked).await,
        Command::Queue(command) => cluster::queue(&global, command).await,
        Command::Lock(command) => hold::lock(&global, command).await,
        Command::Semaphore(command) => limits::semaphore(&global, command).await,
        Command::Breaker(command) => breakers::run(&global, command).await,
        Command::Apply(asked) => files::apply(&global, asked).await,
        Command::Diff(files) => files::diff(&global, files).await,
        Command::Export => files::export(&global).await,
        Command::Status => health::status(&global).await,
        Command::Healthcheck(asked) => health::check(&global, asked).await,
        Command::Check(flags) => check::run(&global, &flags).await,
        Command::Debug(command) => debug::run(&global, command).await,
        Command::Chaos { words } => Err(chaos::run(&words)),
        Command::Config(command) => settings::run(&global, command),
        Command::Completion { shell } => completion(shell),
        Command::Version => version(&global),
        Command::HoldGuard => hold::guard().await,
        Command::HoldExec {
            parent,
            until,
            command,
        } => Err(hold::exec(parent, until, &command)),
    };
    done.unwrap_or_else(Failure::report)
}

fn completion(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tenure", &mut script);
    out::bytes(&script)?;
    Ok(Exit::Done)
}

fn version(global: &Global) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match global.output {
        Output::Table => out::line(&format!("tenure {version}"))?,
        Output::Json => out::line(&serde_json::json!({ "version": version }).to_string())?,
    }
    Ok(Exit::Done)
}
