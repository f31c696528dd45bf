//! What a Tenure cluster is judged by, from outside it: a [`history`] of what was asked, stored and run, and the checks
//! ([`check`]) that say whether each promise held in it. Imports nothing of Tenure's.
//!
//! A simulation and real clusters record the same history. It is saved as it is, so a verdict can be had again:
//! `tenure-chaos check FILE`.
//!
//! ```
//! use tenure_chaos::check::{self, Limits, Overall};
//! use tenure_chaos::history::{History, Marker};
//!
//! let mut history = History::new("/tenure/default/", Limits::default());
//! history.push(7, Marker::Sealed { revision: 1 });
//! let judgement = check::judge(&history);
//! assert_eq!(judgement.overall, Overall::NotExercised);
//! ```

pub mod check;
pub mod history;
pub mod summary;
