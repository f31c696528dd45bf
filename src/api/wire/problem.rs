//! Answers that say what is wrong (RFC 9457), and how a node is doing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: a stable URI, or `about:blank`.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The kind of problem in words, the same each time.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// A stable word for programs, such as `no_leader`.
    pub code: String,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the request's body, e.g. `/tasks/3/priority`.
    pub pointer: String,
    /// The field as people name it, e.g. `priority`.
    pub field: String,
    /// The value, what is wrong with it, and its bound.
    pub detail: String,
}

impl FieldError {
    /// A fault in the top-level field `field`.
    pub fn new(field: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: format!("/{}", field.replace('~', "~0").replace('.', "/")),
            field: field.to_owned(),
            detail: detail.into(),
        }
    }

    /// The same fault seen from further out: `/tasks/3` before the pointer.
    #[must_use]
    pub fn under(mut self, pointer: &str) -> Self {
        self.pointer.insert_str(0, pointer);
        self
    }
}

/// What a live process answers, whatever etcd does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alive {
    /// The process: another one under the same name has another.
    pub instance: String,
    /// Its node's name.
    pub node: String,
}

/// Which build this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The release, e.g. `0.1.0`.
    pub version: String,
    /// The commit that it was built from, where the build knew it.
    pub commit: Option<String>,
    /// The node that answers.
    pub node: Option<String>,
    /// The version of etcd that the node sees, where it sees one.
    pub etcd: Option<String>,
    /// The newest revision of etcd that the node has seen.
    pub revision: Option<i64>,
    /// The largest payload that the node takes, in bytes, so that a file can be checked beforehand.
    #[serde(default)]
    pub payload_limit: Option<u64>,
}

/// Whether a node can do its part, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyReport {
    /// All checks, each by name; the node is ready when all are `ok`.
    pub checks: Vec<Check>,
    /// What a person should look at, in words; it makes no node unready. With `verbose` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One check of a [`ReadyReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Its name, e.g. `etcd`.
    pub name: String,
    /// Whether it passed.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}
