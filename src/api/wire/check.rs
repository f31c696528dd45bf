//! The bounds of a submit, each refused by name: used by the server on every request, and by the
//! CLI on a whole file before its first byte is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backoff, BatchRequest, FieldError, NodeLabels, OnLost, SubmitRequest};
use crate::task::{self, Name};

/// 1,000 tasks in one batch: a batch is one transaction, and this is what fits with room to spare.
pub const BATCH_TASKS_MAX: usize = 1_000;
/// 1 MiB in one batch, as JSON: under etcd's `--max-request-bytes` default, 1.5 MiB
/// (etcd.io/docs, configuration).
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// 1 MiB in one payload, as JSON, however the server is configured.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// 32 labels on one task.
pub const LABELS_MAX: usize = 32;
/// 64 bytes in the key of a label.
pub const LABEL_KEY_BYTES_MAX: usize = 64;
/// 256 bytes in the value of a label.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// 16 KiB in a task's metadata, as JSON.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// 200 characters in an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 200;
/// 1,000 attempts that a task may be given.
pub const MAX_ATTEMPTS_MAX: i64 = 1_000;
/// 3,653 days, ten years, in milliseconds: the furthest that work may be delayed.
pub const DELAY_MS_MAX: i64 = 3_653 * DAY_MS;
/// 7 days, in milliseconds: the longest that one attempt may be given.
pub const TIMEOUT_MS_MAX: i64 = 7 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// 1 day, in milliseconds: the longest first wait between attempts.
pub const BACKOFF_INITIAL_MS_MAX: i64 = DAY_MS;
/// 7 days, in milliseconds: the longest wait between attempts.
pub const BACKOFF_MS_MAX: i64 = 7 * DAY_MS;

impl SubmitRequest {
    /// Every field that is out of its bound; empty when the request is good. `payload_bytes_max`
    /// is the server's limit.
    pub fn check(&self, payload_bytes_max: usize) -> Vec<FieldError> {
        let mut found = Faults::default();
        found.name("queue", &self.queue);
        found.name("kind", &self.kind);
        found.bytes("payload", self.payload.get().len(), payload_bytes_max);
        found.range("priority", self.priority, 1, 9);
        found.range("max_attempts", self.max_attempts, 1, MAX_ATTEMPTS_MAX);
        if let Some(timeout) = self.timeout_ms {
            found.range("timeout_ms", timeout, 1, TIMEOUT_MS_MAX);
        }
        found.start(self.run_at.as_deref(), self.delay_ms);
        found.backoff(&self.backoff);
        found.labels(&self.labels);
        found.bytes("metadata", json_len(&self.metadata), METADATA_BYTES_MAX);
        if let Some(key) = &self.idempotency_key {
            found.idempotency_key(key);
        }
        found.needs(self);
        found.on_lost(self);
        found.0
    }

    /// `run_at` as an instant; none where it is absent or not RFC 3339.
    pub fn run_at(&self) -> Option<jiff::Timestamp> {
        self.run_at.as_deref().and_then(|text| text.parse().ok())
    }
}

impl BatchRequest {
    /// Every field that is out of its bound, with pointers such as `/tasks/3/priority`; empty when
    /// the batch is good. The number of tasks and the size of the body are not fields: whoever reads
    /// the body holds them against [`BATCH_TASKS_MAX`] and [`BATCH_BYTES_MAX`].
    pub fn check(&self, payload_bytes_max: usize) -> Vec<FieldError> {
        let mut found = Faults::default();
        if self.tasks.is_empty() {
            found.add(
                "tasks",
                format!("has no task; 1 to {BATCH_TASKS_MAX} are allowed"),
            );
        }
        if let Some(key) = &self.idempotency_key {
            found.idempotency_key(key);
        }
        for (index, task) in self.tasks.iter().enumerate() {
            let under = format!("/tasks/{index}");
            found.0.extend(
                task.check(payload_bytes_max)
                    .into_iter()
                    .map(|f| f.under(&under)),
            );
            if task.idempotency_key.is_some() {
                let detail = "a batch has one key for all its tasks: put it beside `tasks`";
                found
                    .0
                    .push(FieldError::new("idempotency_key", detail).under(&under));
            }
        }
        found.0
    }
}

/// Bytes of `value` as compact JSON.
fn json_len<T: serde::Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("JSON values always serialise");
    count.0
}

