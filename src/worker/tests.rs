//! What a worker does with packs that it cannot have and with reports that etcd will not take.

use std::time::Duration;

use serde_json::value::RawValue;
use tenure_cluster::{Connection, Failure, FailureKind, KeyValue, Options, Txn};
use tenure_testkit::{Backend, Etcd, on_each_backend};

use super::*;
use crate::plan::Ending;
use crate::store::{Keys, Report, Run, Verdict, encode};
use crate::task::{
    Backoff, OnLost, Outcome, Output, Pack, PackId, Policy, Priority, Routing, Spec, Tally, Which,
};

on_each_backend!(
    work_whose_pack_is_no_pack_goes_back_after_a_while,
    a_pack_that_is_read_for_a_long_time_keeps_its_work_in_hand,
    a_pack_is_read_once_and_to_its_end_whatever_becomes_of_its_claims,
    what_was_claimed_before_it_hands_over_is_found_and_goes_back,
);

const NO_BREAKERS: breaker::Options = breaker::Options {
    hosts: false,
    kinds: std::collections::BTreeSet::new(),
    rules: breaker::Rules {
        window: 1,
        runs_min: 1,
        share: 1.0,
        open: Duration::from_secs(1),
        open_max: Duration::from_secs(1),
        probes: 1,
    },
};

const CLAIM: ClaimId = ClaimId { term: 1, number: 1 };

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn store(options: Options) -> Store {
    Store::new(Connection::open(options).unwrap(), Keys::new(&name("c")))
}

/// A store that nobody answers for, which is known after 100 ms.
fn nowhere() -> Store {
    store(Options {
        request_timeout: Duration::from_millis(100),
        ..Options::new(["http://127.0.0.1:9"])
    })
}

fn worker(store: Store) -> Worker {
    Worker::new(Hands {
        store,
        kinds: Arc::new(Kinds::builder().build().unwrap()),
        breakers: Breakers::new(NO_BREAKERS),
        node: name("a"),
        session: 1,
        slots: Slots::fixed(4),
        deaths_max: 3,
        grace: Duration::ZERO,
        lease: Lease::of_nobody(),
        finishing: Arc::default(),
    })
}

/// A claim of so many tasks, made at this revision, whose pack is elsewhere.
fn run(tasks: usize, created: i64) -> Seen<Run> {
    Seen {
        value: Run {
            pack: PackId::new(1, 1),
            which: Which::first(tasks),
            size: 256,
            routing: Routing {
                queue: name("q"),
                kind: name("noop"),
                priority: Priority::default(),
                needs: None,
            },
            tally: Tally::default(),
            session: 1,
            instance: "i1".to_owned(),
            term: 1,
            decided: 1,
            n: 0,
            covers: true,
            ready_ms: 1,
            claimed_ms: 1,
            inline: None,
        },
        created,
        modified: created,
    }
}

/// Two tasks that need nothing.
fn pack() -> Pack {
    let spec = Spec {
        payload: RawValue::NULL.to_owned().into(),
        labels: BTreeMap::new(),
        metadata: None,
    };
    Pack {
        routing: run(2, 1).value.routing,
        policy: Policy {
            max_attempts: 1,
            backoff: Backoff::default(),
            timeout_ms: None,
            on_lost: OnLost::Stop,
        },
        created_ms: 1,
        run_at_ms: None,
        tasks: BTreeMap::from([(0, spec.clone()), (1, spec)]),
        idem: Vec::new(),
        fired: None,
    }
}

/// Waits for a pack; whether one came.
async fn read(worker: &mut Worker) -> bool {
    let next = tokio::time::timeout(Duration::from_secs(20), worker.packs.next()).await;
    let fetched = next
        .expect("reading ends")
        .expect("a pack is on its way here");
    let came = fetched.1.is_some();
    worker.fetched(fetched);
    came
}

