//! Stories of trials: what each is measured to, and what breaks its promise.

use serde_json::json;

use super::build::{Claim, Story, born, pack, packed, record};
use crate::check::shows::{LONG, POISON, Shown, shown};
use crate::history::{Effect, Entry, Fault, FaultKind, Marker, NodeEvent, Show, Trial};

impl Story {
    /// A trial begins with its fault.
    fn tries(&mut self, show: Show, kind: FaultKind, target: Option<&str>) {
        let target = target.map(str::to_owned);
        self.wait(1).saw(Entry::Trial(Trial {
            number: 1,
            show,
            target: target.clone(),
        }));
        self.breaks(1, kind, target);
    }

    fn breaks(&mut self, id: u64, kind: FaultKind, target: Option<String>) {
        self.wait(1).saw(Fault {
            id,
            kind,
            target,
            from: None,
            to: None,
        });
    }

    /// After the leader's key went, b leads.
    fn succeeds_to(&mut self, term: i64) {
        self.term = term;
        self.opens(term);
    }

    /// A run shows that it lives, and acts on what its lock guards.
    pub(super) fn acts(&mut self, claim: &Claim, gate: Option<&str>, done: bool) {
        let run = Self::run_of(claim);
        let gate = gate.map(str::to_owned);
        self.wait(1).saw(Entry::Effect(Effect { run, gate, done }));
    }
}

