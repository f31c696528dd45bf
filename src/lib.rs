//! Tenure: a clustered task scheduler coordinated by etcd. Leases trigger, revisions decide.
//!
//! ```text
//!   cli ──HTTP──▶ api ──────────────────┐
//!                                       ▼
//!   leader ──View──▶ plan ──Changes──▶ store ──Txn──▶ cluster ──▶ etcd
//!      ▲                                ▲               │
//!      └──────── events ◀───────────────┼─── watch ◀────┘
//!                              worker ──┘   ◀── its own claims
//! ```
//!
//! A **task** is one piece of work of a **kind**, waiting in a **queue**. Tasks travel in **packs** of 1 to 256 that share routing
//! and policy; which of a pack's tasks a stored **record** speaks of is a set of indexes. A **node** holds a **session**, one
//! lease; candidates among the nodes stand for a **term** of leadership. The leader folds events into a **view**, plans, and
//! commits **changes** under its term's **fence**. A node runs its **claims**, and reports each **outcome** once.
//!
//! Everything that can happen to a task is a [`store::Change`]. One function turns it into a transaction
//! ([`store::txns`]: reading that file is reading the protocol), and one file spells every key (`store/keys.rs`).
//! What to do next is decided by [`plan`], which knows no clock, no etcd and no runtime.
//!
//! Where to start reading:
//!
//! 1. [`task`]: the nouns, and [`task::State::next`], the state machine.
//! 2. [`store::txns`]: what each step compares and writes, and what a refusal means.
//! 3. [`plan`]: who gets which task, what is lost with a node, what follows a failure.
//! 4. [`leader`] and [`worker`]: the two loops that carry plans out.
//! 5. [`node`]: a whole node, from its session to its last report. A program that embeds one begins with
//!    [`node::Node::new`] and registers its handlers with [`node::Node::kinds`]; `examples/word_count.rs` does.
//! 6. [`peer`]: how nodes notice at once that another one is gone.
//! 7. [`api`], [`cli`], [`config`]: what people and programs see.
//!
//! ARCHITECTURE.md has the same on one page, with the invariants; docs/guarantees.md says what is promised and which test
//! would fail if it were not so.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod guard;
pub mod leader;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod plan;
pub mod planted;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod vitals;
pub mod worker;
