//! The one state machine behind all services: who may touch it, what of it may be shown, when streams end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;

use super::history::History;
use super::status::{status, stopped};
use crate::engine::{Engine, Error};

/// Set in the generation when the server is closed for good.
const CLOSED: u64 = 1 << 63;

/// Shared by services, streams and the clock.
#[derive(Debug)]
pub(crate) struct Core {
    /// A std mutex: a section is one request on memory, and never awaits.
    state: Mutex<State>,
    /// Where the engine's time starts.
    origin: Instant,
    /// The revision up to which watches may show.
    visible: AtomicI64,
    /// Counts crashes: streams opened in another generation end.
    generation: AtomicU64,
    /// Something became visible, or streams have to end.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    history: Option<History>,
    listening: Vec<SocketAddr>,
}

impl Core {
    pub(crate) fn new(engine: Engine, history: Option<History>) -> Self {
        Self {
            visible: AtomicI64::new(engine.store().revision()),
            state: Mutex::new(State {
                engine,
                history,
                listening: Vec::new(),
            }),
            origin: Instant::now(),
            generation: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Applies a request, and answers when what it saw or did can no longer be lost.
    ///
    /// # Errors
    /// It is refused, or the server closed.
    #[expect(clippy::unused_async, reason = "durable")]
    pub(crate) async fn apply<T>(
        &self,
        request: impl FnOnce(&mut Engine, Duration) -> Result<T, Error>,
    ) -> Result<T, Status> {
        let answer = {
            let mut state = self.lock();
            self.refuse_closed()?;
            let answer = request(&mut state.engine, self.now());
            self.applied(&mut state.engine);
            answer
        };
        answer.map_err(status)
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
            history.keep(engine, now);
        }
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
        look(&state.engine, self.visible())
    }

    /// Where the server listens, to be told to clients.
    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        self.lock().listening.clone()
    }

    /// Another address.
    pub(crate) fn listens(&self, at: SocketAddr) {
        self.lock().listening.push(at);
    }

    /// The revision up to which watches may show.
    pub(crate) fn visible(&self) -> i64 {
        self.visible.load(Ordering::Acquire)
    }

    /// What a stream remembers when it is opened.
    ///
    /// # Errors
    /// The server is closed.
    pub(crate) fn generation(&self) -> Result<u64, Status> {
        self.refuse_closed()?;
        Ok(self.generation.load(Ordering::Acquire))
    }

    /// Whether streams of this generation go on.
    pub(crate) fn goes_on(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// To wait on for a change; what is checked after this call and before the wait is not missed.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Ends all streams, as a crash and restart does; leases get their full TTL and 1 s.
    pub(crate) fn crash(&self) {
        self.control(Engine::change_leader);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Ends all streams and refuses all requests from now on.
    pub(crate) fn close(&self) {
        self.generation.fetch_or(CLOSED, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn applied(&self, engine: &mut Engine) {
        let revision = engine.store().revision();
        if self.visible.swap(revision, Ordering::AcqRel) != revision {
            self.changed.notify_waiters();
        }
    }

    fn refuse_closed(&self) -> Result<(), Status> {
        if self.generation.load(Ordering::Acquire) & CLOSED != 0 {
            return Err(stopped());
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The state may be half changed where applying a request panicked: then nobody is answered from it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no request panicked while applied")
    }
}
