//! `tenure dev` and `tenure server --embedded` as a user starts them: processes, with nothing else running.

mod crash;
mod embedded;
mod process;
mod trying;
