//! Says that this node leads, in metrics and the log; decides nothing.

use tracing::info;

use crate::metrics::{self, Leads};
use crate::task::Name;

/// Says that this node leads, and that it no longer does however its term's work ends.
pub(super) struct Leading;

impl Leading {
    pub(super) fn of(node: &Name, term: i64) -> Self {
        metrics::leader_status(Leads::Yes);
        metrics::leader_changed(term);
        info!(%node, term, "leading");
        Self
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        metrics::left_office();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::task::State;

    #[test]
    fn a_leader_that_leaves_office_takes_back_what_only_a_leader_says() {
        let recorder = crate::telemetry::recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            let leading = Leading::of(&"a".parse().unwrap(), 7);
            metrics::nodes(3, 1);
            metrics::queue_tasks("mail", State::Pending, 5);
            metrics::queue_oldest_pending("mail", Duration::from_secs(9));
            drop(leading);
        });

        let text = handle.render();

        for gone in [
            "tenure_leader_status{name=\"scheduler\"} 0",
            "tenure_nodes{state=\"live\"} 0",
            "tenure_nodes{state=\"draining\"} 0",
            "tenure_queue_tasks{queue=\"mail\",state=\"pending\"} 0",
            "tenure_queue_oldest_pending_age_seconds{queue=\"mail\"} 0",
            "tenure_leader_term 7",
        ] {
            assert!(
                text.contains(&format!("{gone}\n")),
                "{gone} is not in\n{text}"
            );
        }
    }
}
