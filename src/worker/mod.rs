//! A node's hands.

pub mod kinds;
