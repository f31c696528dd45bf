//! One node, whole: connection, API, session, candidacy and hands put together, and taken apart in order; decides nothing itself.

mod address;
mod breakers;
mod built_in;
mod duty;
mod embedded;
mod hands;
mod itself;
mod join;
mod links;
mod parts;
pub mod signals;
mod stand;
mod telling;
mod told;
mod watchman;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tenure_cluster::{Connection, Session};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::{self, Door, Readiness};
use crate::clock::Clock;
use crate::config::{Config, Invalid};
use crate::store::{Keys, Store};
use crate::task::Name;
use crate::worker::breaker::Breakers;
use crate::worker::kinds::{Builder, Kinds};
use crate::worker::pool::Slots;
use crate::worker::{self, Left, Machine};
use address::advertised;
use breakers::tell_breakers;
use built_in::{breakers_of, built_in, slots};
use duty::duty_of;
pub use embedded::OwnEtcd;
use links::Links;
use parts::Parts;
pub use signals::serve;
use telling::tell_clock;

/// 500 ms between attempts to do what etcd did not answer.
const RETRY: Duration = Duration::from_millis(500);

/// A node to be run: its settings and the kinds of work it does.
pub struct Node {
    config: Config,
    kinds: Builder,
    machine: Machine,
}

/// What a node has from outside.
pub struct Outside {
    /// To etcd.
    pub connection: Connection,
    /// Its wall clock.
    pub clock: Clock,
    /// What it tells others of where its API is.
    pub address: String,
}

/// A node that answers, and does not work yet. Dropped, it no longer answers.
pub struct Placed {
    parts: Parts,
    shared: Arc<Shared>,
}

/// What all parts of a running node share.
struct Shared {
    config: Arc<Config>,
    store: Store,
    kinds: Arc<Kinds>,
    slots: Slots,
    machine: Machine,
    breakers: Breakers,
    name: Name,
    address: String,
    instance: String,
    started_ms: u64,
    ready: watch::Sender<Readiness>,
    /// Whether etcd has so little room left that no new work is taken.
    full: watch::Sender<bool>,
    /// Its links to other nodes, where it has any.
    links: Option<Links>,
    /// Runs that go on past lost sessions.
    finishing: Arc<AtomicUsize>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Lost,
    Stopped,
}

impl Node {
    /// A node with these settings, and the built-in kinds they enable.
    ///
    /// # Errors
    /// A setting that does not hold, by name.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        config.validate()?;
        let kinds = built_in(&config);
        Ok(Self {
            config,
            kinds,
            machine: Machine::default(),
        })
    }

    /// Reads this machine in place of the one it runs on.
    #[must_use]
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = machine;
        self
    }

    /// Registers more kinds, see [`Builder`].
    #[must_use]
    pub fn kinds(mut self, with: impl FnOnce(Builder) -> Builder) -> Self {
        self.kinds = with(self.kinds);
        self
    }

    /// Runs until `stop`, then hands over in order: no new work, leadership given up, runs finished within the grace, the rest
    /// handed back, the lease revoked. An etcd of its own opens before and closes after all that.
    ///
    /// # Errors
    /// What keeps the node from starting: a port in use, a name that is taken by a live node, kinds that do not fit, a directory
    /// that cannot be used. An etcd of its own that can write no more ends it.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let listen = self.config.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listen: {listen} cannot be bound"))?;
        if let Some(own) = OwnEtcd::open(&self.config).await? {
            let placed = self.place(listener, own.connection())?;
            return own.during(Box::pin(placed.run(stop))).await;
        }
        let etcd = self
            .config
            .etcd_options()
            .map_err(|fault| Invalid(vec![fault]))?;
        let connection = Connection::open(etcd)?;
        let placed = self.place(listener, connection)?;
        Box::pin(placed.run(stop)).await
    }

    /// The same in two steps, with its listener and its way to etcd given: the API answers from here on.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn place(self, listener: TcpListener, connection: Connection) -> anyhow::Result<Placed> {
        let bound = listener.local_addr()?;
        let outside = Outside {
            connection,
            clock: Clock::default(),
            address: advertised(&self.config.advertise, bound),
        };
        let links = links::bind(&self.config, bound)?;
        let debug = self.config.debug_listen.map(itself::bound).transpose()?;
        let (mut parts, door, shared) = self.start(outside, links)?;
        if let Some(debug) = debug {
            parts.serve_debug(debug, api::debug_router(door.clone()));
        }
        parts.serve(listener, &shared, api::router(door));
        Ok(Placed { parts, shared })
    }

    /// The same without a listener, without links, and with what it needs from outside given, for whoever calls its API within the process: the
    /// API, and the node's life until `stop`. Dropping that ends the node as a crash does.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn in_process(
        self,
        outside: Outside,
        stop: CancellationToken,
    ) -> anyhow::Result<(Router, impl Future<Output = anyhow::Result<()>> + Send)> {
        let (parts, door, shared) = self.start(outside, None)?;
        Ok((api::router(door), Placed { parts, shared }.run(stop)))
    }

    /// Puts the node together and starts what runs beside its session.
    fn start(
        self,
        outside: Outside,
        place: Option<links::Place>,
    ) -> anyhow::Result<(Parts, Door, Arc<Shared>)> {
        let mut shared = self.assemble(outside)?;
        let listener = links::give(&mut shared, place)?;
        let shared = Arc::new(shared);
        let (mut parts, door) = Parts::start(&shared)?;
        links::add(&mut parts, &shared, listener);
        Ok((parts, door, shared))
    }

    /// What the parts share, before any of them runs.
    fn assemble(self, outside: Outside) -> anyhow::Result<Shared> {
        let Self {
            config,
            kinds,
            machine,
        } = self;
        let cluster: Name = config.cluster.parse().context("cluster")?;
        let started_ms = outside.clock.now_ms();
        let store = Store::new(outside.connection, Keys::new(&cluster));
        Ok(Shared {
            store: store.with_clock(outside.clock),
            kinds: Arc::new(kinds.build()?),
            slots: slots(&config, machine.clone()),
            machine,
            breakers: Breakers::new(breakers_of(&config)?),
            name: config.node_name.parse().context("node-name")?,
            address: outside.address,
            instance: uuid::Uuid::new_v4().simple().to_string(),
            started_ms,
            ready: watch::Sender::default(),
            full: watch::Sender::new(false),
            links: None,
            finishing: Arc::default(),
            config: Arc::new(config),
        })
    }
}

