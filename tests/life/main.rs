//! Whole nodes on etcd: the life of a task from submit to its one committed outcome.

mod breakers;
mod cancels;
mod collecting;
mod common;
mod deaths;
mod fencing;
mod holds;
mod leaders;
mod leaving;
mod limits;
mod order;
mod recorder;
mod runs;
mod schedules;
mod slots;
mod submits;
mod tasks;
mod trouble;