/// What is wrong with an idempotency key; none where it is good.
pub fn idempotency_key(key: &str) -> Option<String> {
    let fits = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len());
    let good = fits && key.bytes().all(|byte| byte.is_ascii_graphic());
    let rule = format!("1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters are allowed");
    (!good).then(|| format!("has {} bytes; {rule}", key.len()))
}

/// Faults that were found so far.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<FieldError>);

impl Faults {
    pub(super) fn add(&mut self, field: &str, detail: String) {
        self.0.push(FieldError::new(field, detail));
    }

    pub(super) fn range(&mut self, field: &str, value: i64, low: i64, high: i64) {
        if !(low..=high).contains(&value) {
            self.add(field, format!("{value} is not in {low} to {high}"));
        }
    }

    fn fraction(&mut self, field: &str, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.add(field, format!("{value} is not in {low} to {high}"));
        }
    }

    fn bytes(&mut self, field: &str, len: usize, max: usize) {
        if len > max {
            self.add(field, format!("has {len} bytes; at most {max} are allowed"));
        }
    }

    fn name(&mut self, field: &str, name: &str) {
        if let Err(error) = name.parse::<Name>() {
            self.add(field, error.to_string());
        }
    }

    fn idempotency_key(&mut self, key: &str) {
        if let Some(wrong) = idempotency_key(key) {
            self.add("idempotency_key", wrong);
        }
    }

    fn start(&mut self, run_at: Option<&str>, delay_ms: Option<i64>) {
        if let Some(delay) = delay_ms {
            self.range("delay_ms", delay, 0, DELAY_MS_MAX);
        }
        let Some(text) = run_at else { return };
        if text.parse::<jiff::Timestamp>().is_err() {
            let example = "an RFC 3339 time such as 2026-01-31T12:00:00Z";
            self.add("run_at", format!("`{text}` is not {example}"));
        }
        if delay_ms.is_some() {
            self.add("run_at", "excludes delay_ms: give one of them".to_owned());
        }
    }

    fn backoff(&mut self, backoff: &Backoff) {
        let Backoff {
            initial_ms,
            factor,
            max_ms,
            jitter,
        } = *backoff;
        self.range("backoff.initial_ms", initial_ms, 0, BACKOFF_INITIAL_MS_MAX);
        self.fraction("backoff.factor", factor, 1.0, 100.0);
        self.range("backoff.max_ms", max_ms, initial_ms.max(0), BACKOFF_MS_MAX);
        self.fraction("backoff.jitter", jitter, 0.0, 1.0);
    }

    /// Permits, locks, the concurrency key and labels of nodes.
    fn needs(&mut self, asked: &SubmitRequest) {
        self.count("permits", asked.permits.len(), task::PERMITS_MAX);
        for (nth, permit) in asked.permits.iter().take(task::PERMITS_MAX).enumerate() {
            self.name(&format!("permits.{nth}.semaphore"), &permit.semaphore);
            let field = format!("permits.{nth}.weight");
            self.range(&field, permit.weight, 1, i64::from(task::LIMIT_MAX));
        }
        let names = asked.permits.iter().map(|permit| &permit.semaphore);
        self.distinct("permits", names);
        self.count("locks", asked.locks.len(), task::LOCKS_MAX);
        for (nth, lock) in asked.locks.iter().take(task::LOCKS_MAX).enumerate() {
            self.name(&format!("locks.{nth}"), lock);
        }
        self.distinct("locks", asked.locks.iter());
        if let Some(key) = &asked.concurrency_key {
            self.name("concurrency_key", key);
        }
        let NodeLabels { require, prefer } = &asked.node_labels;
        self.some_labels("node_labels.require", require, task::LABELS_MAX);
        self.some_labels("node_labels.prefer", prefer, task::LABELS_MAX);
    }

    /// What goes on past its session would hold beside the next holder.
    fn on_lost(&mut self, asked: &SubmitRequest) {
        if asked.on_lost == OnLost::Stop {
            return;
        }
        let held = [
            ("permits", !asked.permits.is_empty()),
            ("locks", !asked.locks.is_empty()),
            ("concurrency_key", asked.concurrency_key.is_some()),
        ];
        for (field, _) in held.into_iter().filter(|(_, held)| *held) {
            let why = format!(
                "`finish` excludes {field}: a run that goes on would hold it beside the next"
            );
            self.add("on_lost", why);
        }
    }

    fn count(&mut self, field: &str, count: usize, max: usize) {
        if count > max {
            self.add(field, format!("has {count}; at most {max} are allowed"));
        }
    }

    fn distinct<'a>(&mut self, field: &str, names: impl Iterator<Item = &'a String>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.add(field, format!("names `{name}` twice"));
            }
        }
    }

    pub(super) fn labels(&mut self, labels: &BTreeMap<String, String>) {
        self.some_labels("labels", labels, LABELS_MAX);
    }

    fn some_labels(&mut self, field: &str, labels: &BTreeMap<String, String>, max: usize) {
        if labels.len() > max {
            let count = labels.len();
            self.add(
                field,
                format!("has {count} labels; at most {max} are allowed"),
            );
        }
        for (key, value) in labels.iter().take(max) {
            if !(1..=LABEL_KEY_BYTES_MAX).contains(&key.len()) {
                let rule = format!("1 to {LABEL_KEY_BYTES_MAX} are allowed");
                self.add(field, format!("a key has {} bytes; {rule}", key.len()));
            }
            self.bytes(field, value.len(), LABEL_VALUE_BYTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(faults: &[FieldError]) -> Vec<&str> {
        faults.iter().map(|f| f.field.as_str()).collect()
    }

    #[test]
    fn a_plain_submit_is_good() {
        assert_eq!(SubmitRequest::new("noop", Value::Null).check(100), []);
    }

    #[test]
    fn each_field_out_of_range_is_named_with_its_bound() {
        let table = [
            (json!({"kind": "a b"}), "kind", "1 to 64"),
            (json!({"kind": "x", "queue": ""}), "queue", "1 to 64"),
            (
                json!({"kind": "x", "payload": "x".repeat(200)}),
                "payload",
                "at most 100",
            ),
            (
                json!({"kind": "x", "priority": 0}),
                "priority",
                "0 is not in 1 to 9",
            ),
            (
                json!({"kind": "x", "priority": 10}),
                "priority",
                "10 is not in 1 to 9",
            ),
            (
                json!({"kind": "x", "max_attempts": 1001}),
                "max_attempts",
                "1 to 1000",
            ),
            (
                json!({"kind": "x", "timeout_ms": 0}),
                "timeout_ms",
                "0 is not in 1",
            ),
            (
                json!({"kind": "x", "on_lost": "finish", "locks": ["l"]}),
                "on_lost",
                "excludes locks",
            ),
            (
                json!({"kind": "x", "on_lost": "finish", "permits": [{"semaphore": "s", "weight": 1}]}),
                "on_lost",
                "excludes permits",
            ),
            (
                json!({"kind": "x", "on_lost": "finish", "concurrency_key": "k"}),
                "on_lost",
                "excludes concurrency_key",
            ),
            (
                json!({"kind": "x", "delay_ms": -1}),
                "delay_ms",
                "-1 is not in 0",
            ),
            (
                json!({"kind": "x", "run_at": "tomorrow"}),
                "run_at",
                "RFC 3339",
            ),
            (
                json!({"kind": "x", "backoff": {"factor": 0.5}}),
                "backoff.factor",
                "1 to 100",
            ),
            (
                json!({"kind": "x", "backoff": {"jitter": 1.5}}),
                "backoff.jitter",
                "0 to 1",
            ),
            (
                json!({"kind": "x", "backoff": {"max_ms": 1}}),
                "backoff.max_ms",
                "1000 to",
            ),
            (
                json!({"kind": "x", "labels": {"": "v"}}),
                "labels",
                "1 to 64",
            ),
            (
                json!({"kind": "x", "idempotency_key": ""}),
                "idempotency_key",
                "1 to 200",
            ),
            (
                json!({"kind": "x", "idempotency_key": "a b"}),
                "idempotency_key",
                "visible",
            ),
        ];

        for (value, field, bound) in table {
            let request: SubmitRequest = serde_json::from_value(value.clone()).unwrap();
            let faults = request.check(100);
            assert_eq!(fields(&faults), [field], "{value}");
            assert!(faults[0].detail.contains(bound), "{:?}", faults[0]);
        }
    }

    #[test]
    fn a_batch_points_at_the_task_at_fault() {
        let mut bad = SubmitRequest::new("noop", Value::Null);
        bad.priority = 11;
        let good = SubmitRequest::new("noop", Value::Null);

        let batch = BatchRequest {
            tasks: vec![good, bad],
            idempotency_key: None,
        };

        assert_eq!(batch.check(100)[0].pointer, "/tasks/1/priority");
    }
}
