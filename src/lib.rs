//! Tenure: a clustered task scheduler coordinated by etcd.
