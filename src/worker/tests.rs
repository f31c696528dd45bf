//! What a worker does with packs that it cannot have and with reports that etcd will not take.

use std::time::Duration;

use tenure_cluster::{Connection, Failure, FailureKind, Options, Txn};
use tenure_testkit::{Backend, Etcd, on_each_backend};

use super::*;
use crate::plan::Ending;
use crate::store::{Keys, Report, Run, Verdict};
use crate::task::{Outcome, Output, PackId, Priority, Routing, Tally, Which};

on_each_backend!(work_whose_pack_is_no_pack_goes_back_after_a_while);

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
        node: name("a"),
        session: 1,
        slots: 4,
        deaths_max: 3,
        grace: Duration::ZERO,
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
            },
            tally: Tally::default(),
            session: 1,
            instance: "i1".to_owned(),
            term: 1,
            decided: 1,
            n: 0,
            covers: true,
            ready_ms: 1,
            inline: None,
        },
        created,
        modified: created,
    }
}

/// Waits for a pack; whether one came, or none where its reader was ended.
async fn read(worker: &mut Worker) -> Option<bool> {
    let next = tokio::time::timeout(Duration::from_secs(20), worker.packs.next()).await;
    let fetched = next.expect("reading ends");
    let came = fetched.as_ref().map(|(_, _, pack)| pack.is_some());
    worker.fetched(fetched);
    came
}

/// A claim in the hands of a worker that reads its pack.
fn reading(store: Store, created: i64) -> Worker {
    let mut worker = worker(store);
    let run = run(2, created);
    worker.packs.fetch(&worker.hands.store, CLAIM, &run);
    worker.claims.insert(CLAIM, Held::new(run));
    worker
}

async fn work_whose_pack_is_no_pack_goes_back_after_a_while(backend: Backend) {
    let etcd = Etcd::builder(1).on(backend).start();
    let store = store(Options::new(etcd.endpoints()));
    let garbage = Txn::new().put(store.keys().pack(PackId::new(1, 1)), "no pack");
    let put = store.connection().commit(&garbage).await;
    let mut worker = reading(store, put.committed().unwrap().revision);

    assert_eq!(read(&mut worker).await, Some(false));

    // Not at once, nor as soon as other work: the leader would give it out again.
    let held = worker.claims.get_mut(&CLAIM).unwrap();
    let in_hand = held.hand_back_at.duration_since(Instant::now());
    assert!(in_hand > Duration::from_secs(4), "{in_hand:?}");
    worker.hand_back_late();
    assert_eq!(worker.claims[&CLAIM].waiting, Which::first(2));
    worker.claims.get_mut(&CLAIM).unwrap().hand_back_at = Instant::now();
    worker.hand_back_late();
    assert!(worker.claims[&CLAIM].has_ended());
}

#[tokio::test]
async fn a_pack_is_not_asked_for_without_end() {
    let mut worker = reading(nowhere(), 1);

    assert_eq!(read(&mut worker).await, Some(false));
    assert!(worker.packs.is_empty());
}

#[tokio::test]
async fn a_dropped_claim_ends_the_reading_of_its_pack() {
    let mut worker = reading(nowhere(), 1);

    worker.drop_claim(CLAIM);

    assert_eq!(read(&mut worker).await, None);
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
