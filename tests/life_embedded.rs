//! The tests of `life/` once more, on the embedded etcd: the test kit knows it by this binary's name.

#[path = "life/main.rs"]
mod life;
