//! Tenure: a clustered task scheduler coordinated by etcd.
pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod leader;
pub mod metrics;
pub mod node;
pub mod plan;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod worker;
