//! What is waited for while the nodes hand over, said as it changes.

use std::time::Duration;

use tenure_cluster::Connection;
use tokio::time::{MissedTickBehavior, interval};

use super::Nodes;
use crate::store::{Keys, Store};

/// 500 ms between looks.
const EVERY: Duration = Duration::from_millis(500);

/// Looks at the nodes while they leave.
pub(super) struct Drain {
    store: Store,
}

impl Drain {
    pub(super) fn new(connection: Connection, cluster: &str) -> anyhow::Result<Self> {
        let store = Store::new(connection, Keys::new(&cluster.parse()?));
        Ok(Self { store })
    }

    /// Until all have ended.
    ///
    /// # Errors
    /// That of the first that did not end well.
    pub(super) async fn watch(&self, mut nodes: Nodes, say: impl Fn(&str)) -> anyhow::Result<()> {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut wrong) = (String::new(), Ok(()));
        loop {
            let line = tokio::select! {
                biased;
                ended = nodes.join_next() => match ended {
                    Some(Ok((name, ended))) => {
                        wrong = wrong.and(ended.map_err(|error| error.context(name)));
                        continue;
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => {
                        say("stopped");
                        return wrong;
                    }
                },
                line = async { looks.tick().await; self.waits_for().await } => line,
            };
            if let Some(line) = line.filter(|line| *line != said) {
                say(&line);
                said = line;
            }
        }
    }

    /// The nodes that are still there, and how many tasks each has in hand. Nothing once they are gone, or where etcd does not say.
    async fn waits_for(&self) -> Option<String> {
        let (nodes, _) = self.store.nodes().await.ok()?;
        let each: Vec<String> = nodes
            .iter()
            .map(|node| match node.tasks {
                0 => node.id.to_string(),
                1 => format!("{} (1 task)", node.id),
                tasks => format!("{} ({tasks} tasks)", node.id),
            })
            .collect();
        let names = each.join(", ");
        (!each.is_empty()).then(|| format!("stopping, waiting for {names}; Ctrl-C ends at once"))
    }
}
