//! Whole nodes on etcd: the life of a task from submit to its one committed outcome.

mod breakers;
mod cancels;
mod collecting;
mod common;
mod deaths;
mod drains;
mod failovers;
mod fencing;
mod holds;
mod leaders;
mod leaving;
mod limits;
mod links;
mod order;
mod recorder;
mod rolling;
mod runs;
mod schedules;
mod slots;
mod submits;
mod tasks;
mod trouble;
