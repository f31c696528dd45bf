//! Answers the nodes that watch this one: a handshake, a beat now and then, and a goodbye in the end. Never judges who calls beyond that.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
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

/// Takes links of other nodes.
pub struct Listener {
    socket: TcpListener,
    us: Us,
    secrets: Secrets,
    tls: Option<Tls>,
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
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                Some(_) = links.join_next(), if !links.is_empty() => {}
                taken = self.socket.accept() => match taken {
                    // One that is too many is closed at once, which tells its caller nothing.
                    Ok((stream, _)) if links.len() < LINKS_MAX => {
                        let link = serve(stream, self.us.clone(), self.secrets.clone(), self.tls.clone(), closing.clone());
                        links.spawn(link);
                    }
                    Ok(_) => warn!(links = links.len(), "a link is refused: there are too many"),
                    Err(problem) => {
                        warn!(%problem, "a link could not be taken");
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

async fn serve(
    stream: TcpStream,
    us: Us,
    secrets: Secrets,
    tls: Option<Tls>,
    closing: CancellationToken,
) {
    let shaken = timeout(SHAKE, shake(stream, &us, &secrets, tls));
    let mut talk = match shaken.await {
        Ok(Ok(talk)) => talk,
        Ok(Err(problem)) => return debug!(%problem, "no handshake with a caller"),
        Err(_) => return debug!("a caller was too slow with its handshake"),
    };
    let closes = tokio::select! {
        () = closing.cancelled() => true,
        () = hold(&mut talk, BEAT, |_| {}) => false,
    };
    if closes && talk.say(&Word::Goodbye).await.is_ok() {
        talk.close().await;
    }
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