/// Gives a worker a claim that holds no pack; whether its pack was at hand.
fn claim(worker: &mut Worker, claim: ClaimId, created: i64) -> bool {
    let run = run(2, created).value;
    let kv = KeyValue {
        key: worker.hands.store.keys().run(&worker.hands.node, claim),
        value: encode(&run).into(),
        create_revision: created,
        mod_revision: created,
        version: 1,
        lease: 0,
    };
    worker.adopt(&kv);
    worker.claims[&claim].pack.is_some()
}

/// A worker that reads the pack of a claim.
fn reading(store: Store, created: i64) -> Worker {
    let mut worker = worker(store);
    assert!(!claim(&mut worker, CLAIM, created));
    worker
}

/// An etcd that holds a value where the pack of the claims is; and its revision.
async fn holding(backend: Backend, pack: Vec<u8>) -> (Etcd, Store, i64) {
    let etcd = Etcd::builder(1).on(backend).start();
    let store = store(Options::new(etcd.endpoints()));
    let put = Txn::new().put(store.keys().pack(PackId::new(1, 1)), pack);
    let put = store.connection().commit(&put).await;
    (etcd, store, put.committed().unwrap().revision)
}

async fn work_whose_pack_is_no_pack_goes_back_after_a_while(backend: Backend) {
    let (_etcd, store, revision) = holding(backend, b"no pack".to_vec()).await;
    let mut worker = reading(store, revision);

    assert!(!read(&mut worker).await);

    // Not at once, nor as soon as other work: the leader would give it out again.
    let held = worker.claims.get_mut(&CLAIM).unwrap();
    let in_hand = held.hand_back_at.unwrap().duration_since(Instant::now());
    assert!(in_hand > Duration::from_secs(4), "{in_hand:?}");
    worker.hand_back_late();
    assert_eq!(worker.claims[&CLAIM].waiting, Which::first(2));
    worker.claims.get_mut(&CLAIM).unwrap().hand_back_at = Some(Instant::now());
    worker.hand_back_late();
    assert!(worker.claims[&CLAIM].has_ended());
}

async fn a_pack_that_is_read_for_a_long_time_keeps_its_work_in_hand(backend: Backend) {
    let (_etcd, store, revision) = holding(backend, encode(&pack())).await;
    let mut worker = reading(store, revision);

    let begun = worker.claims[&CLAIM].hand_back_at;
    assert!(begun.is_none(), "its time begins with the pack: {begun:?}");
    worker.hand_back_late();

    assert_eq!(worker.claims[&CLAIM].waiting, Which::first(2));
    assert!(read(&mut worker).await);
    worker.start_runs();
    assert!(worker.claims[&CLAIM].is_done(), "both have run");
}

async fn a_pack_is_read_once_and_to_its_end_whatever_becomes_of_its_claims(backend: Backend) {
    let (_etcd, store, revision) = holding(backend, encode(&pack())).await;
    let mut worker = reading(store, revision);
    let [second, third] = [2, 3].map(|number| ClaimId { number, ..CLAIM });
    assert!(!claim(&mut worker, second, revision));

    worker.drop_claim(CLAIM);

    assert!(read(&mut worker).await);
    assert!(worker.claims[&second].pack.is_some());
    assert!(worker.packs.is_empty(), "it was read once");
    assert!(claim(&mut worker, third, revision), "it is kept");
}

async fn what_was_claimed_before_it_hands_over_is_found_and_goes_back(backend: Backend) {
    let etcd = Etcd::builder(1).on(backend).start();
    let store = store(Options::new(etcd.endpoints()));
    let key = store.keys().run(&name("a"), CLAIM);
    let put = Txn::new().put(key, encode(&run(2, 1).value));
    assert!(store.connection().commit(&put).await.committed().is_some());
    // Its watches have told nothing yet.
    let mut worker = worker(store);
    assert!(worker.told(Duty::Work).await.is_none());
    assert!(worker.claims.is_empty());

    assert!(worker.told(Duty::Leave).await.is_some());
    worker.start_runs();

    let mut held = worker.claims.remove(&CLAIM).unwrap();
    let report = take(&mut held, CLAIM);
    let told: Vec<_> = report.settled.attempts.iter().collect();
    assert_eq!((told[0].outcome, told[0].number), (Outcome::Returned, 0));
    assert!(report.rest.is_none());
}

