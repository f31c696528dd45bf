//! Counts what the crate counts, by name and labels.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tokio::sync::Notify;

/// A recorder for one thread's tests; see `metrics::set_default_local_recorder`.
#[derive(Default)]
pub struct Counters {
    counts: Mutex<BTreeMap<String, Arc<Count>>>,
    counted: Arc<Notify>,
}

struct Count {
    number: AtomicU64,
    counted: Arc<Notify>,
}

impl Counters {
    /// How often anything whose name and labels begin so was counted or recorded.
    pub fn count(&self, name: &str) -> u64 {
        let counts = self.counts.lock().unwrap();
        counts
            .iter()
            .filter(|(key, _)| key.starts_with(name))
            .map(|(_, count)| count.number.load(Ordering::Relaxed))
            .sum()
    }

    /// Waits until that is more than it was.
    pub async fn beyond(&self, name: &str, before: u64) {
        loop {
            let mut counted = pin!(self.counted.notified());
            counted.as_mut().enable();
            if self.count(name) > before {
                return;
            }
            counted.await;
        }
    }

    fn of(&self, key: &Key) -> Arc<Count> {
        let labels: Vec<_> = key
            .labels()
            .map(|l| format!("{}={}", l.key(), l.value()))
            .collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        let new = || {
            Arc::new(Count {
                number: AtomicU64::default(),
                counted: Arc::clone(&self.counted),
            })
        };
        let mut counts = self.counts.lock().unwrap();
        Arc::clone(counts.entry(name).or_insert_with(new))
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.number.fetch_add(value, Ordering::Relaxed);
        self.counted.notify_waiters();
    }

    fn absolute(&self, value: u64) {
        self.number.fetch_max(value, Ordering::Relaxed);
    }
}

impl HistogramFn for Count {
    fn record(&self, _value: f64) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}
