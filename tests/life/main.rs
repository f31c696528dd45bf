//! Whole nodes on etcd: the life of a task from submit to its one committed outcome.

mod cancels;
mod collecting;
mod common;
mod deaths;
mod leaders;
mod leaving;
mod order;
mod recorder;
mod runs;
mod submits;
mod tasks;
mod trouble;
