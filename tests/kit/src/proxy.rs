//! A TCP proxy that loses, holds or breaks what goes through it. Never looks into it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Forward,
    /// Requests pass, answers are lost. Connections that lost something break when the mode changes.
    CutAnswers,
    /// Requests wait, answers pass; nothing is lost.
    HoldRequests,
    /// Everything waits; nothing is lost.
    Hold,
    /// Connections break, and new ones are closed at once.
    Refuse,
}

/// A proxy in front of one address. Dropping it breaks its connections.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    rule: Arc<watch::Sender<Rule>>,
    held: Held,
    tasks: JoinSet<()>,
}

/// What holds now. Connections break when the number of resets changes, so that none is missed.
#[derive(Debug, Clone, Copy)]
struct Rule {
    mode: Mode,
    resets: u64,
}

/// How many pieces have had to wait since the mode was last set.
type Held = Arc<watch::Sender<u64>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Answers,
}

impl Proxy {
    /// Starts forwarding from a free loopback port to `target`, as `host:port`.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start(target: impl Into<String>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let started = Self::start_at(any, target.into()).await;
        started.expect("a free port")
    }

    /// The same from a port of choice.
    pub(crate) async fn start_at(own: SocketAddr, target: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind(own).await?;
        let address = listener.local_addr()?.to_string();
        let rule = Arc::new(watch::Sender::new(Rule {
            mode: Mode::Forward,
            resets: 0,
        }));
        let held = Held::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(
            listener,
            target,
            Arc::clone(&rule),
            Arc::clone(&held),
        ));
        Ok(Self {
            address,
            rule,
            held,
            tasks,
        })
    }

    /// Stops listening, breaks every connection, and waits until that is done.
    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }

    /// Where it listens, as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what happens from now on.
    pub fn set(&self, mode: Mode) {
        self.held.send_replace(0);
        self.rule.send_modify(|rule| {
            rule.mode = mode;
            rule.resets += u64::from(mode == Mode::Refuse);
        });
    }

    /// Waits until something is held that came since the mode was set.
    ///
    /// # Panics
    /// Never: what it waits for lives as long as the proxy.
    pub async fn held(&self) {
        let mut held = self.held.subscribe();
        let seen = held.wait_for(|pieces| *pieces > 0).await;
        seen.expect("the sender is ours");
    }

    /// Breaks every connection; new ones pass.
    pub fn reset(&self) {
        self.set(Mode::Refuse);
        self.set(Mode::Forward);
    }
}

async fn accept(listener: TcpListener, target: String, rule: Arc<watch::Sender<Rule>>, held: Held) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                if rule.borrow().mode != Mode::Refuse {
                    let held = Arc::clone(&held);
                    connections.spawn(carry(client, target.clone(), rule.subscribe(), held));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn carry(client: TcpStream, target: String, rule: watch::Receiver<Rule>, held: Held) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Small pieces go on at once, as they were sent; waiting for more costs 40 ms each.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, Way::Requests, rule.clone(), &held) => {}
        () = pump(from_server, to_client, Way::Answers, rule.clone(), &held) => {}
        () = broken(rule) => {}
    }
}

/// Ends where connections are to break. An error means that the proxy is gone.
async fn broken(mut rule: watch::Receiver<Rule>) {
    let resets = rule.borrow().resets;
    let _ = rule.wait_for(|rule| rule.resets != resets).await;
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut rule: watch::Receiver<Rule>,
    held: &Held,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut lost = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = rule.changed(), if lost => {
                if changed.is_err() || rule.borrow().mode != Mode::CutAnswers {
                    return;
                }
                continue;
            }
        };
        let Ok(1..) = read else { return };
        let read = read.unwrap_or(0);
        if holds(rule.borrow().mode, way) {
            held.send_modify(|pieces| *pieces += 1);
        }
        let Ok(now) = rule
            .wait_for(|rule| !holds(rule.mode, way))
            .await
            .map(|rule| rule.mode)
        else {
            return;
        };
        if now == Mode::CutAnswers && way == Way::Answers {
            lost = true;
            continue;
        }
        if lost || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

fn holds(mode: Mode, way: Way) -> bool {
    match mode {
        Mode::Hold => true,
        Mode::HoldRequests => way == Way::Requests,
        Mode::Forward | Mode::CutAnswers | Mode::Refuse => false,
    }
}
