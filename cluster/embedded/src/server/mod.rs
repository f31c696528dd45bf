//! etcd's services over one state machine. Decides nothing about keys.

mod core;
mod gate;
mod history;
mod kv;
mod lease;
mod maintenance;
mod members;
mod status;
mod watch;
mod watcher;

pub(crate) use self::core::Core;
pub(crate) use gate::Gate;
pub(crate) use history::History;
pub(crate) use kv::Kv;
pub(crate) use lease::Lease;
pub(crate) use maintenance::Maintenance;
pub(crate) use members::Members;
pub(crate) use watch::Watches;
