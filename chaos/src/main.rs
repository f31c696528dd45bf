//! The `tenure-chaos` binary.
fn main() {}
