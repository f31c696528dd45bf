//! What operators declare, as it is stored: how much of a semaphore there is, and how work of a queue is given out.

use serde::{Deserialize, Serialize};

use crate::task::Paused;

/// How much of a semaphore there is: the value of `live/sem/<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// 0 to [`crate::task::LIMIT_MAX`].
    pub limit: u32,
}

/// How work of a queue is given out: the value of `live/queue/<name>`; a queue without one has none of these rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRules {
    /// Its share beside other queues, 1 to 1,000; none is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// How many of its tasks are claimed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many of one concurrency key are claimed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<u32>,
    /// How fast they are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many ready tasks it may have before submits are refused; scheduled ones are none until they are due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog_max: Option<u64>,
    /// How long its submits are taken where there is not enough for all; none is normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    /// Why nothing of it is started; none where it is not paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
}

/// Whose submits are refused first where there is not enough for all.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// First.
    Low,
    /// After those.
    #[default]
    Normal,
    /// Last.
    High,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Tasks in so many milliseconds: 1 to 1,000,000.
    pub tasks: u32,
    /// The milliseconds, 1 to 86,400,000.
    pub per_ms: u32,
    /// Tasks at once after a pause, 1 to 1,000,000.
    pub burst: u32,
}
