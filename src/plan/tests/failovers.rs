//! What is told of ends, from what happens under `live/` and what was read of each.

use super::world::{World, name};
use super::{
    Book, Bounds, FOLLOWED, Job, Numbers, OPEN_MAX, Reserved, Untold, Wrote, assign, reclaim,
};
use crate::store::{
    Change, Death, Evidence, EvidenceKind, Facts, Failover, How, NodeRecord, Sign, Telling,
};
use crate::task::ClaimId;

#[path = "failovers_led.rs"]
mod led;

/// The leader whose stories these are, and its term.
const LEADER: (&str, i64) = ("c", 700);

impl World {
    /// From now on leads this one.
    fn led_by(mut self, (node, term): (&str, i64)) -> Self {
        let keys = self.view.keys().clone();
        let mut book = Book::new(keys, name(node), term, self.at());
        book.loaded(&self.view, self.at());
        self.book = Some(book);
        self
    }

    fn book(&mut self) -> &mut Book {
        self.book.as_mut().unwrap()
    }

    fn jobs(&mut self) -> Vec<Job> {
        let at = self.at();
        self.book().jobs(at)
    }

    /// Answers what is to be read with these facts; which those were.
    fn read(&mut self, facts: &Facts) -> Vec<i64> {
        let (jobs, at) = (self.jobs(), self.at());
        let of = |job: Job| match job {
            Job::Read { id, .. } => id,
            Job::Write(telling) => panic!("{telling:?}"),
        };
        let ids: Vec<i64> = jobs.into_iter().map(of).collect();
        for id in &ids {
            self.book().read(*id, Some(facts.clone()), at);
        }
        ids
    }

    /// What is to be written now, which is then done.
    fn written(&mut self) -> Vec<Telling> {
        let (jobs, at) = (self.jobs(), self.at());
        let of = |job: Job| match job {
            Job::Read { id, .. } => panic!("{id} is to be read"),
            Job::Write(telling) => telling,
        };
        let told: Vec<Telling> = jobs.into_iter().map(of).collect();
        for telling in &told {
            self.book().wrote(telling, Wrote::Yes(90), at);
        }
        told
    }

    /// The one story that is to be written now.
    fn story(&mut self) -> Failover {
        let mut told = self.written();
        assert_eq!(told.len(), 1, "{told:?}");
        *told.remove(0).record
    }

    fn session_of(&self, id: &str) -> i64 {
        self.view.nodes[&name(id)].session
    }

    /// The claims of gone sessions are taken back now.
    fn reclaims(&mut self) -> usize {
        let lost = reclaim(&self.view, &Reserved::default(), 3, self.now_ms, 99);
        for lost in &lost {
            self.reported(&lost.node, lost.claim, None, &lost.settled);
        }
        lost.len()
    }

    /// What is ready is assigned now, as far as there is room.
    fn assigns(&mut self, term: i64) {
        let bounds = Bounds {
            records_max: 60,
            claims_max: 120,
        };
        let mut numbers = Numbers::of_term(term);
        let reserved = Reserved::default();
        for change in assign(&self.view, &reserved, &mut numbers, bounds, self.now_ms) {
            let Change::Assign(assign) = change else {
                panic!("{change:?}")
            };
            self.assigned(&assign);
        }
    }
}

/// Two nodes, of which the first holds so many tasks, one to a claim.
fn two(tasks: usize) -> World {
    let mut world = World::new();
    world.node("a", 10, &["k"]);
    world.node("b", 10, &["k"]);
    for _ in 0..tasks {
        world.claim("a", 1);
    }
    world
}

/// What is read where nobody noticed and the lease is over.
fn by_lease() -> Facts {
    Facts {
        lease_lives: Some(false),
        ..Facts::default()
    }
}

fn record(draining: bool) -> NodeRecord {
    NodeRecord {
        instance: "i-a".to_owned(),
        address: String::new(),
        slots: 1,
        kinds: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        version: String::new(),
        started_ms: 0,
        draining,
        adaptive: None,
        peer: None,
        network: None,
    }
}

