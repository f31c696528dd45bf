//! Why somebody waits, in words: a pending task, or a request of somebody outside. Reads, decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::debug;

use super::cluster::leading;
use super::error::ApiError;
use crate::store::{Firsts, Found, NodeSeen, Standing, Store};
use crate::task::{Gate, Routing, State};

/// 1 s: what is told of who waits outside is no older. Thousands may wait at once, and each look reads all claims.
const OUTSIDE_AGE_MAX: Duration = Duration::from_secs(1);

/// 3 drained nodes are told of by name.
const AWAY_TOLD_MAX: usize = 3;

/// What decides why pending tasks wait; read once for an answer, and only where one is pending.
pub(super) struct Surroundings {
    nodes: Vec<NodeSeen>,
    led: bool,
    standing: Standing,
    firsts: Firsts,
}

/// What decides why those outside wait, as it was a moment ago.
#[derive(Default)]
pub(super) struct Outside(Mutex<Option<(Instant, Arc<Seen>)>>);

struct Seen {
    led: bool,
    standing: Standing,
}

impl Surroundings {
    pub(super) async fn of(store: &Store, tasks: &[Found]) -> Result<Self, ApiError> {
        let pending = |task: &&Found| task.state == State::Pending;
        let pending: Vec<&Found> = tasks.iter().filter(pending).collect();
        if pending.is_empty() {
            return Ok(Self {
                nodes: Vec::new(),
                led: true,
                standing: Standing::default(),
                firsts: Firsts::new(),
            });
        }
        let (nodes, _) = store.nodes().await?;
        let led = leading(store).await?.0.is_some();
        let standing = store.standing().await?;
        let gates = pending.iter().flat_map(|task| {
            let routing = &task.pack.routing;
            if standing.closed(routing).is_empty() {
                standing.open(routing)
            } else {
                BTreeSet::new()
            }
        });
        let firsts = store.firsts(&gates.collect()).await?;
        Ok(Self {
            nodes,
            led,
            standing,
            firsts,
        })
    }

    /// What a pending task waits for; none where it is only a matter of moments.
    pub(super) fn pending(&self, task: &Found) -> Option<String> {
        let routing = &task.pack.routing;
        let of_queue = self.standing.queue_reason(&routing.queue);
        if let Some(reason) = of_queue.or_else(|| self.untaken(routing)) {
            return Some(reason);
        }
        if !self.led {
            return Some("a leader".to_owned());
        }
        let closed = self.standing.closed(routing);
        if !closed.is_empty() {
            return Some(closed.join("; "));
        }
        if let Some(kept) = self.kept(task) {
            return Some(kept);
        }
        let full = |node: &&NodeSeen| node.tasks >= node.seen.value.slots as usize;
        if self.takers(routing).all(|node| full(&node)) {
            let kind = &routing.kind;
            let away = self.away(routing);
            return Some(format!("a free slot on a node that runs `{kind}`{away}"));
        }
        self.standing.rate(&routing.queue)
    }

    /// Why no node would take it, whatever else there is.
    fn untaken(&self, routing: &Routing) -> Option<String> {
        if self.takers(routing).next().is_some() {
            return None;
        }
        let kind = &routing.kind;
        let mut runs = self.nodes.iter().filter(|node| runs(node, routing));
        if runs.next().is_none() {
            return Some(format!("no live node runs kind `{kind}`"));
        }
        let labels = routing.needs.as_deref().map(|needs| &needs.require);
        let labels = labels.into_iter().flatten();
        let labels: Vec<String> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let labels = labels.join(", ");
        let mut allowed = self.nodes.iter().filter(|node| allowed(node, routing));
        let labelled = if labels.is_empty() {
            String::new()
        } else {
            format!(" and has the labels {labels}")
        };
        Some(if allowed.next().is_some() {
            let away = self.away(routing);
            format!("a node that runs `{kind}`{labelled}: each that does is draining{away}")
        } else {
            format!("a node that runs `{kind}`{labelled}")
        })
    }

    /// Which nodes would take it if they were not drained, in words; empty where there are none.
    fn away(&self, routing: &Routing) -> String {
        let nodes = self.nodes.iter().filter(|node| allowed(node, routing));
        let drained = nodes.filter_map(|node| Some((&node.id, node.drain.as_ref()?)));
        let mut words: Vec<String> = drained
            .map(|(id, drain)| match drain.reason.as_str() {
                "" => format!("`{id}` is drained"),
                reason => format!("`{id}` is drained ({reason})"),
            })
            .collect();
        if words.is_empty() {
            return String::new();
        }
        if words.len() > AWAY_TOLD_MAX {
            let more = words.len() - AWAY_TOLD_MAX;
            words.truncate(AWAY_TOLD_MAX);
            words.push(format!("and {more} more are"));
        }
        format!("; {}", words.join(", "))
    }

    /// The nodes that may take it, where they have room.
    fn takers<'a>(&'a self, routing: &'a Routing) -> impl Iterator<Item = &'a NodeSeen> {
        let nodes = self.nodes.iter();
        nodes.filter(|node| {
            let stays = node.seen.value.takes_work(node.drain.is_some());
            allowed(node, routing) && stays
        })
    }

    /// Who has what it asks for to itself.
    fn kept(&self, task: &Found) -> Option<String> {
        let (routing, pack) = (&task.pack.routing, task.id.pack());
        let reasons: Vec<String> = routing
            .gates()
            .filter_map(|(gate, _)| {
                let firsts = self.firsts.get(&gate).into_iter().flatten();
                let before = firsts.filter(|first| first.is_before(routing, pack));
                self.standing.kept(&gate, None, before)
            })
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

fn runs(node: &NodeSeen, routing: &Routing) -> bool {
    node.seen.value.kinds.contains(&routing.kind)
}

/// Whether a node runs it and has the labels that it requires.
fn allowed(node: &NodeSeen, routing: &Routing) -> bool {
    let needs = routing.needs.as_deref();
    runs(node, routing) && needs.is_none_or(|needs| needs.allows(&node.seen.value.labels))
}

impl Outside {
    /// What a request for so much waits for; none where it is only a matter of moments, or cannot be told.
    pub(super) async fn why(
        &self,
        store: &Store,
        (gate, id): (&Gate, u128),
        weight: u32,
    ) -> Option<String> {
        let told = async {
            let seen = self.seen(store).await?;
            if !seen.led {
                return Ok(Some("a leader".to_owned()));
            }
            if let Some(reason) = seen.standing.reason(gate, weight) {
                return Ok(Some(reason));
            }
            let firsts = match gate {
                Gate::Semaphore(_) => store.firsts(&BTreeSet::from([gate.clone()])).await?,
                Gate::Lock(_) | Gate::Key(..) => Firsts::new(),
            };
            let firsts = firsts.values().flatten();
            Ok::<_, ApiError>(seen.standing.kept(gate, Some(id), firsts))
        };
        told.await.unwrap_or_else(|problem| {
            debug!(%problem, "why a request for a hold waits could not be read");
            None
        })
    }

    /// How it was within the last second. Held while it is read, so that all who ask at once have one look.
    async fn seen(&self, store: &Store) -> Result<Arc<Seen>, ApiError> {
        let mut last = self.0.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < OUTSIDE_AGE_MAX
        {
            return Ok(Arc::clone(seen));
        }
        let at = Instant::now();
        let seen = Arc::new(Seen {
            led: leading(store).await?.0.is_some(),
            standing: store.standing().await?,
        });
        *last = Some((at, Arc::clone(&seen)));
        Ok(seen)
    }
}
