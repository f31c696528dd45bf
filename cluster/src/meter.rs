//! The metrics of this crate, each spelled once. Never holds a value.

use std::time::Duration;

use crate::failure::Failure;

/// One request: how long it took and how it ended.
pub(crate) fn request(op: &'static str, took: Duration, failure: Option<&Failure>) {
    let code = failure.map_or("ok", |failure| failure.kind.code());
    metrics::histogram!("tenure_etcd_request_duration_seconds", "op" => op)
        .record(took.as_secs_f64());
    metrics::counter!("tenure_etcd_requests_total", "op" => op, "code" => code).increment(1);
}

/// A watch was opened anew, and why.
pub(crate) fn watch_restart(reason: &'static str) {
    metrics::counter!("tenure_etcd_watch_restarts_total", "reason" => reason).increment(1);
}

/// So many events were delivered by a watch.
pub(crate) fn watch_events(events: usize) {
    metrics::counter!("tenure_etcd_watch_events_total").increment(events as u64);
}

/// A keepalive was answered.
pub(crate) fn lease_renewed(took: Duration) {
    metrics::histogram!("tenure_lease_renew_duration_seconds").record(took.as_secs_f64());
}

/// A session was lost, and why.
pub(crate) fn lease_lost(reason: &'static str) {
    metrics::counter!("tenure_lease_lost_total", "reason" => reason).increment(1);
}
