//! What is done to schedules: declared, edited, deleted, fired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tenure::store::{Change, Fire, Lane, Place, RecordId, Seen, encode, txns};
use tenure::task::{
    Known, Misfire, Name, Overlap, PackId, Page, Paused, Progress, Schedule, Step, Timing, When,
    begun, edited, pack_of, step,
};
use tenure_cluster::Txn;

use super::common::{Lab, NOW, Writes, name, pack};

/// 10 s between due times: divides [`NOW`].
const PERIOD: u64 = 10_000;

fn nightly() -> Name {
    name("nightly")
}

fn schedule() -> Schedule {
    let mut pack = pack(1, None);
    Schedule {
        when: When::Every(PERIOD),
        zone: None,
        start_ms: None,
        end_ms: None,
        jitter_ms: 0,
        overlap: Overlap::Allow,
        misfire: Misfire::FireOnce,
        catch_up_ms: 0,
        start_deadline_ms: None,
        paused: None,
        labels: BTreeMap::new(),
        created_ms: NOW,
        routing: pack.routing,
        policy: pack.policy,
        spec: pack.tasks.remove(&0).expect("a pack of one"),
    }
}

fn paused() -> Schedule {
    let paused = Paused {
        since_ms: NOW,
        reason: "a test".to_owned(),
    };
    Schedule {
        paused: Some(paused),
        ..schedule()
    }
}

fn timing() -> Timing {
    schedule().timing(&nightly()).expect("it is due")
}

/// Declares [`schedule`] by what was deleted up to now.
async fn declaration(lab: &Lab) -> Txn {
    let progress = begun(&nightly(), &schedule(), &timing(), NOW);
    let deleted = lab.revision_of(&lab.keys().deleted()).await;
    txns::declare(lab.keys(), &nightly(), &schedule(), &progress, deleted)
}

async fn declared(lab: &Lab) {
    lab.must(&declaration(lab).await).await;
}

/// How far it has got, and the mod revision of the schedule.
async fn seen(lab: &Lab) -> (Seen<Progress>, i64) {
    let progress = lab.seen(&lab.keys().progress(&nightly())).await;
    let modified = lab.revision_of(&lab.keys().schedule(&nightly())).await;
    (progress, modified)
}

/// What this much later is to be done.
async fn due(lab: &Lab, later_ms: u64) -> Fire {
    let (from, modified) = seen(lab).await;
    let stored: Seen<Schedule> = lab.seen(&lab.keys().schedule(&nightly())).await;
    let step = step(Known {
        name: &nightly(),
        incarnation: stored.created,
        schedule: &stored.value,
        timing: &timing(),
        progress: &from.value,
        ended: &BTreeSet::new(),
        now_ms: NOW + later_ms,
    });
    Fire {
        schedule: nightly(),
        modified,
        from,
        step: Arc::new(step.expect("it is due")),
    }
}

async fn amendment(lab: &Lab, new: &Schedule) -> (Txn, Step) {
    let (from, modified) = seen(lab).await;
    let old: Seen<Schedule> = lab.seen(&lab.keys().schedule(&nightly())).await;
    let known = Known {
        name: &nightly(),
        incarnation: old.created,
        schedule: &old.value,
        timing: &timing(),
        progress: &from.value,
        ended: &BTreeSet::new(),
        now_ms: NOW + 2 * PERIOD,
    };
    let step = edited(known, new, &timing());
    let txn = txns::amend(lab.keys(), &nightly(), (new, modified), &from, &step);
    (txn, step)
}

async fn withdrawal(lab: &Lab) -> Txn {
    let (from, modified) = seen(lab).await;
    txns::withdraw(lab.keys(), &nightly(), modified, &from)
}

/// An operator's hand.
async fn overwritten(lab: &Lab) {
    let key = lab.keys().schedule(&nightly());
    lab.must(&Txn::new().put(key, encode(&schedule()))).await;
}

fn lane(lab: &Lab) -> String {
    lab.keys().lane(&Lane::of(&schedule().routing))
}

fn tick(lab: &Lab, later_ms: u64) -> String {
    lab.keys().tick(NOW + later_ms, &nightly())
}

#[tokio::test]
async fn declare_writes_the_schedule_its_progress_its_tick_and_its_lane() {
    let lab = Lab::start().await;
    let before = lab.all().await;

    declared(&lab).await;

    let keys = lab.keys();
    let new = [
        keys.schedule(&nightly()),
        keys.progress(&nightly()),
        tick(&lab, PERIOD),
        lane(&lab),
    ];
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&new, &[], &[]));
}

#[tokio::test]
async fn declare_loses_by_schedule_where_there_is_one_and_to_its_own_copy() {
    let lab = Lab::start().await;
    let declaration = declaration(&lab).await;
    lab.must(&declaration).await;
    lab.refused_txn(&declaration, "schedule").await;
}

#[tokio::test]
async fn declare_loses_by_deleted_where_its_late_copy_would_bring_back_what_was_deleted() {
    let lab = Lab::start().await;
    for _ in 0..2 {
        let declaration = declaration(&lab).await;
        lab.must(&declaration).await;
        lab.must(&withdrawal(&lab).await).await;
        lab.refused_txn(&declaration, "deleted").await;
    }
}

#[tokio::test]
async fn amend_writes_the_schedule_its_progress_and_its_tick_moved() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let keys = lab.keys();
    let (schedule_key, progress_key) = (keys.schedule(&nightly()), keys.progress(&nightly()));
    let again = [schedule_key, progress_key, lane(&lab)];

    let before = lab.all().await;
    lab.must(&amendment(&lab, &paused()).await.0).await;
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[], &again, &[tick(&lab, PERIOD)]));

    // Two due times passed in the pause.
    let before = lab.all().await;
    let (txn, step) = amendment(&lab, &schedule()).await;
    lab.must(&txn).await;
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[tick(&lab, 3 * PERIOD)], &again, &[]));
    assert_eq!(step.lines.len(), 1);
}

