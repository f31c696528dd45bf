//! Failover is bounded: when a leader's key goes, another term writes within the bound, and when a leader's process dies,
//! its key goes within its lease; counted while nothing stands in the way and some node is there. Exercised by each loss of
//! a leader's key.

use super::Facts;
use super::calm::{Calm, crashes, instants};
use super::lives::Reign;
use super::verdict::{Case, Property, Verdict};

/// 1,000 ms: what a lease lives longer than its TTL where the store has changed its leader (promise P8: TTL + 2 s then).
const RENEWED_MS: u64 = 1_000;

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::FailoverBounded);
    let lease_ms = facts.setup.limits.lease_ms;
    let calm = Calm::of(facts.history, &facts.reigns, facts.end_ms).while_fit(
        facts.history,
        lease_ms,
        facts.end_ms,
    );
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
        // Another leader of the store gives every lease its full time anew, and some for its own election.
        let anew = instants(facts.history).any(|(at, _)| at_ms <= at && at <= until_ms);
        let limit = facts.setup.limits.lease_ms + if anew { RENEWED_MS } else { 0 };
        if waited_ms > limit {
            let what =
                format!("a dead leader's key was there for {waited_ms} ms, {limit} are allowed");
            case.violated(what, &[reign.term], &[node]);
        }
    }
}
