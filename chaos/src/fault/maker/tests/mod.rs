//! Faults on a cluster that is only written down, whose leader is n2.

mod puppets;

use self::puppets::{Lets, Puppets, Stands};
use super::*;
use crate::chronicle::Terms;
use crate::fault::catalogue::{ALL, What, Whom};
use crate::load::fake::{Fake, good};
use std::collections::BTreeMap;
use tenure_chaos::check::Limits;
use tenure_chaos::history::{Entry, Fault, History, Injection, NodeEvent};

fn chronicle() -> Chronicle {
    Chronicle::begin(Terms {
        seed: 1,
        root: "/t/".to_owned(),
        limits: Limits::default(),
        expects: Vec::new(),
    })
}

fn maker<'a>(puppets: &'a mut Puppets, chronicle: &Chronicle) -> Maker<'a, Puppets> {
    let client = Client::new(vec![puppets.base.clone()], "t").unwrap();
    // What was seen last is known though nobody sees more.
    let (_, seen) = watch::channel(Seen::default());
    Maker::new(puppets, &Arc::new(client), chronicle, ("/t/", seen))
}

fn planned(kind: Kind) -> Planned {
    Planned {
        kind,
        after_ms: 0,
        lasts_ms: 0,
        choice: 0,
    }
}

fn named(name: &str) -> Kind {
    *ALL.iter().find(|kind| kind.name == name).unwrap()
}

fn stages(history: &History) -> Vec<(String, Stage)> {
    let all = history.records().iter().filter_map(|record| {
        if let Entry::Injection(Injection { kind, stage, .. }) = &record.entry {
            return Some((kind.clone(), *stage));
        }
        None
    });
    all.collect()
}

/// Faults that are not healed.
fn unhealed(history: &History) -> Vec<u64> {
    let mut there = Vec::new();
    for record in history.records() {
        if let Entry::Fault(Fault { id, .. }) = &record.entry {
            there.push(*id);
        } else if let Entry::Healed { id } = &record.entry {
            there.retain(|one| one != id);
        }
    }
    there
}

/// Whether a kind needs an answer of etcd itself, which puppets have not.
fn needs_etcd(kind: Kind) -> bool {
    let hits = kind.hits();
    let of_etcd = matches!(
        kind.what,
        What::NoSpace
            | What::Compact(_)
            | What::RevokeSession(_)
            | What::RevokeLate(..)
            | What::DeleteLeader
            | What::MoveLeader
            | What::Defragment(_)
    );
    of_etcd || hits.members == Some(Whom::Leader)
}

#[tokio::test]
async fn each_kind_is_made_and_taken_back_and_both_are_on_record() {
    let api = Fake::start(|asked, _| good(asked)).await;
    for kind in ALL.iter().filter(|kind| !needs_etcd(**kind)) {
        let chronicle = chronicle();
        let mut puppets = Puppets::at(&api.base, Lets::All);
        let mut maker = maker(&mut puppets, &chronicle);

        let begun = maker.begin(&planned(*kind)).await.unwrap();

        assert!(matches!(begun, Begun::Yes), "{kind}");
        let open = maker.open.pop().unwrap();
        maker.heal(open).await.unwrap();
        assert!(maker.mended().await.unwrap(), "{kind}");
        assert_eq!(maker.tally().installed[kind.name], 1);
        assert!(maker.away.is_empty(), "{kind}");
        assert!(!puppets.done.is_empty(), "{kind}");
        assert_eq!(puppets.stands, Stands::default(), "{kind}");
        let history = chronicle.close();
        let name = kind.name.to_owned();
        let expected = [(name.clone(), Stage::Installed), (name, Stage::Healed)];
        assert_eq!(stages(&history), expected);
        assert_eq!(unhealed(&history), [] as [u64; 0], "{kind}");
    }
}

#[tokio::test]
async fn what_etcd_itself_does_not_answer_to_is_not_made_now_and_leaves_nothing_behind() {
    let api = Fake::start(|asked, _| good(asked)).await;
    for kind in ALL.iter().filter(|kind| needs_etcd(**kind)) {
        let chronicle = chronicle();
        let mut puppets = Puppets::at(&api.base, Lets::All);
        let mut maker = maker(&mut puppets, &chronicle);

        let begun = maker.begin(&planned(*kind)).await.unwrap();

        assert!(matches!(begun, Begun::NotNow), "{kind}");
        assert_eq!((maker.open.len(), maker.tally().total()), (0, 0), "{kind}");
        assert_eq!(puppets.stands, Stands::default(), "{kind}");
        let history = chronicle.close();
        assert_eq!(stages(&history), [], "{kind}");
        assert_eq!(unhealed(&history), [] as [u64; 0], "{kind}");
    }
}

#[tokio::test]
async fn what_cannot_be_made_is_skipped_once_with_the_reason_and_a_run_of_nothing_else_ends() {
    let api = Fake::start(|asked, _| good(asked)).await;
    let (chronicle, until) = (chronicle(), Instant::now() + Duration::from_mins(10));
    let mut puppets = Puppets::at(&api.base, Lets::Nothing);
    let kinds: Vec<Kind> = ALL
        .iter()
        .filter(|kind| !needs_etcd(**kind))
        .copied()
        .collect();
    let mut plan = Plan::new(kinds.clone(), [0, 0], 1);
    let mut maker = maker(&mut puppets, &chronicle);

    maker.run(&mut plan, until, 1).await.unwrap();

    assert!(Instant::now() < until);
    let tally = maker.tally();
    assert_eq!((tally.total(), tally.skipped.len()), (0, kinds.len()));
    assert_eq!(tally.skipped["node-kill"], "not on puppets");
    assert_eq!(puppets.stands, Stands::default());
    let history = chronicle.close();
    assert_eq!(stages(&history).len(), kinds.len());
    assert_eq!(unhealed(&history), [] as [u64; 0]);
}

