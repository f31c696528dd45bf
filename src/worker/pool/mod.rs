//! How many runs a node does at once: fixed, or adapted within bounds to the work that waits and to what the machine has left.
//!
//! [`resize`] decides, from nothing but its arguments. `history` keeps what it has to know of the time before, `slots` what was
//! decided and what the cluster was told of it, `adapt` brings them together with the clock and the machine.
//!
//! **How a node knows that work waits.** The leader gives it no more long work than it has slots, so it never sees the queue. But a
//! slot that is free is taken within milliseconds where anything waits for it, so slots that are all taken ask for more, and a
//! slot that stays free says that nothing waits: nobody has to be asked, nothing is read or written for it. One slot (or an eighth)
//! more is tried then; it is doubled at once where there is proof: work in hand that waits for a slot, or a claim whose tasks had
//! waited in the queue.

mod adapt;
mod history;
mod slots;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::machine::Reading;
pub(super) use adapt::{News, Pool};
pub use slots::{Decided, Slots};

/// 1 s between looks: each reads some small files where the slots are adaptive.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// 2 s between a change and more slots: what the last ones cost is to be seen first. With [`SHRINK_EVERY`] it bounds how often the
/// node's record is written.
const GROW_EVERY: Duration = Duration::from_secs(2);

/// 5 s between a change and fewer slots for want of something: runs have to end before that helps.
const SHRINK_EVERY: Duration = Duration::from_secs(5);

/// 60 s without want of anything before there are more slots again.
const RECOVERY: Duration = Duration::from_mins(1);

/// 10 min after anything was short slots grow by an eighth at a time, whatever waits: what there is room for is near.
const CAREFUL: Duration = Duration::from_mins(10);

/// 0.8 of the slots in use on average, and all of them at some time, is full: between two tasks a slot is free for a round trip.
const FULL: f64 = 0.8;

/// 1 s in the queue: far longer than it takes to be claimed where a slot is free.
const WAITED: Duration = Duration::from_secs(1);

/// 0.1 below the threshold there are more slots: so that what they cost does not take them away again.
const HEADROOM: f64 = 0.1;

/// 0.5 of the time work waited for a processor: with as many runs that compute as processors it is nearly 0, with one more it is 1.
const CPU_STALLED: f64 = 0.5;

/// 0.2 of the time work waited for memory: the machine is busy with bringing back what it had to throw out.
const MEMORY_STALLED: f64 = 0.2;

/// Within what a node adapts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// 1 or more: slots at least.
    pub min: u32,
    /// Slots at most.
    pub max: u32,
    /// Slots beyond which it does not grow while it does not know how processors or memory are used.
    pub blind_max: u32,
    /// The share of processors in use from which on slots go, if work also waits for a processor.
    pub cpu: f64,
    /// The share of memory in use from which on slots go.
    pub memory: f64,
    /// How long slots are spare before they go.
    pub idle: Duration,
}

/// What a decision is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Slots now.
    pub slots: u32,
    /// Runs now; more than slots where these became fewer.
    pub busy: u32,
    /// The most runs at once since the last look.
    pub busy_peak: u32,
    /// Runs on average since the last look.
    pub busy_mean: f64,
    /// Tasks in hand that wait for a slot.
    pub in_hand: u32,
    /// The longest that a task had waited in the queue that came since the slots changed, or since one was free.
    pub waited: Duration,
    /// How long slots have been spare.
    pub spare_for: Duration,
    /// The most runs at once in that time, the time since the last look included.
    pub spare_peak: u32,
    /// How long ago the slots changed.
    pub since_change: Duration,
    /// How long ago anything was short.
    pub since_short: Duration,
    /// The machine.
    pub machine: Reading,
}

/// Why a node has as many slots as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has just started.
    Start,
    /// All slots are taken and work waits.
    Waits,
    /// All slots are taken, and work may wait.
    Busy,
    /// Slots were spare for long.
    Idle,
    /// Processors are short.
    Cpu,
    /// Memory is short.
    Memory,
    /// All slots are taken, but nobody knows what the machine has left.
    Unknown,
    /// Nothing asks for another number, or it is too early for one.
    Steady,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Slots from now on.
    pub slots: u32,
    /// Why.
    pub reason: Reason,
}

