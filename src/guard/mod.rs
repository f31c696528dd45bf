//! Ends the process groups of a node's commands where the node cannot: a guard process that outlives it, and a thread that does not
//! wait for the runtime. Never starts a command by itself, and never knows what a task is.
//!
//! ```text
//!   worker ──start──▶ spawner (a thread) ──▶ stage: a process that waits, and then becomes the command
//!      │                 │ tells of the group first
//!      │ leash           ▼
//!      └─────────▶ roster ──a pipe──▶ guard: a process that kills every group once the pipe ends, or a leash has run out
//!                     ▲
//!                     └── watchdog (a thread): kills what a leash has run out for, mends the guard
//! ```
//!
//! A *leash* is until when the runs of one session may go on. Guard and stage are this program under other words: whoever embeds
//! the library calls [`begin`] first in `main`, or has its commands run without a guard.

mod boot;
mod link;
mod roster;
mod spawner;
mod stage;
mod ward;
mod watchdog;
mod words;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use boot::Boot;
pub(crate) use roster::{Leash, Member};
pub(crate) use spawner::{command, start};
pub(crate) use stage::{bind_to, not_started};
pub(crate) use ward::{Heard, hear, outlive};

/// This program, also where its file was replaced since.
pub(crate) const SELF: &str = "/proc/self/exe";

/// Whether this program is the guard where it is started as one.
static ABLE: AtomicBool = AtomicBool::new(false);

/// First of all in `main` of a program that runs commands. Where this process was started to guard commands or to become one, it does
/// that and does not return. A program that does not call it runs commands without a guard: `kill -9` of it leaves them behind.
///
/// ```no_run
/// tenure::guard::begin();
/// // Then the runtime, and `tenure::node::Node::run` in it.
/// ```
pub fn begin() {
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(first) if first == stage::WORD => stage::run(words),
        Some(first) if first == ward::WORD => ward::run(),
        Some(_) | None => ABLE.store(true, Ordering::Relaxed),
    }
}

/// Whether commands have a guard in this program.
pub(crate) fn able() -> bool {
    ABLE.load(Ordering::Relaxed)
}
