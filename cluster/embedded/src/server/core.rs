//! The one state machine behind all services: who may touch it, and when its answers may leave.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use etcd_client::proto::PbLeaseKeepAliveResponse;
use tokio::time::Instant;
use tonic::Status;

use super::gate::Gate;
use super::history::History;
use super::status::{status, too_many};
use crate::durable::Journal;
use crate::engine::{Engine, Error};

/// Shared by services, streams and the clock.
#[derive(Debug)]
pub(crate) struct Core {
    /// A std mutex: a section is one request on memory, and never awaits.
    state: Mutex<State>,
    /// Where the engine's time starts.
    origin: Instant,
    pub(crate) gate: Arc<Gate>,
    /// Makes effects durable; without it they are not kept.
    journal: Option<Journal>,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    history: Option<History>,
    listening: Vec<SocketAddr>,
}

impl Core {
    pub(crate) fn new(
        engine: Engine,
        history: Option<History>,
        gate: Arc<Gate>,
        journal: Option<Journal>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                engine,
                history,
                listening: Vec::new(),
            }),
            origin: Instant::now(),
            gate,
            journal,
        }
    }

    /// Applies a request, and answers when what it saw or did can no longer be lost.
    ///
    /// # Errors
    /// It is refused, too much waits for the disk, or the server is closed.
    pub(crate) async fn apply<T>(
        &self,
        request: impl FnOnce(&mut Engine, Duration) -> Result<T, Error>,
    ) -> Result<T, Status> {
        if self.journal.as_ref().is_some_and(Journal::full) {
            return Err(too_many());
        }
        let (answer, ticket) = {
            // Before, for after a panic there is nothing to hold; and again, for it may have closed meanwhile.
            self.gate.refuse_closed()?;
            let mut state = self.lock();
            self.gate.refuse_closed()?;
            let answer = request(&mut state.engine, self.now());
            (answer, self.applied(&mut state.engine))
        };
        if let Some(ticket) = ticket {
            self.gate.settled(ticket).await?;
        }
        answer.map_err(status)
    }

    /// Renews a lease, and answers at once: a renewal writes nothing, and a lease must not end for what waits for the disk. One
    /// that is over is ended by it; that is answered when it is on disk.
    ///
    /// # Errors
    /// The server is closed.
    pub(crate) async fn keep_alive(&self, id: i64) -> Result<PbLeaseKeepAliveResponse, Status> {
        let (answer, ticket) = {
            let mut state = self.lock();
            self.gate.refuse_closed()?;
            // As in etcd, the revision before the renewal; of what may be shown, where more is on its way to the disk.
            let header = state.engine.header_at(self.gate.visible());
            let ttl = state.engine.keep_alive(self.now(), id);
            let ticket = self.applied(&mut state.engine).filter(|_| ttl == 0);
            let header = Some(header);
            (PbLeaseKeepAliveResponse { header, id, ttl }, ticket)
        };
        if let Some(ticket) = ticket {
            self.gate.settled(ticket).await?;
        }
        Ok(answer)
    }

    /// What the clock does every 500 ms: ends leases that are over, drops history that is old.
    pub(crate) fn tick(&self) {
        let mut state = self.lock();
        let State {
            engine, history, ..
        } = &mut *state;
        let now = self.now();
        engine.end_leases(now);
        if let Some(history) = history {
            history.keep(engine, now, self.gate.visible());
        }
        engine.lower_where_room();
        self.applied(engine);
    }

    /// Changes the state from outside of any request.
    pub(crate) fn control<T>(&self, change: impl FnOnce(&mut Engine, Duration) -> T) -> T {
        let mut state = self.lock();
        let answer = change(&mut state.engine, self.now());
        self.applied(&mut state.engine);
        answer
    }

    /// Looks at the state, for a watch: only what is visible may be shown.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Engine, i64) -> T) -> T {
        let state = self.lock();
        look(&state.engine, self.gate.visible())
    }

    /// Where the server listens, to be told to clients.
    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        self.lock().listening.clone()
    }

    /// Another address.
    pub(crate) fn listens(&self, at: SocketAddr) {
        self.lock().listening.push(at);
    }

    /// Ends all streams, as a crash and restart does; leases get their full TTL and 1 s.
    pub(crate) fn crash(&self) {
        self.control(Engine::change_leader);
        self.gate.crash();
    }

    /// Ends all streams and refuses all requests from now on; what was applied is still written.
    pub(crate) fn close(&self) {
        self.gate.close();
        if let Some(journal) = &self.journal {
            // Whatever is being applied hands over its effects before.
            // Poisoned or not: this is also how a server that panicked is dropped.
            let _applied = self.state.lock();
            journal.close();
        }
    }

    /// Waits until all is written and the directory free, after [`close`](Self::close). Blocks.
    pub(crate) fn join(&self) {
        if let Some(journal) = &self.journal {
            journal.join();
        }
    }

    /// Shows or hands over what was done. Returns the ticket to wait for where it has to be written first.
    fn applied(&self, engine: &mut Engine) -> Option<u64> {
        let revision = engine.store().revision();
        if self.journal.is_none() {
            self.gate.show(revision);
        }
        let journal = self.journal.as_ref()?;
        Some(journal.push(engine.take_effects(), revision))
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The state may be half changed where applying a request panicked: then nobody is answered from it.
    fn lock(&self) -> Section<'_> {
        Section {
            gate: &self.gate,
            state: self
                .state
                .lock()
                .expect("no request panicked while applied"),
        }
    }
}

/// The state while it is held. A panic meanwhile fails the server, so that whoever owns it hears of it and ends.
struct Section<'a> {
    gate: &'a Gate,
    state: MutexGuard<'a, State>,
}

impl Deref for Section<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Section<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.gate
                .fail("it panicked while it applied a request; the log says where");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[tokio::test]
    async fn a_panic_while_a_request_is_applied_fails_the_server_and_nobody_is_answered() {
        let engine = Engine::new(Options::default().identity());
        let gate = Arc::new(Gate::new(engine.store().revision()));
        let core = Arc::new(Core::new(engine, None, gate, None));
        let mut tasks = tokio::task::JoinSet::new();
        let panics = Arc::clone(&core);
        tasks.spawn(async move { panics.control(|_, _| panic!("on purpose")) });
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());

        let failure = tokio::time::timeout(Duration::from_secs(20), core.gate.failure()).await;
        assert!(failure.unwrap().starts_with("it panicked"));
        let refused = core.apply(|_, _| Ok(())).await;
        assert!(refused.is_err());
    }
}
