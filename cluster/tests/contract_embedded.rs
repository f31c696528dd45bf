//! The tests of `contract/` once more, on the embedded etcd: the test kit knows it by this binary's name.

#[path = "contract/main.rs"]
mod contract;
