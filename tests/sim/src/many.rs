//! Many seeds, each in a process of its own, a few at a time; and each twice, to see that a seed is all a run depends on.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tenure::planted::Bug;
use tenure_chaos::check::{Judgement, Property};

use crate::one::{self, Brief};

/// 1 minute of real time for one run: a hundred times what one takes.
const REAL_MAX: Duration = Duration::from_mins(1);
/// 10 failures end a run of many: more of them tell nothing new.
const FAILURES_MAX: usize = 10;

/// 1,000 seeds in which a property is never exercised tell that nothing exercises it: the run has failed.
const TELLING_SEEDS: u64 = 1_000;

/// What became of due times of schedules: each has to happen in a run as long as that.
const OCCURRENCES: [&str; 10] = [
    "fired",
    "caught up",
    "triggered",
    "backfilled",
    "skipped: overlap",
    "skipped: misfire",
    "skipped: window",
    "skipped: deadline",
    "skipped: paused",
    "skipped: edited",
];

/// How one seed went.
pub(crate) enum Ran {
    /// It was judged.
    Judged(Box<Brief>),
    /// It panicked, hung or said nothing; what it said on stderr.
    Broke(String),
}

impl Ran {
    /// Whether the seed found something.
    pub(crate) fn failed(&self) -> bool {
        match self {
            Self::Judged(brief) => one::failed(&brief.judgement),
            Self::Broke(_) => true,
        }
    }
}

/// `FROM..BELOW`.
pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not FROM..BELOW, as in 0..1000");
    let (from, below) = text.split_once("..").ok_or_else(wrong)?;
    let (from, below) = (
        from.parse().map_err(|_| wrong())?,
        below.parse().map_err(|_| wrong())?,
    );
    if from < below {
        Ok(from..below)
    } else {
        Err(wrong())
    }
}

/// Runs one seed in a process of its own.
pub(crate) fn alone(seed: u64, plant: Option<Bug>) -> anyhow::Result<Ran> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["one", "--brief", "--seed", &seed.to_string()]);
    if let Some(bug) = plant {
        command.args(["--plant", &bug.to_string()]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = drained(&mut child)?;
    Ok(match serde_json::from_str(&out) {
        Ok(brief) => Ran::Judged(Box::new(brief)),
        Err(_) => Ran::Broke(if err.is_empty() { out } else { err }),
    })
}

/// All that a child says; it is killed where it takes too long.
fn drained(child: &mut Child) -> anyhow::Result<(String, String)> {
    let mut out = child.stdout.take().context("stdout is a pipe")?;
    let mut err = child.stderr.take().context("stderr is a pipe")?;
    let deadline = Instant::now() + REAL_MAX;
    std::thread::scope(|scope| {
        let out = scope.spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let err = scope.spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).map(|_| text)
        });
        while child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let out = out.join().expect("reading does not panic")?;
        let err = err.join().expect("reading does not panic")?;
        Ok((out, err))
    })
}

