//! Operations as data: what is asked of both servers. A sequence prints as one line of JSON and is read back from it.
//! Revisions are written relative to what the sequence has seen, so that a sequence still means the same with operations removed.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing asked of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    Compact(Compact),
    /// A lease too short to last as long as its sequence is revoked at once.
    Grant(Grant),
    /// Keys on a lease that nobody keeps alive; waits until they are gone, which takes seconds.
    Expire(Expire),
    Revoke(Lease),
    KeepAlive(Lease),
    TimeToLive(TimeToLive),
    Leases,
    Watch(Watch),
    Cancel(Cancel),
    /// Asks for progress on one stream.
    Progress(OnStream),
}

/// A revision, relative to what is known where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Rev {
    /// 0, which mostly means "the current one".
    #[default]
    Zero,
    /// So many before the current one; negative is in the future.
    Back(i64),
    /// So many after the last compacted one.
    Compacted(i64),
    /// As it is: for negative ones and those far ahead.
    Raw(i64),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Range {
    pub(crate) key: String,
    pub(crate) end: String,
    pub(crate) limit: i64,
    pub(crate) rev: Rev,
    /// 0 none, 1 ascending, 2 descending.
    pub(crate) order: i32,
    /// 0 key, 1 version, 2 create, 3 mod, 4 value.
    pub(crate) target: i32,
    pub(crate) serializable: bool,
    pub(crate) keys_only: bool,
    pub(crate) count_only: bool,
    pub(crate) min_mod: Rev,
    pub(crate) max_mod: Rev,
    pub(crate) min_create: Rev,
    pub(crate) max_create: Rev,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Put {
    pub(crate) key: String,
    pub(crate) value: String,
    /// So many KiB more of value.
    pub(crate) kib: u32,
    pub(crate) lease: i64,
    pub(crate) prev: bool,
    pub(crate) ignore_value: bool,
    pub(crate) ignore_lease: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Delete {
    pub(crate) key: String,
    pub(crate) end: String,
    pub(crate) prev: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Txn {
    pub(crate) when: Vec<Compare>,
    pub(crate) then: Vec<Inner>,
    pub(crate) or: Vec<Inner>,
}

/// What a transaction may hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Inner {
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    /// An operation without a request, which the protocol can spell.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Compare {
    pub(crate) key: String,
    pub(crate) end: String,
    /// 0 version, 1 create, 2 mod, 3 value, 4 lease, others are not of the protocol.
    pub(crate) target: i32,
    /// 0 equal, 1 greater, 2 less, 3 not equal, others are not of the protocol.
    pub(crate) result: i32,
    /// With what; mostly of the kind that `target` says.
    pub(crate) with: Option<Operand>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Operand {
    Version(i64),
    Create(Rev),
    Mod(Rev),
    Value(String),
    Lease(i64),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Compact {
    pub(crate) rev: Rev,
    pub(crate) physical: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Grant {
    /// 0 lets the server choose.
    pub(crate) id: i64,
    /// Seconds.
    pub(crate) ttl: i64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Expire {
    pub(crate) id: i64,
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Lease {
    pub(crate) id: i64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TimeToLive {
    pub(crate) id: i64,
    pub(crate) keys: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Watch {
    /// Which of the sequence's streams.
    pub(crate) stream: usize,
    /// 0 lets the server choose.
    pub(crate) id: i64,
    pub(crate) key: String,
    pub(crate) end: String,
    pub(crate) start: Rev,
    pub(crate) prev: bool,
    pub(crate) progress: bool,
    pub(crate) fragment: bool,
    /// 0 no puts, 1 no deletes, others are not of the protocol.
    pub(crate) filters: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cancel {
    pub(crate) stream: usize,
    pub(crate) id: i64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OnStream {
    pub(crate) stream: usize,
}

impl Rev {
    /// What it is on the wire, never below 0 unless raw.
    pub(crate) fn resolve(self, current: i64, compacted: i64) -> i64 {
        match self {
            Self::Zero => 0,
            Self::Back(n) => (current - n).max(0),
            Self::Compacted(n) => (compacted + n).max(0),
            Self::Raw(n) => n,
        }
    }
}

impl From<Rev> for String {
    fn from(rev: Rev) -> Self {
        match rev {
            Rev::Zero => String::new(),
            Rev::Back(n) => format!("now{:+}", -n),
            Rev::Compacted(n) => format!("compacted{n:+}"),
            Rev::Raw(n) => n.to_string(),
        }
    }
}

impl TryFrom<String> for Rev {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            Ok(Self::Zero)
        } else if let Some(n) = text.strip_prefix("now") {
            n.parse().map(|n: i64| Self::Back(-n))
        } else if let Some(n) = text.strip_prefix("compacted") {
            n.parse().map(Self::Compacted)
        } else {
            text.parse().map(Self::Raw)
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        write!(f, "{}", brief(value))
    }
}

/// A whole sequence as it can be pasted back.
pub(crate) fn line(ops: &[Op]) -> String {
    let ops: Vec<String> = ops.iter().map(ToString::to_string).collect();
    format!("[{}]", ops.join(","))
}

/// Reads what [`line`] wrote.
pub(crate) fn parse(line: &str) -> Vec<Op> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no sequence in {line:?}: {error}"))
}

/// Without the fields that have their defaults. Variants start with a capital letter and stay.
fn brief(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, value)| {
                name.starts_with(char::is_uppercase)
                    || !(value.is_null()
                        || value == &Value::Bool(false)
                        || value.as_i64() == Some(0)
                        || value.as_str() == Some("")
                        || value.as_array().is_some_and(Vec::is_empty))
            })
            .map(|(name, value)| (name, brief(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(brief).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
