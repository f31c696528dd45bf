//! Tenure: a clustered task scheduler coordinated by etcd.
pub mod plan;
pub mod store;
pub mod task;
pub mod worker;
