//! Limits on whole nodes: permits, locks, concurrency keys and queue rules, read back from etcd's history.

use std::collections::BTreeMap;

use tenure::store::{Live, NewTask, Place, QueueRules, Rate, Run, decode};
use tenure::task::{Gate, Needs, Paused, Permit, State, TaskId};
use tenure_cluster::{Event, EventKind, Range};

use super::common::{Cluster, name, now_ms, task, with_priority};
use super::recorder::{Recorder, WORK};

/// One permit of this semaphore.
fn permit(semaphore: &str) -> Needs {
    let permit = Permit {
        semaphore: name(semaphore),
        weight: 1,
    };
    Needs {
        permits: vec![permit],
        ..Needs::default()
    }
}

fn lock(of: &str) -> Needs {
    Needs {
        locks: vec![name(of)],
        ..Needs::default()
    }
}

fn work(needs: Needs) -> NewTask {
    let mut task = task(WORK, "0");
    task.routing.needs = Some(needs.into());
    task
}

fn several(count: usize, needs: &Needs) -> Vec<NewTask> {
    (0..count).map(|_| work(needs.clone())).collect()
}

fn db() -> Gate {
    Gate::Semaphore(name("db"))
}

/// What was held of a gate, by etcd's history.
#[derive(Debug, Default)]
struct Holding {
    /// After each revision that changed it.
    after: Vec<(i64, u64)>,
    /// The claims that held it: fences, and how many tasks each began with.
    fences: Vec<(i64, usize)>,
}

impl Holding {
    fn most(&self) -> u64 {
        let after = self.after.iter().map(|(_, held)| *held);
        after.max().unwrap_or(0)
    }

    fn last(&self) -> u64 {
        self.after.last().map_or(0, |(_, held)| *held)
    }

    /// How much was held at a revision.
    fn at(&self, revision: i64) -> u64 {
        let before = self.after.iter().take_while(|(at, _)| *at <= revision);
        before.last().map_or(0, |(_, held)| *held)
    }
}

/// Adds up the claims that were there after each revision since this one.
async fn holding(cluster: &Cluster, gate: &Gate, since: i64) -> Holding {
    let keys = cluster.store.keys();
    let mut claims: BTreeMap<String, u64> = BTreeMap::new();
    let mut holding = Holding::default();
    for Event { kind, kv, .. } in cluster.events_since(keys.runs(), since).await {
        let held = match kind {
            EventKind::Put => {
                let run: Run = decode(&kv.key, &kv.value).expect("a claim");
                let mut gates = run.routing.gates();
                let weight = gates.find(|(of, _)| of == gate).map_or(0, |(_, w)| w);
                if weight > 0 && kv.version == 1 {
                    holding.fences.push((kv.create_revision, run.which.len()));
                }
                u64::from(weight) * run.which.len() as u64
            }
            EventKind::Delete => 0,
        };
        claims.insert(kv.key, held);
        let sum = claims.values().sum();
        match holding.after.last_mut() {
            // What one transaction wrote counts together.
            Some((at, all)) if *at == kv.mod_revision => *all = sum,
            Some(_) | None => holding.after.push((kv.mod_revision, sum)),
        }
    }
    holding
}

/// Waits until a task waits for a lock or a key in the lane of that.
async fn parked(cluster: &Cluster, id: TaskId) {
    let what = format!("{id} is parked");
    cluster
        .when(&what, async |store| {
            let found = store.task(id).await.ok()?.0?;
            let (place, ..) = found.waiting?;
            matches!(place, Place::Parked(_)).then_some(())
        })
        .await;
}

/// Waits until no lane of a lock or a key is left.
async fn no_passing_lanes(cluster: &Cluster) {
    cluster
        .when("empty lanes are forgotten", async |store| {
            let range = Range::prefix(store.keys().passing_prefix());
            let kvs = store.connection().range(&range).await.ok()?.kvs;
            let passing = kvs.iter().any(|kv| match store.keys().live(&kv.key) {
                Some(Live::Lane(lane)) => lane.is_passing(),
                Some(_) | None => false,
            });
            (!passing).then_some(())
        })
        .await;
}

