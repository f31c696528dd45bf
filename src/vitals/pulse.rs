//! The beat of the runtime: a task that wants to wake every [`BEAT`], and how late it does. What is late, every deadline and keepalive of
//! this process is too. Where no thread of the runtime runs at all, a thread outside of it says so while it lasts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics;

/// 100 ms between beats: half of what counts as a stall, and ten wake-ups a second cost an idle node nothing that is seen.
pub const BEAT: Duration = Duration::from_millis(100);

/// 200 ms late is a stall: a tenth of the shortest lease (`lease-ttl`, 2 s), which is all that lies between TERM and KILL of a lost
/// session's runs.
pub const STALL: Duration = Duration::from_millis(200);

/// 1 s without a beat is said from outside, while it lasts.
const SILENT: Duration = Duration::from_secs(1);

/// 250 ms between looks from outside.
const LOOK: Duration = Duration::from_millis(250);

/// 10 s between lines of the log about stalls; those between are counted in the next.
const SAY: Duration = Duration::from_secs(10);

/// 64 KiB of stack for the thread outside: it reads a number and writes a line.
const STACK_BYTES: usize = 64 << 10;

/// The beat of a runtime. A cheap handle.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    origin: Instant,
    /// When it beat last or began to, in microseconds from `origin`, and one more; 0 before that.
    last_us: AtomicU64,
    /// The longest that one was late, in microseconds, since somebody asked.
    longest_us: AtomicU64,
    stalls: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Beats {
            origin: Instant::now(),
            last_us: AtomicU64::new(0),
            longest_us: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
        }))
    }
}

impl Pulse {
    /// Beats until told to stop.
    pub async fn beat(&self, stop: CancellationToken) {
        let mut lines = Seldom::new(SAY);
        // From here on a silence counts.
        self.mark();
        loop {
            let due = tokio::time::Instant::now() + BEAT;
            tokio::select! {
                () = sleep_until(due) => {}
                () = stop.cancelled() => break,
            }
            let late = due.elapsed();
            metrics::runtime_late(late);
            if self.felt(late)
                && let Some(unsaid) = lines.say(self.0.origin.elapsed())
            {
                let late_ms = millis(late);
                warn!(
                    late_ms,
                    unsaid, "the runtime stalled, or the process was paused"
                );
            }
        }
        // Who looks from outside is told nothing of a beat that was asked to end.
        self.0.last_us.store(0, Ordering::Relaxed);
    }

    /// Notes a beat; whether it was so late that it was a stall.
    fn felt(&self, late: Duration) -> bool {
        self.mark();
        self.0.longest_us.fetch_max(micros(late), Ordering::Relaxed);
        let stalled = late >= STALL;
        if stalled {
            self.0.stalls.fetch_add(1, Ordering::Relaxed);
            metrics::runtime_stalled();
        }
        stalled
    }

    fn mark(&self) {
        let now_us = micros(self.0.origin.elapsed()).saturating_add(1);
        self.0.last_us.store(now_us, Ordering::Relaxed);
    }

    /// How long ago the last beat was; none where there is no beat. For who is outside of the runtime.
    pub fn since(&self) -> Option<Duration> {
        let last_us = self.0.last_us.load(Ordering::Relaxed).checked_sub(1)?;
        let now_us = micros(self.0.origin.elapsed());
        Some(Duration::from_micros(now_us.saturating_sub(last_us)))
    }

    /// How many beats were late by [`STALL`] or more.
    pub fn stalls(&self) -> u64 {
        self.0.stalls.load(Ordering::Relaxed)
    }

    /// The longest that a beat was late since this was asked last.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.0.longest_us.swap(0, Ordering::Relaxed))
    }

    /// Looks at the beat from a thread outside of the runtime, until that is dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn outside(&self) -> io::Result<Outside> {
        let pulse = self.clone();
        let say = move |silent| {
            let silent_ms = millis(silent);
            warn!(silent_ms, "no thread of the runtime has run for this long");
        };
        Outside::look(pulse, LOOK, say)
    }
}

