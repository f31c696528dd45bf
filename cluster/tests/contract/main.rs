//! What the crate promises on an etcd of its own for each test; `contract_embedded` runs the same on the embedded one.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics with what it got"
)]

mod common;
mod election;
mod mutex;
mod read;
mod semaphore;
mod session;
mod txn;
mod watch;
