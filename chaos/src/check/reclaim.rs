//! Reclaim is bounded: a claim is made for a living session only, and when that session ends, its claims end within the
//! bound, counted while somebody leads and nothing stands in the way. Exercised by each claim whose session ended first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Facts;
use super::calm::Calm;
use super::fold::{Change, Step};
use super::keyspace::{Key, Value};
use super::lives::session_before;
use super::verdict::{Case, Property, Verdict};

/// A claim's time.
struct Held {
    node: String,
    session: i64,
    gone: Option<(i64, u64)>,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::ReclaimBounded);
    let mut claims: BTreeMap<Arc<str>, Held> = BTreeMap::new();
    for step in &facts.steps {
        for change in &step.changes {
            held(&mut case, facts, step, change, &mut claims);
        }
    }
    let calm =
        Calm::of(facts.history, &facts.reigns, facts.end_ms).while_led(&facts.reigns, facts.end_ms);
    for (key, held) in &claims {
        orphan(&mut case, facts, &calm, key, held);
    }
    case.close()
}

fn held(
    case: &mut Case,
    facts: &Facts<'_>,
    step: &Step,
    change: &Change,
    claims: &mut BTreeMap<Arc<str>, Held>,
) {
    let Key::Run { node, .. } = &change.key else {
        return;
    };
    let lives = |session| session_before(&facts.sessions, node, session, step.revision);
    match (change.was.as_deref(), change.is.as_deref()) {
        (None, Some(Value::Run(run))) => {
            if !lives(run.session) {
                let what = format!(
                    "a claim was made for session {}, which is gone",
                    run.session
                );
                case.violated(what, &[step.revision], &[&change.text]);
            }
            let held = Held {
                node: node.clone(),
                session: run.session,
                gone: None,
            };
            claims.insert(Arc::clone(&change.text), held);
        }
        (Some(Value::Run(run)), is) => {
            let taken = change.by.as_ref().is_some_and(|by| by != node);
            if taken && lives(run.session) {
                let what = format!("taken from session {}, which is alive", run.session);
                case.violated(what, &[step.revision], &[&change.text]);
            }
            if let (None, Some(held)) = (is, claims.get_mut(&change.text)) {
                held.gone = Some((step.revision, step.at_ms));
            }
        }
        _ => {}
    }
}

fn orphan(case: &mut Case, facts: &Facts<'_>, calm: &Calm, key: &Arc<str>, held: &Held) {
    let session = facts.sessions.get(&held.session);
    let Some((ended, ended_ms)) = session.and_then(|session| session.gone) else {
        return;
    };
    if held.gone.is_some_and(|gone| gone.0 <= ended) {
        return;
    }
    case.exercised(1);
    let until_ms = held.gone.map_or(facts.end_ms, |gone| gone.1);
    case.most("longest_ms", until_ms.saturating_sub(ended_ms));
    let limit = facts.setup.limits.reclaim_ms;
    let waited_ms = calm.longest(ended_ms, until_ms);
    if waited_ms > limit {
        let what = format!("left for {waited_ms} ms after its session ended, {limit} are allowed");
        case.violated(what, &[ended], &[key.to_string(), held.node.clone()]);
    }
}
