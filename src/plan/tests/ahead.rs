//! A leader and its nodes over the pure functions, a millisecond at a time: what claiming ahead costs and brings.

use std::collections::{BTreeMap, VecDeque};

use super::world::{World, name};
use super::{Bounds, Ending, Numbers, Of, Reserved, assign, settle};
use crate::store::{Change, Run, Settled};
use crate::task::{ClaimId, Name, Outcome, Which};

/// As the leader has it.
const BOUNDS: Bounds = Bounds {
    records_max: 60,
    claims_max: 120,
};

/// 2 ms from a commit to those who watch, or from a report to its commit.
const WAY_MS: u64 = 2;

/// As the worker has them.
const LINGER_MS: u64 = 20;
const HAND_BACK_MS: u64 = 500;

/// How many tasks that take no time a node gets through in a millisecond.
const AT_ONCE: usize = 50;

/// A simulation gives up here.
const END_MS: u64 = 600_000;

/// How long each task runs, in milliseconds.
type RunTimes = fn(u64) -> u64;

/// 70 % of up to 20 ms, 30 % of 20 ms to 4 s.
fn mixed(draw: u64) -> u64 {
    if draw % 10 < 7 {
        draw / 10 % 20
    } else {
        20 + draw / 10 % 3_980
    }
}

fn nothing(_: u64) -> u64 {
    0
}

fn ten(_: u64) -> u64 {
    10
}

fn tenth_of_a_second(draw: u64) -> u64 {
    100 + draw % 40
}

/// splitmix64: the draw of this number.
fn draw(seed: u64, number: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0xff51_afd7_ed55_8ccd)
        .wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A claim in a node's hands.
struct Held {
    run: Run,
    came_ms: u64,
    waiting: Which,
    running: BTreeMap<u8, u64>,
    ended: BTreeMap<Ending, Which>,
    ended_since: u64,
    reporting: bool,
}

/// A node as far as claims go.
struct Hands {
    slots: usize,
    claims: BTreeMap<ClaimId, Held>,
    line: VecDeque<ClaimId>,
}

/// A report on its way: when it lands, and what it says.
type Report = (u64, Name, ClaimId, Option<Run>, Settled);

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    done: usize,
    returned: usize,
    commits: usize,
    took_ms: u64,
}

struct Play {
    world: World,
    numbers: Numbers,
    nodes: BTreeMap<Name, Hands>,
    coming: VecDeque<(u64, Name, ClaimId, Run)>,
    reports: VecDeque<Report>,
    run_times: RunTimes,
    seed: u64,
    tally: Tally,
}

/// Runs packs of so many tasks to their end on nodes of so many slots.
fn play(seed: u64, slots: &[u32], packs: &[usize], run_times: RunTimes) -> Tally {
    let mut world = World::new();
    let mut nodes = BTreeMap::new();
    for (nth, slots) in slots.iter().enumerate() {
        let id = format!("n{nth}");
        world.node(&id, *slots, &["k"]);
        let hands = Hands {
            slots: usize::try_from(*slots).unwrap(),
            claims: BTreeMap::new(),
            line: VecDeque::new(),
        };
        nodes.insert(name(&id), hands);
    }
    for (nth, tasks) in packs.iter().enumerate() {
        world.ready("q", "k", 5, nth as u64 + 1, *tasks);
    }
    let mut play = Play {
        world,
        numbers: Numbers::of_term(9),
        nodes,
        coming: VecDeque::new(),
        reports: VecDeque::new(),
        run_times,
        seed,
        tally: Tally::default(),
    };
    let tasks: usize = packs.iter().sum();
    let mut now_ms = 0;
    while play.tally.done < tasks && now_ms < END_MS {
        now_ms += 1;
        play.world.now_ms = now_ms;
        play.step(now_ms);
        assert!(
            play.tally.returned <= tasks,
            "seed {seed}: {:?}",
            play.tally
        );
    }
    play.tally.took_ms = now_ms;
    assert_eq!(play.tally.done, tasks, "seed {seed}: not all ran");
    play.tally
}

impl Play {
    fn step(&mut self, now_ms: u64) {
        let mut news = now_ms.is_multiple_of(250) || now_ms == 1;
        while self
            .reports
            .front()
            .is_some_and(|report| report.0 <= now_ms)
        {
            self.land();
            news = true;
        }
        if news {
            self.lead(now_ms);
        }
        while self.coming.front().is_some_and(|claim| claim.0 <= now_ms) {
            let (_, node, claim, run) = self.coming.pop_front().unwrap();
            let hands = self.nodes.get_mut(&node).unwrap();
            hands.claims.insert(claim, Held::new(run, now_ms));
            hands.line.push_back(claim);
        }
        let (seed, run_times) = (self.seed, self.run_times);
        let time_of = |run: &Run, index| {
            let number = run.pack.unix_ms() * 256 + u64::from(index);
            run_times(draw(seed, number))
        };
        for (id, hands) in &mut self.nodes {
            hands.work(now_ms, time_of);
            for (claim, held) in &mut hands.claims {
                if let Some((rest, settled)) = held.report(id, now_ms) {
                    let report = (now_ms + WAY_MS, id.clone(), *claim, rest, settled);
                    self.reports.push_back(report);
                }
            }
        }
    }