#[tokio::test]
async fn amend_loses_by_schedule_where_it_was_written_since() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let (late, _) = amendment(&lab, &paused()).await;
    overwritten(&lab).await;
    lab.refused_txn(&late, "schedule").await;
}

#[tokio::test]
async fn amend_loses_by_progress_where_it_was_fired_since() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let (late, _) = amendment(&lab, &paused()).await;
    lab.done(&Change::Fire(due(&lab, PERIOD).await)).await;
    lab.refused_txn(&late, "progress").await;
}

#[tokio::test]
async fn withdraw_writes_everything_of_it_gone_and_leaves_its_tasks() {
    let lab = Lab::start().await;
    declared(&lab).await;
    // A page of its ledger is full.
    for nth in 1..=8 {
        lab.done(&Change::Fire(due(&lab, nth * PERIOD).await)).await;
    }
    let before = lab.all().await;

    lab.must(&withdrawal(&lab).await).await;

    let keys = lab.keys();
    let gone = [
        keys.schedule(&nightly()),
        keys.progress(&nightly()),
        keys.ledger(&nightly(), 0),
        tick(&lab, 9 * PERIOD),
    ];
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[keys.deleted()], &[], &gone));
}

#[tokio::test]
async fn withdraw_loses_by_schedule_where_it_was_written_since() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let late = withdrawal(&lab).await;
    overwritten(&lab).await;
    lab.refused_txn(&late, "schedule").await;
}

#[tokio::test]
async fn withdraw_loses_by_progress_where_it_was_fired_since() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let late = withdrawal(&lab).await;
    lab.done(&Change::Fire(due(&lab, PERIOD).await)).await;
    lab.refused_txn(&late, "progress").await;
}

#[tokio::test]
async fn fire_writes_the_task_the_progress_and_the_tick_moved() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let due = due(&lab, PERIOD).await;
    let (id, pack) = due.step.fires.first().expect("one is due").clone();

    let writes = lab.writes(&Change::Fire(due)).await;

    let keys = lab.keys();
    let ready = keys.record(Place::Ready, &pack.routing, &RecordId::submitted(id));
    let new = [keys.pack(id), ready, tick(&lab, 2 * PERIOD)];
    let again = [keys.progress(&nightly())];
    let gone = [tick(&lab, PERIOD)];
    assert_eq!(writes, Writes::of(&new, &again, &gone));
}

#[tokio::test]
async fn fire_writes_a_full_page_of_the_ledger_and_the_oldest_gone() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let keys = lab.keys();
    for nth in 1..8 {
        lab.done(&Change::Fire(due(&lab, nth * PERIOD).await)).await;
    }
    let writes = lab.writes(&Change::Fire(due(&lab, 8 * PERIOD).await)).await;
    assert!(writes.new.contains(&keys.ledger(&nightly(), 0)));
    let page: Seen<Page> = lab.seen(&keys.ledger(&nightly(), 0)).await;
    assert_eq!(page.value.lines.len(), 8);

    // As if it had fired until its ledger was full.
    let (from, _) = seen(&lab).await;
    let full = Progress {
        count: 8 * 64 + 7,
        recent: page.value.lines[1..].to_vec(),
        ..from.value
    };
    let put = Txn::new().put(keys.progress(&nightly()), encode(&full));
    lab.must(&put).await;
    let writes = lab.writes(&Change::Fire(due(&lab, 9 * PERIOD).await)).await;
    assert!(writes.new.contains(&keys.ledger(&nightly(), 64)));
    assert!(writes.gone.contains(&keys.ledger(&nightly(), 0)));
}

#[tokio::test]
async fn fire_loses_by_schedule_where_it_was_written_since() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let late = Change::Fire(due(&lab, PERIOD).await);
    overwritten(&lab).await;
    lab.refused(&late, "schedule").await;
}

#[tokio::test]
async fn fire_loses_by_progress_to_its_own_copy_and_to_another_who_fired() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let (one, other) = (due(&lab, PERIOD).await, due(&lab, 2 * PERIOD).await);
    let one = Change::Fire(one);
    lab.done(&one).await;
    lab.refused(&one, "progress").await;
    lab.refused(&Change::Fire(other), "progress").await;
}

#[tokio::test]
async fn fire_loses_by_pack_only_the_task_that_is_there() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let due = due(&lab, 2 * PERIOD).await;
    let ids: Vec<PackId> = due.step.fires.iter().map(|(id, _)| *id).collect();
    let there = Txn::new().put(lab.keys().pack(ids[0]), encode(&pack(1, None)));
    lab.must(&there).await;

    let writes = lab.writes(&Change::Fire(due)).await;

    assert!(!writes.again.contains(&lab.keys().pack(ids[0])));
    assert!(writes.new.contains(&lab.keys().pack(ids[1])));
}

#[tokio::test]
async fn fire_of_a_schedule_declared_anew_makes_other_tasks() {
    let lab = Lab::start().await;
    declared(&lab).await;
    let old = due(&lab, PERIOD).await;
    lab.done(&Change::Fire(old.clone())).await;
    lab.must(&withdrawal(&lab).await).await;
    declared(&lab).await;

    let new = due(&lab, PERIOD).await;

    let id = |fire: &Fire| fire.step.fires.first().map(|(id, _)| *id);
    assert_ne!(id(&old), id(&new));
    let created = lab.revision_of(&lab.keys().schedule(&nightly())).await;
    assert_eq!(id(&new), Some(pack_of(&nightly(), created, NOW + PERIOD)));
}
