//! The rule by table, and under every interleaving of old views that chance finds.

use proptest::prelude::*;

use super::listing::Listed;
use super::rule::{Turn, View, turn};

fn listed(revision: i64, weight: u32) -> Listed {
    Listed {
        key: revision.to_string(),
        holder: String::new(),
        weight,
        revision,
        lease: 1,
    }
}

fn view(limit: u32, holding: &[(i64, u32)], waiting: &[(i64, u32)]) -> View {
    let all = |of: &[(i64, u32)]| of.iter().map(|&(r, w)| listed(r, w)).collect();
    View {
        limit,
        holding: all(holding),
        waiting: all(waiting),
    }
}

#[test]
fn it_is_our_turn_when_all_that_is_held_and_all_ahead_leave_room() {
    type Entries = &'static [(i64, u32)];
    let after = |revision, weight| Turn::After(listed(revision, weight));
    // Limit, held, waiting, our weight at place 50, whose turn.
    let table: [(u32, Entries, Entries, u32, Turn); 13] = [
        (1, &[], &[], 1, Turn::Ours),
        (1, &[(9, 1)], &[], 1, Turn::First),
        (1, &[], &[(9, 1)], 1, after(9, 1)),
        (3, &[(9, 1)], &[(10, 1)], 1, Turn::Ours),
        (3, &[(9, 1)], &[(10, 1)], 2, after(10, 1)),
        // A small one behind a wide one waits, though a permit is free.
        (3, &[(9, 1)], &[(10, 3)], 1, after(10, 3)),
        // Who is behind does not count before it holds; then it does.
        (3, &[(9, 1)], &[(60, 3)], 2, Turn::Ours),
        (3, &[(9, 1), (70, 1)], &[], 2, Turn::First),
        // The one directly ahead, whatever the order of the listing.
        (2, &[(9, 2)], &[(12, 1), (11, 1)], 1, after(12, 1)),
        // A limit lowered below what is held lets nobody in.
        (2, &[(9, 3)], &[], 1, Turn::First),
        (1, &[], &[], 2, Turn::Never),
        (4, &[], &[], 5, Turn::Never),
        (
            u32::MAX,
            &[(9, u32::MAX)],
            &[(10, u32::MAX)],
            1,
            after(10, u32::MAX),
        ),
    ];

    for (limit, holding, waiting, weight, expected) in table {
        let view = view(limit, holding, waiting);
        assert_eq!(turn(&view, 50, weight), expected, "{view:?} for {weight}");
    }
}

/// How an admission is decided and guarded, so that what is left out can be seen to matter.
#[derive(Clone, Copy)]
struct Protocol {
    rule: fn(&View, i64, u32) -> Turn,
    compares_limit: bool,
}

const OURS: Protocol = Protocol {
    rule: turn,
    compares_limit: true,
};

#[derive(Debug, Clone)]
enum Step {
    Arrive(u32),
    Look(usize),
    Grant(usize),
    Go(usize),
    Limit(u32),
}

struct Entry {
    place: i64,
    weight: u32,
    token: Option<i64>,
    /// What it saw last, and the limit's mod revision in that.
    seen: Option<(View, i64)>,
}

/// A store, and entries that decide by views of any age.
struct World {
    protocol: Protocol,
    revision: i64,
    limit: (u32, i64),
    entries: Vec<Entry>,
    tokens: Vec<i64>,
    /// The first promise that was broken.
    broken: Option<String>,
}

impl World {
    fn new(protocol: Protocol, limit: u32) -> Self {
        Self {
            protocol,
            revision: 1,
            limit: (limit, 1),
            entries: Vec::new(),
            tokens: Vec::new(),
            broken: None,
        }
    }

    fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    fn take(&mut self, step: &Step) {
        let len = self.entries.len();
        match step {
            Step::Arrive(weight) => {
                let place = self.next();
                self.entries.push(Entry {
                    place,
                    weight: *weight,
                    token: None,
                    seen: None,
                });
            }
            Step::Limit(limit) => self.limit = (*limit, self.next()),
            Step::Look(_) | Step::Grant(_) | Step::Go(_) if len == 0 => {}
            Step::Look(index) => self.look(index % len),
            Step::Grant(index) => self.grant(index % len),
            Step::Go(index) => {
                self.entries.remove(index % len);
                self.next();
            }
        }
    }

