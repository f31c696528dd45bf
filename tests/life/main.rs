//! Whole nodes on a real etcd: the life of a task from submit to its one committed outcome.

mod common;
mod tasks;