    /// A report is committed; leader and node learn of it.
    fn land(&mut self) {
        let (_, node, claim, rest, settled) = self.reports.pop_front().unwrap();
        self.world.reported(&node, claim, rest.as_ref(), &settled);
        self.tally.commits += 1;
        for attempt in &settled.attempts {
            if attempt.outcome == Outcome::Returned {
                self.tally.returned += attempt.which.len();
            } else {
                self.tally.done += attempt.which.len();
            }
        }
        let hands = self.nodes.get_mut(&node).unwrap();
        if let Some(rest) = rest {
            let held = hands.claims.get_mut(&claim).unwrap();
            (held.run, held.reporting) = (rest, false);
        } else {
            hands.claims.remove(&claim);
            hands.line.retain(|other| *other != claim);
        }
    }

    fn lead(&mut self, now_ms: u64) {
        loop {
            let (view, none) = (&self.world.view, Reserved::default());
            let plan = assign(view, &none, &mut self.numbers, BOUNDS, now_ms);
            if plan.is_empty() {
                return;
            }
            for change in plan {
                let Change::Assign(assign) = change else {
                    panic!("nothing waits for anything but a slot: {change:?}");
                };
                self.tally.commits += 1;
                for (node, claim, run) in self.world.assigned(&assign) {
                    self.coming.push_back((now_ms + WAY_MS, node, claim, run));
                }
            }
        }
    }
}

impl Hands {
    /// Ends, starts and hands back.
    fn work(&mut self, now_ms: u64, time_of: impl Fn(&Run, u8) -> u64) {
        for held in self.claims.values_mut() {
            let over = held.running.iter().filter(|(_, ends)| **ends <= now_ms);
            for index in over.map(|(index, _)| *index).collect::<Vec<u8>>() {
                held.running.remove(&index);
                held.end(Which::only(index), Outcome::Succeeded, now_ms);
            }
        }
        let running: usize = self.claims.values().map(|held| held.running.len()).sum();
        let (mut free, mut at_once) = (self.slots - running, AT_ONCE);
        for claim in &self.line {
            let held = self.claims.get_mut(claim).unwrap();
            for index in held.waiting.iter() {
                if free == 0 || at_once == 0 {
                    break;
                }
                held.waiting.remove(index);
                match time_of(&held.run, index) {
                    0 => {
                        at_once -= 1;
                        held.end(Which::only(index), Outcome::Succeeded, now_ms);
                    }
                    run_ms => {
                        free -= 1;
                        held.running.insert(index, now_ms + run_ms);
                    }
                }
            }
        }
        let late = self
            .claims
            .values_mut()
            .filter(|held| now_ms >= held.came_ms + HAND_BACK_MS && !held.waiting.is_empty());
        for held in late {
            let waiting = std::mem::take(&mut held.waiting);
            held.end(waiting, Outcome::Returned, now_ms);
        }
        let claims = &self.claims;
        self.line.retain(|claim| !claims[claim].waiting.is_empty());
    }
}

impl Held {
    fn new(run: Run, came_ms: u64) -> Self {
        Self {
            waiting: run.which,
            run,
            came_ms,
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_since: 0,
            reporting: false,
        }
    }

    fn end(&mut self, which: Which, outcome: Outcome, now_ms: u64) {
        if self.ended.is_empty() {
            self.ended_since = now_ms;
        }
        let ending = Ending {
            outcome,
            started_ms: None,
            finished_ms: now_ms,
            error: None,
            output: None,
            wait: None,
        };
        let of = self.ended.entry(ending).or_default();
        *of = of.or(which);
    }

    fn report(&mut self, node: &Name, now_ms: u64) -> Option<(Option<Run>, Settled)> {
        let done = self.waiting.is_empty() && self.running.is_empty();
        let due = done || now_ms >= self.ended_since + LINGER_MS;
        if self.reporting || self.ended.is_empty() || !due {
            return None;
        }
        self.reporting = true;
        let of = Of {
            run: &self.run,
            fence: 1,
            node,
            policy: None,
            stopped: Which::NONE,
            deaths_max: 3,
            blame: false,
            split: 1,
            draw: 0.5,
            now_ms,
        };
        Some(settle(of, &std::mem::take(&mut self.ended)))
    }
}

#[test]
fn work_of_mixed_length_is_handed_back_less_than_once_in_ten_tasks() {
    for (seed, slots, packs) in [
        (1, &[1, 1, 1][..], &[1; 500][..]),
        (5, &[1, 2, 4], &[1; 500]),
        (2, &[2, 2], &[100; 5]),
        (3, &[4, 4, 4], &[1; 900]),
    ] {
        let tally = play(seed, slots, packs, mixed);
        assert!(
            tally.returned * 10 < tally.done,
            "seed {seed}, {slots:?} slots: {tally:?}"
        );
    }
}

#[test]
fn work_of_a_tenth_of_a_second_is_not_claimed_ahead() {
    for (seed, slots, packs) in [(1, &[8, 8, 8][..], &[1; 900][..]), (2, &[8], &[60; 10])] {
        let tally = play(seed, slots, packs, tenth_of_a_second);
        assert_eq!(tally.returned, 0, "seed {seed}, {slots:?} slots: {tally:?}");
    }
}

#[test]
fn short_work_is_not_kept_waiting() {
    // The longest each may take: half as much again as with no more than a rate to go by.
    for (packs, run_times, longest_ms) in [
        (&[256; 80][..], nothing as RunTimes, 630),
        (&[1; 1_000], nothing, 135),
        (&[256; 10], ten, 5_000),
    ] {
        let tally = play(1, &[8], packs, run_times);
        assert_eq!(tally.returned, 0);
        assert!(tally.took_ms < longest_ms, "{tally:?}");
    }
}