/// A thread that looks at a beat.
#[derive(Debug)]
pub struct Outside {
    /// The thread ends when this is dropped: nothing is ever sent.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Outside {
    fn look(
        pulse: Pulse,
        every: Duration,
        say: impl Fn(Duration) + Send + 'static,
    ) -> io::Result<Self> {
        let (end, ended) = channel::<()>();
        let thread = thread::Builder::new()
            .name("pulse".to_owned())
            .stack_size(STACK_BYTES);
        let thread = thread.spawn(move || {
            let mut silence = Silence::default();
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Some(silent) = pulse.since().and_then(|since| silence.look(since)) {
                    say(silent);
                }
            }
        })?;
        Ok(Self {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It wakes at once, and at most finishes a line.
            let _ = thread.join();
        }
    }
}

/// When a silence is worth a line: at [`SILENT`], and each time that it has become twice as long.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    said: Option<Duration>,
}

impl Silence {
    fn look(&mut self, since: Duration) -> Option<Duration> {
        if since < SILENT {
            self.said = None;
            return None;
        }
        let due = self.said.is_none_or(|said| since >= said * 2);
        due.then(|| *self.said.insert(since))
    }
}

/// Lets one line through in a while, and counts those that it did not.
#[derive(Clone, Copy, Debug)]
pub struct Seldom {
    every: Duration,
    last: Option<Duration>,
    unsaid: u64,
}

impl Seldom {
    /// One line in this long.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            last: None,
            unsaid: 0,
        }
    }

    /// Whether to say it now, and how many were not said since the last.
    pub fn say(&mut self, now: Duration) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + self.every) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn lines_that_are_not_said_are_counted_in_the_next() {
        let mut lines = Seldom::new(Duration::from_secs(10));
        let said = [0, 1, 9, 10, 11, 30].map(|secs| lines.say(Duration::from_secs(secs)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn a_silence_is_said_at_a_second_and_whenever_it_has_doubled_and_anew_after_a_beat() {
        let mut silence = Silence::default();
        let said = [900, 1_000, 1_900, 2_000, 3_900, 4_100, 100, 1_100];
        let said = said.map(|ms| silence.look(Duration::from_millis(ms)).is_some());
        assert_eq!(said, [false, true, false, true, false, true, false, true]);
    }

    #[test]
    fn a_beat_that_is_late_by_a_stall_is_one_and_the_longest_is_told_once() {
        let pulse = Pulse::default();
        assert_eq!(pulse.since(), None, "it has not begun");
        let late = [0, 199, 200, 3_000, 1].map(Duration::from_millis);
        let stalled = late.map(|late| pulse.felt(late));
        assert_eq!(stalled, [false, false, true, true, false]);
        assert_eq!(pulse.stalls(), 2);
        assert_eq!(pulse.longest(), Duration::from_secs(3));
        assert_eq!(pulse.longest(), Duration::ZERO, "since it was asked");
        assert!(pulse.since().is_some());
    }

    #[tokio::test]
    async fn a_beat_that_was_told_to_end_is_missed_by_nobody() {
        let (pulse, stop) = (Pulse::default(), CancellationToken::new());
        pulse.felt(Duration::ZERO);
        stop.cancel();
        pulse.beat(stop).await;
        assert_eq!(pulse.since(), None);
    }

    #[test]
    fn a_blocked_runtime_is_seen_from_outside_while_it_lasts_and_counted_after() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (tell, told_of) = channel();
        runtime.block_on(async {
            let pulse = Pulse::default();
            let every = Duration::from_millis(10);
            let look = Outside::look(pulse.clone(), every, move |silent| {
                let _ = tell.send(silent);
            });
            let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
            let (beating, told) = (pulse.clone(), stop.clone());
            tasks.spawn(async move { beating.beat(told).await });
            while pulse.since().is_none() {
                tokio::time::sleep(BEAT / 4).await;
            }

            // The only thread of the runtime stands here until the one outside has said so.
            let silent = told_of.recv_timeout(SOON).expect("it is seen from outside");

            assert!(silent >= SILENT);
            while pulse.stalls() == 0 {
                tokio::time::sleep(BEAT / 4).await;
            }
            assert!(pulse.longest() + BEAT >= SILENT);
            stop.cancel();
            drop(look);
        });
    }
}