#[track_caller]
fn only(story: &Story) -> Shown {
    let mut all = shown(&story.history).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The figure is so much, and nothing is broken.
#[track_caller]
fn measures(story: &Story, figure: &str, value: u64) {
    let shown = only(story);
    assert_eq!(shown.failures, Vec::<String>::new());
    assert_eq!(shown.nothing, None);
    assert_eq!(shown.figures.get(figure), Some(&value), "{shown:#?}");
}

/// One promise is broken, in these words.
#[track_caller]
fn breaks(story: &Story, words: &str) {
    let shown = only(story);
    let [one] = shown.failures.as_slice() else {
        panic!("`{words}`: {shown:#?}");
    };
    assert!(one.contains(words), "`{words}` is not in `{one}`");
}

#[track_caller]
fn shows_nothing(story: &Story, words: &str) {
    let shown = only(story);
    assert!(shown.failures.is_empty(), "{shown:#?}");
    let why = shown.nothing.unwrap();
    assert!(why.contains(words), "`{words}` is not in `{why}`");
}

/// The leader is killed; after so many milliseconds its key goes, and another assigns.
fn leader_killed(after_ms: u64) -> Story {
    let mut story = Story::led();
    story.submit(1);
    story.tries(Show::LeaderKill, FaultKind::Crash, Some("a"));
    story.wait(after_ms).gone("a");
    story.succeeds_to(5);
    story.claim(1, "b");
    story
}

#[test]
fn a_dead_leader_is_replaced_when_another_assigns() {
    let story = leader_killed(300);
    measures(&story, "assigned_ms", 303);
    assert_eq!(only(&story).figures["led_ms"], 302);
    breaks(
        &leader_killed(1_998),
        "nobody else assigned anything for 2001 ms, 2000 are allowed",
    );

    let mut own = Story::led();
    own.submit(1);
    own.tries(Show::LeaderStop, FaultKind::Pause, Some("a"));
    own.claim(1, "b");
    breaks(&own, "nobody else ever assigned anything");

    let mut nobody = Story::new();
    nobody.node("a");
    nobody.tries(Show::LeaderKill, FaultKind::Crash, Some("a"));
    shows_nothing(&nobody, "nobody led when it began");
}

/// What b had is taken from it so many milliseconds after the fault, and begins on a.
fn taken(show: Show, kind: FaultKind, after_ms: u64) -> (Story, Claim) {
    let mut story = Story::led();
    story.submit(1);
    let first = story.claim(1, "b");
    story.starts(&first);
    story.tries(show, kind, Some("b"));
    story.wait(after_ms).gone("b");
    story.ends(&first, "lost", Some("ready"));
    let second = story.again(&first, "lost", "a");
    story.starts(&second);
    (story, first)
}

#[test]
fn what_a_dead_node_had_begins_elsewhere() {
    let killed = |after_ms| taken(Show::NodeKill, FaultKind::Crash, after_ms).0;
    measures(&killed(100), "elsewhere_ms", 104);
    breaks(
        &killed(1_997),
        "started elsewhere after 2001 ms, 2000 are allowed",
    );

    let mut waits = Story::led();
    waits.submit(1);
    waits.claim(1, "b");
    waits.tries(Show::NodeKill, FaultKind::Crash, Some("b"));
    waits.wait(500).saw(Entry::AllHealed);
    breaks(&waits, "waits after");

    // Its budget of deaths was used up: it is among the dead letters, and starts nowhere.
    let mut poison = Story::led();
    poison.submit(1);
    let last = poison.claim(1, "b");
    poison.tries(Show::NodeKill, FaultKind::Crash, Some("b"));
    poison.wait(10).gone("b");
    poison.ends(&last, "lost", Some("dead"));
    poison.wait(500).saw(Entry::AllHealed);
    shows_nothing(&poison, "the node had nothing");

    let mut idle = Story::led();
    idle.tries(Show::NodeCut, FaultKind::Partition, Some("b"));
    shows_nothing(&idle, "the node had nothing");

    // What it reported itself did not have to begin anywhere.
    let mut reported = Story::led();
    reported.submit(1);
    let claim = reported.claim(1, "b");
    reported.tries(Show::NodeKill, FaultKind::Crash, Some("b"));
    reported.ends(&claim, "succeeded", None);
    shows_nothing(&reported, "the node had nothing");
}

#[test]
fn runs_do_not_outlive_their_node_their_claim_or_their_pause() {
    let (mut killed, first) = taken(Show::NodeKill, FaultKind::Crash, 100);
    killed.acts(&first, None, true);
    measures(&killed, "elsewhere_ms", 104);
    killed.wait(900).saw(Entry::AllHealed);
    killed.acts(&first, None, true);
    breaks(&killed, "after its node was killed");

    let (mut cut, first) = taken(Show::NodeCut, FaultKind::Partition, 100);
    measures(&cut, "leftover_ms", 0);
    cut.acts(&first, None, true);
    breaks(&cut, "after its claim was given away");

    let (mut paused, first) = taken(Show::NodeStop, FaultKind::Pause, 100);
    paused.wait(1_000).saw(Entry::Healed { id: 1 });
    paused.wait(1_900).acts(&first, None, true);
    measures(&paused, "leftover_ms", 2_903);
    paused.wait(200).acts(&first, None, true);
    breaks(&paused, "after its node went on");
}

/// The leader is told to end; so many milliseconds after its key went another acts.
fn left(after_ms: u64) -> Story {
    let mut story = Story::led();
    story.submit(2);
    let seen = story.claim(2, "b");
    story.succeeds(&seen);
    story.submit(1);
    story.tries(Show::LeaderTerm, FaultKind::Leave, Some("a"));
    story.gone("a");
    story.wait(after_ms);
    story.succeeds_to(5);
    story
}

#[test]
fn a_leader_that_leaves_is_replaced_at_once() {
    measures(&left(40), "leaderless_ms", 41);
    breaks(&left(1_000), "nobody led for 1001 ms, 1000 are allowed");

    let mut nobody = Story::led();
    nobody.tries(Show::LeaderTerm, FaultKind::Leave, Some("a"));
    nobody.txn(vec![("elect/a".to_owned(), None)]);
    breaks(&nobody, "nobody led after a");
}

/// b leaves with a claim, whose task it says ended so; it had begun, or not.
fn leaves_with(began: bool, outcome: &str) -> (Story, Claim) {
    let mut story = Story::led();
    story.submit(2);
    let seen = story.claim(2, "a");
    story.succeeds(&seen);
    story.submit(1);
    let claim = story.claim(1, "b");
    if began {
        story.starts(&claim);
    }
    story.tries(Show::NodeTerm, FaultKind::Leave, Some("b"));
    story.ends(&claim, outcome, Some("ready"));
    (story, claim)
}

#[test]
fn what_had_not_begun_counts_as_no_attempt_and_what_had_is_not_begun_again() {
    measures(&leaves_with(false, "returned").0, "not_begun_counted", 0);
    breaks(
        &leaves_with(false, "lost").0,
        "had not begun on b under fence 11, and it counts as an attempt",
    );
    let (mut again, first) = leaves_with(true, "lost");
    measures(&again, "reruns", 0);
    let second = again.again(&first, "lost", "a");
    again.starts(&second);
    breaks(&again, "began again under fence");
}

#[test]
fn a_rolling_restart_fails_nothing_and_clients_hear_only_what_they_can_live_with() {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "a");
    story.starts(&claim);
    story.tries(Show::Rolling, FaultKind::Leave, Some("b"));
    for why in ["503 closing", "429 full", "connection refused"] {
        let call = story.call(Story::submit_op(1, None));
        let why = why.to_owned();
        story.saw(Entry::Fail { call, why });
    }
    measures(&story, "submits_to_repeat", 3);

    let call = story.call(Story::submit_op(1, None));
    let why = "400 bad".to_owned();
    story.saw(Entry::Fail { call, why });
    breaks(&story, "a submit was answered 400 bad");

    let mut failed = Story::led();
    failed.submit(1);
    let claim = failed.claim(1, "a");
    failed.starts(&claim);
    failed.tries(Show::Rolling, FaultKind::Leave, Some("b"));
    failed.ends(&claim, "failed", Some("due"));
    breaks(&failed, "ended Failed");
}

