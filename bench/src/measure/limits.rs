//! g: drained no-op tasks per second with a permit and with a lock to each task, beside the same without: what limits cost where
//! they do not bind, and what they leave where they do. As b measures, in rounds, so that each ratio is of one sitting.

use super::drain::{Drained, drained};
use super::{Bench, Measure};
use crate::figure::{Figure, Report};
use crate::load::{BATCH, Load, Needs, Packing};
use crate::numbers::{float, grouped, percentile};
use crate::outcomes::Sampled;
use serde_json::json;

/// Rounds, each of all ways; a figure is the median of them.
const ROUNDS: usize = 3;
/// The semaphore that never binds.
const WIDE: &str = "wide";
/// The most that a semaphore has; far above the 4,096 tasks that a node holds at most.
pub(super) const WIDE_LIMIT: u32 = 1_000_000;
/// Names that locks are spread over.
const NAMES: u64 = 1_000;
/// Tasks of a pack at most.
const PACK: u64 = 256;

/// One way to ask.
struct Way {
    name: &'static str,
    /// Tasks at full scale: some seconds of draining, at most twenty.
    tasks: u64,
    needs: Needs,
    how: &'static str,
}

/// The first is what the others are compared with.
const WAYS: [Way; 4] = [
    Way {
        name: "g-without",
        tasks: 500_000,
        needs: Needs::Nothing,
        how: "without permit or lock",
    },
    Way {
        name: "g-permit",
        tasks: 500_000,
        needs: Needs::Permit(WIDE),
        how: "with one permit each, which never binds",
    },
    Way {
        name: "g-locks",
        tasks: 40_000,
        needs: Needs::Lock { names: NAMES },
        how: "with one lock each, of 1,000 names",
    },
    Way {
        name: "g-lock",
        tasks: 2_000,
        needs: Needs::Lock { names: 1 },
        how: "all with the same lock",
    },
];

/// What the rounds of one way came to.
#[derive(Default)]
struct Seen {
    rates: Vec<f64>,
    /// By the rate without, of the same round.
    ratios: Vec<f64>,
    sampled: Sampled,
}

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut seen: [Seen; WAYS.len()] = Default::default();
    for round in 1..=ROUNDS {
        eprintln!("   round {round} of {ROUNDS}");
        let drained = all(bench, round, report).await;
        let without = drained[0].as_ref().map(Drained::per_second);
        for (seen, drained) in seen.iter_mut().zip(&drained) {
            if let Some(drained) = drained {
                seen.add(drained, without);
            }
        }
    }
    for (way, seen) in WAYS.iter().zip(&seen) {
        if seen.rates.is_empty() {
            continue;
        }
        if !seen.sampled.is_whole() {
            report.fault(format!("drained, {}: {}", way.how, seen.sampled.words()));
        }
        report.add(Measure::G, bench, seen.figure(way, &way.load(bench)));
    }
    Ok(())
}

/// One round, every other one in the opposite order, so that none always comes first; a way that fails keeps nobody from the others.
async fn all(bench: &Bench, round: usize, report: &mut Report) -> [Option<Drained>; WAYS.len()] {
    let mut all = [const { None }; WAYS.len()];
    for nth in 0..WAYS.len() {
        let nth = if round.is_multiple_of(2) {
            WAYS.len() - 1 - nth
        } else {
            nth
        };
        let way = &WAYS[nth];
        match one(bench, way).await {
            Ok(drained) => {
                eprintln!("   {}: {}/s", way.how, grouped(drained.per_second()));
                all[nth] = Some(drained);
            }
            Err(error) => report.fault(format!(
                "g on {} member(s), {}: {error:#}",
                bench.members, way.how
            )),
        }
    }
    all
}

async fn one(bench: &Bench, way: &Way) -> anyhow::Result<Drained> {
    let mut cluster = bench.cluster(way.name).await?;
    if let Needs::Permit(semaphore) = way.needs {
        cluster.set_semaphore(semaphore, WIDE_LIMIT).await?;
    }
    drained(&mut cluster, &way.load(bench)).await
}

