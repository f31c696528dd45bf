//! One seed in this process: the run, the judgement, and what is said of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenure::planted::Bug;
use tenure_chaos::check::{self, Judgement, Overall};
use tenure_chaos::history::History;

use crate::{entropy, scenario};

/// 10 minutes of simulated time: far beyond the longest run; what gets there hangs.
const SIMULATED_MAX: Duration = Duration::from_mins(10);

/// What one run says to the process that started it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Brief {
    pub(crate) seed: u64,
    /// Of the history, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) records: usize,
    pub(crate) simulated_ms: u64,
    pub(crate) real_ms: u64,
    pub(crate) judgement: Judgement,
}

/// Runs and judges a seed. Fails where a promise is broken.
pub(crate) fn run(
    seed: u64,
    plant: Option<Bug>,
    save: Option<&Path>,
    brief: bool,
) -> anyhow::Result<ExitCode> {
    entropy::sow(seed);
    if let Some(bug) = plant {
        tenure::planted::plant(bug);
    }
    if let Ok(filter) = std::env::var("TENURE_SIM_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    // A panic anywhere is a failed run, also in a task that nobody awaits.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        std::process::exit(101);
    }));
    let began = Instant::now();
    let (history, simulated) = simulate(seed)?;
    if let Some(path) = save {
        history
            .save(path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let judgement = check::judge(&history);
    let failed = failed(&judgement);
    let said = Brief {
        seed,
        digest: digest(&history),
        records: history.records().len(),
        simulated_ms: ms(simulated),
        real_ms: ms(began.elapsed()),
        judgement,
    };
    if brief {
        println!("{}", serde_json::to_string(&said)?);
    } else {
        println!(
            "seed {seed}: {} records, {} ms simulated in {} ms, digest {}",
            said.records, said.simulated_ms, said.real_ms, said.digest
        );
        println!("{}", said.judgement);
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn simulate(seed: u64) -> anyhow::Result<(History, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let simulated = runtime.block_on(async {
        let began = tokio::time::Instant::now();
        let ran = tokio::time::timeout(SIMULATED_MAX, scenario::run(seed)).await;
        (ran, began.elapsed())
    });
    let (ran, took) = simulated;
    Ok((
        ran.with_context(|| {
            format!("seed {seed} did not end within {SIMULATED_MAX:?} of simulated time")
        })?,
        took,
    ))
}

/// Whether a promise is broken, or nobody can tell. A run that did not exercise a promise has not broken it.
pub(crate) fn failed(judgement: &Judgement) -> bool {
    match judgement.overall {
        Overall::Fail | Overall::Unknown => true,
        Overall::Pass | Overall::NotExercised => false,
    }
}

fn digest(history: &History) -> String {
    let mut sum = Sha256::new();
    for record in history.records() {
        sum.update(serde_json::to_vec(record).expect("a history is JSON"));
        sum.update(b"\n");
    }
    let sum = sum.finalize();
    let first = sum.first_chunk().expect("a sum has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
