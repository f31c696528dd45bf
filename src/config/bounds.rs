//! Bounds that are the same on every node and that nobody sets: each with its unit and its reason.
//! Bounds that a user may set are fields of [`super::Config`].

use std::time::Duration;

/// 32 labels of one node: they are read with every assignment.
pub const NODE_LABELS_MAX: usize = 32;
/// 64 bytes in the key of a node's label, as in that of a task.
pub const NODE_LABEL_KEY_BYTES_MAX: usize = 64;
/// 256 bytes in the value of a node's label, as in that of a task.
pub const NODE_LABEL_VALUE_BYTES_MAX: usize = 256;
/// 16 endpoints of etcd: more members than etcd advises (7), for one that is being moved.
pub const ETCD_ENDPOINTS_MAX: usize = 16;
/// 5 s: how long any one request to etcd may take before its outcome is unknown.
pub const ETCD_TIMEOUT: Duration = Duration::from_secs(5);