impl Way {
    fn load(&self, bench: &Bench) -> Load {
        Load {
            needs: self.needs,
            ..Load::noops(Packing::Batches, bench.scale.of(self.tasks))
        }
    }
}

impl Seen {
    fn add(&mut self, drained: &Drained, without: Option<f64>) {
        let rate = drained.per_second();
        self.rates.push(rate);
        self.ratios.extend(without.map(|without| rate / without));
        self.sampled = self.sampled.plus(drained.sampled);
    }

    fn figure(&self, way: &Way, load: &Load) -> Figure {
        let (rate, ratio) = (percentile(&self.rates, 50), percentile(&self.ratios, 50));
        let beside = match way.needs {
            Needs::Nothing => String::new(),
            Needs::Permit(_) | Needs::Lock { .. } => {
                format!(", {ratio:.3} of the rate without")
            }
        };
        let pack = pack_of(load);
        Figure {
            what: format!(
                "drained no-op tasks/s, {} {}, packs of {pack}",
                grouped(float(load.tasks)),
                way.how
            ),
            measured: format!(
                "{}/s{beside}, medians of {} ({})",
                grouped(rate),
                self.rates.len(),
                self.sampled.words()
            ),
            ground: "-",
            values: json!({
                "per_second": rate, "ratio": ratio, "tasks": load.tasks, "all_per_second": self.rates,
                "all_ratios": self.ratios, "pack": pack,
                "read_back": self.sampled.read, "succeeded": self.sampled.succeeded,
                "in_one_attempt": self.sampled.once,
            }),
        }
    }
}

/// The largest pack that these tasks make: those of one request that ask for the same.
fn pack_of(load: &Load) -> u64 {
    let alike = match load.needs {
        Needs::Nothing | Needs::Permit(_) => load.tasks,
        Needs::Lock { names } => load.tasks_per_lock(names),
    };
    alike.min(BATCH).min(PACK)
}

#[cfg(test)]
mod tests {
    use super::super::Scale;
    use super::*;

    fn load(needs: Needs, tasks: u64) -> Load {
        Load {
            needs,
            ..Load::noops(Packing::Batches, tasks)
        }
    }

    #[test]
    fn the_packs_are_as_large_as_names_and_requests_allow() {
        for (needs, tasks, pack) in [
            (Needs::Nothing, 500_000, 256),
            (Needs::Permit(WIDE), 100, 100),
            (Needs::Lock { names: 1_000 }, 30_000, 30),
            (Needs::Lock { names: 1_000 }, 3_000, 3),
            (Needs::Lock { names: 1 }, 2_000, 256),
            (Needs::Lock { names: 1 }, 200, 200),
        ] {
            assert_eq!(pack_of(&load(needs, tasks)), pack, "{needs:?} {tasks}");
        }
    }

    #[test]
    fn tasks_of_one_lock_do_not_lie_across_two_requests() {
        for way in &WAYS {
            let Needs::Lock { names } = way.needs else {
                continue;
            };
            for scale in [Scale::Quick, Scale::Full] {
                let load = load(way.needs, scale.of(way.tasks));
                let each = load.tasks_per_lock(names);
                assert_eq!(each * names, load.tasks, "every name equally often");
                assert!(
                    names == 1 || BATCH.is_multiple_of(each),
                    "{each} of a lock, {BATCH} to a request"
                );
            }
        }
    }

    #[test]
    fn a_rate_stands_beside_that_without_of_its_own_round() {
        let sampled = Sampled {
            read: 1,
            succeeded: 1,
            once: 1,
        };
        let mut seen = Seen::default();
        for (tasks, without) in [(50, 100.0), (10, 100.0), (90, 100.0)] {
            let drained = Drained::in_a_second(tasks, sampled);
            seen.add(&drained, Some(without));
        }

        let figure = seen.figure(&WAYS[1], &load(WAYS[1].needs, 500_000));

        assert_eq!(
            figure.measured,
            "50/s, 0.500 of the rate without, medians of 3 (3 of 3 read back succeeded, 3 in one attempt)"
        );
        assert_eq!(figure.values["pack"], 256);
    }
}
