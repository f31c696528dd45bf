//! Schedules on whole nodes: what is due is fired once whoever leads, and what is not is on record.

use std::collections::{BTreeMap, BTreeSet};

use tenure::store::Declared;
use tenure::task::{
    By, Misfire, Occurrence, Overlap, PackId, Paused, Schedule, Skipped, State, TaskId, When,
};

use tenure_cluster::Txn;

use super::common::{Cluster, name, now_ms, task};
use super::recorder::{Recorder, WORK};

/// 1 s between due times.
const SECOND: u64 = 1_000;

fn every(ms: u64) -> Schedule {
    let task = task(WORK, "0");
    Schedule {
        when: When::Every(ms),
        zone: None,
        start_ms: None,
        end_ms: None,
        jitter_ms: 0,
        overlap: Overlap::Allow,
        misfire: Misfire::FireOnce,
        catch_up_ms: 3_600_000,
        start_deadline_ms: None,
        paused: None,
        labels: BTreeMap::new(),
        created_ms: now_ms(),
        routing: task.routing,
        policy: task.policy,
        spec: task.spec,
    }
}

fn with(overlap: Overlap) -> Schedule {
    Schedule {
        overlap,
        ..every(SECOND)
    }
}

impl Cluster {
    async fn declare(&self, id: &str, schedule: &Schedule) {
        let make = |_: Option<&Schedule>| Some(schedule.clone());
        let edited = self.store.edit_schedule(&name(id), None, make).await;
        edited.expect("it is declared");
    }

    async fn schedule(&self, id: &str) -> Declared {
        let found = self.store.schedule(&name(id)).await.expect("etcd answers");
        found.expect("it is declared")
    }

    /// Its ledger, oldest first.
    async fn ledger(&self, id: &str) -> Vec<Occurrence> {
        let declared = self.schedule(id).await;
        let lines = self.store.ledger(&declared, 1_000).await;
        let mut lines = lines.expect("etcd answers");
        lines.reverse();
        lines
    }

    /// Waits until its ledger is as it has to be.
    async fn ledger_when(
        &self,
        id: &str,
        what: &str,
        is: impl Fn(&[Occurrence]) -> bool,
    ) -> Vec<Occurrence> {
        self.when(what, async |_| {
            let lines = self.ledger(id).await;
            is(&lines).then_some(lines)
        })
        .await
    }

    /// The packs of all that it fired, by its ledger.
    async fn fired(&self, id: &str, lines: &[Occurrence]) -> Vec<PackId> {
        let incarnation = self.schedule(id).await.schedule.created;
        let of = name(id);
        let packs = lines.iter().filter_map(|line| line.task(&of, incarnation));
        packs.collect()
    }

    /// Every pack that was ever made, by etcd's history.
    async fn made(&self) -> Vec<PackId> {
        let keys = self.store.keys().clone();
        let puts = self.puts_since(keys.pack_prefix(), 1).await;
        puts.iter().filter_map(|kv| keys.pack_of(&kv.key)).collect()
    }
}

/// Whether all due times from the first to the last line are there, each once.
fn is_gapless(lines: &[Occurrence], period: u64) -> bool {
    let ends = lines
        .iter()
        .map(|line| line.until_ms.unwrap_or(line.due_ms));
    let next = lines.iter().skip(1).map(|line| line.due_ms);
    ends.zip(next)
        .all(|(end, next)| end / period + 1 == next / period)
}

