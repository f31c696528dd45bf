//! The admin API: what users and programs ask of a cluster over HTTP. It decides nothing about tasks.
pub mod wire;
