//! Tenure: a clustered task scheduler coordinated by etcd.
pub mod api;
pub mod clock;
pub mod config;
