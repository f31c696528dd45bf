//! A way to an address that can be broken while both ends live: connections through it are cut with a reset, and new ones
//! refused, until it is mended.

use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// 16 connections that wait to be taken; nodes are few.
const BACKLOG: u32 = 16;
/// 10 ms before the address is asked for again, where it is not free yet, for 2 s at most.
const AGAIN: Duration = Duration::from_millis(10);
const AGAIN_MAX: u32 = 200;

/// Passes on what comes to its address until it is cut or dropped.
pub(crate) struct Proxy {
    listen: SocketAddr,
    to: SocketAddr,
    /// Empty while it is cut.
    passing: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of this host.
    pub(crate) async fn start(host: Ipv4Addr, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let mut proxy = Self {
            listen: listener.local_addr()?,
            to,
            passing: JoinSet::new(),
        };
        proxy.passing.spawn(pass(listener, to));
        Ok(proxy)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Breaks all connections and takes none.
    pub(crate) async fn cut(&mut self) {
        self.passing.shutdown().await;
    }

    /// Listens again.
    pub(crate) async fn mend(&mut self) -> anyhow::Result<()> {
        for _ in 0..AGAIN_MAX {
            if let Ok(listener) = bound(self.listen) {
                self.passing.spawn(pass(listener, self.to));
                return Ok(());
            }
            tokio::time::sleep(AGAIN).await;
        }
        anyhow::bail!("{} is taken", self.listen)
    }
}

fn bound(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG).context("cannot listen")
}

/// All connections of one listener end with it.
async fn pass(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let Ok((from, _)) = taken else { return };
                connections.spawn(one(from, to));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn one(mut from: TcpStream, to: SocketAddr) {
    // Dropped, a socket with this says that it is gone instead of good-bye.
    let _best = from.set_zero_linger();
    let Ok(mut onward) = TcpStream::connect(to).await else {
        return;
    };
    let _best = onward.set_zero_linger();
    let _either_end_closed = copy_bidirectional(&mut from, &mut onward).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn echo(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut word = [0; 4];
            while stream.read_exact(&mut word).await.is_ok() {
                stream.write_all(&word).await.unwrap();
            }
        }
    }

    async fn asks(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        let mut word = [0; 4];
        stream.write_all(b"word").await?;
        stream.read_exact(&mut word).await?;
        Ok(word)
    }

    #[tokio::test]
    async fn what_is_cut_is_reset_and_refused_until_it_is_mended() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(echo(listener));
        let mut proxy = Proxy::start(Ipv4Addr::LOCALHOST, to).await.unwrap();
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&asks(&mut open).await.unwrap(), b"word");

        proxy.cut().await;

        assert!(asks(&mut open).await.is_err());
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        proxy.mend().await.unwrap();

        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&asks(&mut again).await.unwrap(), b"word");
    }
}
