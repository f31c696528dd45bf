//! Stays with a process group to its end: feeds it, reads what it prints, stops it, and waits for
//! no one without a bound. Never keeps more of an output than its tail.

use std::io;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::time::Duration;

use futures::future::{Either, MaybeDone, join3, maybe_done, select};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::group::Group;
use crate::worker::kinds::run::{Run, Stop};
use crate::worker::kinds::tail::Tail;

/// 500 ms: how long the output of a run is waited for after its leader ended, and once more after
/// its group was killed. Only what was left behind in the background, or has left the group, takes
/// that long.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// 5 seconds for the kernel to let go of a killed process. One that hangs in a broken file system
/// may never end.
const REAP: Duration = Duration::from_secs(5);

/// 8 KiB: read at once from a pipe, in bytes.
const READ_BYTES: usize = 8 * 1024;

/// What a run may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// From TERM to KILL.
    pub(super) grace: Duration,
    /// Kept of each output.
    pub(super) tail_bytes: usize,
}

/// What was seen of a run.
pub(super) struct Seen {
    /// Why it was stopped, if it was.
    pub(super) stop: Option<Stop>,
    pub(super) status: io::Result<ExitStatus>,
    /// Whether its session's time was over.
    cut: bool,
    pub(super) stdout: Tail,
    pub(super) stderr: Tail,
}

impl Seen {
    /// Whether watchdog or guard have killed it, as far as can be told.
    pub(super) fn was_cut(&self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let status = self.status.as_ref().ok();
        let signal = status.and_then(ExitStatusExt::signal);
        self.cut && self.stop.is_none() && signal == Some(Signal::KILL.as_raw())
    }
}

pub(super) async fn supervise(group: &mut Group, input: String, run: &Run, limits: Limits) -> Seen {
    let (mut stdout, mut stderr) = (Tail::new(limits.tail_bytes), Tail::new(limits.tail_bytes));
    let leader = group.leader();
    let pipes = join3(
        feed(leader.stdin.take(), input),
        read::<ChildStdout>(leader.stdout.take(), &mut stdout),
        read::<ChildStderr>(leader.stderr.take(), &mut stderr),
    );
    // Done when everyone who held a pipe has closed it: the leader and all that it started.
    let mut pipes = Box::pin(maybe_done(pipes));

    let stop = beside(pipes.as_mut(), leader_or_stop(group, run)).await;
    match stop {
        Some(_) => {
            group.terminate();
            let quiet = async {
                beside(pipes.as_mut(), group.leader_ended()).await;
                pipes.as_mut().await;
            };
            let _out_of_grace = timeout(limits.grace, quiet).await;
        }
        None => {
            let _left_behind = timeout(LINGER, pipes.as_mut()).await;
        }
    }
    group.kill();
    let _outside_the_group = timeout(LINGER, pipes.as_mut()).await;
    let cut = group.was_cut();
    let status = timeout(REAP, group.reap())
        .await
        .unwrap_or_else(|late| Err(late.into()));
    drop(pipes);
    Seen {
        stop,
        status,
        cut,
        stdout,
        stderr,
    }
}

async fn leader_or_stop(group: &mut Group, run: &Run) -> Option<Stop> {
    tokio::select! {
        // One that has ended cannot be stopped any more.
        biased;
        () = group.leader_ended() => None,
        stop = run.stopped() => Some(stop),
    }
}

/// Waits for `what` while the pipes move.
async fn beside<F: Future, T>(pipes: Pin<&mut MaybeDone<F>>, what: impl Future<Output = T>) -> T {
    match select(pin!(what), pipes).await {
        Either::Left((done, _)) => done,
        Either::Right(((), what)) => what.await,
    }
}

/// A program that does not read its input, or not to the end, is free to do so.
async fn feed(pipe: Option<ChildStdin>, input: String) {
    if let Some(mut pipe) = pipe {
        let _unread = pipe.write_all(input.as_bytes()).await;
    }
}

async fn read<R: AsyncRead + Unpin>(pipe: Option<R>, tail: &mut Tail) {
    let Some(mut pipe) = pipe else { return };
    let mut piece = vec![0; READ_BYTES];
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        tail.push(&piece[..length]);
    }
}