#[test]
fn etcds_own_election_is_given_its_time() {
    let both = |elected: bool| {
        let mut story = Story::led();
        story.submit(1);
        story.tries(Show::BothLeaders, FaultKind::Crash, Some("a"));
        story.wait(1_000);
        if elected {
            let member = "m".to_owned();
            story.saw(Marker::LeaderChanged { member });
        }
        story.wait(2_500).gone("a");
        story.succeeds_to(5);
        story.claim(1, "b");
        story
    };
    measures(&both(true), "assigned_ms", 3_503);
    breaks(&both(false), "for 3503 ms, 3000 are allowed");
}

#[test]
fn a_run_longer_than_the_grace_may_begin_again() {
    let mut story = Story::led();
    let mut spec = packed(5, &[0]);
    spec["routing"]["queue"] = json!(LONG);
    let ready = format!("live/ready/{LONG}/k/-/-/4/{}", born(1));
    story.txn(vec![
        (format!("pack/{}", pack(1)), Some(spec)),
        (ready, Some(record(5, "0", [0; 3]))),
    ]);
    let claim = story.claim(1, "b");
    story.starts(&claim);
    story.tries(Show::Rolling, FaultKind::Leave, Some("b"));
    story.ends(&claim, "lost", Some("ready"));
    let second = story.again(&claim, "lost", "a");
    story.starts(&second);
    measures(&story, "reruns", 0);
}

#[test]
fn a_false_death_is_counted_and_costs_one_more_run_at_most() {
    let mut story = Story::led();
    story.submit(1);
    let mut claim = story.claim(1, "b");
    story.tries(Show::LinkCut, FaultKind::Partition, Some("b"));
    story.starts(&claim);
    story.gone("b");
    for _ in 0..2 {
        story.ends(&claim, "lost", Some("ready"));
        claim = story.again(&claim, "lost", "a");
        story.starts(&claim);
        if claim.tally[0] == 1 {
            measures(&story, "false_deaths", 1);
        }
    }
    breaks(&story, "began 3 times");

    let mut truly = Story::led();
    truly.tries(Show::LinkCut, FaultKind::Partition, None);
    truly.breaks(2, FaultKind::Crash, Some("b".to_owned()));
    truly.gone("b");
    measures(&truly, "false_deaths", 0);
}