impl Placed {
    /// Until the node can do its part: etcd answers, and it has its session. Never where the node ends before.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ready = self.shared.ready.subscribe();
        async move {
            let able = |ready: &Readiness| ready.etcd.is_ok() && ready.session.is_ok();
            if ready.wait_for(able).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Works until `stop`, see [`Node::run`]. Where a part of it ends before, it hands over as if told to stop.
    ///
    /// # Errors
    /// As [`Node::run`], and why a part ended.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { mut parts, shared } = self;
        info!(node = %shared.name, address = shared.address, "started");
        let stop = stop.child_token();
        let ended = parts.beside(Box::pin(shared.live(&stop)), &stop).await;
        parts.close().await;
        ended
    }
}

impl Shared {
    /// Opens sessions and works in them until told to stop.
    async fn live(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = join::initialise(self) => {}
            () = stop.cancelled() => return Ok(()),
        }
        // Runs that go on past the sessions they began in; ended with this.
        let mut past = JoinSet::new();
        loop {
            let session = tokio::select! {
                session = join::join(self) => session?,
                () = stop.cancelled() => return Ok(()),
            };
            let (ended, left) = tokio::select! {
                ended = self.attend(&session, stop) => ended,
                never = tell_clock(self, &session) => match never {},
                never = tell_breakers(self, &session) => match never {},
            };
            self.waits(match ended {
                Ended::Stopped => "closed: the node stops",
                Ended::Lost => "lost: telling what had ended, as soon as etcd answers",
            });
            // Before the session is closed, after which the leader reclaims what it held.
            if let Some(left) = left
                && let Some(left) = left.tell(told::takes_no_more(self, &session), stop).await
            {
                past.spawn(left.finish(stop.clone(), self.config.shutdown_grace));
            }
            let of = session.revision();
            session.close().await;
            while let Some(ended) = past.try_join_next() {
                ended?;
            }
            match ended {
                Ended::Stopped => {
                    while let Some(ended) = past.join_next().await {
                        ended?;
                    }
                    return Ok(());
                }
                Ended::Lost => warn!("session lost, opening another"),
            }
            links::was_taken_for_gone(self, of).await;
        }
    }

    /// Says what it waits for before it has a session.
    fn waits(&self, what: impl Into<String>) {
        let what = what.into();
        self.ready.send_modify(|ready| ready.session = Err(what));
    }

    /// Works and stands for leadership as long as the session lives, and as its duty is.
    async fn attend(&self, session: &Session, stop: &CancellationToken) -> (Ended, Option<Left>) {
        let id = session.revision();
        self.ready
            .send_modify(|ready| ready.session = Ok(format!("session {id}")));
        let lost = session.lost();
        let mut drains = self.store.drains(&self.name);
        let drained = tokio::select! {
            drained = drains.next() => drained,
            () = lost.cancelled() => return (Ended::Lost, None),
            () = stop.cancelled() => return (Ended::Stopped, None),
        };
        let duty = watch::Sender::new(duty_of(drained));
        let until = worker::Until {
            lost: lost.clone(),
            duty: duty.subscribe(),
        };
        let emptied = CancellationToken::new();
        let work = worker::work(self.hands(session), until);
        let mut lead = Box::pin(self.stand(session, duty.subscribe(), emptied.clone()));
        let orders = self.orders(session, drains, &duty, stop);
        tokio::pin!(work, orders);
        let mut leads_no_more = false;
        let left = loop {
            tokio::select! {
                left = &mut work => break left,
                () = lost.cancelled() => {
                    // It leads no more while its runs end.
                    drop(lead);
                    return (Ended::Lost, work.await);
                }
                () = &mut lead, if !leads_no_more => leads_no_more = true,
                never = &mut orders => match never {},
            }
        };
        if lost.is_cancelled() {
            return (Ended::Lost, left);
        }
        // Whoever takes it or not: leadership goes before the session does.
        emptied.cancel();
        if !leads_no_more {
            lead.await;
        }
        (Ended::Stopped, left)
    }
}