/// Runs all seeds and prints what they found and what they exercised.
pub(crate) fn run(seeds: Range<u64>, jobs: Option<usize>) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (began, count) = (Instant::now(), seeds.end - seeds.start);
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(Found::default());
    let bar = ProgressBar::new(count).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} seeds, {eta} left {msg}",
    )?);
    std::thread::scope(|scope| {
        for _ in 0..jobs.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end
                        || found.lock().expect("no worker panics").failures.len() >= FAILURES_MAX
                    {
                        return;
                    }
                    let ran =
                        alone(seed, None).unwrap_or_else(|problem| Ran::Broke(problem.to_string()));
                    found.lock().expect("no worker panics").add(seed, &ran);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let found = found.into_inner().expect("no worker panicked");
    found.print(began.elapsed());
    let idle = found.idle();
    if !idle.is_empty() {
        println!(
            "never exercised in {} seeds: {}",
            found.seeds,
            idle.join(", ")
        );
    }
    Ok(if found.failures.is_empty() && idle.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs each seed twice and compares.
pub(crate) fn same(seeds: Range<u64>) -> anyhow::Result<ExitCode> {
    let mut differ = 0;
    for seed in seeds {
        match (alone(seed, None)?, alone(seed, None)?) {
            (Ran::Judged(first), Ran::Judged(second)) if first.digest == second.digest => {
                println!("seed {seed}: {} twice", first.digest);
            }
            (Ran::Judged(first), Ran::Judged(second)) => {
                differ += 1;
                println!(
                    "seed {seed}: {} and {}: two histories from one seed",
                    first.digest, second.digest
                );
            }
            (Ran::Broke(why), _) | (_, Ran::Broke(why)) => {
                differ += 1;
                println!("seed {seed} broke: {why}");
            }
        }
    }
    Ok(if differ == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What many seeds found.
#[derive(Default)]
struct Found {
    seeds: u64,
    simulated_ms: u64,
    real_ms: u64,
    records: u64,
    exercised: BTreeMap<Property, (u64, u64)>,
    occurrences: BTreeMap<&'static str, u64>,
    failures: Vec<(u64, String)>,
}

impl Found {
    fn add(&mut self, seed: u64, ran: &Ran) {
        self.seeds += 1;
        match ran {
            Ran::Broke(why) => self.failures.push((seed, why.clone())),
            Ran::Judged(brief) => {
                self.simulated_ms += brief.simulated_ms;
                self.real_ms += brief.real_ms;
                self.records += brief.records as u64;
                for verdict in &brief.judgement.verdicts {
                    let (seeds, times) = self.exercised.entry(verdict.property).or_default();
                    *seeds += u64::from(verdict.exercised > 0);
                    *times += verdict.exercised;
                }
                self.count(&brief.judgement);
                if one::failed(&brief.judgement) {
                    self.failures.push((seed, brief.judgement.to_string()));
                }
            }
        }
    }

    /// What became of due times, by its word.
    fn count(&mut self, judgement: &Judgement) {
        let Some(verdict) = judgement.of(Property::SchedulesFireOnce) else {
            return;
        };
        for word in OCCURRENCES {
            let times = verdict.measured.get(word).copied().unwrap_or(0);
            *self.occurrences.entry(word).or_default() += times;
        }
    }

    /// What a run as long as this should have exercised and has not.
    fn idle(&self) -> Vec<String> {
        if self.seeds < TELLING_SEEDS {
            return Vec::new();
        }
        let idle = self.exercised.iter().filter(|(_, (_, times))| *times == 0);
        let idle = idle.map(|(property, _)| property.to_string());
        let never = |word: &&str| self.occurrences.get(*word).copied().unwrap_or(0) == 0;
        let never = OCCURRENCES.into_iter().filter(never);
        let never = never.map(|word| format!("due times {word}"));
        idle.chain(never).collect()
    }

    fn print(&self, took: Duration) {
        for (seed, why) in &self.failures {
            println!("seed {seed} failed; again: make sim SEED={seed}\n{why}\n");
        }
        println!("{:24} {:>10} {:>12}", "property", "seeds", "times");
        for (property, (seeds, times)) in &self.exercised {
            println!("{:24} {seeds:>10} {times:>12}", property.to_string());
        }
        let told = self.occurrences.iter();
        let told: Vec<String> = told
            .map(|(word, times)| format!("{word} {times}"))
            .collect();
        println!("due times: {}", told.join(", "));
        let speed = self.simulated_ms / self.real_ms.max(1);
        println!(
            "{} seeds in {:.0} s, {} failed; {} s simulated, {speed} times faster than real time on one core, {} records",
            self.seeds,
            took.as_secs_f64(),
            self.failures.len(),
            self.simulated_ms / 1_000,
            self.records,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_says_which_property_nothing_exercised() {
        let mut found = Found {
            seeds: TELLING_SEEDS,
            ..Found::default()
        };
        let mut all = Property::ALL.into_iter();
        let (exercised, idle) = (all.next().unwrap(), all.next().unwrap());
        found.exercised.insert(exercised, (1, 1));
        found.exercised.insert(idle, (0, 0));
        found.occurrences = OCCURRENCES.map(|word| (word, 1)).into();
        found.occurrences.remove("caught up");
        assert_eq!(found.idle(), [&*idle.to_string(), "due times caught up"]);
        found.seeds -= 1;
        assert!(found.idle().is_empty());
    }
}
