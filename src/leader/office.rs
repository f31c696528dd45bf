//! What only a leader says, in metrics and the log, and that it says it no longer; decides nothing.

use tracing::info;

use crate::metrics::{self, Leads};
use crate::plan::View;
use crate::store::Stand;
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

/// Tells of the nodes: after every load, so that a leader to which nothing happens tells too, and as often as they change.
pub(super) fn tell_nodes(view: &View) {
    let (mut live, mut draining, mut drained) = (0, 0, 0);
    for (id, node) in &view.nodes {
        match view.stand(id, node) {
            Stand::Works => live += 1,
            Stand::Drains => draining += 1,
            Stand::Drained => drained += 1,
        }
    }
    metrics::nodes(live, draining, drained);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_cluster::KeyValue;

    use super::*;
    use crate::store::Keys;
    use crate::task::State;

    #[test]
    fn each_node_is_counted_by_how_it_stands() {
        let keys = Keys::new(&"c".parse().unwrap());
        let mut view = View::new(keys.clone(), 1, 10);
        let mut put = |key: String, value: Vec<u8>| {
            let kv = KeyValue {
                key,
                value: value.into(),
                create_revision: 2,
                mod_revision: 2,
                version: 1,
                lease: 0,
            };
            view.put(&kv, 0).unwrap();
        };
        let record = |draining: bool| {
            let text = r#"{"instance":"i","address":"","slots":1,"kinds":[],"version":"","started_ms":1,"draining":X}"#;
            text.replace('X', &draining.to_string()).into_bytes()
        };
        for (id, leaves) in [("a", false), ("b", false), ("c", true), ("d", false)] {
            put(keys.node(&id.parse().unwrap()), record(leaves));
        }
        for id in ["b", "d", "gone"] {
            put(keys.drain(&id.parse().unwrap()), Vec::new());
        }
        let recorder = crate::telemetry::recorder();
        let handle = recorder.handle();

        ::metrics::with_local_recorder(&recorder, || tell_nodes(&view));

        let text = handle.render();
        for (state, nodes) in [("live", 1), ("draining", 1), ("drained", 2)] {
            let line = format!("tenure_nodes{{state=\"{state}\"}} {nodes}\n");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_leader_that_leaves_office_takes_back_what_only_a_leader_says() {
        let recorder = crate::telemetry::recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            let leading = Leading::of(&"a".parse().unwrap(), 7);
            metrics::nodes(3, 1, 1);
            metrics::queue_tasks("mail", State::Pending, 5);
            metrics::queue_oldest_pending("mail", Duration::from_secs(9));
            drop(leading);
        });

        let text = handle.render();

        for gone in [
            "tenure_leader_status{name=\"scheduler\"} 0",
            "tenure_nodes{state=\"live\"} 0",
            "tenure_nodes{state=\"draining\"} 0",
            "tenure_nodes{state=\"drained\"} 0",
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
