//! One node, whole: connection, API, session, candidacy and hands put together, and taken apart in order; decides nothing itself.

mod address;
mod breakers;
mod built_in;
mod embedded;
mod join;
mod parts;
pub mod signals;
mod telling;
mod told;
mod watchman;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tenure_cluster::{Connection, Outcome, Session};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::Readiness;
use crate::clock::Clock;
use crate::config::{Config, Invalid};
use crate::leader::{self, Over, Post, Warm};
use crate::store::{self, Candidacy, Keys, Store, txns};
use crate::task::Name;
use crate::worker::breaker::Breakers;
use crate::worker::kinds::{Builder, Kinds};
use crate::worker::pool::Slots;
use crate::worker::{self, Hands, Machine};
use address::advertised;
use breakers::tell_breakers;
use built_in::{breakers_of, built_in, slots};
pub use embedded::OwnEtcd;
use parts::Parts;
pub use signals::serve;
use telling::tell_clock;
use told::Teller;

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
        let (mut parts, router, shared) = self.start(outside)?;
        parts.serve(listener, router);
        Ok(Placed { parts, shared })
    }

    /// The same without a listener and with what it needs from outside given, for whoever calls its API within the process: the
    /// API, and the node's life until `stop`. Dropping that ends the node as a crash does.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn in_process(
        self,
        outside: Outside,
        stop: CancellationToken,
    ) -> anyhow::Result<(Router, impl Future<Output = anyhow::Result<()>> + Send)> {
        let (parts, router, shared) = self.start(outside)?;
        Ok((router, Placed { parts, shared }.run(stop)))
    }

    /// Puts the node together and starts what runs beside its session.
    fn start(self, outside: Outside) -> anyhow::Result<(Parts, Router, Arc<Shared>)> {
        let shared = Arc::new(self.assemble(outside)?);
        let (parts, router) = Parts::start(&shared)?;
        Ok((parts, router, shared))
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
        loop {
            let session = tokio::select! {
                session = join::join(self) => session?,
                () = stop.cancelled() => return Ok(()),
            };
            let ended = tokio::select! {
                ended = self.attend(&session, stop) => ended,
                never = tell_clock(self, &session) => match never {},
                never = tell_breakers(self, &session) => match never {},
            };
            self.ready
                .send_modify(|ready| ready.session = Err("lost or closed".to_owned()));
            session.close().await;
            match ended {
                Ended::Stopped => return Ok(()),
                Ended::Lost => warn!("session lost, opening another"),
            }
        }
    }

    /// Works and stands for leadership as long as the session lives.
    async fn attend(&self, session: &Session, stop: &CancellationToken) -> Ended {
        let id = session.revision();
        self.ready
            .send_modify(|ready| ready.session = Ok(format!("session {id}")));
        let (lost, drain) = (session.lost(), CancellationToken::new());
        let hands = Hands {
            store: self.store.clone(),
            kinds: Arc::clone(&self.kinds),
            breakers: self.breakers.clone(),
            node: self.name.clone(),
            session: session.revision(),
            slots: self.slots.clone(),
            deaths_max: self.config.death_budget,
            grace: self.config.shutdown_grace,
        };
        let until = worker::Until {
            lost: lost.clone(),
            drain: drain.clone(),
        };
        let mut teller = Teller::new(self, session);
        let (work, lead) = (worker::work(hands, until), self.stand(session, stop));
        tokio::pin!(work, lead);
        tokio::select! {
            () = &mut work => Ended::Lost,
            () = lost.cancelled() => {
                work.await;
                Ended::Lost
            }
            never = teller.keep() => match never {},
            () = &mut lead => {
                // Told to stop, and leads no more: say so, and let the runs end.
                self.ready.send_modify(|ready| ready.draining = true);
                // The worker goes on meanwhile: it must see a lost session however long etcd takes to answer.
                let told = tokio::select! {
                    told = teller.leaving() => told,
                    () = &mut work => return Ended::Stopped,
                };
                drain.cancel();
                // The grace bounds the worker, and so what is tried beside it.
                tokio::select! {
                    () = teller.repeat_leaving(), if !told => work.await,
                    () = &mut work => {}
                }
                Ended::Stopped
            }
        }
    }

    /// Stands for leadership, leads, and stands again, until told to stop.
    async fn stand(&self, session: &Session, stop: &CancellationToken) {
        let value = store::encode(&Candidacy {
            node: self.name.clone(),
            address: self.address.clone(),
        });
        let prefix = self.store.keys().elect_prefix();
        let post = Arc::new(self.post());
        loop {
            let connection = self.store.connection();
            let standing =
                tenure_cluster::Candidate::stand(connection, session, &prefix, value.clone());
            let mut candidate = match standing.await {
                Ok(candidate) => candidate,
                Err(problem) if stop.is_cancelled() => return info!(%problem, "not standing"),
                Err(problem) => {
                    warn!(%problem, "could not stand for leadership, trying again");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let (mut warm, ahead) = (Warm::default(), candidate.ahead());
            let led = tokio::select! {
                led = candidate.lead() => led,
                never = warm.keep(&post, ahead) => match never {},
                () = stop.cancelled() => return candidate.withdraw().await,
            };
            match led {
                Ok(term) => {
                    if let Over::Asked(_) = self.lead(&post, term, warm, stop).await {
                        return;
                    }
                }
                Err(problem) => warn!(%problem, "candidacy ended"),
            }
        }
    }

    async fn lead(
        &self,
        post: &Arc<Post>,
        term: tenure_cluster::Term,
        warm: Warm,
        stop: &CancellationToken,
    ) -> Over {
        let over = leader::lead(Arc::clone(post), &term, warm, stop).await;
        if let Over::Asked(record) = &over {
            let line = txns::history(self.store.keys(), term.revision(), record);
            match term.resign(vec![line]).await {
                Outcome::Committed(_) => info!("resigned"),
                Outcome::Refused(_) => info!("the term had ended"),
                Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                    error!(%failure, "resignation not confirmed, the lease's end will do it");
                }
            }
        }
        over
    }

    fn post(&self) -> Post {
        Post {
            store: self.store.clone(),
            node: self.name.clone(),
            address: self.address.clone(),
            window: self.config.window as usize,
            deaths_max: self.config.death_budget,
            retention: self.config.retention,
            compaction: self.config.compaction.0,
            quota: i64::try_from(self.config.etcd_quota.0).unwrap_or(i64::MAX),
            full: self.full.subscribe(),
        }
    }
}
