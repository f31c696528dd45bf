//! Runs whole nodes in simulated time, one seed to a process, and judges what they did. The seed is all that a run depends on.
//!
//! ```text
//! tenure-sim one --seed 7              one run, its verdicts
//! tenure-sim many --seeds 0..1000      each in a process of its own; prints the command that makes a failure again
//! tenure-sim same --seeds 0..5         each twice: one seed, one history
//! tenure-sim planted                   each planted bug by its recorded seed; --find looks for the seeds anew
//! ```

mod chronicle;
mod clients;
mod dice;
mod entropy;
mod faults;
mod link;
mod many;
mod one;
mod planted;
mod recorder;
mod scarce;
mod scenario;
mod scheduled;
mod weather;
mod work;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tenure::planted::Bug;

#[derive(Parser)]
#[command(
    name = "tenure-sim",
    about = "Whole nodes in simulated time, from one seed"
)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs one seed in this process and prints its verdicts.
    One {
        /// What the run depends on.
        #[arg(long)]
        seed: u64,
        /// A bug to plant, by its name.
        #[arg(long)]
        plant: Option<Bug>,
        /// Where to keep the history, as lines of JSON.
        #[arg(long)]
        save: Option<PathBuf>,
        /// One line of JSON instead of words.
        #[arg(long)]
        brief: bool,
    },
    /// Runs many seeds, each in a process of its own.
    Many {
        /// From, and below.
        #[arg(long, value_parser = many::seeds)]
        seeds: std::ops::Range<u64>,
        /// How many at a time; as many as there are cores where it is not said.
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Runs each seed twice and compares the histories.
    Same {
        /// From, and below.
        #[arg(long, value_parser = many::seeds)]
        seeds: std::ops::Range<u64>,
    },
    /// Runs each planted bug by its recorded seed: each has to be found.
    Planted {
        /// Looks for the first seed that finds each bug, and prints the table.
        #[arg(long)]
        find: bool,
        /// Only this one.
        #[arg(long)]
        bug: Option<Bug>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().what {
        What::One {
            seed,
            plant,
            save,
            brief,
        } => one::run(seed, plant, save.as_deref(), brief),
        What::Many { seeds, jobs } => many::run(seeds, jobs),
        What::Same { seeds } => many::same(seeds),
        What::Planted { find, bug } => Ok(planted::run(find, bug)),
    }
}