#[tokio::test]
async fn what_nobody_knows_of_is_on_record_as_that_and_counts_as_there() {
    let api = Fake::start(|asked, _| good(asked)).await;
    let chronicle = chronicle();
    let mut puppets = Puppets::at(&api.base, Lets::Fails);
    let mut maker = maker(&mut puppets, &chronicle);

    let begun = maker.begin(&planned(named("leader-pause"))).await.unwrap();

    assert!(matches!(begun, Begun::Yes));
    assert_eq!((maker.open.len(), maker.tally().indeterminate), (1, 1));
    assert_eq!(unhealed(&chronicle.close()), [1]);
}

#[tokio::test]
async fn two_at_a_time_never_hit_the_same_nor_a_second_member() {
    let api = Fake::start(|asked, _| good(asked)).await;
    let chronicle = chronicle();
    let mut puppets = Puppets::at(&api.base, Lets::All);
    let mut maker = maker(&mut puppets, &chronicle);
    let mut begin = async |name: &str| {
        let begun = maker.begin(&planned(named(name))).await.unwrap();
        matches!(begun, Begun::Yes)
    };

    assert!(begin("leader-pause").await);
    assert!(!begin("leader-kill").await, "n2 leads, and is hit");
    assert!(
        !begin("node-kill").await,
        "who does not lead is not known then"
    );
    assert!(begin("etcd-member-kill").await);
    assert!(!begin("etcd-member-pause").await, "another member is away");
    assert!(!begin("disk-full").await, "another member is away");
    assert!(!begin("all-kill").await, "one is hit already");

    let hit = maker.open.iter().flat_map(|one| one.targets.clone());
    assert_eq!(hit.collect::<Vec<_>>(), ["n2", "e1"]);
    let room = |name| maker.has_room_for(named(name), 3);
    assert!(room("drain") && !room("rolling-restart") && !room("no-space"));
    assert!(!maker.has_room_for(named("drain"), 2));
}

#[tokio::test]
async fn many_at_once_are_all_taken_back_in_the_end() {
    let api = Fake::start(|asked, _| good(asked)).await;
    let (chronicle, until) = (chronicle(), Instant::now() + Duration::from_secs(2));
    let mut puppets = Puppets::at(&api.base, Lets::All);
    let short = |kind: &Kind| Kind {
        lasts_ms: [1, 50],
        ..*kind
    };
    let quick = ALL
        .iter()
        .filter(|kind| !needs_etcd(**kind) && !matches!(kind.what, What::Stutter(..)));
    let mut plan = Plan::new(quick.map(short).collect(), [0, 5], 7);
    let mut maker = maker(&mut puppets, &chronicle);

    maker.run(&mut plan, until, 3).await.unwrap();

    let made = maker.tally().total();
    assert!(made > 5, "{made}");
    assert_eq!(puppets.stands, Stands::default());
    let history = chronicle.close();
    assert_eq!(unhealed(&history), [] as [u64; 0]);
    let mut told: BTreeMap<Stage, usize> = BTreeMap::new();
    for (_, stage) in stages(&history) {
        *told.entry(stage).or_default() += 1;
    }
    assert_eq!(told[&Stage::Installed], told[&Stage::Healed]);
}

#[tokio::test]
async fn a_node_that_ends_by_itself_is_a_crash_and_is_started_again() {
    let api = Fake::start(|asked, _| good(asked)).await;
    let chronicle = chronicle();
    let mut puppets = Puppets::at(&api.base, Lets::All);
    puppets.fallen.push("n3".to_owned());
    let mut maker = maker(&mut puppets, &chronicle);

    maker.supervise().await.unwrap();

    assert_eq!(puppets.done, ["down n3 false"]);
    let crashed = NodeEvent::Crashed {
        node: "n3".to_owned(),
        incarnation: 1,
    };
    let started = NodeEvent::Started {
        node: "n3".to_owned(),
        incarnation: 2,
    };
    let history = chronicle.close();
    let events: Vec<Entry> = history
        .records()
        .iter()
        .map(|one| one.entry.clone())
        .collect();
    assert_eq!(events[events.len() - 2..], [crashed.into(), started.into()]);
}

#[tokio::test]
async fn a_node_that_is_not_back_in_time_is_on_record_and_nothing_more_is_broken() {
    let api = Fake::start(|asked, _| match asked.path.as_str() {
        "/readyz" => crate::load::fake::Told::Says(503, serde_json::Value::Null),
        _ => good(asked),
    });
    let api = api.await;
    let chronicle = chronicle();
    let mut puppets = Puppets::at(&api.base, Lets::All);
    let mut maker = maker(&mut puppets, &chronicle);
    maker.begin(&planned(named("node-kill"))).await.unwrap();
    let open = maker.open.pop().unwrap();
    maker.heal(open).await.unwrap();
    assert!(!maker.mended().await.unwrap(), "it has a minute");
    let long_ago = Instant::now().checked_sub(Duration::from_mins(2)).unwrap();
    maker.mending[0].1 = long_ago;

    assert!(maker.mended().await.unwrap());
    assert!(maker.lost);
    let mut plan = Plan::new(vec![named("node-kill")], [0, 0], 1);
    let until = Instant::now() + Duration::from_mins(10);
    maker.run(&mut plan, until, 1).await.unwrap();

    assert_eq!(maker.tally().total(), 1);
    let history = chronicle.close();
    let not_ready = history.records().iter().any(|record| {
        matches!(&record.entry, Entry::Node(NodeEvent::NotReady { node, .. }) if node == "n1")
    });
    assert!(not_ready);
    assert_eq!(unhealed(&history), [] as [u64; 0]);
}
