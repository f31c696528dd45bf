//! Locks and permits for whoever is no task, beside tasks that want the same, granted by the leader of whole nodes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::store::{Asked, Grants, OutsideError, OutsideSeen, Store, Turn, grants};
use tenure::task::{Gate, Needs, State};
use tenure_cluster::Range;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::common::{Cluster, name, task, within};

/// 20 s: nothing here takes as long.
const WAIT: Duration = Duration::from_secs(20);

/// A request of somebody outside.
#[derive(Clone)]
struct Outsider {
    store: Store,
    grants: Grants,
    gate: Gate,
    id: u128,
}

impl Outsider {
    async fn asks(store: &Store, grants: &Grants, gate: &Gate, ttl: Duration) -> Self {
        let asked = Asked {
            gate: gate.clone(),
            id: Uuid::now_v7().as_u128(),
            weight: 1,
            holder: "somebody".to_owned(),
            ttl,
        };
        let (_, repeated) = store.ask(&asked).await.expect("it may ask");
        assert!(!repeated);
        Self {
            store: store.clone(),
            grants: grants.clone(),
            id: asked.id,
            gate: asked.gate,
        }
    }

    /// Its fence, once it holds.
    async fn holds(&self) -> i64 {
        let seen = self.grants.wait(&self.store, (&self.gate, self.id), WAIT);
        fence(&seen.await.expect("it gets its turn"))
    }

    async fn releases(&self, fence: i64) {
        let released = self.store.release(&self.gate, self.id, Some(fence)).await;
        released.expect("it held it");
    }
}

fn fence(seen: &OutsideSeen) -> i64 {
    match seen.turn {
        Turn::Held { fence } => fence,
        Turn::Waiting { ahead } => panic!("it still waits behind {ahead}"),
    }
}

fn lock() -> Gate {
    Gate::Lock(name("deploy"))
}

/// The store's waiters, watched over as a node does.
fn waiters(cluster: &Cluster) -> (Grants, JoinSet<()>) {
    let (grants, usher) = grants(&cluster.store);
    let mut driver = JoinSet::new();
    driver.spawn(usher.run(CancellationToken::new()));
    (grants, driver)
}

#[tokio::test(flavor = "multi_thread")]
async fn outsiders_and_tasks_exclude_each_other_with_rising_fences() {
    // Who holds now, and all fences in the order they were had. Locked to look and to note.
    let seen: Arc<Mutex<(Option<i64>, Vec<i64>)>> = Arc::default();
    let enters = |seen: &Mutex<(Option<i64>, Vec<i64>)>, fence: i64| {
        let mut seen = seen.lock().unwrap();
        assert_eq!(seen.0.replace(fence), None, "two hold the lock");
        seen.1.push(fence);
    };
    let leaves = |seen: &Mutex<(Option<i64>, Vec<i64>)>, fence: i64| {
        assert_eq!(seen.lock().unwrap().0.take(), Some(fence));
    };
    let mut cluster = Cluster::start().await;
    for node in ["a", "b"] {
        let seen = Arc::clone(&seen);
        cluster
            .node(node, &[], |kinds| {
                kinds.handler_fn("guarded", move |context| {
                    let seen = Arc::clone(&seen);
                    async move {
                        enters(&seen, context.fence());
                        tokio::task::yield_now().await;
                        leaves(&seen, context.fence());
                        Ok(())
                    }
                })
            })
            .await;
    }
    let (grants, _driver) = waiters(&cluster);

    let mut guarded = task("guarded", "{}");
    let needs = Needs {
        locks: vec![name("deploy")],
        ..Needs::default()
    };
    guarded.routing.needs = Some(needs.into());
    let ids = cluster.batch(vec![guarded; 20]).await;
    let mut outsiders = JoinSet::new();
    for _ in 0..2 {
        let (store, grants, seen) = (cluster.store.clone(), grants.clone(), Arc::clone(&seen));
        outsiders.spawn(async move {
            for _ in 0..10 {
                let one = Outsider::asks(&store, &grants, &lock(), WAIT).await;
                let fence = one.holds().await;
                enters(&seen, fence);
                tokio::task::yield_now().await;
                leaves(&seen, fence);
                one.releases(fence).await;
            }
        });
    }
    while let Some(ended) = within(outsiders.join_next()).await {
        ended.unwrap();
    }
    cluster.until_all(&ids, State::Succeeded).await;

    let fences = seen.lock().unwrap().1.clone();
    assert_eq!(fences.len(), 40);
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
    let (left, _) = cluster.store.gate(&lock()).await.unwrap();
    assert_eq!((left.held, left.parked.tasks), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_renewed_goes_to_the_next_and_its_fence_is_refused() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let (grants, _driver) = waiters(&cluster);
    let shortest = Duration::from_secs(2);
    let first = Outsider::asks(&cluster.store, &grants, &lock(), shortest).await;
    let old = first.holds().await;
    // Waiting keeps it alive, so it may have as short a time.
    let next = Outsider::asks(&cluster.store, &grants, &lock(), shortest).await;

    let new = next.holds().await;

    assert!(new > old, "{new} after {old}");
    let late = cluster.store.release(&lock(), first.id, Some(old)).await;
    assert!(matches!(late, Err(OutsideError::Gone)), "{late:?}");
    let stolen = cluster.store.release(&lock(), next.id, Some(old)).await;
    assert!(matches!(stolen, Err(OutsideError::WrongFence { now: Some(now) }) if now == new));
    assert!(matches!(
        cluster.store.renew(&lock(), first.id).await,
        Err(OutsideError::Gone)
    ));
    cluster.store.renew(&lock(), next.id).await.unwrap();
    next.releases(new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_release_wakes_one_of_a_hundred_waiters() {
    const WAITERS: usize = 100;
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let (grants, _driver) = waiters(&cluster);
    let first = Outsider::asks(&cluster.store, &grants, &lock(), WAIT * 3).await;
    let fence = first.holds().await;
    // One who waits, so that the watch is open from here on.
    let second = Outsider::asks(&cluster.store, &grants, &lock(), WAIT * 3).await;
    let (seconds, ()) = tokio::join!(second.holds(), first.releases(fence));
    let (told, mut holders) = mpsc::unbounded_channel();
    let mut waiting = JoinSet::new();
    for _ in 0..WAITERS {
        let one = Outsider::asks(&cluster.store, &grants, &lock(), WAIT * 3).await;
        let told = told.clone();
        waiting.spawn(async move {
            let fence = one.holds().await;
            told.send((one, fence)).unwrap();
        });
    }
    cluster
        .when("all wait", async |_| {
            (grants.waiters() == WAITERS).then_some(())
        })
        .await;
    let before = grants.wakeups();

    second.releases(seconds).await;

    for nth in 1..=WAITERS as u64 {
        let (one, fence) = within(holders.recv()).await.unwrap();
        assert_eq!(grants.wakeups() - before, nth);
        assert!(holders.try_recv().is_err(), "two hold it");
        one.releases(fence).await;
    }
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
    assert_eq!(grants.wakeups() - before, WAITERS as u64);
    let leases = Range::prefix(cluster.store.keys().want_prefix()).count_only();
    let left = cluster.store.connection().range(&leases).await.unwrap();
    assert_eq!(left.count, 0);
}
