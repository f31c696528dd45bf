//! Every transaction of `src/store/txns.rs` against an etcd of its own for each test: each guard loses alone and then nothing
//! is written; all hold and then exactly the documented keys are. `docs/transactions.md` is the table of these tests, and
//! checked here.
//!
//! A test's name begins with its transaction's word; one in which a guard loses is `<word>_loses_by_<guard>…`.

mod breakers;
mod claims;
mod common;
mod deaths;
mod drains;
mod failovers;
mod forced;
mod limits;
mod outside;
mod page;
mod races;
mod retention;
mod schedules;
mod submits;
mod terms;
mod unknown;
mod waiting;
