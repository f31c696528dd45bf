//! A thread beside the runtime: ends what a leash has run out for where the runtime does not, and mends the guard. Never waits for a
//! runtime, and never decides about a task.

use std::sync::Once;

use tracing::{error, info, warn};

use super::able;
use super::boot::{Boot, LOOK_EVERY};
use super::roster::{cut, guarded, next_cut, unguarded};
use crate::metrics;

/// 10 looks, about a second, between pings of the guard.
const PING_LOOKS: u32 = 10;

/// 256 KiB of stack, for a line of the log.
const STACK_BYTES: usize = 256 << 10;

static STARTED: Once = Once::new();

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
