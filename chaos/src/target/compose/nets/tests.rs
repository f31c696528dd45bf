//! Which rules come of what is broken.

use super::*;

fn places() -> Places {
    let named = |letter: char, from: u8| {
        let one = |nth: u8| {
            (
                format!("{letter}{nth}"),
                Ipv4Addr::new(10, 214, 7, from + nth),
            )
        };
        (1..=3).map(one).collect()
    };
    Places {
        nodes: named('n', 20),
        members: named('e', 10),
    }
}

fn node(name: &str) -> Side {
    Side::Node(name.to_owned())
}

fn member(name: &str) -> Side {
    Side::Member(name.to_owned())
}

fn cut(from: Side, to: Side, both: bool, how: How) -> Cut {
    Cut {
        from,
        to,
        both,
        how,
    }
}

/// The rules alone, without the table.
fn lines(own: &str, cuts: &[Cut]) -> Vec<String> {
    let text = places().rules(own, &cuts.iter().cloned().collect());
    let text = text.unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("add rule inet tenure_chaos "));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_way_is_dropped_at_both_ends_and_in_its_direction_only() {
    let cuts = [cut(node("n1"), Side::Members, false, How::Dropped)];

    let out = |last| format!("out ip daddr 10.214.7.{last} drop");
    assert_eq!(lines("n1", &cuts), [out(11), out(12), out(13)]);
    assert_eq!(lines("e2", &cuts), ["in ip saddr 10.214.7.21 drop"]);
    assert_eq!(lines("n2", &cuts), [""; 0]);
}

#[test]
fn both_directions_are_dropped_where_both_are_asked_for() {
    let cuts = [cut(member("e1"), Side::Members, true, How::Dropped)];

    let rules =
        |last| ["in ip saddr", "out ip daddr"].map(|way| format!("{way} 10.214.7.{last} drop"));
    assert_eq!(lines("e3", &cuts), rules(11));
    assert_eq!(lines("e1", &cuts).len(), 4);
}

#[test]
fn a_reset_comes_through_where_both_directions_are_reset() {
    let cuts = [cut(node("n1"), node("n2"), true, How::Reset)];

    let rules = lines("n2", &cuts);

    assert_eq!(rules.len(), 2);
    for rule in rules {
        assert!(
            rule.ends_with("tcp flags & rst == 0 reject with tcp reset"),
            "{rule}"
        );
    }
}

#[test]
fn packets_are_lost_at_one_end_only() {
    let cuts = [cut(node("n1"), Side::Nodes, false, How::Lossy(20))];

    assert_eq!(lines("n1", &cuts), [""; 0]);
    let rule = "in ip saddr 10.214.7.21 numgen random mod 100 < 20 drop";
    assert_eq!(lines("n2", &cuts), [rule]);
    let cuts = [cut(node("n1"), Side::Nodes, false, How::Lossy(100))];
    assert_eq!(lines("n1", &cuts), [""; 0]);
    assert_eq!(lines("n2", &cuts), ["in ip saddr 10.214.7.21 drop"]);
}

#[test]
fn a_way_that_is_dropped_is_so_whatever_else_is_done_to_it() {
    let dropped = cut(node("n1"), node("n2"), false, How::Dropped);
    let lossy = cut(Side::All, node("n2"), false, How::Lossy(5));

    let rules = lines("n2", &[lossy, dropped]);

    assert_eq!(rules[0], "in ip saddr 10.214.7.21 drop");
    assert_eq!(rules.len(), 1 + 5);
}

#[test]
fn rules_take_the_place_of_those_before() {
    let cuts = BTreeSet::from([cut(node("n1"), node("n2"), false, How::Dropped)]);

    let text = places().rules("n1", &cuts).unwrap();

    let expected = "add table inet tenure_chaos\ndelete table inet tenure_chaos\nadd table inet tenure_chaos\n\
        add chain inet tenure_chaos in { type filter hook input priority -10 ; policy accept ; }\n\
        add chain inet tenure_chaos out { type filter hook output priority -10 ; policy accept ; }\n\
        add rule inet tenure_chaos out ip daddr 10.214.7.22 drop\n";
    assert_eq!(text, expected);
    assert!(text.starts_with(&no_rules()));
    assert_eq!(places().rules("n3", &cuts), None);
}

#[test]
fn a_narrow_way_has_a_queue_of_its_own_that_its_packets_are_marked_for() {
    let narrow = |to, rate| cut(node("n1"), to, false, How::Narrow(rate));
    let cuts = BTreeSet::from([narrow(Side::Members, 400), narrow(member("e2"), 50)]);

    let rates = places().rates("n1", &cuts);
    let text = queues("eth0", &rates);

    assert_eq!(rates[&Ipv4Addr::new(10, 214, 7, 12)], 50);
    assert_eq!(rates[&Ipv4Addr::new(10, 214, 7, 13)], 400);
    let queue = "qdisc add dev eth0 parent 1:c handle c: tbf rate 50kbit burst 10kb latency 500ms";
    assert!(text.contains(queue), "{text}");
    let marked = lines("n1", &cuts.iter().cloned().collect::<Vec<_>>());
    assert!(marked.contains(&"out ip daddr 10.214.7.12 meta priority set 1:c".to_owned()));
    assert!(places().rates("e2", &cuts).is_empty());
}

#[test]
fn a_node_that_is_cut_off_from_all_is_taken_off_the_network_and_has_no_rules() {
    let rows = [
        (cut(node("n1"), Side::All, true, How::Dropped), Some("n1")),
        (cut(Side::All, node("n1"), true, How::Dropped), Some("n1")),
        (cut(node("n1"), Side::All, false, How::Dropped), None),
        (cut(node("n1"), Side::All, true, How::Reset), None),
        (cut(node("n1"), Side::Nodes, true, How::Dropped), None),
        (cut(member("e1"), Side::All, true, How::Dropped), None),
    ];
    for (cut, who) in rows {
        assert_eq!(detached(&cut), who, "{cut:?}");
        let ruled = !lines("n1", std::slice::from_ref(&cut)).is_empty();
        assert_eq!(ruled, who.is_none(), "{cut:?}");
        let touched = places().touched(&cut);
        assert_eq!(touched.len() == 1, who.is_some(), "{cut:?}");
    }
}

#[test]
fn what_cannot_be_done_to_a_way_is_told() {
    let all = |how| cut(node("n1"), Side::All, true, how);
    let late = How::Late {
        ms: 100,
        jitter_ms: 10,
    };
    let rows = [
        (all(late), Some("without anything between")),
        (all(How::HalfOpen), Some("without anything between")),
        (all(How::Narrow(0)), Some("0 kbit/s")),
        (cut(node("n9"), Side::All, true, How::Reset), Some("no n9")),
        (
            cut(Side::Nodes, member("n1"), true, How::Reset),
            Some("no n1"),
        ),
        (all(How::Narrow(1)), None),
        (all(How::Lossy(100)), None),
        (all(How::Dropped), None),
    ];
    for (cut, why) in rows {
        let refusal = places().refusal(&cut);

        match why {
            Some(why) => assert!(
                refusal.as_ref().is_some_and(|told| told.contains(why)),
                "{refusal:?}"
            ),
            None => assert_eq!(refusal, None),
        }
    }
}
