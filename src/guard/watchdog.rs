//! A thread beside the runtime: ends what a leash has run out for where the runtime does not, mends the guard, and measures how long
//! runtimes stand still. Never waits for a runtime, and never decides about a task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::able;
use super::boot::{Boot, LOOK_EVERY};
use super::roster::{cut, guarded, next_cut, unguarded};
use crate::metrics;

/// 100 ms between beats of a runtime.
const BEAT: Duration = Duration::from_millis(100);

/// 500 ms beyond its time for a beat: below, a busy machine; above, something blocks a runtime's threads, and keepalives with them.
const STALL: Duration = Duration::from_millis(500);

/// 10 looks, about a second, between pings of the guard.
const PING_LOOKS: u32 = 10;

/// 256 KiB of stack, for a line of the log.
const STACK_BYTES: usize = 256 << 10;

static STARTED: Once = Once::new();

/// Locked to add one, or to look at all.
static HEARTS: Mutex<Vec<Weak<Heart>>> = Mutex::new(Vec::new());

/// When a runtime beat last, in nanoseconds since boot.
struct Heart {
    beat: AtomicU64,
    /// The longest that a stall which goes on was seen, in nanoseconds; 0 while there is none.
    stalled: AtomicU64,
}

/// Starts the thread, once in a process.
pub(super) fn ensure() {
    STARTED.call_once(|| {
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(STACK_BYTES);
        if let Err(why) = thread.spawn(watch) {
            error!(%why, "no watchdog: a runtime that stands still does not end its commands in time");
        }
    });
}

/// Beats for the runtime that it runs in, and has it watched, until `closing`.
pub(crate) async fn beat(closing: CancellationToken) {
    ensure();
    let heart = Arc::new(Heart {
        beat: AtomicU64::new(Boot::now().nanos()),
        stalled: AtomicU64::new(0),
    });
    HEARTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Arc::downgrade(&heart));
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => heart.beat.store(Boot::now().nanos(), Ordering::Relaxed),
            () = closing.cancelled() => return,
        }
    }
}

fn watch() {
    for look in 1_u32.. {
        let next = next_cut(Boot::now()).map_or(LOOK_EVERY, Boot::left);
        std::thread::sleep(next.min(LOOK_EVERY));
        let cut = cut(Boot::now());
        if cut > 0 {
            error!(
                commands = cut,
                "the session's time is over and its node has not ended them: killed by the watchdog"
            );
            metrics::watchdog_killed(cut as u64);
        }
        if able() && unguarded(look.is_multiple_of(PING_LOOKS)) {
            mend();
        }
        look_at_hearts();
    }
}

fn mend() {
    warn!("the guard of the commands is gone or does not answer, starting another");
    metrics::guard_replaced();
    match guarded() {
        Ok(()) => info!("the commands have a guard again"),
        Err(why) => {
            error!(%why, "no guard of the commands: `kill -9` of this node would leave them behind");
        }
    }
}

fn look_at_hearts() {
    let mut hearts = HEARTS.lock().unwrap_or_else(PoisonError::into_inner);
    hearts.retain(|heart| heart.upgrade().inspect(|heart| heart.look()).is_some());
}

impl Heart {
    /// Counts a stall as it grows.
    fn look(&self) {
        let since = Boot::at(self.beat.load(Ordering::Relaxed)).ago();
        let before = Duration::from_nanos(self.stalled.load(Ordering::Relaxed));
        if let Some(stall) = stalled(since) {
            if before.is_zero() {
                warn!(
                    ?stall,
                    "a runtime stands still: something blocks its threads"
                );
                metrics::runtime_stalled();
            }
            metrics::runtime_stall(stall);
            let nanos = u64::try_from(stall.as_nanos()).unwrap_or(u64::MAX);
            self.stalled.store(nanos, Ordering::Relaxed);
        } else if !before.is_zero() {
            warn!(stall = ?before, "the runtime goes on");
            self.stalled.store(0, Ordering::Relaxed);
        }
    }
}

/// For how long a runtime whose last beat was so long ago stands still; none where that is too short to tell.
fn stalled(since: Duration) -> Option<Duration> {
    let late = since.saturating_sub(BEAT);
    (late >= STALL).then_some(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_what_is_beyond_a_beat_and_the_threshold() {
        let ms = Duration::from_millis;
        for (since, stall) in [
            (0, None),
            (100, None),
            (599, None),
            (600, Some(500)),
            (5_100, Some(5_000)),
        ] {
            assert_eq!(stalled(ms(since)), stall.map(ms), "{since}");
        }
    }
}
