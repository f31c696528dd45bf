//! A way to an address that can be broken while both ends live: cut, silent, late, narrow, half open or reset, and mended again. What
//! a kernel's own network can do is not asked for here, so it works wherever a program may listen.
//!
//! It never loses single bytes: what is held back is never passed on. A connection over which something was held back is reset when the
//! way is mended, since a real one would often have given up by then; one that had nothing to say goes on.

mod bucket;
mod connection;
mod link;

use self::link::{Link, State};
use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// 128 connections that wait to be taken.
const BACKLOG: u32 = 128;
/// 512 connections at a time, of two sockets each; one more is reset at once. Nodes have some ten.
const CONNECTIONS_MAX: usize = 512;
/// 10 ms before the address is asked for again, where it is not free yet, for 2 s at most. The same where a connection cannot be taken.
const AGAIN: Duration = Duration::from_millis(10);
const AGAIN_MAX: u32 = 200;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Answers,
}

/// What happens to bytes that go one way. The default passes them on as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// Nothing comes through, and nobody is told. Connections stay open and new ones are taken.
    pub(crate) dropped: bool,
    /// Everything comes later, in its order.
    pub(crate) late: Option<Late>,
    /// At most so many thousand bits come through in a second, of all connections together.
    pub(crate) narrow_kbit_s: Option<NonZeroU32>,
}

/// How much later bytes come, in milliseconds: `ms`, and up to `jitter_ms` more. At most 1 MiB is under way in one direction of a
/// connection, so a delay of a second also narrows it to that much in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) ms: u64,
    pub(crate) jitter_ms: u64,
}

/// Passes on what comes to its address until it is cut or dropped.
pub(crate) struct Proxy {
    listen: SocketAddr,
    to: SocketAddr,
    state: watch::Sender<State>,
    link: Arc<Link>,
    /// Empty while it is cut.
    passing: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of this host. Where `to` refuses a connection, the client's is reset at once.
    pub(crate) async fn start(host: Ipv4Addr, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let (state, seen) = watch::channel(State::default());
        let mut proxy = Self {
            listen: listener.local_addr()?,
            to,
            state,
            link: Arc::new(Link::new(seen)),
            passing: JoinSet::new(),
        };
        proxy.pass(listener);
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

    /// Everything comes through again, both ways, and it listens again. Connections that are half open, or over which something was held
    /// back, are reset.
    ///
    /// # Errors
    /// Where it was cut and somebody else has its address meanwhile.
    pub(crate) async fn mend(&mut self) -> anyhow::Result<()> {
        self.state.send_modify(State::mend);
        while self.passing.try_join_next().is_some() {}
        if !self.passing.is_empty() {
            return Ok(());
        }
        for _ in 0..AGAIN_MAX {
            if let Ok(listener) = bound(self.listen) {
                self.pass(listener);
                return Ok(());
            }
            tokio::time::sleep(AGAIN).await;
        }
        anyhow::bail!("{} is taken", self.listen)
    }

    /// Sets what happens to all that goes one way, whatever was set before. Where it was dropped and is no more, connections over which
    /// something was held back are reset.
    pub(crate) fn set(&self, way: Way, conditions: Conditions) {
        self.state.send_modify(|state| state.set(way, conditions));
    }

    /// The same for both ways.
    pub(crate) fn set_both(&self, conditions: Conditions) {
        self.state.send_modify(|state| {
            state.set(Way::Requests, conditions);
            state.set(Way::Answers, conditions);
        });
    }

    /// Connections that are open now carry nothing any more, until the way is mended, and then they are reset; new ones do.
    pub(crate) fn half_open(&self) {
        let next = self.link.next();
        self.state.send_modify(|state| state.half_open(next));
    }

    /// Resets all connections that are open now, once.
    pub(crate) fn reset_now(&self) {
        let next = self.link.next();
        self.state.send_modify(|state| state.reset(next));
    }

    fn pass(&mut self, listener: TcpListener) {
        self.passing
            .spawn(pass(listener, self.to, Arc::clone(&self.link)));
    }
}

fn bound(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG).context("cannot listen")
}

/// All connections of one listener end with it.
async fn pass(listener: TcpListener, to: SocketAddr, link: Arc<Link>) {
    let mut connections = JoinSet::new();
    let mut failed = 0;
    while failed < AGAIN_MAX {
        tokio::select! {
            taken = listener.accept() => {
                if let Ok((client, _)) = taken {
                    failed = 0;
                    take(&mut connections, client, to, &link);
                } else {
                    // Too many open files, or a client that has gone already.
                    failed += 1;
                    tokio::time::sleep(AGAIN).await;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn take(connections: &mut JoinSet<()>, client: TcpStream, to: SocketAddr, link: &Arc<Link>) {
    if connections.len() >= CONNECTIONS_MAX {
        let _best = client.set_zero_linger();
        return;
    }
    connections.spawn(connection::carry(client, to, Arc::clone(link)));
}

#[cfg(test)]
#[path = "proxy/tests.rs"]
mod tests;
