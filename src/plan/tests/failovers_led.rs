//! What is told of leaders that end, and by leaders that follow one another.

use std::time::Duration;

use super::*;
use crate::store::{Former, Seen, Succession};

fn former(session: Option<i64>, evidence: Evidence) -> Former {
    Former {
        node: name("a"),
        session,
        term: 600,
        evidence: Some(evidence),
    }
}

fn to() -> Succession {
    Succession {
        node: name(LEADER.0),
        term: LEADER.1,
        oldest_ms: 1,
        activated_ms: 4,
        view_ms: None,
        assigned_ms: None,
    }
}

/// Both of its keys went with one lease.
#[test]
fn of_a_leader_that_died_one_story_tells_what_it_held_and_who_leads() {
    let mut world = two(2);
    let session = world.session_of("a");
    world.gone("a");
    // The next leader was answered at 4, and has loaded its view at 9.
    world.now_ms = 9;
    let mut world = world.reloaded().led_by(LEADER);
    let gone = crate::plan::At {
        wall_ms: 1_000_000,
        since: Duration::ZERO,
    };
    let former = former(Some(session), Evidence::Lease);
    world.book().succeeds(former, gone, Some(77), to());

    assert_eq!(world.read(&by_lease()), [session], "one story");
    world.now_ms = 250;
    world.reclaims();
    world.now_ms = 255;
    world.assigns(LEADER.1);

    let told = world.story();
    assert_eq!(
        (told.session, told.term, told.died),
        (Some(session), Some(600), true)
    );
    assert_eq!((told.gone.at_ms, told.gone.how), (1_000_000, How::Watched));
    assert_eq!(told.gone.revision, Some(77));
    let expected = Succession {
        view_ms: Some(9),
        assigned_ms: Some(255),
        ..to()
    };
    assert_eq!(told.succession, Some(expected));
    assert_eq!(told.moved.waits, [(255, 2)].into());
    assert!(told.complete_ms.is_some());
}

#[test]
fn of_a_leader_that_stepped_down_its_term_is_told_and_not_its_session() {
    let mut world = two(1).led_by(LEADER);
    let session = world.session_of("a");
    let (at, former) = (world.at(), former(Some(session), Evidence::Left));
    world.book().succeeds(former, at, Some(77), to());

    assert_eq!(world.read(&Facts::default()), [600]);
    let told = world.story();

    assert_eq!(
        (told.died, told.session, told.term),
        (false, Some(session), Some(600))
    );
    assert_eq!(told.evidence, Some(Evidence::Left));
    assert_eq!(told.moved.tasks, 0, "it holds what it holds");
    assert_eq!(
        told.complete_ms, None,
        "the first assignment is still to come"
    );
    world.now_ms = 70;
    world.ready("q", "k", 5, 1, 1);
    world.assigns(LEADER.1);
    let told = world.story();
    assert_eq!(told.succession.unwrap().assigned_ms, Some(70));
    assert!(told.complete_ms.is_some());
}

#[test]
fn a_leader_whose_session_only_a_note_names_has_one_story() {
    let mut world = two(0);
    let session = world.session_of("a");
    world.gone("a");
    let mut world = world.reloaded().led_by(LEADER);
    let (at, former) = (world.at(), former(None, Evidence::Lease));
    world.book().succeeds(former, at, Some(77), to());
    let note = death(EvidenceKind::Refused, Some(600));

    world
        .book()
        .found(&[(session, note.clone())], Vec::new(), at);

    let facts = Facts {
        death: Some(note),
        ..Facts::default()
    };
    assert_eq!(world.read(&facts), [session]);
    let told = world.story();
    assert_eq!(
        (told.term, told.evidence),
        (Some(600), Some(Evidence::Refused))
    );
    assert!(told.succession.is_some());
}

