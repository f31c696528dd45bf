//! Bounds that are the same on every node and that nobody sets: each with its unit and its reason.
//! Bounds that a user may set are fields of [`super::Config`].

use std::time::Duration;

/// 64 bytes in the name of a cluster, a node, a queue or a kind: they stand in keys.
pub const NAME_BYTES_MAX: usize = 64;
/// 32 labels of one node: they are read with every assignment.
pub const NODE_LABELS_MAX: usize = 32;
/// 16 endpoints of etcd: more members than etcd advises (7), for one that is being moved.
pub const ETCD_ENDPOINTS_MAX: usize = 16;

/// 256 tasks in a pack: a task's index in it is one byte of its id.
pub const PACK_TASKS_MAX: usize = 256;
/// 128, etcd's `--max-txn-ops` default (etcd.io/docs, configuration); for each list at each level.
pub const TXN_OPS_MAX: usize = 128;
/// 512 operations in a nested batch: how long one apply may hold up the others.
pub const TXN_NESTED_OPS_MAX: usize = 512;
/// 1 MiB in one transaction: under etcd's `--max-request-bytes` default, 1.5 MiB
/// (etcd.io/docs, configuration).
pub const TXN_BYTES_MAX: usize = 1024 * 1024;
/// Into how many tasks a record is split after each death, so that one killer is found out.
pub const DEATH_SPLIT: [usize; 3] = [256, 16, 1];

/// 100 terms that the history of leadership keeps.
pub const TERMS_KEPT: usize = 100;
/// 100 attempts that are kept with a task: the oldest go first.
pub const ATTEMPTS_KEPT: usize = 100;
/// 100 items on a page that did not ask for a number.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;
/// 1,000 items on a page, at most: a page is one range read.
pub const PAGE_ITEMS_MAX: u32 = 1_000;
/// 1 min: how long a request may wait for a task, at most.
pub const WAIT_MAX: Duration = Duration::from_mins(1);
/// 5 s: how long any one request to etcd may take before its outcome is unknown.
pub const ETCD_TIMEOUT: Duration = Duration::from_secs(5);
