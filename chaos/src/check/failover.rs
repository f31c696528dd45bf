//! Failover is bounded: when a leader's key goes, another term writes within the bound, and when a leader's process dies,
//! its key goes within its lease; counted while nothing stands in the way and some node is there. Exercised by each loss of
//! a leader's key.

use super::Facts;
use super::calm::{Calm, crashes};
use super::lives::Reign;
use super::verdict::{Case, Property, Verdict};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = Case::new(Property::FailoverBounded);
    let calm = Calm::of(facts.history, &facts.reigns, facts.end_ms);
    let of_the_store = Calm::of(facts.history, &[], facts.end_ms);
    for (nth, reign) in facts.reigns.iter().enumerate() {
        if let Some((revision, gone_ms)) = reign.until {
            case.exercised(1);
            let next = facts.reigns[nth + 1..].iter().find_map(|next| next.acted);
            let next_ms = next.map_or(last_node_ms(facts), |next| next.1);
            case.most("longest_ms", next_ms.saturating_sub(gone_ms));
            let waited_ms = calm.longest(gone_ms, next_ms.max(gone_ms));
            let limit = facts.setup.limits.failover_ms;
            if waited_ms > limit {
                let what = format!("nobody led for {waited_ms} ms, {limit} are allowed");
                case.violated(what, &[revision], &[&reign.node]);
            }
        }
        deaths(&mut case, facts, &of_the_store, reign);
    }
    case.close()
}

/// Until when there was a node that could lead.
fn last_node_ms(facts: &Facts<'_>) -> u64 {
    let ends = facts.sessions.values();
    let end = ends.map(|session| session.gone.map_or(facts.end_ms, |gone| gone.1));
    end.max().unwrap_or(0)
}

fn deaths(case: &mut Case, facts: &Facts<'_>, calm: &Calm, reign: &Reign) {
    let until_ms = reign.until.map_or(facts.end_ms, |until| until.1);
    for (node, at_ms) in crashes(facts.history) {
        if node != reign.node || at_ms < reign.stood_ms || at_ms > until_ms {
            continue;
        }
        case.most("longest_from_death_ms", until_ms - at_ms);
        let waited_ms = calm.longest(at_ms, until_ms);
        let limit = facts.setup.limits.lease_ms;
        if waited_ms > limit {
            let what =
                format!("a dead leader's key was there for {waited_ms} ms, {limit} are allowed");
            case.violated(what, &[reign.term], &[node]);
        }
    }
}
