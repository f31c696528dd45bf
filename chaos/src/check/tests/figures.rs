//! Each figure is what a story was made of, and names the story that breaks its claim.

use serde_json::{Value as Json, json};

use super::build::{Story, born, pack};
use super::scarce::{held, limited, permits, run_key, set};
use crate::check::figures::{Figures, Kill, Scene, figures};
use crate::history::{NodeEvent, Op};

/// A rate of 50 a second: one in so many milliseconds.
const EVERY_MS: u64 = 20;

fn measured(story: &Story) -> Figures {
    let scene = Scene {
        shares: [("heavy".to_owned(), 3), ("light".to_owned(), 1)],
        rated: ("rated".to_owned(), 50),
    };
    figures(&story.history, &scene).unwrap()
}

/// These words are among the violations, and nothing else is.
#[track_caller]
fn only(story: &Story, words: &str) {
    let wrong = measured(story).violations();
    let [one] = wrong.as_slice() else {
        panic!("{words}: {wrong:?}");
    };
    assert!(one.contains(words), "`{words}` is not in `{one}`");
}

#[track_caller]
fn none(story: &Story) {
    assert_eq!(measured(story).violations(), Vec::<String>::new());
}

fn routed(queue: &str) -> Json {
    json!({"queue": queue, "kind": "k", "priority": 5})
}

impl Story {
    /// So many records of 256 tasks each are ready.
    fn backlog(&mut self, queue: &str, packs: std::ops::Range<u8>) {
        for n in packs {
            let record = json!({"routing": routed(queue), "which": "0-255"});
            let key = format!("live/ready/{queue}/k/-/-/4/{}", born(n));
            self.txn(vec![(key, Some(record))]);
        }
    }

    /// Tasks of a queue are claimed, as many as a set names, at one instant; their record stays as it is.
    fn begins(&mut self, queue: &str, number: usize, which: &str) {
        let run = json!({"pack": pack(1), "routing": routed(queue), "which": which,
            "session": 3, "term": self.term});
        let key = format!("live/run/b/{:x}-{number:x}", self.term);
        self.txn(vec![(key, Some(run))]);
        self.at_ms -= 1;
    }

    fn killed(&mut self, node: &str) {
        self.saw(NodeEvent::Crashed {
            node: node.to_owned(),
            incarnation: 1,
        });
    }
}

/// Both queues have a backlog, and so many tasks of each are claimed.
fn shared(heavy: usize, light: usize) -> Story {
    let mut story = Story::led();
    story.backlog("heavy", 1..3);
    story.backlog("light", 3..5);
    for number in 0..heavy {
        story.begins("heavy", number, "0");
    }
    for number in heavy..heavy + light {
        story.begins("light", number, "0");
    }
    story
}

#[test]
fn three_to_one_is_as_set_and_two_to_one_is_not() {
    let as_set = shared(300, 100);
    none(&as_set);
    assert_eq!(measured(&as_set).shares.starts, [300, 100]);
    none(&shared(312, 100));
    only(&shared(200, 100), "shared 2.00 to 1, and not 3.00 to 1");
    only(&shared(320, 100), "shared 3.20 to 1");
    only(&shared(0, 100), "shared 0.00 to 1");
}

#[test]
fn starts_count_while_both_queues_have_a_backlog() {
    // Only one has, or it is so small that one decision uses it up.
    let mut alone = Story::led();
    alone.backlog("heavy", 1..2);
    let few = json!({"routing": routed("light"), "which": "0-98"});
    alone.txn(vec![(
        format!("live/ready/light/k/-/-/4/{}", born(3)),
        Some(few),
    )]);
    alone.begins("heavy", 1, "0-99");

    assert_eq!(measured(&alone).shares.starts, [0, 0]);
    none(&alone);

    // One claim may hold many tasks, and a record that is gone is no backlog.
    let mut gone = shared(0, 0);
    gone.begins("heavy", 1, "0-29,40");
    for n in 3..5 {
        gone.txn(vec![(
            format!("live/ready/light/k/-/-/4/{}", born(n)),
            None,
        )]);
    }
    gone.begins("heavy", 2, "0-99");

    assert_eq!(measured(&gone).shares.starts, [31, 0]);
}

