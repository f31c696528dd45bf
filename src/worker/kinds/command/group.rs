//! A process group, from the start of its leader until nothing of it is left. Never signals a group
//! whose number may have gone to somebody else: the leader is left unreaped, which keeps the number
//! taken, until the last signal is sent.

use std::io;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::guard::{self, Leash, Member};

/// A group of processes with the child that leads it. Dropped before it is reaped, it is killed.
pub(super) struct Group {
    id: Pid,
    leader: Child,
    deaths: tokio::signal::unix::Signal,
    /// Its place among those that are ended with the node, given up before the leader is reaped.
    member: Option<Member>,
}

impl Group {
    /// Starts a command that [`guard::command`] made.
    pub(super) async fn spawn(command: Command, leash: Leash) -> io::Result<Self> {
        // Listening begins before the child can end.
        let deaths = signal(SignalKind::child())?;
        let (leader, member) = guard::start(command, leash).await?;
        let id = leader
            .id()
            .expect("a child that was not waited for has a number");
        let id = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .expect("Linux numbers are small");
        Ok(Self {
            id,
            leader,
            deaths,
            member: Some(member),
        })
    }

    pub(super) fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// Waits until the leader has ended, and leaves it unreaped.
    pub(super) async fn leader_ended(&mut self) {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.id), look) {
                Ok(None) => {
                    self.deaths
                        .recv()
                        .await
                        .expect("signals last as long as the runtime");
                }
                Err(Errno::INTR) => {}
                // An error means that somebody else has reaped it.
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }

    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether it may have been killed because its session's time was over; not after [`reap`](Self::reap).
    pub(super) fn was_cut(&self) -> bool {
        self.member.as_ref().is_some_and(Member::was_cut)
    }

    /// Takes the leader's status. The group can no longer be signalled.
    pub(super) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.member = None;
        self.leader.wait().await
    }

    /// Fails only where nothing is left to signal, which is what signals are for.
    fn signal(&self, signal: Signal) {
        if self.member.is_some() {
            let _gone = kill_process_group(self.id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        // Struck out before the leader, which may be reaped as it is dropped.
        if let Some(member) = self.member.take() {
            member.killed();
        }
    }
}
