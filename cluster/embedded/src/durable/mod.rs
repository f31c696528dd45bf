//! A directory that outlives the process: one redb file, and the thread that writes to it. Decides nothing
//! about keys.

mod error;
mod journal;
mod load;
mod open;
mod rows;

#[cfg(test)]
mod tests;

pub use error::OpenError;
pub(crate) use journal::Journal;
pub(crate) use open::open;
