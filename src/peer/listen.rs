//! Answers the nodes that watch this one: a handshake, a beat now and then, and a goodbye in the end. Never judges who calls beyond that.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::handshake::{HandshakeError, Us, answer};
use super::hold::hold;
use super::roster::LINKS_MAX;
use super::secret::Secrets;
use super::tls::Tls;
use super::wire::{Stream, Talk, Word};

/// 2 s from a connection to the end of its handshake.
const SHAKE: Duration = Duration::from_secs(2);

/// 1 s between beats: as exactly is known when a node was seen last.
const BEAT: Duration = Duration::from_secs(1);

/// 500 ms for goodbyes.
const GOODBYE: Duration = Duration::from_millis(500);

/// 50 ms before the next connection is taken after one could not be: file descriptors may be short.
const PAUSE: Duration = Duration::from_millis(50);

/// 1 min between warnings: a port is scanned or probed, too, and whoever cannot make a link tries again every 5 s.
const WARN_AGAIN: Duration = Duration::from_mins(1);

/// Takes links of other nodes.
pub struct Listener {
    socket: TcpListener,
    us: Us,
    secrets: Secrets,
    tls: Option<Tls>,
}

/// What goes wrong with callers, said at most every [`WARN_AGAIN`].
#[derive(Default)]
struct Warnings {
    said: Option<Instant>,
    unsaid: u64,
}

impl Warnings {
    fn warn(&mut self, problem: &str) {
        if self.is_due(Instant::now()) {
            let unsaid = std::mem::take(&mut self.unsaid);
            warn!(problem, unsaid, "a caller has no link");
        }
    }

    /// Whether to say what is wrong now; where not, it is counted.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.said.is_none_or(|said| now >= said + WARN_AGAIN);
        if due {
            self.said = Some(now);
        } else {
            self.unsaid += 1;
        }
        due
    }
}

impl Listener {
    /// Listens here, with TLS where it is given.
    pub fn new(socket: TcpListener, us: Us, secrets: Secrets, tls: Option<Tls>) -> Self {
        Self {
            socket,
            us,
            secrets,
            tls,
        }
    }

    /// Takes links until `closing`, at most [`LINKS_MAX`] at once, and says goodbye on each. Dropped, it says nothing, as a crash.
    pub async fn run(self, closing: CancellationToken) {
        let (mut links, mut warnings) = (JoinSet::new(), Warnings::default());
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                Some(ended) = links.join_next(), if !links.is_empty() => {
                    if let Ok((from, Err(problem))) = ended {
                        warnings.warn(&format!("no handshake with {from}: {problem}"));
                    }
                }
                taken = self.socket.accept() => match taken {
                    // One that is too many is closed at once, which tells its caller nothing.
                    Ok((stream, from)) if links.len() < LINKS_MAX => {
                        let link = serve(stream, self.us.clone(), self.secrets.clone(), self.tls.clone(), closing.clone());
                        links.spawn(async move { (from, link.await) });
                    }
                    Ok((_, from)) => warnings.warn(&format!("{from} is one too many: {LINKS_MAX} links are open")),
                    Err(problem) => {
                        warnings.warn(&format!("it could not be taken: {problem}"));
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        // Nobody new is answered while those who are here hear of it.
        drop(self.socket);
        let told = timeout(GOODBYE, async {
            while links.join_next().await.is_some() {}
        });
        if told.await.is_err() {
            debug!("not everybody heard the goodbye");
        }
    }
}

/// Serves one caller to its end.
///
/// # Errors
/// What was wrong with its handshake.
async fn serve(
    stream: TcpStream,
    us: Us,
    secrets: Secrets,
    tls: Option<Tls>,
    closing: CancellationToken,
) -> Result<(), String> {
    let shaken = timeout(SHAKE, shake(stream, &us, &secrets, tls));
    let late = |_| format!("it takes longer than {} s", SHAKE.as_secs());
    let shaken = shaken.await.map_err(late)?;
    let mut talk = shaken.map_err(|problem| problem.to_string())?;
    let closes = tokio::select! {
        () = closing.cancelled() => true,
        () = hold(&mut talk, BEAT, |_| {}) => false,
    };
    if closes && talk.say(&Word::Goodbye).await.is_ok() {
        talk.close().await;
    }
    Ok(())
}

async fn shake(
    stream: TcpStream,
    us: &Us,
    secrets: &Secrets,
    tls: Option<Tls>,
) -> Result<Talk, HandshakeError> {
    stream.set_nodelay(true)?;
    let stream: Box<dyn Stream> = match tls {
        Some(tls) => tls.accept(stream).await?,
        None => Box::new(stream),
    };
    let mut talk = Talk::new(stream);
    answer(&mut talk, us, secrets).await?;
    Ok(talk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_callers_is_said_once_a_minute_and_counted() {
        let (mut warnings, now) = (Warnings::default(), Instant::now());
        for (after, due) in [(0, true), (1, false), (59, false), (60, true), (61, false)] {
            let due_then = warnings.is_due(now + Duration::from_secs(after));
            assert_eq!(due_then, due, "{after} s");
        }
        assert_eq!(warnings.unsaid, 3);
    }
}
