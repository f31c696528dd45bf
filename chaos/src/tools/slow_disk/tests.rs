use super::*;
use crate::etcd_of_tests::Etcd;
use crate::process::Process;
use crate::tools::skipped;

/// Longer than a sync takes by itself on a loaded machine.
const BY: Duration = Duration::from_secs(1);
/// A sync as it is by itself takes less.
const FAST: Duration = Duration::from_millis(500);
/// 20 writes for one of them to be fast.
const WRITES_MAX: u32 = 20;

/// How long a write takes.
async fn write(etcd: &Etcd) -> Duration {
    let mut client = etcd.client().await;
    let began = Instant::now();
    client.put("key", "value", None).await.unwrap();
    began.elapsed()
}

async fn is_fast(etcd: &Etcd) -> bool {
    for _ in 0..WRITES_MAX {
        if write(etcd).await < FAST {
            return true;
        }
    }
    false
}

fn nobody_traces(process: u32) -> bool {
    tracers_of(process)
        .unwrap()
        .iter()
        .all(|tracer| *tracer == 0)
}

#[tokio::test]
async fn a_members_writes_are_slow_while_it_is_attached_and_fast_again_after() {
    let Some(mut etcd) = Etcd::start(1).await else {
        return;
    };
    let process = etcd.process(0);
    assert!(is_fast(&etcd).await);

    let slow = match SlowDisk::attach(process, BY).await.unwrap() {
        Got::Yes(slow) => slow,
        Got::Cannot(why) => return skipped(&why),
    };
    let took = write(&etcd).await;
    assert!(took >= BY, "{took:?}");

    slow.detach().await.unwrap();
    assert!(nobody_traces(process));
    assert!(is_fast(&etcd).await);

    let again = SlowDisk::attach(process, BY).await.unwrap();
    assert!(write(&etcd).await >= BY);
    drop(again);
    assert!(nobody_traces(process));
    assert!(is_fast(&etcd).await);
    etcd.ensure_alive();
}

#[tokio::test]
async fn a_process_that_is_not_there_is_an_error() {
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();

    let attached = SlowDisk::attach(ended.id(), BY).await;

    if found("strace").is_none() {
        return skipped("strace is not installed here");
    }
    assert!(attached.is_err());
}

#[tokio::test]
async fn what_somebody_else_traces_cannot_be_made_slow() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sleep");
    command.arg("600");
    let sleeper = Process::start("sleeper", command, dir.path()).unwrap();
    let first = match SlowDisk::attach(sleeper.id(), BY).await.unwrap() {
        Got::Yes(first) => first,
        Got::Cannot(why) => return skipped(&why),
    };

    let second = SlowDisk::attach(sleeper.id(), BY).await.unwrap();

    assert!(
        matches!(&second, Got::Cannot(why) if why.contains("strace")),
        "{second:?}"
    );
    first.detach().await.unwrap();
}
