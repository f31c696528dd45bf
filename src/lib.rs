//! Tenure: a clustered task scheduler coordinated by etcd.
pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
