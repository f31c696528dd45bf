use super::*;

fn place(nth: u8) -> Place {
    Place {
        entrance: vec!["in".to_owned(), format!("p{nth}")],
        addresses: vec![Ipv4Addr::new(10, 0, 0, nth)],
        device: "eth0".to_owned(),
    }
}

fn barrier(from: &[u8], to: &[u8], both: bool, how: How) -> Barrier {
    let places = |all: &[u8]| all.iter().copied().map(place).collect();
    Barrier {
        name: "a-b".to_owned(),
        from: places(from),
        to: places(to),
        both,
        how,
    }
}

/// For each place, by its last word, what it is told to set up.
fn told(barrier: &Barrier) -> Vec<(String, String)> {
    let told = |step: Step| {
        let set = match step.means {
            Means::Rules { set, .. } | Means::Shape { set, .. } => set,
        };
        (step.entrance[1].clone(), set)
    };
    steps(barrier).unwrap().into_iter().map(told).collect()
}

#[test]
fn one_way_is_broken_where_it_comes_in() {
    let told = told(&barrier(&[1], &[2], false, How::Dropped));

    let [(place, set)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(place, "p2");
    assert_eq!(
        set,
        "add table inet tenure_cut_a_2db\n\
         delete table inet tenure_cut_a_2db\n\
         add table inet tenure_cut_a_2db\n\
         add chain inet tenure_cut_a_2db in { type filter hook input priority 0; }\n\
         add rule inet tenure_cut_a_2db in ip saddr { 10.0.0.1 } drop\n"
    );
}

#[test]
fn both_ways_are_broken_at_every_place_from_all_others_but_itself() {
    let told = told(&barrier(&[1, 2], &[2, 3], true, How::Dropped));

    let concerned = |(place, set): &(String, String)| {
        let from = set.split(['{', '}']).nth(3).unwrap();
        format!("{place}: {}", from.trim())
    };
    let concerned: Vec<String> = told.iter().map(concerned).collect();
    assert_eq!(
        concerned,
        [
            "p1: 10.0.0.2, 10.0.0.3",
            "p2: 10.0.0.1, 10.0.0.3",
            "p3: 10.0.0.1, 10.0.0.2"
        ]
    );
}

#[test]
fn what_is_narrow_is_so_where_it_goes_out() {
    let told = told(&barrier(&[1], &[2], false, How::Narrow(160)));

    let [(place, set)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(place, "p1");
    assert!(
        set.contains("rate 160kbit") && set.contains("match ip dst 10.0.0.2/32"),
        "{set}"
    );
}

#[test]
fn what_cannot_be_is_not_planned() {
    let mut own = barrier(&[1], &[2], false, How::Dropped);
    own.to[0].entrance.clear();
    let late = How::Late {
        ms: 10,
        jitter_ms: 0,
    };
    let cases = [
        (own, "left alone"),
        (barrier(&[1], &[1], true, How::Dropped), "no way"),
        (barrier(&[], &[1], true, How::Dropped), "no way"),
        (barrier(&[1], &[2], false, How::Lossy(101)), "101 of"),
        (barrier(&[1], &[2], false, How::Lossy(0)), "0 of a hundred"),
        (barrier(&[1], &[2], false, How::Narrow(0)), "dropped"),
        (barrier(&[1], &[2], false, late), "proxy"),
        (barrier(&[1], &[2], false, How::HalfOpen), "proxy"),
    ];

    for (barrier, because) in cases {
        let why = steps(&barrier).unwrap_err();
        assert!(why.contains(because), "{why}");
    }
}

#[test]
fn different_names_are_different_for_nft_and_tc() {
    let names = ["a-b", "a_b", "a_2db", "ab", "A-b", "n1>e2", ""];

    let distinct = |of: fn(&str) -> String| names.map(of).into_iter().collect::<BTreeSet<_>>();

    assert_eq!(distinct(table).len(), names.len());
    assert_eq!(distinct(handle).len(), names.len());
}