impl Reason {
    /// The word, as it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Waits => "waits",
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Unknown => "unknown",
            Self::Steady => "steady",
        }
    }
}

/// How many slots a node should have. Never outside of its bounds, and never more for less that the machine has left.
pub fn resize(look: &Look, bounds: &Bounds) -> Decision {
    let now = look.slots.clamp(bounds.min, bounds.max);
    let (slots, reason) = wanted(look, now, bounds);
    Decision {
        slots: slots.clamp(bounds.min, bounds.max),
        reason,
    }
}

/// What is short comes first, then what is spare, then what waits.
fn wanted(look: &Look, now: u32, bounds: &Bounds) -> (u32, Reason) {
    let short = short(&look.machine, bounds);
    // More runs than slots: the last step down has not come to bear.
    let settled = look.since_change >= SHRINK_EVERY && look.busy <= now;
    if let Some(reason) = short.filter(|_| settled) {
        return (fewer(now, look.busy_peak), reason);
    }
    let fits = with_room(look.spare_peak);
    if look.spare_for >= bounds.idle && fits < now {
        return (fits, Reason::Idle);
    }
    let early = look.since_change < GROW_EVERY || look.since_short < RECOVERY;
    match short {
        Some(reason) => (now, reason),
        None if early || !is_full(look, now) => (now, Reason::Steady),
        None => more(look, now, bounds),
    }
}

/// More slots for a node whose slots are all taken, as far as there is room for what they will cost.
fn more(look: &Look, now: u32, bounds: &Bounds) -> (u32, Reason) {
    if let Some(reason) = nearly_short(&look.machine, bounds) {
        return (now, reason);
    }
    let waits = look.in_hand > 0 || look.waited >= WAITED;
    let some = now.saturating_add((now / 8).max(1));
    let (slots, reason) = if !waits {
        (some, Reason::Busy)
    } else if look.since_short < CAREFUL {
        (some, Reason::Waits)
    } else {
        (now.saturating_mul(2), Reason::Waits)
    };
    let known = look.machine.cpu.is_some() && look.machine.memory.is_some();
    if known || slots <= bounds.blind_max {
        (slots, reason)
    } else {
        (bounds.blind_max.max(now), Reason::Unknown)
    }
}

/// A quarter less than are in use.
fn fewer(now: u32, busy_peak: u32) -> u32 {
    let used = now.min(busy_peak.max(1));
    used - (used / 4).max(1)
}

/// What so many runs need: a quarter more, one at least, so that work that goes up and down does not take slots along.
fn with_room(runs: u32) -> u32 {
    runs.saturating_add((runs / 4).max(1))
}

fn is_full(look: &Look, now: u32) -> bool {
    look.busy_peak >= now && look.busy_mean >= FULL * f64::from(now)
}

/// What is short. Processors in use are not short of themselves: where it is known, work has to wait for them too.
fn short(machine: &Reading, bounds: &Bounds) -> Option<Reason> {
    let reached = |share: Option<f64>, at: f64| share.is_some_and(|share| share >= at);
    let memory =
        reached(machine.memory, bounds.memory) || reached(machine.memory_stalled, MEMORY_STALLED);
    let waits = machine.cpu_stalled.is_none_or(|share| share >= CPU_STALLED);
    if memory {
        Some(Reason::Memory)
    } else if reached(machine.cpu, bounds.cpu) && waits {
        Some(Reason::Cpu)
    } else {
        None
    }
}

/// What would be short with some more in use, whether work waits for it already or not.
fn nearly_short(machine: &Reading, bounds: &Bounds) -> Option<Reason> {
    let more = Reading {
        cpu: machine.cpu.map(|share| share + HEADROOM),
        cpu_stalled: None,
        memory: machine.memory.map(|share| share + HEADROOM),
        memory_stalled: machine.memory_stalled.map(|share| share * 2.0),
    };
    short(&more, bounds)
}