async fn three_nodes(cluster: &mut Cluster, recorder: &Recorder) {
    for node in ["a", "b", "c"] {
        cluster.node(node, &[], recorder.on(node)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_semaphore_of_three_is_never_held_by_more_across_nodes_and_a_change_of_leader() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    three_nodes(&mut cluster, &recorder).await;
    let since = cluster.limit("db", Some(3)).await;
    let ids = cluster.batch(several(300, &permit("db"))).await;
    recorder.started(50).await;

    let old = cluster.leader_after(0).await;
    cluster.store.dismiss(&old, now_ms()).await.unwrap();
    cluster.leader_after(old.term).await;

    cluster.until_all(&ids, State::Succeeded).await;
    let held = holding(&cluster, &db(), since).await;
    assert_eq!((held.most(), held.last()), (3, 0));
    assert_eq!(recorder.starts().len(), 300, "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_has_one_holder_at_a_time_whose_fence_is_above_all_before_it() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    three_nodes(&mut cluster, &recorder).await;
    let since = cluster.revision().await;

    let mut ids = cluster.batch(several(40, &lock("x"))).await;
    for _ in 0..10 {
        ids.push(cluster.submit(work(lock("x"))).await);
    }

    cluster.until_all(&ids, State::Succeeded).await;
    let held = holding(&cluster, &Gate::Lock(name("x")), since).await;
    assert_eq!((held.most(), held.last()), (1, 0));
    assert_eq!(held.fences.len(), 50);
    assert!(held.fences.iter().all(|(_, tasks)| *tasks == 1));
    assert!(held.fences.is_sorted());
    let told: Vec<i64> = recorder.starts().iter().map(|start| start.fence).collect();
    assert!(told.is_sorted(), "runs were told their fences: {told:?}");
    no_passing_lanes(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_task_is_pending_and_can_be_cancelled() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let holder = cluster.submit(work(lock("x"))).await;
    recorder.started(1).await;
    let waits = cluster.submit(work(lock("x"))).await;
    parked(&cluster, waits).await;
    assert_eq!(cluster.look(waits).await.state, State::Pending);

    let cancelled = cluster.store.cancel(waits, 7, now_ms()).await.unwrap();

    assert_eq!(cancelled.state, State::Cancelled);
    recorder.let_through(true);
    cluster.until(holder, &[State::Succeeded]).await;
    no_passing_lanes(&cluster).await;
    assert_eq!(cluster.look(waits).await.state, State::Cancelled);
    assert_eq!(recorder.starts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_task_survives_a_change_of_leader_and_runs_when_the_lock_is_free() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    cluster.node("b", &[], recorder.on("b")).await;
    let holder = cluster.submit(work(lock("x"))).await;
    recorder.started(1).await;
    let waits = cluster.submit(work(lock("x"))).await;
    parked(&cluster, waits).await;

    let old = cluster.leader_after(0).await;
    cluster.store.dismiss(&old, now_ms()).await.unwrap();
    cluster.leader_after(old.term).await;
    // The new leader plans by what it has read when it starts this.
    let free = cluster.submit(task("noop", "{}")).await;
    cluster.until(free, &[State::Succeeded]).await;
    assert_eq!(recorder.starts().len(), 1, "the lock is held");
    recorder.let_through(true);

    cluster.until_all(&[holder], State::Succeeded).await;
    cluster.until(waits, &[State::Succeeded]).await;
    let starts = recorder.starts();
    assert_eq!(starts.len(), 2);
    assert!(starts[0].fence < starts[1].fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_lets_go_of_its_lock() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let since = cluster.revision().await;
    let first = cluster.submit(work(lock("x"))).await;
    recorder.started(1).await;
    cluster.node("b", &[], recorder.on("b")).await;
    let second = cluster.submit(work(lock("x"))).await;
    parked(&cluster, second).await;

    cluster.cut("a").await;
    recorder.let_through(true);

    cluster.until(first, &[State::Succeeded]).await;
    cluster.until(second, &[State::Succeeded]).await;
    let held = holding(&cluster, &Gate::Lock(name("x")), since).await;
    assert_eq!((held.most(), held.last()), (1, 0));
    assert_eq!(held.fences.len(), 3, "the first one was held twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_limit_takes_nothing_away_and_grants_nothing_until_it_fits() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let since = cluster.limit("db", Some(3)).await;
    let ids = cluster.batch(several(20, &permit("db"))).await;
    recorder.started(3).await;

    let lowered = cluster.limit("db", Some(1)).await;
    recorder.let_through(true);

    cluster.until_all(&ids, State::Succeeded).await;
    let held = holding(&cluster, &db(), since).await;
    assert_eq!((held.most(), held.at(lowered), held.last()), (3, 3, 0));
    let later = held.fences.iter().filter(|(fence, _)| *fence > lowered);
    let after: Vec<u64> = later.map(|(fence, _)| held.at(*fence)).collect();
    assert!(
        !after.is_empty() && after.iter().all(|held| *held == 1),
        "{after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_for_a_semaphore_that_nobody_declared_waits_until_somebody_does() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    cluster.node("a", &[], recorder.on("a")).await;
    let waits = cluster.submit(work(permit("db"))).await;
    let free = cluster.submit(task(WORK, "0")).await;
    cluster.until(free, &[State::Succeeded]).await;
    assert_eq!(cluster.look(waits).await.state, State::Pending);
    cluster.limit("db", Some(1)).await;
    cluster.until(waits, &[State::Succeeded]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_of_a_concurrency_key_run_at_once_that_nobody_declared() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    three_nodes(&mut cluster, &recorder).await;
    let rules = QueueRules {
        per_key: Some(2),
        ..QueueRules::default()
    };
    let since = cluster.rules("default", &rules).await;
    let of = |key: &str| Needs {
        key: Some(name(key)),
        ..Needs::default()
    };
    let tenants = ["one", "two"];
    let tasks = tenants.iter().flat_map(|key| several(10, &of(key)));
    let ids = cluster.batch(tasks.collect()).await;
    recorder.started(4).await;
    recorder.let_through(true);

    cluster.until_all(&ids, State::Succeeded).await;
    for key in tenants {
        let gate = Gate::Key(name("default"), name(key));
        let held = holding(&cluster, &gate, since).await;
        assert_eq!((held.most(), held.last()), (2, 0), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    cluster.node("a", &[], recorder.on("a")).await;
    let paused = QueueRules {
        paused: Some(Paused {
            since_ms: now_ms(),
            reason: "maintenance".to_owned(),
        }),
        ..QueueRules::default()
    };
    cluster.rules("default", &paused).await;
    let waits = cluster.submit(with_priority(task(WORK, "0"), 9)).await;
    let mut other = task(WORK, "1");
    other.routing.queue = name("other");
    let other = cluster.submit(other).await;
    cluster.until(other, &[State::Succeeded]).await;
    let found = cluster.look(waits).await;
    assert_eq!((found.state, found.attempts.len()), (State::Pending, 0));

    cluster.rules("default", &QueueRules::default()).await;

    cluster.until(waits, &[State::Succeeded]).await;
}

/// 500 ms: how much later than another a start may be told on a loaded machine.
const LATE_MS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_through_the_death_of_a_leader() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    cluster.node("a", &[], recorder.on("a")).await;
    let leader = cluster.leader_after(0).await;
    cluster.node("b", &[], recorder.on("b")).await;
    let (tasks, burst) = (50, 5);
    let rate = Rate {
        tasks,
        per_ms: 1_000,
        burst,
    };
    let rules = QueueRules {
        rate: Some(rate),
        ..QueueRules::default()
    };
    cluster.rules("default", &rules).await;
    let ids = cluster
        .batch((0..150).map(|_| task(WORK, "0")).collect())
        .await;
    recorder.started(40).await;
    cluster.cut("a").await;
    cluster.leader_after(leader.term).await;

    let found = cluster.until_all(&ids, State::Succeeded).await;

    let started = found.iter().flat_map(|found| &found.attempts);
    let mut started: Vec<u64> = started
        .filter_map(|(_, attempt)| attempt.started_ms)
        .collect();
    started.sort_unstable();
    assert!(started.len() >= 150);
    for (from, first) in started.iter().enumerate() {
        for (more, then) in started[from..].iter().enumerate() {
            let span_ms = then - first + LATE_MS;
            let most = u64::from(burst) + u64::from(tasks) * span_ms / 1_000;
            let count = more as u64 + 1;
            assert!(count <= most, "{count} starts within {} ms", then - first);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_share_starts_by_their_weights_while_both_have_work() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::slow(super::order::SLOW);
    recorder.let_through(true);
    cluster.node("a", &[], recorder.on("a")).await;
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for (queue, weight) in [("heavy", 3), ("light", 1)] {
        let rules = QueueRules {
            weight: Some(weight),
            ..QueueRules::default()
        };
        cluster.rules(queue, &rules).await;
        let mut work = task(WORK, &weight.to_string());
        work.routing.queue = name(queue);
        first.push(cluster.submit(work.clone()).await);
        all.extend((0..250).map(|_| work.clone()));
    }
    // The leader has both lanes at hand from here on, so that it sees the work of both at one revision.
    cluster.until_all(&first, State::Succeeded).await;

    cluster.batch(all).await;

    let starts = recorder.started(242).await;
    let starts = &starts[2..242];
    let heavy = starts.iter().filter(|start| start.payload == 3).count();
    // Three quarters, to 5 %.
    assert!((171..=189).contains(&heavy), "{heavy} of 240");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_waited_for_long_is_reached_however_much_comes_above_it() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::slow(super::order::SLOW);
    recorder.let_through(true);
    let old = with_priority(task(WORK, "1"), 1);
    let accepted = cluster.submitter.one(old, None, now_ms() - 61_000).await;
    accepted.expect("an old clock's submit is accepted");
    let urgent = (0..64).map(|_| with_priority(task(WORK, "9"), 9));
    cluster.batch(urgent.collect()).await;

    cluster
        .node("a", &[("TENURE_SLOTS", "1")], recorder.on("a"))
        .await;

    let starts = recorder.started(32).await;
    let at = starts.iter().position(|start| start.payload == 1);
    // One record of 16 is for age, and each of the others starts one task or some.
    assert!(at.is_some_and(|at| at >= 15), "{at:?}");
}
