//! The life of one link from the side that watches: it is made, kept, and when it breaks the other process is looked for where it was.
//! Says what it saw; acts on nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::dial::{Dialer, Linked, host};
use super::evidence::{Attempt, Verdict, judge};
use super::hold::hold;
use super::roster::Target;
use super::wire::Word;
use crate::clock::Clock;
use crate::store::EvidenceKind;
use crate::task::Name;

/// 5 s between our beats: they only tell the listener that we are there.
const BEAT: Duration = Duration::from_secs(5);

/// 100 ms before a link that could not be made is tried again, twice as long after each time.
const RETRY: Duration = Duration::from_millis(100);

/// 1 s: after a link that lasted shorter there is a pause, so that whatever cuts links at once costs little.
const LASTED: Duration = Duration::from_secs(1);

/// 5 s, where the doubling ends.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What a link tells.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// It is there, and the other side is who it should be.
    Open,
    /// It broke, and this came of looking for the process.
    Broke(Fate),
    /// The process is gone. The link's last word.
    Gone(Proof),
}

/// What came of a broken link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The same process is there.
    Lives,
    /// The process is gone.
    Gone(EvidenceKind),
    /// Neither is known.
    Unknown,
}

/// What shows that a process is gone.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) kind: EvidenceKind,
    /// Where it was.
    pub(super) at: SocketAddr,
    /// The host by which it was reached.
    pub(super) host: String,
    /// Its last word, by our clock, in milliseconds since 1970.
    pub(super) last_seen_ms: u64,
    pub(super) noticed: Instant,
    pub(super) noticed_ms: u64,
}

/// One link.
pub(super) struct Link {
    pub(super) node: Name,
    pub(super) target: Target,
    pub(super) dialer: Dialer,
    pub(super) clock: Clock,
    /// Where it tells, with its node and process.
    pub(super) tells: mpsc::Sender<(Name, String, Told)>,
}

impl Fate {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Lives => "lives",
            Self::Gone(kind) => kind.as_str(),
            Self::Unknown => "unknown",
        }
    }
}

impl Link {
    /// Makes the link, and makes it again, until the process is gone or this is dropped.
    pub(super) async fn run(self) {
        let (mut pause, mut said) = (RETRY, None);
        loop {
            let problem = match self.dialer.reach(&self.target.address).await {
                Ok(linked) if linked.who.instance == self.target.instance => {
                    pause = RETRY;
                    if let Some(proof) = self.keep(linked).await {
                        return self.tell(Told::Gone(proof)).await;
                    }
                    None
                }
                Ok(linked) => {
                    let (there, address) = (&linked.who.node, &self.target.address);
                    Some(format!("another process, of node {there}, is at {address}"))
                }
                Err(problem) => Some(problem.to_string()),
            };
            // Once for each: it is tried again every 5 s for as long as it lasts.
            if said != problem
                && let Some(problem) = &problem
            {
                warn!(node = %self.node, problem, "no link");
            }
            said = problem;
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Keeps a link, over breaks after which the same process is there; what shows that it is gone, where something does.
    async fn keep(&self, linked: Linked) -> Option<Proof> {
        let mut linked = linked;
        loop {
            self.tell(Told::Open).await;
            let began = Instant::now();
            let (mut last_seen_ms, mut leaves) = (self.clock.now_ms(), false);
            hold(&mut linked.talk, BEAT, |word| {
                last_seen_ms = self.clock.now_ms();
                leaves |= word == Some(Word::Goodbye);
            })
            .await;
            let (at, lasted) = (linked.at, began.elapsed());
            drop(linked);
            let (fate, again) = self.look_for(at, leaves).await;
            self.tell(Told::Broke(fate)).await;
            match (fate, again) {
                (Fate::Lives, Some(again)) => {
                    linked = again;
                    if lasted < LASTED {
                        sleep(RETRY).await;
                    }
                }
                (Fate::Gone(kind), _) => {
                    return Some(Proof {
                        kind,
                        at,
                        host: host(&self.target.address).to_owned(),
                        last_seen_ms,
                        noticed: Instant::now(),
                        noticed_ms: self.clock.now_ms(),
                    });
                }
                (Fate::Lives | Fate::Unknown, _) => return None,
            }
        }
    }

    /// Looks for the process where it was, as often as it takes to tell; a link to it where it lives.
    async fn look_for(&self, at: SocketAddr, leaves: bool) -> (Fate, Option<Linked>) {
        let (mut attempts, mut link): (Vec<Attempt>, _) = (Vec::new(), None);
        loop {
            match judge(&attempts, leaves) {
                Verdict::Gone(kind) => return (Fate::Gone(kind), None),
                Verdict::Lives => return (Fate::Lives, link),
                Verdict::Nothing => return (Fate::Unknown, None),
                Verdict::Again(pause) => sleep(pause).await,
            }
            let who = (&self.node, &*self.target.instance);
            let (attempt, again) = self
                .dialer
                .again(who, (at, host(&self.target.address)))
                .await;
            attempts.push(attempt);
            link = again;
        }
    }

    async fn tell(&self, told: Told) {
        let from = (self.node.clone(), self.target.instance.clone(), told);
        // Where nobody listens, this is dropped in a moment.
        let _ = self.tells.send(from).await;
    }
}
