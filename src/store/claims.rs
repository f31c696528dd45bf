//! The claims of all nodes at one revision, read once for all who look for running tasks there; never reads waiting work.

use std::collections::BTreeMap;

use serde::Deserialize;
use tenure_cluster::{KeyValue, Range};
use tokio::sync::OnceCell;

use super::commit::Store;
use super::keys::Live;
use super::locate::{Held, LookError, first};
use super::records::{Run, Seen, decode};
use crate::task::{PackId, TaskId};

/// As many claims as the nodes hold, whatever the backlog; read when the first running task is looked for.
pub(super) struct Claims<'a> {
    store: &'a Store,
    revision: i64,
    of: OnceCell<BTreeMap<PackId, Vec<KeyValue>>>,
}

/// What of a [`Run`] says whether to look closer.
#[derive(Deserialize)]
struct Head {
    pack: PackId,
}

impl<'a> Claims<'a> {
    pub(super) fn at(store: &'a Store, revision: i64) -> Self {
        Self {
            store,
            revision,
            of: OnceCell::new(),
        }
    }

    /// The revision they are true at.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// The claim that holds a task which is in no other place.
    pub(super) async fn holder(&self, task: TaskId) -> Result<Held, LookError> {
        let claims = self.of.get_or_try_init(|| self.read()).await?;
        for kv in claims.get(&task.pack()).into_iter().flatten() {
            let Some(Live::Run(node, claim)) = self.store.keys().live(&kv.key) else {
                continue;
            };
            let run: Seen<Run> = Seen::of(kv)?;
            if run.value.which.contains(task.index()) {
                let stop = Range::key(self.store.keys().stop(&node, claim)).at(self.revision);
                let stop = first(self.store.connection().range(&stop).await?)?;
                return Ok(Held {
                    node,
                    claim,
                    run,
                    stop,
                });
            }
        }
        Err(LookError::Nowhere {
            task,
            revision: self.revision,
        })
    }

    async fn read(&self) -> Result<BTreeMap<PackId, Vec<KeyValue>>, LookError> {
        let mut of: BTreeMap<PackId, Vec<KeyValue>> = BTreeMap::new();
        let runs = self.store.keys().runs();
        let file = |kv: KeyValue| {
            let head: Head = decode(&kv.key, &kv.value)?;
            of.entry(head.pack).or_default().push(kv);
            Ok(())
        };
        self.store.each(&runs, self.revision, file).await?;
        Ok(of)
    }
}
