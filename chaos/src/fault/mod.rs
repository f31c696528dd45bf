//! Faults: the catalogue of them, what comes when, and who makes them and puts them on record.

pub(crate) mod catalogue;
pub(crate) mod maker;
pub(crate) mod plan;
