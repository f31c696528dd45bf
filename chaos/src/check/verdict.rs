//! What a check says of one property: that it held, that it was violated and where, or that nothing put it to the test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::baseline::Since;

/// 50 violations of one property are kept with their evidence; all are counted.
const KEPT_MAX: usize = 50;

/// 4 ids of one violation are printed; all are in the JSON.
const IDS_PRINTED_MAX: usize = 4;

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// An acknowledged task exists, and is in one place at every revision until it ends.
    AcceptedNeverLost,
    /// A task moves as the state machine says and ends once.
    OneTerminalState,
    /// A leader writes only while it leads.
    OneActingLeader,
    /// A report is taken only from a claim that is there.
    StaleReportRefused,
    /// Failures and deaths stay within their budgets; numbers and fences grow.
    AttemptsBounded,
    /// Two runs of a task overlap only where the older one had lost its claim.
    ConcurrentRuns,
    /// What a dead session held is taken from it in time.
    ReclaimBounded,
    /// Somebody leads again in time.
    FailoverBounded,
    /// What was cancelled is not run any more.
    CancelHolds,
    /// One idempotency key, the same tasks.
    Idempotency,
    /// What was acknowledged is seen by whoever asks after it.
    ReadYourWrites,
    /// What the API answers is true at the revision that it names.
    AnswersTrue,
    /// Nothing is or runs that nobody asked for.
    NothingFromNowhere,
    /// Higher priorities of a lane go first.
    PriorityOrder,
    /// No grant makes the weight held on a semaphore exceed its limit.
    SemaphoreLimits,
    /// One holds a lock at a time, and tokens rise.
    LocksExclude,
    /// Those outside hold by lease what they were granted, until they release it.
    OutsideHolds,
    /// No claim makes the tasks of a queue, or of a concurrency key in it, exceed their limit.
    QueueLimits,
    /// No more tasks of a queue are claimed than its rate and burst give.
    RateLimits,
    /// Each due time of a schedule is fired once, or on record as skipped for a reason that is true.
    SchedulesFireOnce,
    /// When faults stop, work drains, one leads, and each node that runs has its place.
    Heals,
    /// What has ended is collected after its retention, and nothing earlier.
    Bounded,
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of what.
    pub property: Property,
    /// What it found.
    pub finding: Finding,
    /// How often the history put the property to the test.
    pub exercised: u64,
    /// What it measured besides, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured: BTreeMap<String, u64>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Finding {
    /// It held wherever it was put to the test.
    Ok,
    /// It did not hold.
    Violated {
        /// How often.
        count: u64,
        /// The first of them.
        evidence: Vec<Violation>,
    },
    /// Nothing put it to the test.
    NotExercised,
}

/// One violation, with where to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// What was wrong.
    pub what: String,
    /// Revisions that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<i64>,
    /// Tasks, keys or nodes that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