#[test]
fn what_is_handed_back_has_not_started() {
    let mut story = shared(300, 100);
    let said = |outcome, which| json!({"of": [{"which": which, "outcome": outcome, "number": 1}]});
    let result = |number: usize| format!("result/{}/{:x}-{number:x}/0", pack(1), 4);
    for number in 0..60 {
        story.txn(vec![(result(number), Some(said("returned", "0")))]);
    }
    // One that ended has started, and the hand back of an earlier claim is no matter.
    story.txn(vec![(result(70), Some(said("succeeded", "0")))]);
    story.txn(vec![(result(4_000), Some(said("returned", "0-9")))]);

    assert_eq!(measured(&story).shares.starts, [240, 100]);
    only(&story, "shared 2.40 to 1");
}

/// A leads for ten seconds, dies, and b leads for ten more; a task of the queue starts each so many milliseconds that they lead.
fn paced(every_ms: u64) -> Story {
    let mut story = Story::led();
    story.txn(set(
        "queue/rated",
        json!({"rate": {"tasks": 50, "per_ms": 1000, "burst": 25}}),
    ));
    story.backlog("rated", 1..5);
    for number in 0..10_000 / every_ms {
        story.wait(every_ms);
        story.begins("rated", usize::try_from(number).unwrap(), "0");
    }
    story.wait(1).killed("a");
    story.wait(5_000);
    story.gone("a");
    story.term = 5;
    story.opens(5);
    for number in 0..10_000 / every_ms {
        story.wait(every_ms);
        story.begins("rated", usize::try_from(number).unwrap(), "0");
    }
    story
}

#[test]
fn a_rate_is_met_over_the_time_that_somebody_led() {
    let story = paced(EVERY_MS);

    let pace = measured(&story).pace;
    none(&story);
    assert_eq!(pace.starts, 1_000);
    assert!((20_000..20_100).contains(&pace.led_ms), "{pace:?}");
    assert!((50..=51).contains(&pace.most_in_a_second), "{pace:?}");
    assert!(pace.ahead < 1.0, "{pace:?}");
}

#[test]
fn a_rate_that_is_exceeded_or_not_met_is_named() {
    let fast = measured(&paced(EVERY_MS - 2)).violations();
    assert!(
        fast.iter().any(|one| one.contains("started 55.")),
        "{fast:?}"
    );
    assert!(
        fast.iter().any(|one| one.contains("ahead of its rate")),
        "{fast:?}"
    );
    only(&paced(EVERY_MS + 2), "started 45.");
}

#[test]
fn a_bucket_that_is_full_when_a_term_begins_is_named() {
    let mut story = paced(EVERY_MS);
    story.gone("b");
    story.stand("c");
    story.term = story.revision;
    story.opens(story.term);
    story.begins("rated", 1, "0-24");

    only(&story, "25 starts ahead of its rate");
}

#[test]
fn what_is_held_beyond_a_limit_or_in_the_end_is_named() {
    let mut good = limited(3);
    good.takes(1, "0", &permits(2));
    good.takes(2, "0", &permits(1));
    good.gives_back(1);
    good.gives_back(2);
    none(&good);
    let [semaphore] = &measured(&good).semaphores[..] else {
        panic!("one semaphore was set");
    };
    assert_eq!(
        (
            semaphore.limit,
            semaphore.most,
            semaphore.left,
            semaphore.grants
        ),
        (3, 3, 0, 2)
    );

    let mut beyond = limited(3);
    beyond.takes(1, "0-1", &permits(2));
    beyond.gives_back(1);
    only(&beyond, "4 of 3 of semaphore db were held at once");

    let mut kept = limited(3);
    kept.takes(1, "0", &permits(2));
    only(&kept, "2 of semaphore db are held in the end");
}

