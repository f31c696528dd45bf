//! How runs end that do not end by themselves. What is left behind on purpose is looked up in
//! /proc.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;

/// 2 ms between looks into /proc and at files of other processes, which tell nobody when they change.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Polls for what another process does, for which nothing can be awaited.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    timeout_or(seen, "what was waited for did not happen").await
}

async fn timeout_or<T>(what: impl Future<Output = T>, complaint: &str) -> T {
    tokio::time::timeout(SOON, what).await.expect(complaint)
}

/// Whether a process is no more. A zombie is none: it waits for whoever adopted it, and runs
/// nothing.
fn gone(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X'])),
    }
}

/// A directory into which scripts write the numbers of their processes, one file each, a whole line
/// at once.
struct Pids(TempDir);

impl Pids {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn of(&self, name: &str) -> u32 {
        let file = self.file(name);
        until(|| {
            std::fs::read_to_string(&file)
                .ok()?
                .strip_suffix('\n')?
                .parse()
                .ok()
        })
        .await
    }
}

fn pid(number: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

#[tokio::test]
async fn a_timeout_is_told_as_one_and_a_program_may_end_in_its_grace() {
    let script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done";
    let run = Run {
        timeout: Some(Duration::from_millis(300)),
        ..run_of(NAME, &json!({"argv": ["sh", "-c", script]}))
    };
    let started = Instant::now();

    let ended = kinds(options()).run(run).await;

    assert_eq!(ended.outcome, Outcome::Timeout);
    assert_eq!(ended.error.as_deref(), Some("timed out after 300ms"));
    assert_eq!(output(&ended).stdout, "bye\n");
    assert_eq!(output(&ended).code, Some(0));
    assert!(
        started.elapsed() < SOON,
        "it did not wait for the whole grace"
    );
}

#[tokio::test]
async fn who_ignores_term_is_killed_with_all_descendants() {
    let pids = Pids::new();
    let script = format!(
        "trap '' TERM; \
         sh -c 'trap \"\" TERM; (trap \"\" TERM; sh -c \"echo \\$PPID > {grand}; sleep 600\") & \
                echo $$ > {child}; wait; sleep 600' & \
         echo $$ > {leader}; wait; sleep 600",
        grand = pids.file("grand").display(),
        child = pids.file("child").display(),
        leader = pids.file("leader").display(),
    );
    let run = run_of(NAME, &json!({"argv": ["sh", "-c", script]}));
    let cancel = run.cancel.clone();
    let options = CommandOptions {
        grace: Duration::from_millis(50),
        ..options()
    };
    let kinds = kinds(options);

    let (ended, family) = timeout_or(
        futures::future::join(kinds.run(run), async {
            let family = [
                pids.of("leader").await,
                pids.of("child").await,
                pids.of("grand").await,
            ];
            assert!(!family.into_iter().any(gone), "all were there before");
            cancel.cancel();
            family
        }),
        "the run went on",
    )
    .await;

    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert_eq!(ended.error.as_deref(), Some("cancelled"));
    for pid in family {
        until(|| gone(pid).then_some(())).await;
    }
}

#[tokio::test]
async fn a_descendant_that_outlives_a_leader_stopped_by_term_is_killed_after_the_grace() {
    let pids = Pids::new();
    // The leader dies of TERM at once; the child ignores it and holds the pipes.
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ > {}; sleep 600; sleep 600' & wait",
        pids.file("child").display()
    );
    let run = run_of(NAME, &json!({"argv": ["sh", "-c", script]}));
    let cancel = run.cancel.clone();
    let kinds = kinds(CommandOptions {
        grace: Duration::from_millis(50),
        ..options()
    });

    let (ended, child) = timeout_or(
        futures::future::join(kinds.run(run), async {
            let child = pids.of("child").await;
            cancel.cancel();
            child
        }),
        "the run went on",
    )
    .await;

    assert_eq!(ended.outcome, Outcome::Cancelled);
    until(|| gone(child).then_some(())).await;
}

#[tokio::test]
async fn what_a_finished_leader_left_behind_neither_holds_the_run_nor_survives_it() {
    let pids = Pids::new();
    let script = format!(
        "sleep 600 & echo $! > {}; echo done",
        pids.file("left").display()
    );
    let started = Instant::now();

    let ended = shell(&script).await;

    let left = pids.of("left").await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(output(&ended).stdout, "done\n");
    assert!(started.elapsed() < SOON);
    until(|| gone(left).then_some(())).await;
}

#[tokio::test]
async fn who_left_the_group_with_the_pipe_in_hand_does_not_hold_the_run() {
    let pids = Pids::new();
    let script = format!(
        "setsid sh -c 'echo $$ > {}; exec sleep 600' & echo done",
        pids.file("left").display()
    );
    let started = Instant::now();

    let ended = shell(&script).await;

    let took = started.elapsed();
    let left = pids.of("left").await;
    assert!(
        !gone(left),
        "out of reach of the group: else this shows nothing"
    );
    rustix::process::kill_process(pid(left), rustix::process::Signal::KILL).unwrap();
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(output(&ended).stdout, "done\n");
    assert!(took >= supervise::LINGER && took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_run_that_is_dropped_is_killed_at_once() {
    let pids = Pids::new();
    let script = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; echo $$ > {}; wait",
        pids.file("child").display(),
        pids.file("leader").display()
    );
    let kinds = kinds(options());
    let running = kinds.run(run_of(NAME, &json!({"argv": ["sh", "-c", script]})));

    let family = tokio::select! {
        ended = running => panic!("ended by itself: {ended:?}"),
        family = async { [pids.of("leader").await, pids.of("child").await] } => family,
    };

    for pid in family {
        until(|| gone(pid).then_some(())).await;
    }
}
