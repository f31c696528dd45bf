//! The admin API: what users and programs ask of a cluster over HTTP. It decides nothing about tasks.
//!
//! Any node answers any call, from etcd: nothing is forwarded. Every answer says the revision it is true at, every refusal is a
//! problem (RFC 9457). `routes` is the table of who may do what; `front` is what every request passes.

mod answer;
mod auth;
mod body;
mod breakers;
mod cluster;
mod connections;
mod debug;
mod drains;
mod error;
mod failovers;
mod front;
mod health;
mod holds;
pub mod level;
mod limits;
mod openapi;
mod origin;
mod routes;
mod schedules;
mod serve;
mod state;
mod submit;
mod tasks;
mod why;
pub mod wire;

pub use debug::debug_router;
pub use error::ApiError;
pub use serve::{CLOSE_WITHIN, router, serve, serve_debug};
pub use state::{Door, Readiness, Usage};

#[cfg(test)]
mod tests;
