//! Tenure: a clustered task scheduler coordinated by etcd.

pub mod worker;
