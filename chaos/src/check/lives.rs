//! Which sessions and terms lived when, and who led: folded from the keys of nodes and candidates.

use std::collections::BTreeMap;

use super::fold::Step;
use super::keyspace::{Key, Value};

/// How long a leased key was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// Its node.
    pub(super) node: String,
    /// Its create revision: the session, or the term.
    pub(super) created: i64,
    /// When that was seen, in milliseconds.
    pub(super) created_ms: u64,
    /// When it went: revision and milliseconds; none where it is there in the end.
    pub(super) gone: Option<(i64, u64)>,
}

/// The time in which one candidate's key was the oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    /// Its term.
    pub(super) term: i64,
    /// Its node.
    pub(super) node: String,
    /// When its candidate stood, in milliseconds.
    pub(super) stood_ms: u64,
    /// Since when it was the oldest: revision and milliseconds.
    pub(super) from: (i64, u64),
    /// Until when: revision and milliseconds; none where it leads in the end.
    pub(super) until: Option<(i64, u64)>,
    /// When it first wrote something of its term.
    pub(super) acted: Option<(i64, u64)>,
}

/// The lifetimes of nodes' sessions, by create revision.
pub(super) fn sessions(steps: &[Step]) -> BTreeMap<i64, Lifetime> {
    lifetimes(steps, |key, _| {
        if let Key::Node(node) = key {
            return Some(node.clone());
        }
        None
    })
}

/// The reigns, in order.
pub(super) fn reigns(steps: &[Step]) -> Vec<Reign> {
    let candidates = lifetimes(steps, |key, value| match (key, value) {
        (Key::Elect(_), Some(Value::Elect(elect))) => Some(elect.node.clone()),
        (Key::Elect(_), _) => Some(String::new()),
        _ => None,
    });
    let mut reigns: Vec<Reign> = Vec::new();
    let mut from = None;
    // Candidates come in the order of their create revisions, and one leads when all before it are gone.
    for candidate in candidates.into_values() {
        let own = (candidate.created, candidate.created_ms);
        let since = from.map_or(own, |from: (i64, u64)| from.max(own));
        let went_first = candidate.gone.is_some_and(|gone| gone.0 <= since.0);
        let held_before = matches!(reigns.last(), Some(Reign { until: None, .. }));
        if went_first || held_before {
            continue;
        }
        from = candidate.gone;
        reigns.push(Reign {
            term: candidate.created,
            node: candidate.node,
            stood_ms: candidate.created_ms,
            from: since,
            until: candidate.gone,
            acted: None,
        });
    }
    for reign in &mut reigns {
        let begun = steps.partition_point(|step| step.revision <= reign.term);
        reign.acted = first_act(&steps[begun..], reign.term);
    }
    reigns
}

fn first_act(steps: &[Step], term: i64) -> Option<(i64, u64)> {
    let acts = |step: &&Step| {
        step.changes
            .iter()
            .any(|change| match (&change.key, change.is.as_deref()) {
                (Key::Term(of), Some(Value::Term(line))) => *of == term && line.until_ms.is_none(),
                (Key::Run { claim, .. }, Some(_)) => claim.term == term && change.was.is_none(),
                _ => false,
            })
    };
    let step = steps.iter().find(acts)?;
    Some((step.revision, step.at_ms))
}

fn lifetimes(
    steps: &[Step],
    node_of: impl Fn(&Key, Option<&Value>) -> Option<String>,
) -> BTreeMap<i64, Lifetime> {
    let mut all: BTreeMap<i64, Lifetime> = BTreeMap::new();
    for step in steps {
        for change in &step.changes {
            let Some(node) = node_of(&change.key, change.is.as_deref()) else {
                continue;
            };
            if change.is.is_none() {
                if let Some(life) = all.get_mut(&change.created) {
                    life.gone = Some((step.revision, step.at_ms));
                }
            } else if change.was.is_none() {
                let life = Lifetime {
                    node,
                    created: change.created,
                    created_ms: step.at_ms,
                    gone: None,
                };
                all.insert(change.created, life);
            }
        }
    }
    all
}

/// Who led just before this revision.
pub(super) fn leader_before(reigns: &[Reign], revision: i64) -> Option<&Reign> {
    let begun = reigns.partition_point(|reign| reign.from.0 < revision);
    let last = reigns[..begun].last()?;
    let over = last.until.is_some_and(|until| until.0 < revision);
    (!over).then_some(last)
}

/// Whether this session was alive just before this revision.
pub(super) fn session_before(
    sessions: &BTreeMap<i64, Lifetime>,
    node: &str,
    session: i64,
    revision: i64,
) -> bool {
    sessions.get(&session).is_some_and(|life| {
        life.node == node
            && life.created < revision
            && life.gone.is_none_or(|gone| gone.0 >= revision)
    })
}
