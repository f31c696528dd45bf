//! Runs a command while a hold lasts: renews it, passes signals on, and gives it back when nothing of the command is left. The guard
//! ends the command where that does not go well.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::super::client::{Client, Sent};
use super::super::{Exit, Failure};
use super::deadline::Deadline;
use super::group::{Ended, Group};
use super::stages::GRACE;
use super::what::What;
use crate::api::wire::holds::Hold;
use crate::guard::Boot;

/// 500 ms between a renewal that failed and the next.
const RENEW_AGAIN: Duration = Duration::from_millis(500);

/// 250 ms to 5 s for one renewal, a quarter of the time to live: three fit before the command is asked to end.
const RENEWAL_MIN: Duration = Duration::from_millis(250);
const RENEWAL_MAX: Duration = Duration::from_secs(5);

/// What this process is told by signals, and passes on.
pub(super) struct Told([(Signals, Signal); 4]);

impl Told {
    pub(super) fn listen() -> Result<Self, Failure> {
        let one = |kind, signalled| signal(kind).map(|signals| (signals, signalled));
        let all = || {
            Ok::<_, std::io::Error>([
                one(SignalKind::terminate(), Signal::TERM)?,
                one(SignalKind::interrupt(), Signal::INT)?,
                one(SignalKind::hangup(), Signal::HUP)?,
                one(SignalKind::quit(), Signal::QUIT)?,
            ])
        };
        all()
            .map(Self)
            .map_err(|why| Failure::new(Exit::Failed, format!("signals cannot be received: {why}")))
    }

    /// The next signal. Safe to be dropped and called again.
    pub(super) async fn next(&mut self) -> Signal {
        let [(term, _), (int, _), (hup, _), (quit, _)] = &mut self.0;
        tokio::select! {
            _ = term.recv() => Signal::TERM,
            _ = int.recv() => Signal::INT,
            _ = hup.recv() => Signal::HUP,
            _ = quit.recv() => Signal::QUIT,
        }
    }
}

/// A hold that is kept.
pub(super) struct Kept<'a> {
    pub(super) client: &'a Client,
    pub(super) what: &'a What,
    pub(super) hold: Hold,
}

/// How long a hold is good for after one renewal.
struct Renewed {
    deadline: Deadline,
    /// When to renew again.
    again: Instant,
    /// How long one renewal may take.
    within: Duration,
}

/// Why a command had to end.
struct Lost {
    why: String,
    /// Whether the hold is there all the same, and somebody waits for it.
    ours: bool,
}

impl Lost {
    /// The server is out of reach, or gives the hold away in a moment.
    fn late() -> Self {
        Self {
            why: "it was not renewed in time".to_owned(),
            ours: false,
        }
    }

    fn unguarded() -> Self {
        Self {
            why: "its guard was killed".to_owned(),
            ours: true,
        }
    }
}

impl Kept<'_> {
    /// Runs the command to its end, and gives the hold back.
    pub(super) async fn run(&self, argv: &[OsString], told: &mut Told) -> Result<Exit, Failure> {
        // The answer that said it is held may have been long on its way.
        let renewed = self.renew(RENEWAL_MAX).await?;
        let fence = self.hold.fence.unwrap_or_default();
        let env = [
            ("TENURE_FENCE", fence.to_string()),
            (self.what.variable(), self.what.name.clone()),
        ];
        let mut group = match Group::start(argv, &env, renewed.deadline).await {
            Ok(group) => group,
            Err(failure) => {
                self.give_back().await;
                return Err(failure);
            }
        };
        let (status, lost) = self.during(&mut group, renewed, told).await;
        group.end().await;
        if lost.as_ref().is_none_or(|lost| lost.ours) {
            self.give_back().await;
        }
        if let Some(Lost { why, .. }) = lost {
            return Err(Failure::new(
                Exit::HoldLost,
                format!("{} was lost, and the command ended: {why}", self.what),
            ));
        }
        status.map(code).map_err(|why| {
            Failure::new(
                Exit::Failed,
                format!("the command's end is not known: {why}"),
            )
        })
    }

    /// How the command ended, and why it had to, where it had to.
    async fn during(
        &self,
        group: &mut Group,
        mut renewed: Renewed,
        told: &mut Told,
    ) -> (std::io::Result<ExitStatus>, Option<Lost>) {
        let mut lost: Option<Lost> = None;
        let mut renewal = Box::pin(self.renew_at(renewed.again, renewed.within));
        loop {
            let known_lost = lost.is_some();
            tokio::select! {
                // The clock first: this process may have been stopped for long.
                biased;
                () = renewed.deadline.kill.come() => {
                    group.signal(Signal::KILL);
                    let status = last(group).await;
                    return (status, Some(lost.unwrap_or_else(Lost::late)));
                }
                ended = group.ended() => match ended {
                    Ended::Command(status) => {
                        if lost.is_none() && renewed.deadline.term.left().is_zero() {
                            lost = Some(Lost::late());
                        }
                        return (status, lost);
                    }
                    Ended::Guard => {
                        group.signal(Signal::KILL);
                        lost.get_or_insert_with(Lost::unguarded);
                    }
                },
                signal = told.next() => group.signal(signal),
                answer = &mut renewal, if !known_lost => {
                    renewal = match answer {
                        Ok(more) => {
                            renewed = more;
                            group.tell(renewed.deadline).await;
                            Box::pin(self.renew_at(renewed.again, renewed.within))
                        }
                        Err(failure) if failure.exit == Exit::NotFound => {
                            renewed.deadline = renewed.deadline.at_once(GRACE);
                            group.tell(renewed.deadline).await;
                            lost = Some(Lost { why: failure.message, ours: false });
                            Box::pin(self.renew_at(renewed.again, renewed.within))
                        }
                        Err(_) => {
                            let again = Instant::now() + RENEW_AGAIN;
                            Box::pin(self.renew_at(again, renewed.within))
                        }
                    };
                }
            }
        }
    }

    async fn renew_at(&self, at: Instant, within: Duration) -> Result<Renewed, Failure> {
        sleep_until(at).await;
        self.renew(within).await
    }

    async fn renew(&self, within: Duration) -> Result<Renewed, Failure> {
        let (sent, began) = (Boot::now(), Instant::now());
        let path = format!("{}/renew", self.path());
        let answer = self
            .client
            .post_within(&path, Sent::default(), within)
            .await?;
        let hold: Hold = answer.read()?;
        if hold.fence != self.hold.fence {
            return Err(Failure::new(Exit::NotFound, "another hold has its id"));
        }
        let ttl = Duration::from_millis(hold.expires_in_ms);
        Ok(Renewed {
            deadline: Deadline::of(sent, ttl),
            again: began + ttl / 3,
            within: (ttl / 4).clamp(RENEWAL_MIN, RENEWAL_MAX),
        })
    }

    async fn give_back(&self) {
        let fence = self.hold.fence.unwrap_or_default();
        let path = format!("{}?fence={fence}", self.path());
        if let Err(failure) = self.client.delete(&path).await {
            let message = failure.message;
            eprintln!(
                "{} was not given back, and will be by itself: {message}",
                self.what
            );
        }
    }

    fn path(&self) -> String {
        format!("{}/holds/{}", self.what.path(), self.hold.id)
    }
}

/// The status of a command that was killed.
async fn last(group: &mut Group) -> std::io::Result<ExitStatus> {
    loop {
        match group.ended().await {
            Ended::Command(status) => return status,
            Ended::Guard => {}
        }
    }
}

/// As shells count: its code, or 128 and the signal that ended it.
fn code(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    Exit::Command(u8::try_from(code).unwrap_or(1))
}
