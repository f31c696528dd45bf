//! Reaches another node's listener: connects, shakes hands, and says how that went; never judges what it means.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::evidence::Attempt;
use super::handshake::{HandshakeError, Us, Who, call};
use super::secret::Secrets;
use super::tls::Tls;
use super::wire::{Stream, Talk};
use crate::task::Name;

/// 500 ms to connect: many times what a network takes that links are of use in.
const CONNECT: Duration = Duration::from_millis(500);

/// 1 s for TLS and the handshake.
const SHAKE: Duration = Duration::from_secs(1);

/// 2 s for a name to be resolved.
const RESOLVE: Duration = Duration::from_secs(2);

/// 8 names at a time: the system may take half a minute for each where no server of names answers, on a thread that others need.
const LOOKUPS_MAX: usize = 8;

static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// 4 addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// Reaches listeners as this node.
#[derive(Clone)]
pub struct Dialer {
    us: Us,
    secrets: Secrets,
    tls: Option<Tls>,
}

/// A link that has begun.
pub(super) struct Linked {
    pub(super) talk: Talk,
    pub(super) who: Who,
    pub(super) at: SocketAddr,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The machine answered that nobody listens there.
    #[error("nobody listens at {0}")]
    Refused(SocketAddr),
    /// It connected, and no handshake came of it.
    #[error("no handshake with {0}: {1}")]
    Broke(SocketAddr, String),
    /// No answer in time, no way there, no such name, or anything else.
    #[error("{0} is not reached: {1}")]
    Silent(String, String),
}

impl Dialer {
    /// As this process; with TLS where both sides have it.
    pub fn new(us: Us, secrets: Secrets, tls: Option<Tls>) -> Self {
        Self { us, secrets, tls }
    }

    /// Who we are.
    pub fn us(&self) -> &Us {
        &self.us
    }

    /// Whether what listens at this address, as `host:port`, is this very process.
    pub async fn is_own(&self, address: &str) -> bool {
        let linked = self.reach(address).await;
        linked.is_ok_and(|linked| linked.who.instance == self.us.instance)
    }

    /// A link to whoever listens at this address, as `host:port`.
    pub(super) async fn reach(&self, address: &str) -> Result<Linked, DialError> {
        let silent = |why: String| DialError::Silent(address.to_owned(), why);
        let found = timeout(RESOLVE, resolve(address.to_owned())).await;
        let found = found.map_err(|late| silent(late.to_string()))?;
        let found = found.map_err(|unknown| silent(unknown.to_string()))?;
        let mut last = silent("it has no address".to_owned());
        for at in found {
            match self.at(at, host(address)).await {
                Ok(linked) => return Ok(linked),
                Err(problem) => last = problem,
            }
        }
        Err(last)
    }

    /// One attempt to reach this process of this node again, where it was; with the link, where there is one to it.
    pub(super) async fn again(
        &self,
        (node, instance): (&Name, &str),
        (at, host): (SocketAddr, &str),
    ) -> (Attempt, Option<Linked>) {
        match self.at(at, host).await {
            Ok(linked) if linked.who.instance == instance => (Attempt::Same, Some(linked)),
            Ok(linked) if linked.who.node == *node => (Attempt::Another, None),
            Ok(_) => (Attempt::Stranger, None),
            Err(DialError::Refused(_)) => (Attempt::Refused, None),
            Err(DialError::Broke(..)) => (Attempt::Broke, None),
            Err(DialError::Silent(..)) => (Attempt::Silent, None),
        }
    }

    async fn at(&self, at: SocketAddr, host: &str) -> Result<Linked, DialError> {
        let silent = |why: &dyn ToString| DialError::Silent(at.to_string(), why.to_string());
        let stream = match timeout(CONNECT, TcpStream::connect(at)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(DialError::Refused(at));
            }
            // As a listener that is being closed does.
            Ok(Err(error)) if is_break(&error) => {
                return Err(DialError::Broke(at, error.to_string()));
            }
            Ok(Err(error)) => return Err(silent(&error)),
            Err(late) => return Err(silent(&late)),
        };
        // On one machine a connection to a free port may get that port itself, and meet itself there.
        if stream.local_addr().is_ok_and(|own| own == at) {
            return Err(DialError::Refused(at));
        }
        let shaken = timeout(SHAKE, self.shake(stream, host)).await;
        match shaken.map_err(|late| silent(&late))? {
            Ok((talk, who)) => Ok(Linked { talk, who, at }),
            Err(problem) => Err(DialError::Broke(at, problem.to_string())),
        }
    }

    async fn shake(&self, stream: TcpStream, host: &str) -> Result<(Talk, Who), HandshakeError> {
        // Words are small, and go at once.
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => tls.connect(host, stream).await?,
            None => Box::new(stream),
        };
        let mut talk = Talk::new(stream);
        let who = call(&mut talk, &self.us, &self.secrets).await?;
        Ok((talk, who))
    }
}

/// Whether a connection was begun and broken.
/// Asks the system. Where nobody waits for it any more that goes on until the system answers, one of [`LOOKUPS_MAX`].
async fn resolve(address: String) -> std::io::Result<Vec<SocketAddr>> {
    let permit = LOOKUPS.acquire().await.expect("it is never closed");
    let looking = spawn_blocking(move || {
        let _until_it_answers = permit;
        let found = address.to_socket_addrs()?;
        Ok(found.take(ADDRESSES_MAX).collect())
    });
    looking.await.map_err(std::io::Error::other)?
}

fn is_break(error: &std::io::Error) -> bool {
    let kind = error.kind();
    kind == std::io::ErrorKind::ConnectionReset || kind == std::io::ErrorKind::ConnectionAborted
}

/// The host of `host:port`, without the brackets of IPv6.
pub(super) fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        for (address, expected) in [
            ("n1:9700", "n1"),
            ("10.0.0.5:9700", "10.0.0.5"),
            ("[::1]:9700", "::1"),
        ] {
            assert_eq!(host(address), expected);
        }
    }
}
