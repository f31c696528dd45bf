//! Turns of queues, and buckets.

use proptest::prelude::*;

use super::super::world::name;
use super::*;

fn rules(weight: u32) -> QueueRules {
    QueueRules {
        weight: Some(weight),
        ..QueueRules::default()
    }
}

fn rated(tasks: u32, per_ms: u32, burst: u32) -> QueueRules {
    QueueRules {
        rate: Some(Rate {
            tasks,
            per_ms,
            burst,
        }),
        ..QueueRules::default()
    }
}

/// Who is next of these.
fn next<'a>(turns: &Turns, queues: &'a [(Name, QueueRules)]) -> &'a (Name, QueueRules) {
    let order = |(name, _): &&(Name, QueueRules)| (turns.order(name), name.clone());
    queues.iter().min_by_key(order).unwrap()
}

proptest! {
    /// However large the records are, queues that always have work share starts by their weights.
    #[test]
    fn starts_are_shared_by_weight(
        weights in proptest::collection::vec(1_u32..20, 2..5),
        sizes in proptest::collection::vec(1_u64..=256, 4_000..4_001),
    ) {
        let queues: Vec<(Name, QueueRules)> =
            weights.iter().enumerate().map(|(nth, weight)| (name(&format!("q{nth}")), rules(*weight))).collect();
        let (mut turns, mut had) = (Turns::default(), vec![0_u64; weights.len()]);
        for tasks in sizes {
            let (queue, rules) = next(&turns, &queues);
            had[queues.iter().position(|(of, _)| of == queue).unwrap()] += tasks;
            turns.started(queue, tasks, Some(rules));
        }
        let (all, total): (u64, u64) = (had.iter().sum(), weights.iter().copied().map(u64::from).sum());
        for (had, weight) in had.iter().zip(&weights) {
            let due = all * u64::from(*weight) / total;
            prop_assert!(had.abs_diff(due) <= 2 * 256 * weights.len() as u64, "{had} of {due}");
        }
    }

    /// In no stretch of time are there more tokens than the burst and what the rate gives for it, whenever one looks and takes.
    #[test]
    fn a_bucket_gives_no_more_than_its_rate(
        (tasks, per_ms, burst) in (1_u32..200, 1_u32..5_000, 1_u32..50),
        steps in proptest::collection::vec((0_u64..700, 0_u64..80), 1..200),
    ) {
        let (queue, rules) = (name("q"), rated(tasks, per_ms, burst));
        let (mut turns, mut now, mut taken) = (Turns::default(), 1_000, Vec::new());
        for (wait, wants) in steps {
            now += wait;
            turns.at(now);
            let take = turns.tokens(&queue, Some(&rules)).min(wants);
            if take > 0 {
                turns.started(&queue, take, Some(&rules));
                taken.push((now, take));
            }
        }
        for (first, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (at, take) in &taken[first..] {
                sum += take;
                let rate = u128::from(at - from) * u128::from(tasks) / u128::from(per_ms) + 1;
                prop_assert!(u128::from(sum) <= u128::from(burst) + rate, "{sum} in {} ms", at - from);
            }
        }
    }
}

#[test]
fn a_new_term_begins_with_an_empty_bucket_and_is_told_when_it_has_a_token() {
    let (queue, rules) = (name("q"), rated(50, 1_000, 50));
    let mut turns = Turns::default();
    let next = |turns: &Turns| {
        let bucket = turns.queues[&name("q")].bucket.unwrap();
        bucket.next_ms(rated(50, 1_000, 50).rate.unwrap())
    };
    turns.at(5_000);
    assert_eq!(turns.tokens(&queue, Some(&rules)), 0);
    assert_eq!(next(&turns), Some(5_020));
    turns.at(5_020);
    assert_eq!(turns.tokens(&queue, Some(&rules)), 1);
    assert_eq!(next(&turns), None);
    turns.at(60_000);
    let most = turns.tokens(&queue, Some(&rules));
    assert_eq!(most, 50, "no more than the burst");
    let without = turns.tokens(&queue, None);
    assert_eq!(without, u64::MAX, "no rate any more");
    let anew = turns.tokens(&queue, Some(&rules));
    assert_eq!(anew, 0, "a new rate begins anew");
}

#[test]
fn a_slow_rate_is_met_however_often_one_looks() {
    // 1 an hour, 10 an hour, and 7 a day: a millisecond gives less than a millionth of a token, or not a whole number of them.
    for (tasks, per_ms) in [(1, 3_600_000), (10, 3_600_000), (7, 86_400_000)] {
        let (queue, rules) = (name("q"), rated(tasks, per_ms, 1_000));
        let mut turns = Turns::default();
        turns.tokens(&queue, Some(&rules));
        let (mut at_ms, end_ms) = (0, 8 * 3_600_000_u64);
        while at_ms < end_ms {
            // Every 1 to 3 ms for a second of each minute, as a busy leader does.
            at_ms += if at_ms % 60_000 < 1_000 {
                1 + at_ms % 3
            } else {
                59_000
            };
            turns.at(at_ms);
            turns.tokens(&queue, Some(&rules));
        }
        let due = at_ms * u64::from(tasks) / u64::from(per_ms);
        assert_eq!(
            turns.tokens(&queue, Some(&rules)),
            due,
            "{tasks} in {per_ms} ms"
        );
    }
}

#[test]
fn a_rate_that_changes_keeps_its_tokens_and_no_more() {
    let queue = name("q");
    let mut turns = Turns::default();
    turns.tokens(&queue, Some(&rated(1, 86_400_000, 100)));
    turns.at(86_399_999);
    assert_eq!(turns.tokens(&queue, Some(&rated(1, 86_400_000, 100))), 0);
    // What was left over counted in days, and counts no more.
    assert_eq!(turns.tokens(&queue, Some(&rated(1, 1, 100))), 0);
}

#[test]
fn a_queue_that_had_nothing_to_do_has_saved_nothing() {
    let (a, b) = (name("a"), name("b"));
    let mut turns = Turns::default();
    for _ in 0..100 {
        turns.started(&a, 1, None);
    }
    let mut served = Vec::new();
    for _ in 0..6 {
        let queue = if turns.order(&a) <= turns.order(&b) {
            &a
        } else {
            &b
        };
        served.push(queue.as_str());
        turns.started(queue, 1, None);
    }
    assert_eq!(served, ["b", "a", "b", "a", "b", "a"]);
}

#[test]
fn one_record_of_sixteen_is_for_age() {
    let queue = name("q");
    let mut turns = Turns::default();
    let mut aged = 0;
    for _ in 0..160 {
        aged += u32::from(turns.is_for_age(&queue));
        turns.started(&queue, 1, None);
    }
    assert_eq!(aged, 10);
}
