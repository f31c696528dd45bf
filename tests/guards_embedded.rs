//! The tests of `guards/` once more, on the embedded etcd: the test kit knows it by this binary's name.

#[path = "guards/main.rs"]
mod guards;