fn death(evidence: EvidenceKind, term: Option<i64>) -> Death {
    Death {
        node: name("a"),
        instance: "i-a".to_owned(),
        lease: 5,
        term,
        evidence,
        by: name("c"),
        last_seen_ms: Some(999_990),
        noticed_ms: 999_995,
    }
}

#[test]
fn tasks_are_followed_from_the_node_that_is_lost_to_where_they_start() {
    let mut world = two(3).led_by(LEADER);
    let session = world.session_of("a");

    world.now_ms = 10;
    world.gone("a");
    assert_eq!(world.read(&by_lease()), [session]);
    let begun = world.story();
    assert_eq!((begun.moved.tasks, begun.moved.started), (3, 0));
    assert_eq!(begun.complete_ms, None);
    world.now_ms = 210;
    assert_eq!(world.reclaims(), 3);
    world.now_ms = 235;
    world.assigns(LEADER.1);

    let told = world.story();

    assert_eq!((told.session, told.died), (Some(session), true));
    assert_eq!(told.instance.as_deref(), Some("i-a"));
    assert_eq!(told.evidence, Some(Evidence::Lease));
    assert_eq!((told.gone.at_ms, told.gone.how), (1_000_010, How::Watched));
    assert_eq!(told.moved.reclaimed_ms, Some(200));
    assert_eq!(
        (told.moved.tasks, told.moved.started, told.moved.ended),
        (3, 3, 0)
    );
    assert_eq!(told.moved.waits, [(225, 3)].into());
    let first: Vec<_> = told
        .moved
        .first
        .iter()
        .map(|one| (one.node.as_str(), one.wait_ms))
        .collect();
    assert_eq!(first, [("b", 225); 3]);
    assert_eq!(told.complete_ms, Some(1_000_235));
    assert!(world.jobs().is_empty(), "it is told once");
}

#[test]
fn what_the_node_reports_in_the_last_moment_is_not_waited_for() {
    let mut world = two(0).led_by(LEADER);
    let claims: Vec<ClaimId> = (0..2).map(|_| world.claim("a", 1)).collect();
    world.gone("a");
    world.read(&by_lease());
    world.written();

    // One is done, and it comes after the loss of the key; the other is taken back.
    world.ended("a", claims[0]);
    world.now_ms = 300;
    assert_eq!(world.reclaims(), 1);
    world.assigns(LEADER.1);

    let told = world.story();
    assert_eq!(
        (told.moved.tasks, told.moved.started, told.moved.ended),
        (2, 1, 1)
    );
    assert!(told.complete_ms.is_some());
}

#[test]
fn the_evidence_is_what_is_most_direct_and_none_where_nobody_saw() {
    let noted = |evidence| Facts {
        death: Some(death(evidence, None)),
        clock_ms: Some(7),
        node: Some(record(false)),
        ..Facts::default()
    };
    let lease = |lives, draining| Facts {
        lease_lives: Some(lives),
        node: Some(record(draining)),
        clock_ms: Some(7),
        ..Facts::default()
    };
    let (link, clock) = (Some((999_990, Sign::Link)), Some((7, Sign::Clock)));
    let table = [
        (noted(EvidenceKind::Refused), Some(Evidence::Refused), link),
        (
            noted(EvidenceKind::Replaced),
            Some(Evidence::Replaced),
            link,
        ),
        (noted(EvidenceKind::Left), Some(Evidence::Left), link),
        (lease(false, true), Some(Evidence::Left), clock),
        (lease(true, false), Some(Evidence::Key), clock),
        (lease(false, false), Some(Evidence::Lease), clock),
        (Facts::default(), None, None),
    ];
    for (facts, evidence, last_seen) in table {
        let mut world = two(0).led_by(LEADER);
        world.gone("a");
        world.read(&facts);
        let told = world.story();
        let seen = told.last_seen.map(|seen| (seen.at_ms, seen.sign));
        assert_eq!((told.evidence, seen), (evidence, last_seen));
        let noticed = last_seen == link;
        assert_eq!(told.by, noticed.then(|| name("c")));
        assert_eq!(told.noticed_ms, noticed.then_some(999_995));
        assert_eq!(told.detection_ms(), noticed.then_some(10));
        assert_eq!(told.term, None);
    }
}

