//! `tenure dev` and `tenure server --embedded` as a user starts them: processes, with nothing else running.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod crash;
mod debugging;
mod drains;
mod embedded;
mod files;
mod guard;
mod holds;
mod links;
mod process;
mod trying;