fn skipped(lines: &[Occurrence], why: Skipped) -> usize {
    let why = lines.iter().filter(|line| line.skipped == Some(why));
    why.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_due_time_is_one_task_though_the_leader_dies_between() {
    let mut cluster = Cluster::start().await;
    let work = Recorder::open();
    cluster.declare("tick", &every(SECOND)).await;
    cluster.node("a", &[], work.on("a")).await;
    cluster
        .ledger_when("tick", "it is fired", |lines| lines.len() >= 2)
        .await;
    cluster.node("b", &[], work.on("b")).await;
    let before = cluster.leader_after(0).await;

    cluster.kill("a").await;
    cluster.leader_after(before.term).await;
    let had = cluster.ledger("tick").await.len();
    let more = |lines: &[Occurrence]| lines.len() >= had + 4;
    let lines = cluster.ledger_when("tick", "it is fired on", more).await;

    assert!(is_gapless(&lines, SECOND), "{lines:?}");
    assert!(lines.iter().all(|line| line.skipped.is_none()), "{lines:?}");
    let packs = cluster.fired("tick", &lines).await;
    let tasks: Vec<TaskId> = packs.iter().map(|pack| pack.task(0)).collect();
    cluster.until_all(&tasks, State::Succeeded).await;
    let made = cluster.made().await;
    let once: BTreeSet<_> = made.iter().collect();
    assert_eq!(once.len(), made.len(), "a pack was made twice");
    assert!(packs.iter().all(|pack| once.contains(pack)));
    let fired = cluster.look(tasks[0]).await.pack.fired.clone();
    assert_eq!(fired.map(|fired| fired.due_ms), Some(lines[0].due_ms));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_tasks_of_a_schedule_run_at_once_where_that_is_forbidden() {
    let mut cluster = Cluster::start().await;
    let work = Recorder::closed();
    for overlap in [Overlap::Skip, Overlap::QueueOne, Overlap::Replace] {
        cluster.declare(overlap.as_str(), &with(overlap)).await;
    }
    cluster.node("a", &[], work.on("a")).await;

    let waits = |lines: &[Occurrence]| skipped(lines, Skipped::Overlap) >= 2;
    let skip = cluster.ledger_when("skip", "it is skipped", waits).await;
    let queue = cluster.ledger_when("queue_one", "one waits", waits).await;
    let four = |lines: &[Occurrence]| lines.len() >= 4;
    let replace = cluster.ledger_when("replace", "it is replaced", four).await;

    assert_eq!(cluster.fired("skip", &skip).await.len(), 1);
    let queued = cluster.fired("queue_one", &queue).await;
    assert_eq!(queued.len(), 2);
    assert_eq!(cluster.look(queued[0].task(0)).await.state, State::Running);
    assert_eq!(cluster.look(queued[1].task(0)).await.state, State::Pending);
    // What is replaced is cancelled before the next one begins.
    let replaced = cluster.fired("replace", &replace).await;
    for pack in &replaced[..replaced.len() - 1] {
        cluster.until(pack.task(0), &[State::Cancelled]).await;
    }
    for lines in [skip, queue, replace] {
        assert!(is_gapless(&lines, SECOND), "{lines:?}");
    }

    work.let_through(true);
    cluster.until(queued[1].task(0), &[State::Succeeded]).await;
    let fired = |lines: &[Occurrence]| lines.last().is_some_and(|line| line.skipped.is_none());
    cluster
        .ledger_when("skip", "it is fired again", fired)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_in_a_pause_is_on_record_and_a_trigger_fires_even_then() {
    let mut cluster = Cluster::start().await;
    let work = Recorder::open();
    cluster.declare("tick", &every(SECOND)).await;
    cluster.node("a", &[], work.on("a")).await;
    cluster
        .ledger_when("tick", "it is fired", |lines| !lines.is_empty())
        .await;
    let paused = Paused {
        since_ms: now_ms(),
        reason: "a test".to_owned(),
    };
    let pause = Schedule {
        paused: Some(paused),
        ..every(SECOND)
    };
    cluster.declare("tick", &pause).await;
    let ticks = cluster.store.keys().tick_prefix();
    assert_eq!(cluster.all(ticks).await, []);

    let (task, _) = cluster.store.trigger(&name("tick"), 7 << 60).await.unwrap();
    cluster.until(task, &[State::Succeeded]).await;
    let done_ms = cluster.schedule("tick").await.progress.value.done_ms;
    let over = async |_: &_| (now_ms() > done_ms + 2 * SECOND).then_some(());
    cluster.when("two due times pass", over).await;
    cluster.declare("tick", &every(SECOND)).await;
    let lines = |lines: &[Occurrence]| {
        let resumed = lines.iter().position(|line| line.skipped.is_some());
        resumed.is_some_and(|at| lines.len() > at + 1)
    };
    let lines = cluster.ledger_when("tick", "it goes on", lines).await;

    assert_eq!(skipped(&lines, Skipped::Paused), 1);
    let triggered: Vec<_> = lines.iter().filter(|line| line.by == By::Trigger).collect();
    assert_eq!(triggered.len(), 1);
    assert_eq!(triggered[0].pack, Some(task.pack()));
    let clock: Vec<_> = lines
        .iter()
        .filter(|line| line.by == By::Clock)
        .cloned()
        .collect();
    assert!(is_gapless(&clock, SECOND), "{clock:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_makes_each_task_once_however_often_it_is_asked_for() {
    let mut cluster = Cluster::start().await;
    let work = Recorder::open();
    let schedule = every(3_600_000);
    cluster.declare("hourly", &schedule).await;
    cluster.node("a", &[], work.on("a")).await;
    let now = now_ms() / 3_600_000 * 3_600_000;
    let dues: Vec<u64> = (1..=20).rev().map(|hour| now - hour * 3_600_000).collect();

    let some = &dues[3..9];
    let (there, _) = cluster.store.backfill(&name("hourly"), some).await.unwrap();
    assert!(there.is_empty());
    let (there, done_at) = cluster
        .store
        .backfill(&name("hourly"), &dues)
        .await
        .unwrap();
    assert!(there.iter().eq(some) && done_at > 0, "{there:?}");
    let again = cluster.store.backfill(&name("hourly"), &dues).await;
    assert_eq!(again.unwrap(), (dues.iter().copied().collect(), 0));

    let lines = cluster.ledger("hourly").await;
    assert_eq!(lines.len(), 20);
    let packs: BTreeSet<_> = cluster.fired("hourly", &lines).await.into_iter().collect();
    assert_eq!(packs.len(), 20);
    let tasks: Vec<TaskId> = packs.iter().map(|pack| pack.task(0)).collect();
    cluster.until_all(&tasks, State::Succeeded).await;
    assert_eq!(cluster.made().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_read_keeps_no_other_waiting() {
    let mut cluster = Cluster::start().await;
    let work = Recorder::open();
    for id in ["broken", "behind", "tick"] {
        cluster.declare(id, &every(SECOND)).await;
    }
    let keys = cluster.store.keys().clone();
    let txn = Txn::new()
        .put(keys.schedule(&name("broken")), "not what it should be")
        .put(keys.progress(&name("behind")), "{}");
    assert!(
        cluster
            .store
            .connection()
            .commit(&txn)
            .await
            .committed()
            .is_some()
    );

    cluster.node("a", &[], work.on("a")).await;

    let twice = |lines: &[Occurrence]| lines.len() >= 2;
    let lines = cluster.ledger_when("tick", "it is fired", twice).await;
    assert!(is_gapless(&lines, SECOND), "{lines:?}");
    let listed = cluster.store.schedule_page(None, 10, 0).await.unwrap().0;
    assert_eq!(listed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_deleted_with_all_that_is_kept_of_it() {
    let mut cluster = Cluster::start().await;
    let work = Recorder::open();
    cluster.declare("tick", &every(SECOND)).await;
    cluster.node("a", &[], work.on("a")).await;
    cluster
        .ledger_when("tick", "it is fired", |lines| !lines.is_empty())
        .await;

    let none = |_: Option<&Schedule>| None;
    let gone = cluster.store.edit_schedule(&name("tick"), None, none).await;

    assert!(gone.unwrap().is_none());
    let keys = cluster.store.keys().clone();
    for prefix in [
        keys.schedule_prefix(),
        keys.progress_prefix(),
        keys.tick_prefix(),
    ] {
        assert_eq!(cluster.all(prefix).await, []);
    }
    assert!(
        cluster
            .store
            .schedule(&name("tick"))
            .await
            .unwrap()
            .is_none()
    );
}