#[test]
fn locks_that_are_shared_or_kept_and_tokens_that_fall_are_named() {
    let lock = json!({"locks": ["x"]});
    let mut good = Story::led();
    for n in 1..4 {
        good.takes(n, "0", &lock);
        good.gives_back(n);
    }
    none(&good);
    let locks = measured(&good).locks;
    assert_eq!(
        (locks.names, locks.holds, locks.again, locks.most),
        (1, 3, 2, 1)
    );

    let mut two = Story::led();
    two.takes(1, "0", &lock);
    two.takes(2, "0", &lock);
    two.gives_back(1);
    two.gives_back(2);
    only(&two, "2 held one lock at once");

    let mut kept = Story::led();
    kept.takes(1, "0", &lock);
    only(&kept, "1 locks are held in the end");

    // A claim that was there before takes the lock.
    let mut older = Story::led();
    older.takes(1, "0", &json!({}));
    older.takes(2, "0", &lock);
    older.gives_back(2);
    older.takes(1, "0", &lock);
    older.txn(vec![(run_key(1), None)]);
    only(&older, "1 tokens of locks did not rise");
}

#[test]
fn holds_of_those_outside_are_told_apart_by_how_they_ended() {
    let mut story = limited(3);
    let token = story.holds("s.db", "one", 1, 7);
    let call = story.call(Op::Release {
        gate: "s.db".to_owned(),
        token,
    });
    let at = story.drops("s.db", "one");
    story.answered(call, at, &[]);
    story.holds("s.db", "two", 1, 8);
    story.wait(2_500);
    story.drops("s.db", "two");

    let outside = measured(&story).outside;
    none(&story);
    assert_eq!((outside.held, outside.released, outside.expired), (2, 1, 1));
    assert!((2_500..2_510).contains(&outside.expired_ms), "{outside:?}");

    // Two of one semaphore are granted by one revision, and one of them gives back.
    let calls = ["four", "five"].map(|id| story.wants("s.db", id, 1, 7));
    let hold = |id: &str| (format!("live/hold/s.db/{id}"), Some(held(1)));
    let token = story.txn(vec![hold("four"), hold("five")]);
    for call in calls {
        story.answered(call, token, &[]);
    }
    story.call(Op::Release {
        gate: "s.db".to_owned(),
        token,
    });
    story.drops("s.db", "four");
    story.wait(5_000);
    story.drops("s.db", "five");
    let outside = measured(&story).outside;
    assert_eq!((outside.held, outside.expired), (4, 2));
    assert!((5_000..5_010).contains(&outside.expired_ms), "{outside:?}");

    story.holds("l.x", "three", 1, 9);
    let wrong = measured(&story).violations();
    assert!(
        wrong
            .iter()
            .any(|one| one.contains("1 holds of those outside")),
        "{wrong:?}"
    );
}

#[test]
fn nobody_leads_from_a_leaders_death_to_the_next_ones_first_write() {
    let mut story = Story::led();
    story.wait(1_000);
    story.killed("b");
    story.killed("a");
    let died_ms = story.at_ms;
    story.wait(5_000);
    story.gone("a");
    story.wait(300);
    story.opens(5);

    let figures = measured(&story);

    let [gap] = &figures.gaps[..] else {
        panic!("one leader died: {:?}", figures.gaps);
    };
    let next = gap.next.clone().unwrap();
    assert_eq!((gap.before.as_str(), gap.from_ms), ("a", died_ms));
    assert_eq!((next.0.as_str(), next.1 - died_ms), ("b", 5_302));
    let led = |node: &str| {
        let of = |kill: &&Kill| kill.node == node;
        figures.kills.iter().find(of).unwrap().led
    };
    assert!(led("a") && !led("b"));
}

#[test]
fn a_story_in_which_nothing_happens_shows_nothing() {
    let story = Story::led();

    none(&story);
    assert_eq!(measured(&story).unproved().len(), 8);
    // 1,000 starts in 20 s of led time are enough of a rate, and nothing else is shown by them.
    assert_eq!(measured(&paced(EVERY_MS)).unproved().len(), 7);
}
