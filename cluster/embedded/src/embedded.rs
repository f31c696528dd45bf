//! The handle of a running server: how it is reached, steered and ended. Owns every task.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::Channel;
use etcd_client::proto::PbCompactionRequest;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::durable::{self, Journal, OpenError};
use crate::engine::Engine;
use crate::options::Options;
use crate::server::{Core, Gate, History};
use crate::service::Service;

/// 500 ms, how often etcd looks for leases that are over.
const TICK: Duration = Duration::from_millis(500);

/// A running server. Dropped, it stops answering; [`shutdown`](Self::shutdown) also waits for its tasks.
#[derive(Debug)]
pub struct Embedded {
    core: Arc<Core>,
    service: Service,
    stop: CancellationToken,
    /// The clock and the listeners. A std mutex: a section adds or takes a task.
    tasks: Mutex<JoinSet<()>>,
}

impl Embedded {
    /// An empty server that keeps nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub fn in_memory(options: &Options) -> Self {
        let engine = Engine::new(options.identity());
        let gate = Arc::new(Gate::new(engine.store().revision()));
        Self::start(engine, gate, None, options)
    }

    /// A server that keeps everything in a directory: what it answers is on disk. Made where there is none.
    /// Blocks while it reads the directory.
    ///
    /// # Errors
    /// The directory is in use, not ours, damaged, or cannot be read or written.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    pub fn open(dir: impl AsRef<Path>, options: &Options) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let opened = durable::open(dir)?;
        let loaded = opened.loaded;
        let mut identity = options.identity();
        let opens = u32::try_from(loaded.opens).unwrap_or(u32::MAX);
        identity.lease_seed = identity.lease_seed.wrapping_add(opens);
        let engine = Engine::restore(identity, loaded.store, loaded.lessor, loaded.no_space);
        let gate = Arc::new(Gate::new(engine.store().revision()));
        let journal = Journal::start(
            opened.database,
            Some(opened.lock),
            loaded.dropped,
            Arc::clone(&gate),
        );
        let journal = journal.map_err(|source| OpenError::Io {
            dir: dir.to_owned(),
            source,
        })?;
        Ok(Self::start(engine, gate, Some(journal), options))
    }

    fn start(engine: Engine, gate: Arc<Gate>, journal: Option<Journal>, options: &Options) -> Self {
        let history = options.compacts.then(History::default);
        let core = Arc::new(Core::new(engine, history, gate, journal));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(tick(Arc::clone(&core), stop.clone()));
        Self {
            service: Service::new(&core, options),
            core,
            stop,
            tasks: Mutex::new(tasks),
        }
    }

    /// The channel that a client is made from, with `etcd_client::Client::from_channel`.
    pub fn channel(&self) -> Channel {
        self.service.channel()
    }

    /// The server as a tower service.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Listens on an address, port 0 for any free one. Returns the address it got.
    ///
    /// # Errors
    /// The address cannot be listened on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn listen(&self, at: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(at).await?;
        let at = listener.local_addr()?;
        self.core.listens(at);
        let (routes, stop) = (self.service.clone().into_routes(), self.stop.clone());
        // Answers are small: gathered by the kernel, each would wait 40 ms for the one before.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = Server::builder()
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
        let core = Arc::clone(&self.core);
        self.tasks().spawn(async move {
            if let Err(error) = server.await {
                core.gate
                    .fail(&format!("it no longer listens on {at}: {error}"));
            }
        });
        Ok(at)
    }

    /// Waits until the server has failed, and says why: nothing can be written to the directory any more, it
    /// panicked, or it no longer listens where it was asked to. It then answers nobody; what was acknowledged is
    /// there when the directory is opened again.
    pub async fn failed(&self) -> String {
        self.core.gate.failure().await
    }

    /// Ends all streams, refuses what still comes, and waits for the tasks and until all is written. Blocks
    /// for as long as a commit takes.
    pub async fn shutdown(self) {
        self.core.close();
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks());
        while tasks.join_next().await.is_some() {}
        self.core.join();
    }

    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.core.control(|engine, _| engine.store().revision())
    }

    /// Does what a change of etcd's leader does: every lease gets its full TTL and 1 s.
    pub fn renew_all_leases(&self) {
        self.core.control(Engine::change_leader);
    }

    /// Does what a crash and restart of etcd does: all streams end, every lease gets its full TTL and 1 s.
    /// What was acknowledged stays.
    pub fn crash(&self) {
        self.core.crash();
    }

    /// Raises the alarm about space: puts and grants are refused.
    pub fn raise_no_space(&self) {
        self.core.control(|engine, _| engine.raise_no_space());
    }

    /// Lowers it again.
    pub fn lower_no_space(&self) {
        self.core.control(|engine, _| engine.lower_no_space());
    }

    /// Ends a lease now, as if its time had passed. Whether it was there.
    pub fn expire_lease(&self, id: i64) -> bool {
        self.core.control(|engine, _| engine.revoke(id).is_ok())
    }

    /// Drops history before a revision. Whether there was something to drop: it was not compacted there
    /// already, and the revision is there.
    pub fn compact(&self, revision: i64) -> bool {
        let request = PbCompactionRequest {
            revision,
            physical: false,
        };
        let done = self.core.control(|engine, _| engine.compact(&request));
        done.is_ok()
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().expect("no section panics")
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.core.close();
        self.stop.cancel();
        self.core.join();
    }
}

async fn tick(core: Arc<Core>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => core.tick(),
        }
    }
}
