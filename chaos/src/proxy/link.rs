//! What all connections of one proxy share: the conditions they are under, and how much of a narrow way is taken.

use super::bucket::Bucket;
use super::{Conditions, Way};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is set. Connections have numbers in the order in which they were taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    requests: Conditions,
    answers: Conditions,
    /// Connections below this number carry nothing.
    half_open_below: u64,
    /// Connections below this number are reset.
    reset_below: u64,
}

impl State {
    pub(super) fn set(&mut self, way: Way, conditions: Conditions) {
        match way {
            Way::Requests => self.requests = conditions,
            Way::Answers => self.answers = conditions,
        }
    }

    pub(super) fn half_open(&mut self, next: u64) {
        self.half_open_below = next;
    }

    pub(super) fn reset(&mut self, next: u64) {
        self.reset_below = next;
    }

    pub(super) fn mend(&mut self) {
        self.requests = Conditions::default();
        self.answers = Conditions::default();
        self.reset_below = self.reset_below.max(self.half_open_below);
    }

    fn of(&self, way: Way) -> Conditions {
        match way {
            Way::Requests => self.requests,
            Way::Answers => self.answers,
        }
    }

    fn holds(&self, way: Way, number: u64) -> bool {
        self.of(way).dropped || number < self.half_open_below
    }

    fn is_silent(&self) -> bool {
        self.requests.dropped && self.answers.dropped
    }
}

/// Something was held back, or an end is gone: the connection is to be reset.
#[derive(Debug)]
pub(super) struct Broken;

pub(super) struct Link {
    state: watch::Receiver<State>,
    /// Of requests, and of answers.
    buckets: (Bucket, Bucket),
    /// The number of the next connection.
    next: AtomicU64,
    /// How often a jitter was drawn.
    draws: AtomicU64,
}

impl Link {
    pub(super) fn new(state: watch::Receiver<State>) -> Self {
        Self {
            state,
            buckets: (Bucket::default(), Bucket::default()),
            next: AtomicU64::new(0),
            draws: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// The number of one that was just taken.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// Comes back when the connection is to be reset, and before if the proxy is no more.
    pub(super) async fn resets(&self, number: u64) {
        let mut state = self.state.clone();
        let _gone = state.wait_for(|state| number < state.reset_below).await;
    }

    /// Waits while nothing comes through in either direction; whether it had to.
    pub(super) async fn was_silent(&self) -> bool {
        let silent = self.state.borrow().is_silent();
        if silent {
            let mut state = self.state.clone();
            let _gone = state.wait_for(|state| !state.is_silent()).await;
        }
        silent
    }

    /// # Errors
    /// After the way was mended, where it held something back.
    pub(super) async fn passes(&self, way: Way, number: u64) -> Result<(), Broken> {
        if !self.state.borrow().holds(way, number) {
            return Ok(());
        }
        let mut state = self.state.clone();
        let _gone = state.wait_for(|state| !state.holds(way, number)).await;
        Err(Broken)
    }

    /// When something that came now is due at the other end.
    pub(super) fn due(&self, way: Way) -> Instant {
        let now = Instant::now();
        let late = self.state.borrow().of(way).late;
        late.map_or(now, |late| {
            let draw = drawn(self.draws.fetch_add(1, Ordering::Relaxed));
            let more = draw % late.jitter_ms.saturating_add(1);
            now + Duration::from_millis(late.ms.saturating_add(more))
        })
    }

    pub(super) fn is_narrow(&self, way: Way) -> bool {
        self.state.borrow().of(way).narrow_kbit_s.is_some()
    }

    /// When so many bytes may go on.
    pub(super) fn room(&self, way: Way, bytes: usize) -> Instant {
        let now = Instant::now();
        let bucket = match way {
            Way::Requests => &self.buckets.0,
            Way::Answers => &self.buckets.1,
        };
        let narrow = self.state.borrow().of(way).narrow_kbit_s;
        narrow.map_or(now, |kbit_s| bucket.take(now, bytes, kbit_s))
    }
}

/// `SplitMix64` of a number: spread evenly, and the same for the same number.
fn drawn(number: u64) -> u64 {
    let mut x = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