#[test]
fn a_note_of_a_session_that_lives_tells_nothing() {
    let mut world = two(0).led_by(LEADER);
    let (at, session) = (world.at(), world.session_of("a"));
    let note = death(EvidenceKind::Refused, None);
    world.book().found(&[(session, note)], Vec::new(), at);
    assert!(world.jobs().is_empty());
}

#[test]
fn what_is_not_started_within_a_minute_is_told_as_open() {
    let mut world = two(2).led_by(LEADER);
    world.gone("b");
    world.gone("a");
    world.read(&by_lease());
    world.written();
    world.now_ms = 300;
    world.reclaims();
    assert!(world.book.as_ref().unwrap().idle(world.at()) <= FOLLOWED);
    world.now_ms = u64::try_from(FOLLOWED.as_millis()).unwrap();

    let told = world.story();

    assert_eq!((told.moved.started, told.moved.open()), (0, 2));
    assert!(told.complete_ms.is_some());
}

#[test]
fn a_note_stays_until_what_its_session_held_is_taken_back() {
    let mut world = two(1).led_by(LEADER);
    let session = world.session_of("a");
    world.gone("a");
    let facts = Facts {
        death: Some(death(EvidenceKind::Refused, None)),
        noted: vec![session],
        ..Facts::default()
    };
    world.read(&facts);
    assert_eq!(world.written().remove(0).swept, [0; 0]);
    world.now_ms = 1_500;
    world.reclaims();
    assert_eq!(world.written().remove(0).swept, [session]);
}

#[test]
fn records_and_notes_are_bounded() {
    let mut world = two(0).led_by(LEADER);
    let session = world.session_of("a");
    world.gone("a");
    let facts = Facts {
        kept: (1_001..=1_103).collect(),
        noted: (5_001..=5_102).chain([session]).collect(),
        death: Some(death(EvidenceKind::Refused, None)),
        ..by_lease()
    };
    world.read(&facts);

    let told = world.written().remove(0);

    assert_eq!(told.forget, [1_001, 1_002, 1_003, 1_004], "99 others stay");
    let expected = [5_001, 5_002, session];
    assert_eq!(told.swept, expected, "its own, and the oldest beyond 100");
}

#[test]
fn so_many_ends_are_followed_at_once_and_no_more() {
    let mut world = World::new();
    let nodes: Vec<String> = (0..OPEN_MAX + 9).map(|nth| format!("n{nth}")).collect();
    for node in &nodes {
        world.node(node, 1, &["k"]);
    }
    let mut world = world.led_by(LEADER);
    for node in &nodes {
        world.gone(node);
    }
    assert_eq!(world.read(&by_lease()).len(), OPEN_MAX);
    assert_eq!(world.written().len(), OPEN_MAX);
    assert!(world.jobs().is_empty());

    let given_up = world.book().given_up();
    assert_eq!(given_up.len(), 9);
    assert!(given_up.values().all(|(_, why)| *why == Untold::Full));
    assert!(world.book().given_up().is_empty(), "each is said once");
}

#[test]
fn what_cannot_be_read_is_given_up_after_two_minutes() {
    let mut world = two(0).led_by(LEADER);
    world.gone("a");
    let mut reads = 0;
    for secs in 0..200 {
        world.now_ms = secs * 1_000;
        let at = world.at();
        for job in world.jobs() {
            let Job::Read { id, .. } = job else {
                panic!("{job:?}")
            };
            world.book().read(id, None, at);
            reads += 1;
        }
    }
    assert_eq!(reads, 121);
    let given_up = world.book().given_up();
    let given_up: Vec<_> = given_up.into_values().collect();
    assert_eq!(given_up, [(name("a"), Untold::Failed)]);
}

#[test]
fn what_was_under_way_is_begun_again_and_nothing_else_is_held_up() {
    let mut world = two(0).led_by(LEADER);
    let session = world.session_of("a");
    world.gone("a");
    world.book().again();
    assert_eq!(world.jobs().len(), 1, "it is read at once");
    assert!(world.jobs().is_empty());
    world.book().again();
    assert_eq!(world.read(&by_lease()), [session]);
}