#[test]
fn the_next_leader_goes_on_with_what_the_one_before_told() {
    let mut world = two(3).led_by(LEADER);
    let session = world.session_of("a");
    world.now_ms = 10;
    world.gone("a");
    world.read(&by_lease());
    world.written();
    // One task is started elsewhere, then another leads.
    world.now_ms = 300;
    let lost = reclaim(&world.view, &Reserved::default(), 3, 300, 1).remove(0);
    world.reported(&lost.node, lost.claim, None, &lost.settled);
    world.assigns(LEADER.1);
    world.now_ms = 1_400;
    let before = world.story();
    assert_eq!((before.moved.started, before.complete_ms), (1, None));

    world.now_ms = 2_000;
    let mut world = world.reloaded().led_by(("d", 800));
    let facts = Facts {
        record: Some(Seen {
            value: before.clone(),
            created: 80,
            modified: 90,
        }),
        ..Facts::default()
    };
    assert_eq!(world.read(&facts), [session]);
    world.now_ms = 2_300;
    world.reclaims();
    world.now_ms = 2_350;
    world.assigns(800);

    let mut written = world.written();
    let Telling { seen, record, .. } = written.remove(0);
    assert_eq!(seen, 90, "it is amended");
    assert_eq!((record.moved.tasks, record.moved.started), (3, 3));
    assert_eq!(
        record.moved.waits,
        [(290, 1), (350, 2)].into(),
        "from when each saw it"
    );
    assert_eq!(record.gone, before.gone);
    assert_eq!(record.evidence, Some(Evidence::Lease));
    let tellers: Vec<_> = record.told_by.iter().map(|by| by.term).collect();
    assert_eq!(tellers, [LEADER.1, 800]);
    assert!(record.complete_ms.is_some());
}

#[test]
fn a_story_without_an_end_is_ended_by_the_next_leader() {
    let mut world = two(1).led_by(LEADER);
    let session = world.session_of("a");
    world.gone("a");
    world.read(&by_lease());
    let before = world.story();
    world.now_ms = 300;
    world.reclaims();

    let mut world = world.reloaded().led_by(("d", 800));
    let at = world.at();
    world.book().found(&[], vec![(session, before.clone())], at);
    let facts = Facts {
        record: Some(Seen {
            value: before,
            created: 80,
            modified: 90,
        }),
        ..Facts::default()
    };
    assert_eq!(world.read(&facts), [session]);

    let told = world.story();
    assert_eq!(
        (told.moved.tasks, told.moved.started, told.moved.open()),
        (1, 0, 1)
    );
    assert!(told.complete_ms.is_some());
}

#[test]
fn an_earlier_copy_of_its_own_is_not_added_twice() {
    let mut world = two(1).led_by(LEADER);
    let session = world.session_of("a");
    world.gone("a");
    world.read(&by_lease());
    let mut lost = world.jobs();
    let Some(Job::Write(told)) = lost.pop() else {
        panic!("it is to be written")
    };
    // Its answer is lost, and it was committed.
    let at = world.at();
    world.book().wrote(&told, Wrote::No, at);
    assert!(world.jobs().is_empty(), "after a pause");
    world.now_ms = 1_500;
    let facts = Facts {
        record: Some(Seen {
            value: *told.record,
            created: 80,
            modified: 80,
        }),
        ..by_lease()
    };
    assert_eq!(world.read(&facts), [session]);
    world.reclaims();
    world.assigns(LEADER.1);

    let mut written = world.written();
    let Telling { seen, record, .. } = written.remove(0);
    assert_eq!(seen, 80);
    assert_eq!((record.moved.tasks, record.moved.started), (1, 1));
    assert_eq!(record.told_by.len(), 1);
}

#[test]
fn a_story_that_is_complete_is_left_as_it_is() {
    let mut world = two(1).led_by(LEADER);
    world.gone("a");
    world.read(&by_lease());
    let mut record = world.story();
    record.complete_ms = Some(1);
    let mut world = world.reloaded().led_by(("d", 800));
    let facts = Facts {
        record: Some(Seen {
            value: record,
            created: 80,
            modified: 90,
        }),
        ..Facts::default()
    };
    world.read(&facts);
    assert!(world.jobs().is_empty());
}