#[tokio::test]
async fn what_has_ended_when_the_grace_is_over_is_told_as_it_ended() {
    let mut worker = worker(nowhere());
    let kinds = Kinds::builder().handler_fn("mine", async |_| Ok(1));
    worker.hands.kinds = Arc::new(kinds.build().unwrap());
    let mut held = Held::new(run(2, 1));
    let mut pack = pack();
    pack.routing.kind = name("mine");
    held.arrived(Arc::new(pack));
    worker.claims.insert(CLAIM, held);
    worker.line.push_back(CLAIM);
    worker.start_runs();
    assert_eq!(worker.runs.len(), 2);
    // They end, and nobody has heard of it.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }

    worker.give_up();

    let mut held = worker.claims.remove(&CLAIM).unwrap();
    let report = take(&mut held, CLAIM);
    let attempts = report.settled.attempts.iter();
    // In one attempt or in two: they may have ended in two milliseconds.
    let told: Vec<_> = attempts.map(|a| (a.outcome, a.which.len())).collect();
    assert!(
        told.iter()
            .all(|(outcome, _)| *outcome == Outcome::Succeeded)
    );
    assert_eq!(told.iter().map(|(_, tasks)| tasks).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_pack_is_not_asked_for_without_end() {
    let mut worker = reading(nowhere(), 1);
    worker.drop_claim(CLAIM);

    assert!(!read(&mut worker).await);
    assert!(worker.packs.is_empty());
}

/// A claim of so many tasks, each ended with output of its own.
fn all_ended(tasks: u8) -> Held {
    let mut held = Held::new(run(tasks.into(), 1));
    for index in 0..tasks {
        held.waiting.remove(index);
        let ending = Ending {
            outcome: Outcome::Succeeded,
            started_ms: Some(1),
            finished_ms: 2,
            error: None,
            output: Some(Output {
                stdout: index.to_string(),
                ..Output::default()
            }),
            wait: None,
        };
        held.end(Which::only(index), ending);
    }
    held
}

fn take(held: &mut Held, claim: ClaimId) -> Report {
    assert!(held.wants_report(Duration::ZERO));
    let node = name("a");
    let desk = held::Desk {
        node: &node,
        deaths_max: 3,
        draw: 0.0,
        now_ms: 3,
    };
    held.take_report(claim, desk)
}

#[tokio::test]
async fn an_invalid_report_is_halved_then_loses_outputs_then_rests() {
    let mut held = all_ended(4);

    let mut told = Vec::new();
    while held.wants_report(Duration::ZERO) {
        let report = take(&mut held, CLAIM);
        let with_output = |attempt: &&crate::store::Attempt| attempt.output.is_some();
        let attempts = &report.settled.attempts;
        told.push((attempts.len(), attempts.iter().filter(with_output).count()));
        held.invalid(Duration::from_mins(1));
    }

    let alone = [(1, 1); 4];
    assert_eq!(told, [&[(4, 4), (2, 2)], &alone[..], &[(1, 0)]].concat());
    assert!(held.has_ended(), "nothing that ended is forgotten");
}

#[tokio::test]
async fn reports_that_shared_an_invalid_transaction_go_alone_and_keep_their_outputs() {
    let mut worker = worker(nowhere());
    let claims = [CLAIM, ClaimId { number: 2, ..CLAIM }];
    let landed = claims.map(|claim| {
        let mut held = all_ended(1);
        let report = take(&mut held, claim);
        worker.claims.insert(claim, held);
        (report, Verdict::Unavailable(invalid()))
    });

    worker.landed(Ok(landed.into()));
    worker.send_reports();

    assert_eq!(worker.reports.len(), 2, "each in a transaction of its own");
    for claim in claims {
        let flight = worker.claims[&claim].report.as_ref().unwrap();
        assert!(flight.in_air && flight.report.settled.attempts[0].output.is_some());
    }
}

fn invalid() -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        endpoint: "test".to_owned(),
        message: "request is too large".to_owned(),
    }
}

