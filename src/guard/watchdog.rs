//! A thread beside the runtime: ends what a leash has run out for where the runtime does not, and mends the guard. Never waits for a
//! runtime, and never decides about a task.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{error, info, warn};

use super::able;
use super::boot::{Boot, LOOK_EVERY};
use super::roster::{cut, guarded, next_cut, unguarded};
use crate::metrics;

/// 10 looks, about a second, between pings of the guard.
const PING_LOOKS: u32 = 10;

/// 500 ms late this thread was not held up by a busy machine: its process was stopped, or the machine slept.
const STOOD_STILL: Duration = Duration::from_millis(500);

/// 256 KiB of stack, for a line of the log.
const STACK_BYTES: usize = 256 << 10;

static STARTED: Once = Once::new();

static MENDING: AtomicBool = AtomicBool::new(false);

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

fn watch() {
    for look in 1_u32.. {
        let next = next_cut(Boot::now()).map_or(LOOK_EVERY, Boot::left);
        let rest = next.min(LOOK_EVERY);
        let wake = Boot::now().after(rest + STOOD_STILL);
        std::thread::sleep(rest);
        let cut = cut(Boot::now());
        if cut > 0 && Boot::now() > wake {
            info!(
                commands = cut,
                "the session's time was over while this process stood still: killed, where the guard had not done it"
            );
        } else if cut > 0 {
            error!(
                commands = cut,
                "the session's time is over and its node has not ended them: killed by the watchdog"
            );
            metrics::watchdog_killed(cut as u64);
        }
        if able() && unguarded(look.is_multiple_of(PING_LOOKS)) {
            mend_beside();
        }
    }
}

/// Has another thread mend the guard, one at a time: that takes as long as a process takes to start, and here leashes run out meanwhile.
fn mend_beside() {
    if MENDING.swap(true, Ordering::Relaxed) {
        return;
    }
    let thread = std::thread::Builder::new()
        .name("guard-mender".to_owned())
        .stack_size(STACK_BYTES);
    let mending = thread.spawn(|| {
        mend();
        MENDING.store(false, Ordering::Relaxed);
    });
    if let Err(why) = mending {
        MENDING.store(false, Ordering::Relaxed);
        error!(%why, "no thread to start a guard of the commands in, trying again");
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