/// A run ends while etcd is away; then etcd is back, and something is assigned.
fn away() -> (Story, Claim) {
    let mut story = Story::led();
    story.submit(1);
    story.submit(2);
    let claim = story.claim(1, "b");
    story.starts(&claim);
    story.tries(Show::StoreDown, FaultKind::StoreDown, None);
    story.wait(500).stops(&claim);
    story.wait(500).saw(Entry::Healed { id: 1 });
    story.wait(99);
    story.claim(2, "a");
    (story, claim)
}

#[test]
fn what_ended_while_etcd_was_away_is_committed_where_its_session_lived_on() {
    let (dropped, _) = away();
    breaks(&dropped, "its session lived on, and that was not committed");

    let (mut kept, claim) = away();
    kept.ends(&claim, "succeeded", None);
    measures(&kept, "resumed_ms", 100);
    assert_eq!(only(&kept).figures["ended_meanwhile_committed"], 1);

    let (mut lost, claim) = away();
    lost.gone("b");
    lost.ends(&claim, "lost", Some("ready"));
    measures(&lost, "ended_meanwhile_again", 1);

    let mut dead = Story::led();
    dead.tries(Show::StoreDown, FaultKind::StoreDown, None);
    dead.wait(9).saw(Entry::Healed { id: 1 });
    breaks(&dead, "nothing was assigned after etcd came back");
}

/// A task kills so many nodes, and is dead then, or not.
fn poisoned(kills: u64, dead: bool) -> Story {
    let mut story = Story::led();
    let mut spec = packed(5, &[0]);
    spec["routing"]["queue"] = json!(POISON);
    story.wait(1).saw(Entry::Trial(Trial {
        number: 1,
        show: Show::Poison,
        target: None,
    }));
    let ready = format!("live/ready/{POISON}/k/-/-/4/{}", born(1));
    story.txn(vec![
        (format!("pack/{}", pack(1)), Some(spec)),
        (ready.clone(), Some(record(5, "0", [0; 3]))),
    ]);
    for id in 0..kills {
        story.breaks(id, FaultKind::Crash, Some("b".to_owned()));
    }
    if dead {
        let key = format!("dead/{POISON}/{}", born(1));
        story.txn(vec![(ready, None), (key, Some(record(5, "0", [2, 0, 2])))]);
    }
    story
}

#[test]
fn a_task_that_kills_its_nodes_is_dead_within_its_budget() {
    measures(&poisoned(2, true), "dead_ms", 3);
    breaks(&poisoned(3, true), "it killed 3 nodes, 2 are allowed");
    breaks(&poisoned(2, false), "is not dead after 2 kills");
}

/// Two have a lock one after the other; the first goes on, or tries to, after the second began.
fn two(paused: bool, late_done: Option<bool>) -> Story {
    let mut story = Story::led();
    story.submit(1);
    story.submit(2);
    let (first, second) = (story.claim(1, "b"), story.claim(2, "a"));
    story.starts(&first);
    story.acts(&first, Some("door"), true);
    let kind = if paused {
        FaultKind::Pause
    } else {
        FaultKind::Crash
    };
    story.tries(Show::Poison, kind, Some("b"));
    story.saw(NodeEvent::Started {
        node: "b".to_owned(),
        incarnation: 2,
    });
    story.starts(&second);
    story.acts(&second, Some("door"), true);
    if let Some(done) = late_done {
        story.acts(&first, Some("door"), done);
    }
    story
}

#[test]
fn one_acts_on_a_resource_at_a_time_and_late_acts_are_refused() {
    let failures = |story: &Story| {
        let all = only(story).failures;
        let about = all.into_iter().filter(|what| what.contains("door"));
        about.collect::<Vec<String>>()
    };
    assert_eq!(failures(&two(false, None)), Vec::<String>::new());
    let beside = failures(&two(false, Some(false)));
    assert!(
        beside[0].contains("two had door at once for 1 ms"),
        "{beside:?}"
    );
    // A process that stands still cannot end its run, and its fence is what holds.
    let paused = two(true, Some(false));
    assert_eq!(failures(&paused), Vec::<String>::new());
    assert_eq!(only(&paused).figures["stale_acts_refused"], 1);
    let taken = failures(&two(true, Some(true)));
    assert!(
        taken[0].contains("door took an act under fence"),
        "{taken:?}"
    );
}
