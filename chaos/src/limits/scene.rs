//! What is limited and what asks for it: semaphores, rules of queues, and all tasks, made by a seed. Pure.

use crate::workload::SplitMix;
use serde_json::{Value, json};

/// Semaphores and their limits; every task under permits asks for the first.
pub(super) const SEMAPHORES: [(&str, u64); 2] = [("narrow", 3), ("wide", 5)];
/// Queues that share the slots by weight, and the weights.
pub(super) const SHARES: [(&str, u32); 2] = [("heavy", 3), ("light", 1)];
/// The queue that has a rate, and how many of its tasks may start in a second.
pub(super) const RATED: (&str, u32) = ("rated", 50);
/// Half a second of it at once after a quiet time, which bridges what a busy machine takes to plan and commit.
const BURST: u32 = 25;
/// The queue of tasks under locks runs so many at once: fewer than there are locks.
const CONCURRENCY: u32 = 10;
/// Queues other than those that share by weight come before them, so that nothing but their own limits holds them up.
const FIRST: u32 = 100;

const PERMITTED: usize = 2_000;
const LOCKED: usize = 500;
const LOCKS: usize = 20;
const RATED_TASKS: usize = 2_500;
/// Of each queue that shares: tasks for each unit of its weight, so that their backlogs end at about the same time.
const SHARED: usize = 3_000;
/// The API takes 1,000 tasks in a batch.
const LARGE_BATCH: usize = 500;

/// A batch of one queue and kind.
pub(super) struct Batch {
    pub(super) queue: &'static str,
    pub(super) kind: &'static str,
    pub(super) tasks: Vec<Value>,
    /// How long to wait after it, in milliseconds.
    pub(super) pause_ms: u64,
}

/// A limit or the rules of a queue: where it is put, and what.
pub(super) fn rules() -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = SEMAPHORES
        .iter()
        .map(|(name, limit)| (format!("/v1/semaphores/{name}"), json!({ "limit": limit })))
        .collect();
    let rate = json!({ "tasks": RATED.1, "per_ms": 1_000, "burst": BURST });
    let mut rule = |queue: &str, rules| all.push((format!("/v1/queues/{queue}/rules"), rules));
    for (queue, weight) in SHARES {
        rule(queue, json!({ "weight": weight }));
    }
    rule(RATED.0, json!({ "weight": FIRST, "rate": rate }));
    rule("permits", json!({ "weight": FIRST }));
    rule(
        "locks",
        json!({ "weight": FIRST, "concurrency": CONCURRENCY }),
    );
    all
}

/// All work, each list for a client of its own.
pub(super) fn work(dice: &mut SplitMix) -> Vec<Vec<Batch>> {
    vec![permitted(dice), locked(dice), shared(dice), rated()]
}

/// How many tasks that is.
pub(super) fn total(work: &[Vec<Batch>]) -> usize {
    work.iter().flatten().map(|batch| batch.tasks.len()).sum()
}

/// Short tasks that ask for permits, over some twenty seconds, so that submits meet kills.
fn permitted(dice: &mut SplitMix) -> Vec<Batch> {
    let batch = |number: usize| {
        let kind = if number % 4 == 3 { "noop" } else { "sleep" };
        let mut tasks = Vec::new();
        for _ in 0..40 {
            let mut task = task("permits", kind, dice.within(5..=30));
            let permit = |name, dice: &mut SplitMix| json!({ "semaphore": name, "weight": dice.within(1..=2) });
            let mut permits = vec![permit(SEMAPHORES[0].0, dice)];
            if dice.below(4) == 0 {
                permits.push(permit(SEMAPHORES[1].0, dice));
            }
            task["permits"] = json!(permits);
            tasks.push(task);
        }
        let pause_ms = dice.within(200..=600);
        Batch {
            queue: "permits",
            kind,
            tasks,
            pause_ms,
        }
    };
    (0..PERMITTED / 40).map(batch).collect()
}

/// Short tasks that ask for a lock, some for two.
fn locked(dice: &mut SplitMix) -> Vec<Batch> {
    let batch = |_| {
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let mut task = task("locks", "sleep", dice.within(5..=30));
            let first = dice.below(LOCKS);
            let mut locks = vec![lock(first)];
            if dice.below(5) == 0 {
                locks.push(lock((first + 1 + dice.below(LOCKS - 1)) % LOCKS));
            }
            task["locks"] = json!(locks);
            tasks.push(task);
        }
        let pause_ms = dice.within(200..=600);
        Batch {
            queue: "locks",
            kind: "sleep",
            tasks,
            pause_ms,
        }
    };
    (0..LOCKED / 10).map(batch).collect()
}

/// The name of a lock.
pub(super) fn lock(number: usize) -> String {
    format!("lock-{:02}", number % LOCKS)
}

/// Tasks that keep all slots busy, of two queues in turn.
fn shared(dice: &mut SplitMix) -> Vec<Batch> {
    let mut batches = Vec::new();
    for _ in 0..SHARED / LARGE_BATCH {
        for (queue, weight) in SHARES {
            for _ in 0..weight {
                let tasks = (0..LARGE_BATCH).map(|_| task(queue, "sleep", dice.within(20..=40)));
                let tasks = tasks.collect();
                batches.push(Batch {
                    queue,
                    kind: "sleep",
                    tasks,
                    pause_ms: 0,
                });
            }
        }
    }
    batches
}

fn rated() -> Vec<Batch> {
    let batch = |_| Batch {
        queue: RATED.0,
        kind: "noop",
        tasks: vec![task(RATED.0, "noop", 0); LARGE_BATCH],
        pause_ms: 0,
    };
    (0..RATED_TASKS / LARGE_BATCH).map(batch).collect()
}

fn task(queue: &str, kind: &str, run_ms: u64) -> Value {
    let payload = if kind == "sleep" {
        json!({ "ms": run_ms })
    } else {
        Value::Null
    };
    json!({ "queue": queue, "kind": kind, "payload": payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_work_twice_and_another_seed_other_work() {
        let made = |seed| -> Vec<Vec<Value>> {
            let work = work(&mut SplitMix(seed));
            work.into_iter()
                .flatten()
                .map(|batch| batch.tasks)
                .collect()
        };

        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn every_task_asks_for_what_its_queue_is_for_and_no_batch_is_too_large() {
        let work = work(&mut SplitMix(1));

        assert_eq!(total(&work), PERMITTED + LOCKED + 4 * SHARED + RATED_TASKS);
        for batch in work.iter().flatten() {
            assert!(batch.tasks.len() <= 1_000);
            for task in &batch.tasks {
                let locks = task["locks"].as_array().map_or(0, Vec::len);
                assert_eq!(
                    task["permits"].is_array(),
                    batch.queue == "permits",
                    "{task}"
                );
                assert_eq!((1..=2).contains(&locks), batch.queue == "locks", "{task}");
                assert_ne!(
                    task["locks"][0],
                    task["locks"][1].as_str().unwrap_or("none"),
                    "{task}"
                );
            }
        }
    }
}