impl Property {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 22] = [
        Self::AcceptedNeverLost,
        Self::OneTerminalState,
        Self::OneActingLeader,
        Self::StaleReportRefused,
        Self::AttemptsBounded,
        Self::ConcurrentRuns,
        Self::ReclaimBounded,
        Self::FailoverBounded,
        Self::CancelHolds,
        Self::Idempotency,
        Self::ReadYourWrites,
        Self::AnswersTrue,
        Self::NothingFromNowhere,
        Self::PriorityOrder,
        Self::SemaphoreLimits,
        Self::LocksExclude,
        Self::OutsideHolds,
        Self::QueueLimits,
        Self::RateLimits,
        Self::SchedulesFireOnce,
        Self::Heals,
        Self::Bounded,
    ];

    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptedNeverLost => "accepted-never-lost",
            Self::OneTerminalState => "one-terminal-state",
            Self::OneActingLeader => "one-acting-leader",
            Self::StaleReportRefused => "stale-report-refused",
            Self::AttemptsBounded => "attempts-bounded",
            Self::ConcurrentRuns => "concurrent-runs",
            Self::ReclaimBounded => "reclaim-bounded",
            Self::FailoverBounded => "failover-bounded",
            Self::CancelHolds => "cancel-holds",
            Self::Idempotency => "idempotency",
            Self::ReadYourWrites => "read-your-writes",
            Self::AnswersTrue => "answers-true",
            Self::NothingFromNowhere => "nothing-from-nowhere",
            Self::PriorityOrder => "priority-order",
            Self::SemaphoreLimits => "semaphore-limits",
            Self::LocksExclude => "locks-exclude",
            Self::OutsideHolds => "outside-holds",
            Self::QueueLimits => "queue-limits",
            Self::RateLimits => "rate-limits",
            Self::SchedulesFireOnce => "schedules-fire-once",
            Self::Heals => "heals",
            Self::Bounded => "bounded",
        }
    }

    /// What a property says, in one sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AcceptedNeverLost => {
                "An acknowledged task exists, and is in one place at every revision until it ends."
            }
            Self::OneTerminalState => "A task moves as the state machine says and ends once.",
            Self::OneActingLeader => "A leader writes only while it leads.",
            Self::StaleReportRefused => "A report is taken only from a claim that is there.",
            Self::AttemptsBounded => {
                "Failures and deaths stay within their budgets; numbers and fences grow."
            }
            Self::ConcurrentRuns => {
                "Two runs of a task overlap only where the older one had lost its claim."
            }
            Self::ReclaimBounded => "What a dead session held is taken from it in time.",
            Self::FailoverBounded => "Somebody leads again in time.",
            Self::CancelHolds => "What was cancelled is not run any more.",
            Self::Idempotency => "One idempotency key, the same tasks.",
            Self::ReadYourWrites => "What was acknowledged is seen by whoever asks after it.",
            Self::AnswersTrue => "What the API answers is true at the revision that it names.",
            Self::NothingFromNowhere => "Nothing is or runs that nobody asked for.",
            Self::PriorityOrder => "Higher priorities of a lane go first.",
            Self::SemaphoreLimits => {
                "No grant makes the weight held on a semaphore exceed its limit."
            }
            Self::LocksExclude => "One holds a lock at a time, and tokens rise.",
            Self::OutsideHolds => {
                "Those outside hold by lease what they were granted, until they release it."
            }
            Self::QueueLimits => {
                "No claim makes the tasks of a queue, or of a concurrency key in it, exceed their limit."
            }
            Self::RateLimits => {
                "No more tasks of a queue are claimed than its rate and burst give."
            }
            Self::SchedulesFireOnce => {
                "Each due time of a schedule is fired once, or on record as skipped for a reason that is true."
            }
            Self::Heals => {
                "When faults stop, work drains, one leads, and each node that runs has its place."
            }
            Self::Bounded => {
                "What has ended is collected after its retention, and nothing earlier."
            }
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.ids.is_empty() {
            let told = &self.ids[..self.ids.len().min(IDS_PRINTED_MAX)];
            let more = if told.len() < self.ids.len() {
                ", …"
            } else {
                ""
            };
            write!(f, " [{}{more}]", told.join(", "))?;
        }
        if !self.revisions.is_empty() {
            let revisions: Vec<String> = self.revisions.iter().map(i64::to_string).collect();
            write!(f, " at {}", revisions.join(", "))?;
        }
        Ok(())
    }
}

/// A verdict in the making.
#[derive(Debug)]
pub(super) struct Case {
    property: Property,
    exercised: u64,
    count: u64,
    evidence: Vec<Violation>,
    measured: BTreeMap<String, u64>,
    since: Option<Arc<Since>>,
}

impl Case {
    /// Of a recorder that began here, where it did not begin with the store itself.
    pub(super) fn new(property: Property, since: Option<Arc<Since>>) -> Self {
        Self {
            property,
            since,
            exercised: 0,
            count: 0,
            evidence: Vec::new(),
            measured: BTreeMap::new(),
        }
    }

    /// The history put the property to the test so many times more.
    pub(super) fn exercised(&mut self, times: u64) {
        self.exercised += times;
    }

    /// Measures a sum.
    pub(super) fn add(&mut self, name: &str, more: u64) {
        *self.measured.entry(name.to_owned()).or_default() += more;
    }

    /// Measures a greatest value.
    pub(super) fn most(&mut self, name: &str, value: u64) {
        let most = self.measured.entry(name.to_owned()).or_default();
        *most = value.max(*most);
    }

    /// Notes a violation, but where it names what was there before the recorder began.
    pub(super) fn violated<I: ToString>(
        &mut self,
        what: impl Into<String>,
        revisions: &[i64],
        ids: &[I],
    ) {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let since = self.since.as_ref();
        if since.is_some_and(|since| !since.counts(revisions, &ids)) {
            self.add("of before the recorder", 1);
            return;
        }
        self.count += 1;
        if self.evidence.len() < KEPT_MAX {
            self.evidence.push(Violation {
                what: what.into(),
                revisions: revisions.to_vec(),
                ids,
            });
        }
    }

    pub(super) fn close(self) -> Verdict {
        let finding = match (self.count, self.exercised) {
            (0, 0) => Finding::NotExercised,
            (0, _) => Finding::Ok,
            (count, _) => Finding::Violated {
                count,
                evidence: self.evidence,
            },
        };
        Verdict {
            property: self.property,
            finding,
            exercised: self.exercised,
            measured: self.measured,
        }
    }
}
