//! The words of locks and permits for whoever is no task, and of who holds and who waits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{FieldError, Time};
use crate::task::LIMIT_MAX;

/// 15 s: how long a hold is believed without a renewal, where nothing is said.
pub const TTL_MS: i64 = 15_000;
/// 2 s: the shortest time to live that etcd grants.
pub const TTL_MS_MIN: i64 = 2_000;
/// 5 minutes: the longest, for whoever wants what a dead holder had waits that long.
pub const TTL_MS_MAX: i64 = 300_000;
/// 30 s: the longest that one request waits.
pub const WAIT_MS_MAX: i64 = 30_000;
/// 200 bytes for who holds.
const HOLDER_BYTES_MAX: usize = 200;
/// 200 bytes for why a hold is taken away.
const REASON_BYTES_MAX: usize = 200;

/// A lock, asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockHoldRequest {
    /// Names the request: the same again answers the same. A UUID of its own; made by the node where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Who asks, for people: 1 to 200 bytes.
    pub holder: String,
    /// How long it is believed without a renewal, 2,000 to 300,000 ms; rounded up to whole seconds.
    #[serde(default = "ttl_ms")]
    #[schema(minimum = 2_000, maximum = 300_000)]
    pub ttl_ms: i64,
    /// How long this request waits for its turn, 0 to 30,000 ms.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 30_000)]
    pub wait_ms: i64,
}

/// Permits of a semaphore, asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitHoldRequest {
    /// Names the request: the same again answers the same. A UUID of its own; made by the node where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// How much, 1 to 1,000,000; 1 where absent.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub weight: i64,
    /// The semaphore's limit: declares it where it is not, and is refused where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub limit: Option<i64>,
    /// Who asks, for people: 1 to 200 bytes.
    pub holder: String,
    /// How long it is believed without a renewal, 2,000 to 300,000 ms; rounded up to whole seconds.
    #[serde(default = "ttl_ms")]
    #[schema(minimum = 2_000, maximum = 300_000)]
    pub ttl_ms: i64,
    /// How long this request waits for its turn, 0 to 30,000 ms.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 30_000)]
    pub wait_ms: i64,
}

fn ttl_ms() -> i64 {
    TTL_MS
}

fn one() -> i64 {
    1
}

/// Whether a request has what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HoldState {
    /// Others come first.
    Waiting,
    /// It has it.
    Held,
}

/// A request for a lock or permits, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// The lock or semaphore.
    pub name: String,
    /// Whether it has what it asked for.
    pub state: HoldState,
    /// How much; 1 of a lock.
    pub weight: u32,
    /// Who asked.
    pub holder: String,
    /// Greater than that of each hold that conflicted with this one and is over; null while it waits.
    pub fence: Option<i64>,
    /// Without a renewal it is over after this time, from before the request was sent.
    pub expires_in_ms: u64,
    /// How many outside wait before it, and take turns with tasks, of the first 256 by id; null where it holds.
    pub ahead: Option<u64>,
    /// What it waits for, in words, as it was within the last second: a leader, the holder of the lock, what is held of the semaphore, a
    /// limit below what it asks for. Null where it holds, where that is a matter of moments, and in the answer to a renewal.
    #[serde(default)]
    pub waiting_for: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// A hold that is over, or a request that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldEnded {
    /// Its id.
    pub id: Uuid,
    /// The lock or semaphore.
    pub name: String,
    /// The revision of etcd from which on this is true.
    pub revision: i64,
}

/// A hold to be taken from its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The fence of the hold, so that nobody else's is taken.
    pub fence: i64,
    /// The id of the hold: needed where several were granted at once, for they have one fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Why, for the record: 1 to 200 bytes.
    pub reason: String,
}

/// A hold that was taken from its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleasedHold {
    /// Its id.
    pub id: Uuid,
    /// Its fence.
    pub fence: i64,
    /// How much it was.
    pub weight: u32,
    /// Who had it.
    pub holder: String,
    /// When it was taken.
    pub released_at: Time,
    /// Why.
    pub reason: String,
}

/// What a force-release answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForceReleased {
    /// The lock or semaphore.
    pub name: String,
    /// What was taken.
    pub released: ReleasedHold,
    /// The revision of etcd from which on this is true.
    pub revision: i64,
}

/// Who holds a part of a lock or semaphore, or waits for it: a task, or somebody outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// Of a task, or of somebody outside its hold.
    pub id: Uuid,
    /// Whether it is a task.
    pub task: bool,
    /// How much.
    pub weight: u32,
    /// The fence; null where it waits.
    pub fence: Option<i64>,
    /// Where the task runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Which attempt of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who it is, where it is no task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Since when it holds or waits, where it is no task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// How long it is believed without a renewal, where it is no task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// A lock or semaphore, with who holds it and who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holding {
    /// How it stands.
    #[serde(flatten)]
    pub row: HoldingRow,
    /// Who holds it: the first 1,000.
    pub holds: Vec<Holder>,
    /// Who outside waits for it, in their order: the first 1,000.
    pub waits: Vec<Holder>,
    /// Holds that admins took from their holders, the newest first, of the last 100 in the cluster.
    pub released: Vec<ReleasedHold>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// How a lock or semaphore stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldingRow {
    /// Its name.
    pub name: String,
    /// How much of it may be held; null for a semaphore that is not declared: nothing of it is given.
    pub limit: Option<u32>,
    /// The version of that limit, for `If-Match`; 0 where there is none.
    #[serde(default)]
    pub version: i64,
    /// How much is held.
    pub held: u64,
    /// How many hold it, tasks and others.
    pub holders: u64,
    /// How many outside wait for it.
    pub waiters: u64,
    /// Pending tasks that are filed under it: they wait for it, or for a node.
    pub parked: u64,
    /// Whether `parked` is exact; if not it is estimated.
    pub exact: bool,
}

/// Locks or semaphores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldingPage {
    /// Them, by name: at most 1,000.
    pub items: Vec<HoldingRow>,
    /// For `cursor`, to go on; null on the last page.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

impl LockHoldRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        common(&self.holder, self.ttl_ms, self.wait_ms)
    }
}

impl PermitHoldRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        let most = i64::from(LIMIT_MAX);
        let mut faults = common(&self.holder, self.ttl_ms, self.wait_ms);
        faults.extend(range("weight", self.weight, 1, most));
        faults.extend(self.limit.and_then(|limit| range("limit", limit, 1, most)));
        faults
    }
}

impl ReleaseRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        let fault = text("reason", &self.reason, REASON_BYTES_MAX);
        fault.into_iter().collect()
    }
}

fn common(holder: &str, ttl_ms: i64, wait_ms: i64) -> Vec<FieldError> {
    let faults = [
        text("holder", holder, HOLDER_BYTES_MAX),
        range("ttl_ms", ttl_ms, TTL_MS_MIN, TTL_MS_MAX),
        range("wait_ms", wait_ms, 0, WAIT_MS_MAX),
    ];
    faults.into_iter().flatten().collect()
}

fn text(field: &str, text: &str, max: usize) -> Option<FieldError> {
    let bytes = text.len();
    let detail = || format!("has {bytes} bytes; 1 to {max} are allowed");
    (!(1..=max).contains(&bytes)).then(|| FieldError::new(field, detail()))
}

fn range(field: &str, value: i64, low: i64, high: i64) -> Option<FieldError> {
    let detail = || format!("{value} is not in {low} to {high}");
    (!(low..=high).contains(&value)).then(|| FieldError::new(field, detail()))
}
