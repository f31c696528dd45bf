//! The recorder of metrics, with buckets for all histograms: without them they would become summaries, which cannot be added up.

use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::metrics::{self, Kind};

/// 0.25 ms to 10 min, in seconds: commits are at the lower end, runs at the upper.
const SECONDS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0, 300.0, 600.0,
];

/// 1 to 4,096 tasks.
const TASKS: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// A recorder that is not installed, for tests.
///
/// # Panics
/// Never: the buckets are constants.
pub fn recorder() -> PrometheusRecorder {
    let recorder = builder().build_recorder();
    ::metrics::with_local_recorder(&recorder, describe);
    recorder
}

/// The recorder of this process, installed by the first call. The owner of the handle calls `run_upkeep` every few seconds.
///
/// # Errors
/// A recorder that is not ours is installed.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    // Held for a few instructions at the start of each node of the process.
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = builder().install_recorder()?;
    describe();
    metrics::build(super::COMMIT);
    *installed = Some(handle.clone());
    Ok(handle)
}

/// The recorder of this process, or one of its own where the program that embeds us has another: then our metrics go to that one, and
/// `/metrics` is empty.
pub fn install_or_own() -> PrometheusHandle {
    install().unwrap_or_else(|problem| {
        tracing::info!(%problem, "metrics go to the program's own recorder");
        builder().build_recorder().handle()
    })
}

fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_tasks".to_owned()), &TASKS)
        })
        .expect("the buckets are not empty")
}

fn describe() {
    for metric in metrics::table() {
        match metric.kind {
            Kind::Counter => {
                ::metrics::describe_counter!(metric.name, metric.help);
                // There from the start, so that the first event is an increase.
                if metric.labels.is_empty() {
                    ::metrics::counter!(metric.name).increment(0);
                }
            }
            Kind::Gauge => ::metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => ::metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_without_labels_are_there_before_anything_is_counted() {
        let told = install().unwrap().render();
        assert!(told.contains("tenure_false_deaths_total 0\n"), "{told}");
    }
}
