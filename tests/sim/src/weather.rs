//! The weather of each link while faults are open: all of them together, so that one that ends lifts no other. Pure.

use crate::faults::Fault;
use crate::link::{Way, Weather};

/// How the link between a node and a member is while these faults are open.
pub(crate) fn between(node: usize, member: usize, open: &[Fault]) -> Weather {
    let mut weather = Weather::default();
    for fault in open {
        match *fault {
            Fault::Cut { node: of, to, from } if of == node => {
                weather.to = held(to, weather.to);
                weather.from = held(from, weather.from);
            }
            Fault::CutOne {
                node: of,
                member: at,
            } if (of, at) == (node, member) => (weather.to, weather.from) = (Way::Held, Way::Held),
            Fault::Slow {
                node: of,
                delay_ms_max,
            } if of == node => weather.delay_ms_max = weather.delay_ms_max.max(delay_ms_max),
            Fault::LoseRequests {
                node: of,
                in_thousand,
            } if of == node => weather.requests_lost = weather.requests_lost.max(in_thousand),
            Fault::LoseAnswers {
                node: of,
                in_thousand,
            } if of == node => weather.answers_lost = weather.answers_lost.max(in_thousand),
            Fault::Member { member: at } if at == member => weather.refused = true,
            Fault::Store => weather.refused = true,
            Fault::Cut { .. }
            | Fault::CutOne { .. }
            | Fault::Slow { .. }
            | Fault::LoseRequests { .. }
            | Fault::LoseAnswers { .. }
            | Fault::Member { .. }
            | Fault::Crash { .. }
            | Fault::Break { .. }
            | Fault::StoreLeader
            | Fault::Revoke { .. }
            | Fault::Compact
            | Fault::NoSpace
            | Fault::Clock { .. } => {}
        }
    }
    weather
}

fn held(cut: bool, way: Way) -> Way {
    if cut { Way::Held } else { way }
}

/// How far a node's clock is off while these faults are open: as the last of them says.
pub(crate) fn ahead_ms(node: usize, open: &[Fault]) -> i64 {
    let of_node = open.iter().rev().find_map(|fault| {
        let Fault::Clock { node: of, ahead_ms } = *fault else {
            return None;
        };
        (of == node).then_some(ahead_ms)
    });
    of_node.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_ends_lifts_no_other() {
        let whole = Fault::Cut {
            node: 0,
            to: true,
            from: true,
        };
        let one_way = Fault::Cut {
            node: 0,
            to: false,
            from: true,
        };
        let one = Fault::CutOne { node: 0, member: 1 };
        let way = |open: &[Fault], member| {
            let weather = between(0, member, open);
            (weather.to, weather.from)
        };
        let both = (Way::Held, Way::Held);
        assert_eq!(way(&[whole, one_way.clone(), one.clone()], 2), both);
        assert_eq!(way(&[one_way.clone(), one], 1), both);
        assert_eq!(way(&[one_way], 1), (Way::Open, Way::Held));

        let down = [Fault::Store, Fault::Member { member: 2 }];
        assert!(between(1, 0, &down).refused);
        assert!(!between(1, 0, &down[1..]).refused);
        assert!(between(1, 2, &down[1..]).refused);

        let slow = |delay_ms_max| Fault::Slow {
            node: 1,
            delay_ms_max,
        };
        let late = [slow(900), slow(30)];
        assert_eq!(between(1, 0, &late).delay_ms_max, 900);
        assert_eq!(between(1, 0, &late[1..]).delay_ms_max, 30);
        assert_eq!(between(0, 0, &late), Weather::default());

        let off = |ahead_ms| Fault::Clock { node: 1, ahead_ms };
        assert_eq!(ahead_ms(1, &[off(5), off(-7)]), -7);
        assert_eq!(ahead_ms(1, &[off(5)]), 5);
        assert_eq!(ahead_ms(0, &[off(5)]), 0);
    }
}
