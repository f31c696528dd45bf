//! The protocol as an explicit-state model: etcd's keys with their revisions, leaders, nodes and users, and every order in which
//! their transactions can arrive, be lost or go unanswered. Imports nothing of the product, so that a mistake there is not repeated
//! here; `docs/model.md` says what is modelled and what was found.
//!
//! Start at [`Model`]. `etcd` is the store, `txns`, `holds` and `settle` are the protocol, `plan` is who sends what when, `gates`
//! what is held and waited for, `offer` the steps that a state allows, `apply` what they do, `checks` and `drain` the promises;
//! `config` says what is searched, and `table` which promise breaks without which guard.

mod action;
mod apply;
pub mod checks;
pub mod config;
mod drain;
mod etcd;
mod flight;
mod gates;
mod holds;
mod model;
mod offer;
pub mod page;
mod plan;
mod search;
mod settle;
mod state;
pub mod table;
mod txns;
mod weakening;

pub use action::{Action, Ending, Named, Sent};
pub use model::Model;
pub use search::{Found, search};
pub use state::State;
pub use weakening::Weakening;
