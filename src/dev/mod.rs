//! `tenure dev`: a small cluster in one process, to try and to develop with: an etcd of its own and nodes on it, each with its
//! API. Never decides anything about tasks.

mod drain;
mod greeting;
mod ports;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::{Left, Note, say};
use crate::config::{Config, PeerListen};
use crate::node::{Node, OwnEtcd, signals};
use drain::Drain;
use greeting::Greeting;

/// 100 ms for what is dropped at a second signal to go: programs would live on otherwise.
const DROPPING: Duration = Duration::from_millis(100);

/// The nodes that run, each with its name.
type Nodes = JoinSet<(String, anyhow::Result<()>)>;

/// Runs until SIGTERM or SIGINT, then until all nodes have handed over; a second signal ends the process at once with status 130.
///
/// # Errors
/// What keeps it from starting, or ends a node.
pub async fn serve(config: Config, nodes: u8) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    tokio::select! {
        ended = run(config, nodes, &stop) => return ended,
        () = signals::until_second(&stop) => {}
    }
    // By now the note is gone, and the nodes are told to drop what they run, which kills programs.
    tokio::time::sleep(DROPPING).await;
    std::process::exit(signals::INTERRUPTED)
}

async fn run(config: Config, nodes: u8, stop: &CancellationToken) -> anyhow::Result<()> {
    let etcd = OwnEtcd::open(&config).await?;
    let etcd = etcd.context("embedded: nodes of one process need an etcd in it")?;
    let listeners = ports::bind(config.listen, nodes, |line| drop(say(line))).await?;
    let cluster = Cluster::place(&config, listeners, &etcd, stop)?;
    etcd.during(cluster.live(&config, stop)).await
}

/// Nodes on one etcd.
struct Cluster {
    nodes: Nodes,
    /// Their names and URLs.
    names: Vec<(String, String)>,
    ready: Vec<futures::future::BoxFuture<'static, ()>>,
    drain: Drain,
}

impl Cluster {
    fn place(
        config: &Config,
        listeners: Vec<TcpListener>,
        etcd: &OwnEtcd,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut cluster = Self {
            nodes: JoinSet::new(),
            names: Vec::new(),
            ready: Vec::new(),
            drain: Drain::new(etcd.connection(), &config.cluster)?,
        };
        for (number, listener) in (1..).zip(listeners) {
            let config = one_of(config, number, listener.local_addr()?);
            let (name, url) = (config.node_name.clone(), config.advertise.clone());
            let placed = Node::new(config)?.place(listener, etcd.connection())?;
            cluster.ready.push(Box::pin(placed.ready()));
            let life = placed.run(stop.clone());
            let of = name.clone();
            cluster.nodes.spawn(async move { (of, life.await) });
            cluster.names.push((name, url));
        }
        Ok(cluster)
    }

    /// Greets once all are ready, and says what is waited for in the end.
    async fn live(mut self, config: &Config, stop: &CancellationToken) -> anyhow::Result<()> {
        let (mut note, mut ready) = (None, std::pin::pin!(join_all(self.ready)));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.nodes.join_next() => {
                    let (name, ended) = ended?;
                    ended.with_context(|| name.clone())?;
                    anyhow::bail!("{name} ended by itself");
                }
                _ = &mut ready, if note.is_none() => note = Some(greet(config, &self.names)?),
            }
        }
        // Clients that come now would find nobody in a moment.
        drop(note);
        self.drain.watch(self.nodes, |line| drop(say(line))).await
    }
}

/// Prints how to reach the cluster, and leaves a note of it where that can be done.
fn greet(config: &Config, names: &[(String, String)]) -> anyhow::Result<io::Result<Left>> {
    let strongest = config.tokens()?.into_iter().max_by_key(|token| token.role);
    let token = strongest.context("token-file: holds no token")?;
    let note = Note {
        server: names
            .first()
            .map(|(_, url)| url.clone())
            .unwrap_or_default(),
        token: token.secret.expose().to_owned(),
    };
    let left = note.leave();
    let greeting = Greeting {
        config,
        names,
        token: &note.token,
        note: left.as_ref().map(Left::path),
    };
    let _ = say(&greeting.text());
    Ok(left)
}

/// Where one of several nodes listens for links: an address that is given is the first one's, and the others take the ports behind it.
fn peers_of(given: PeerListen, number: usize) -> PeerListen {
    match given {
        PeerListen::At(at) if at.port() > 0 => {
            let behind = u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX);
            let port = at.port().saturating_add(behind);
            PeerListen::At(SocketAddr::new(at.ip(), port))
        }
        PeerListen::At(_) | PeerListen::Auto | PeerListen::Off => given,
    }
}

/// The settings of one node.
fn one_of(config: &Config, number: usize, bound: SocketAddr) -> Config {
    let reached = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    Config {
        node_name: format!("{}-{number}", config.node_name),
        listen: bound,
        peer_listen: peers_of(config.peer_listen, number),
        advertise: format!("http://{}", SocketAddr::new(reached, bound.port())),
        ..config.clone()
    }
}