    fn look(&mut self, index: usize) {
        let holding = self.entries.iter().filter_map(|it| {
            let revision = it.token?;
            let key = it.place.to_string();
            Some(Listed {
                key,
                ..listed(revision, it.weight)
            })
        });
        let waiting = self.entries.iter().filter(|it| it.token.is_none());
        let view = View {
            limit: self.limit.0,
            holding: holding.collect(),
            waiting: waiting.map(|it| listed(it.place, it.weight)).collect(),
        };
        self.entries[index].seen = Some((view, self.limit.1));
    }

    fn grant(&mut self, index: usize) {
        let entry = &self.entries[index];
        let Some((view, modified)) = &entry.seen else {
            return;
        };
        let turn = |place, weight| (self.protocol.rule)(view, place, weight);
        if entry.token.is_some() || turn(entry.place, entry.weight) != Turn::Ours {
            return;
        }
        for ahead in view.waiting.iter().filter(|it| it.revision < entry.place) {
            if turn(ahead.revision, ahead.weight) != Turn::Ours {
                self.broken = Some(format!("{} overtakes {ahead:?}", entry.place));
            }
        }
        if self.protocol.compares_limit && *modified != self.limit.1 {
            return;
        }
        let token = self.next();
        self.entries[index].token = Some(token);
        self.tokens.push(token);
        let held = self.entries.iter().filter(|it| it.token.is_some());
        let held: u32 = held.map(|it| it.weight).sum();
        if held > self.limit.0 {
            self.broken = Some(format!("{held} held of {}", self.limit.0));
        }
    }

    /// Everybody looks and asks until nothing waits that can fit; who holds goes in between.
    fn drain(&mut self) {
        let limit = self.limit.0;
        self.entries
            .retain(|it| it.token.is_some() || it.weight <= limit);
        while !self.entries.is_empty() {
            for index in 0..self.entries.len() {
                self.look(index);
                self.grant(index);
            }
            let holder = self.entries.iter().position(|it| it.token.is_some());
            let Some(holder) = holder else {
                self.broken = Some("nobody is let in though nothing is held".into());
                return;
            };
            self.entries.remove(holder);
            self.next();
        }
    }
}

fn run(protocol: Protocol, limit: u32, steps: &[Step]) -> Result<(), String> {
    let mut world = World::new(protocol, limit);
    for step in steps {
        world.take(step);
    }
    world.drain();
    assert!(world.tokens.is_sorted_by(|a, b| a < b));
    world.broken.map_or(Ok(()), Err)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = || 0_usize..24;
    let step = prop_oneof![
        3 => (1_u32..=4).prop_map(Step::Arrive),
        5 => index().prop_map(Step::Look),
        5 => index().prop_map(Step::Grant),
        2 => index().prop_map(Step::Go),
        1 => (1_u32..=6).prop_map(Step::Limit),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_grant_exceeds_the_limit_in_force_and_nobody_starves(limit in 1_u32..=6, steps in steps()) {
        prop_assert_eq!(run(OURS, limit, &steps), Ok(()));
    }
}

/// Steps in which a view before the limit was lowered lets in too much.
fn lowered() -> Vec<Step> {
    vec![
        Step::Arrive(2),
        Step::Look(0),
        Step::Limit(1),
        Step::Grant(0),
    ]
}

#[test]
fn without_the_compare_of_the_limit_a_lowered_one_is_exceeded() {
    let careless = Protocol {
        compares_limit: false,
        ..OURS
    };
    assert_eq!(run(careless, 2, &lowered()), Err("2 held of 1".into()));
    assert_eq!(run(OURS, 2, &lowered()), Ok(()));
}

#[test]
fn without_counting_permits_held_behind_a_lowered_limit_is_exceeded() {
    // Places 2 and 3 fit both; 3 asks first, then the limit is lowered, and 2 still sees nobody ahead.
    fn ahead_only(view: &View, place: i64, weight: u32) -> Turn {
        let mut view = view.clone();
        view.holding
            .retain(|it| it.key.parse::<i64>().is_ok_and(|held| held < place));
        turn(&view, place, weight)
    }
    let steps = [
        Step::Arrive(1),
        Step::Arrive(1),
        Step::Look(1),
        Step::Grant(1),
        Step::Limit(1),
        Step::Look(0),
        Step::Grant(0),
    ];
    let careless = Protocol {
        rule: ahead_only,
        ..OURS
    };
    assert_eq!(run(careless, 2, &steps), Err("2 held of 1".into()));
    assert_eq!(run(OURS, 2, &steps), Ok(()));
}