#[tokio::test]
async fn outputs_are_forgotten_where_too_much_is_kept_and_outcomes_are_not() {
    let mut held = all_ended(4);

    held.forget_outputs();

    let report = take(&mut held, CLAIM);
    let [attempt] = &report.settled.attempts[..] else {
        panic!("what no longer differs is told once: {report:?}");
    };
    assert_eq!((attempt.which.len(), &attempt.output), (4, &None));
    assert!(attempt.error.as_deref().unwrap().contains("was not kept"));
}

#[tokio::test]
async fn of_a_lost_session_what_ended_is_told_what_was_stopped_is_lost_and_the_rest_goes_back() {
    let mut worker = worker(nowhere());
    let mut held = Held::new(run(3, 1));
    for index in [0, 1] {
        held.waiting.remove(index);
        held.running.insert(index, CancellationToken::new());
    }
    worker.claims.insert(CLAIM, held);
    let finished = |index, outcome| runs::Finished {
        claim: CLAIM,
        index,
        ending: Ending {
            outcome,
            started_ms: Some(1),
            finished_ms: 2,
            error: None,
            output: None,
            wait: None,
        },
    };

    // One ended by itself, the other because it was asked to.
    worker.ended_late(Ok(finished(0, Outcome::Succeeded)));
    worker.ended_late(Ok(finished(1, Outcome::Cancelled)));
    let mut left = worker.left().expect("there is something to tell").0;
    assert_eq!(left.claims[&CLAIM].untold(), 1, "an outcome of its own");

    let report = take(left.claims.get_mut(&CLAIM).unwrap(), CLAIM);
    let mut told: Vec<_> = report.settled.attempts.iter().collect();
    told.sort_by_key(|attempt| attempt.which.iter().next());
    let told: Vec<_> = told.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(told, [Outcome::Succeeded, Outcome::Lost, Outcome::Returned]);
    assert!(report.rest.is_none());
    assert_eq!(left.claims[&CLAIM].untold(), 1, "on its way is not told");
}

#[tokio::test]
async fn a_claim_that_is_gone_stops_its_runs_but_for_those_that_are_to_finish() {
    let mut worker = worker(nowhere());
    let finishing = ClaimId { number: 2, ..CLAIM };
    let mut hear = |claim, on_lost| {
        let mut pack = pack();
        pack.policy.on_lost = on_lost;
        let mut held = Held::new(run(2, 1));
        held.arrived(Arc::new(pack));
        let cancel = CancellationToken::new();
        held.running.insert(0, cancel.clone());
        worker.claims.insert(claim, held);
        cancel
    };
    let stopped = hear(CLAIM, OnLost::Stop);
    let goes_on = hear(finishing, OnLost::Finish);

    // The end of the claims is heard of before that of the session.
    worker.drop_claim(CLAIM);
    worker.drop_claim(finishing);

    assert!(stopped.is_cancelled() && !goes_on.is_cancelled());
    assert!(worker.claims.is_empty(), "and both are forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_is_untold_has_ten_seconds_from_the_first_report_that_etcd_decides() {
    let mut worker = worker(nowhere());
    worker.claims.insert(CLAIM, all_ended(1));
    let other = ClaimId { number: 2, ..CLAIM };
    let mut held = all_ended(1);
    let report = take(&mut held, other);
    worker.claims.insert(other, held);
    // One report is on its way for a minute; whatever else is sent reaches nobody.
    worker.reports.spawn(async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        vec![(report, Verdict::Committed { revision: 2 })]
    });
    let began = Instant::now();

    let never = CancellationToken::new();
    worker.tell_within(std::future::ready(()), &never).await;

    let took = began.elapsed();
    let expected = Duration::from_secs(70)..Duration::from_secs(71);
    assert!(expected.contains(&took), "{took:?}");
    assert!(worker.claims.is_empty(), "dropped, or told");
}
