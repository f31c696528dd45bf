//! Sessions that are lost while etcd is silent: what had ended is told, what runs is stopped or finishes, and nothing outlives the
//! lease, whatever the runtime does.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tenure::store::{Found, NewTask};
use tenure::task::{OnLost, Outcome, State};
use tenure_cluster::{Connection, Options, Range};
use tokio_util::sync::CancellationToken;

use super::common::{Cluster, name, task, with_attempts};
use super::recorder::{Recorder, WORK};

/// Twice the lease of the nodes here: past it by all clocks.
const PAST_THE_LEASE: Duration = Duration::from_secs(4);

/// What is waited for comes within it, or not at all.
const BOUND: Duration = Duration::from_secs(30);

fn outcomes(found: &Found) -> Vec<Outcome> {
    found.attempts.iter().map(|(_, a)| a.outcome).collect()
}

fn finishing(mut task: NewTask) -> NewTask {
    task.policy.on_lost = OnLost::Finish;
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_of_a_run_that_ended_while_etcd_was_silent_past_the_lease_is_committed_once() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let before = cluster.session("a").await;
    let ended = cluster.submit(with_attempts(task(WORK, "0"), 1)).await;
    recorder.started(1).await;
    let stopped = cluster.submit(task("sleep", r#"{"ms":600000}"#)).await;
    cluster.until(stopped, &[State::Running]).await;

    cluster.etcd.stop(0);
    recorder.let_through(true);
    recorder.idle("a").await;
    // Not a wait for anything: so long it is silent.
    tokio::time::sleep(PAST_THE_LEASE).await;
    cluster.etcd.cont(0);

    let found = cluster.until(ended, &[State::Succeeded]).await;
    assert_eq!(outcomes(&found), [Outcome::Succeeded]);
    assert_eq!(found.attempts[0].1.number, 1);
    cluster.joined("a", before.create_revision).await;
    assert_eq!(recorder.starts().len(), 1, "it ran once");
    // What still ran is on record as lost, and runs again.
    let again = cluster
        .when("it runs again", async |store| {
            let found = store.task(stopped).await.ok()?.0?;
            let again = found.state == State::Running && !found.attempts.is_empty();
            again.then_some(found)
        })
        .await;
    assert_eq!(outcomes(&again), [Outcome::Lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_finish_does_past_its_session_and_is_committed_where_nobody_reclaimed_it()
{
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let id = cluster.submit(finishing(task(WORK, "0"))).await;
    recorder.started(1).await;

    cluster.etcd.stop(0);
    // Not a wait for anything: so long it is silent.
    tokio::time::sleep(PAST_THE_LEASE).await;
    recorder.let_through(true);
    recorder.idle("a").await;
    cluster.etcd.cont(0);

    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(outcomes(&found), [Outcome::Succeeded]);
    assert_eq!(recorder.starts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_finish_goes_on_beside_its_successor_and_only_one_is_committed() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let id = cluster.submit(finishing(task(WORK, "0"))).await;
    recorder.started(1).await;

    cluster.revoke("a").await;

    let starts = recorder.started(2).await;
    assert_eq!(recorder.most_at_once("a"), 2, "the first goes on");
    assert!(starts[1].fence > starts[0].fence);
    recorder.let_through(true);
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(outcomes(&found), [Outcome::Lost, Outcome::Succeeded]);
    recorder.idle("a").await;
}

/// Whether a process runs: it is there, and does not only wait for its parent to hear that it has ended.
fn runs(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

#[test]
fn a_command_is_gone_before_its_lease_though_the_runtime_stands_still() {
    let runtime = |threads| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap()
    };
    let (tests, nodes) = (runtime(2), runtime(1));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("process");
    let (blocked, blocks) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));

    let cluster = tests.block_on(Cluster::start());
    let settings = [("TENURE_ALLOW_COMMAND", "true"), ("TENURE_LEASE_TTL", "3s")];
    let node = cluster.node_of("a", &settings).kinds(|kinds| {
        kinds.handler_fn("block", move |_| {
            let (blocked, released) = (blocked.clone(), std::sync::Arc::clone(&released));
            async move {
                blocked.send(())?;
                // On purpose: held as long as the runtime's only thread stands still.
                let _told = released.lock().unwrap().recv();
                Ok(())
            }
        })
    });
    let stop = CancellationToken::new();
    let life = nodes.spawn(node.run(stop.clone()));
    let script = format!(
        "echo $$ >{0}.new; mv {0}.new {0}; sleep 1000",
        file.display()
    );
    let argv = serde_json::json!({"argv": ["sh", "-c", script]}).to_string();
    let key = cluster.store.keys().node(&name("a"));
    let process = tests.block_on(async {
        cluster.joined("a", 0).await;
        cluster.submit(task("command", &argv)).await;
        cluster
            .when("the command begins", async |_store| {
                std::fs::read_to_string(&file).ok()
            })
            .await
    });
    assert!(runs(process.trim()));

    tests.block_on(cluster.submit(task("block", "{}")));
    blocks.recv_timeout(BOUND).unwrap();
    let begun = Instant::now();
    while runs(process.trim()) {
        assert!(begun.elapsed() < BOUND, "nobody ends the command");
        // A process of another parent, on a thread outside of every runtime: nothing tells of its end.
        std::thread::sleep(Duration::from_millis(1));
    }
    let lease = tests.block_on(async {
        let connection = Connection::open(Options::new(cluster.etcd.endpoints())).unwrap();
        connection.range(&Range::key(&key)).await.unwrap().count
    });
    assert_eq!(lease, 1, "the lease was over before the command was");

    drop(release);
    stop.cancel();
    tests.block_on(life).unwrap().unwrap();
    tests.block_on(async { drop(cluster) });
    nodes.shutdown_background();
}
