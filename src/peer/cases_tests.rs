//! Who is due when, and who has to wait.

use super::super::allowance::{NODES_MIN, WINDOW};
use super::super::case::KEPT;
use super::*;
use crate::store::EvidenceKind;

/// The process whose cases these are: it leads.
const US: &str = "n0-1";

fn name(nth: usize) -> Name {
    format!("n{nth}").parse().unwrap()
}

fn instance(nth: usize) -> String {
    format!("n{nth}-1")
}

/// So many nodes, in line by their numbers.
fn roster(nodes: usize) -> Roster {
    let mut roster = Roster::default();
    for (nth, lease) in (0..nodes).zip(1..) {
        let member = Member {
            session: lease + 10_000,
            lease,
            instance: instance(nth),
            peer: None,
        };
        roster.put_member(name(nth), member);
        roster.put_seat(format!("elect/{lease:x}"), 20_000 + lease, lease);
    }
    roster
}

fn proof(kind: EvidenceKind, noticed: Instant) -> Proof {
    Proof {
        kind,
        at: "127.0.0.1:9700".parse().unwrap(),
        host: "127.0.0.1".to_owned(),
        last_seen_ms: 1,
        noticed,
        noticed_ms: 2,
    }
}

/// With evidence against these nodes, noticed now.
fn cases(of: impl IntoIterator<Item = usize>, noticed: Instant) -> Cases {
    let mut cases = Cases::default();
    for nth in of {
        let proof = proof(EvidenceKind::Refused, noticed);
        cases.open(name(nth), instance(nth), proof);
    }
    cases
}

/// Who is acted on, and who is said to have to wait.
fn due(cases: &mut Cases, own: &str, roster: &Roster, now: Instant) -> (Vec<Name>, Vec<Name>) {
    let (mut acted, mut withheld) = (Vec::new(), Vec::new());
    for due in cases.due(own, roster, now) {
        match due {
            Due::Act(case, member, term) => {
                assert_eq!(member.instance, case.instance);
                assert_eq!(term, roster.term_of(&case.node));
                acted.push(case.node);
            }
            Due::Withheld(node) => withheld.push(node),
        }
    }
    (acted, withheld)
}

#[test]
fn evidence_is_acted_on_by_who_may_while_its_session_is_there() {
    let now = Instant::now();
    for (own, of, nodes, acted) in [
        (US, 1, 3, true),
        // Behind it in line, and not at its head.
        ("n1-1", 2, 3, false),
        ("n2-1", 0, 3, true),
        // Of no session.
        ("n0-2", 1, 3, false),
        // Its session is over.
        (US, 3, 3, false),
    ] {
        let mut cases = cases([of], now);
        let expected = if acted { vec![name(of)] } else { Vec::new() };
        let told = due(&mut cases, own, &roster(nodes), now);
        assert_eq!(told, (expected, Vec::new()), "{own} of {of}");
        let again = due(&mut cases, own, &roster(nodes), now);
        assert_eq!(again, (Vec::new(), Vec::new()), "it is busy, or not ours");
    }
}

#[test]
fn who_said_goodbye_has_a_moment_to_go_by_itself() {
    let (now, roster) = (Instant::now(), roster(2));
    let mut cases = Cases::default();
    cases.open(name(1), instance(1), proof(EvidenceKind::Left, now));
    let next = cases.next(US, &roster).unwrap();
    assert_eq!(next, now + Duration::from_secs(2));
    assert_eq!(due(&mut cases, US, &roster, now).0, []);
    assert_eq!(due(&mut cases, US, &roster, next).0, [name(1)]);
}

#[test]
fn no_process_has_its_lease_ended_twice_within_a_minute() {
    let (now, roster) = (Instant::now(), roster(2));
    let mut cases = cases([1], now);
    assert_eq!(due(&mut cases, US, &roster, now).0, [name(1)]);
    assert_eq!(cases.acted(&instance(1), &Acted::Ended, now), Next::Closed);

    // It lives, has a session again, and seems gone again.
    let later = now + Duration::from_secs(5);
    cases.open(name(1), instance(1), proof(EvidenceKind::Refused, later));

    assert_eq!(due(&mut cases, US, &roster, later).0, []);
    assert_eq!(cases.next(US, &roster), Some(now + ONCE));
    assert!(!cases.tidy(&roster, now + ONCE), "it is kept until then");
    assert_eq!(due(&mut cases, US, &roster, now + ONCE).0, [name(1)]);
}

#[test]
fn beyond_the_allowance_cases_wait_and_that_is_said_once() {
    let (now, roster) = (Instant::now(), roster(5));
    let mut cases = cases(1..=4, now);

    let (acted, withheld) = due(&mut cases, US, &roster, now);
    assert_eq!(acted.len(), NODES_MIN);
    assert_eq!(withheld.len(), 2);
    assert_eq!(cases.next(US, &roster), Some(now + WINDOW));

    // What was begun goes on without asking again.
    let busy = acted[0].to_string() + "-1";
    let unavailable = || {
        Acted::Failed(tenure_cluster::Failure {
            kind: tenure_cluster::FailureKind::NoLeader,
            endpoint: "test".to_owned(),
            message: "no leader".to_owned(),
        })
    };
    assert_eq!(cases.acted(&busy, &unavailable(), now), Next::Later);
    let again = cases.next(US, &roster).unwrap();
    assert_eq!(due(&mut cases, US, &roster, again).0, [acted[0].clone()]);

    let (later, said) = due(&mut cases, US, &roster, now + WINDOW);
    assert_eq!((later, said), (withheld, Vec::new()));
}

#[test]
fn what_is_over_or_too_old_is_forgotten_unless_it_is_acted_on() {
    let now = Instant::now();
    for (nodes, acts, at, left) in [
        (2, false, now, true),
        (1, false, now, false),
        (2, false, now + KEPT, false),
        (2, true, now + KEPT, true),
    ] {
        let mut cases = cases([1], now);
        if acts {
            assert_eq!(due(&mut cases, US, &roster(nodes), now).0.len(), 1);
        }
        assert_eq!(cases.tidy(&roster(nodes), at), !left);
        assert_eq!(cases.has(&instance(1)), left, "{nodes} nodes");
    }
}

#[test]
fn evidence_beyond_the_bound_is_left_to_the_lease() {
    let now = Instant::now();
    let mut cases = cases(0..CASES_MAX, now);
    cases.open(
        name(CASES_MAX),
        instance(CASES_MAX),
        proof(EvidenceKind::Refused, now),
    );
    assert!(cases.has(&instance(CASES_MAX - 1)));
    assert!(!cases.has(&instance(CASES_MAX)));
}
