//! One run from one seed: the world, its clients and its faults, until all is well again or the time is over. Judges nothing.

use std::sync::Arc;
use std::time::Duration;

use tenure::store::{Keys, Store};
use tenure_chaos::check::Limits;
use tenure_chaos::history::{Entry, Fault as Broken, History, Marker, NodeEvent, Refusal};
use tenure_cluster::Range;
use tenure_embedded::Embedded;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::chronicle::Chronicle;
use crate::clients::{CLIENTS, Client, Known};
use crate::dice::Dice;
use crate::faults::{self, Fault, NODES, Planned, Span};
use crate::scarce::{Operator, Scarce, Somebody};
use crate::scheduled::{Planner, Scheduled};
use crate::world::{EPOCH_MS, Settings, World};
use crate::{recorder, world};

/// Faults begin after the first second and are over after twenty.
const FAULTS: Span = Span {
    from_ms: 1_000,
    until_ms: 20_000,
};
/// Clients ask until here.
const CLIENTS_UNTIL: Duration = Duration::from_secs(18);
/// 60 s after the last fault for everything to end: the longest run, its attempts, and the time of their backoffs, twice.
const HEALS_WITHIN: Duration = Duration::from_mins(1);
/// 500 ms between looks at whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// 10 s for the recorder to have the last revision.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);
/// One run in five goes on for 150 s, so that what has ended is also collected: a minute after its end.
const LONG_IN_THOUSAND: u16 = 200;
const LONG: Duration = Duration::from_secs(150);

/// Runs one seed in the runtime of the caller, whose time is paused.
pub(crate) async fn run(seed: u64) -> History {
    let dice = Dice::new(seed);
    let scheduled = Scheduled::of(seed);
    let settings = settings(&dice, scheduled.as_ref());
    let planned = faults::plan(&dice, FAULTS);
    let limits = limits(&settings, &planned);
    let chronicle = Chronicle::begin(seed, "/tenure/default/", EPOCH_MS, limits);
    let store = Arc::new(Embedded::in_memory(&tenure_embedded::Options::default()));
    let mut world = World::new(
        Arc::clone(&store),
        settings,
        dice.split(),
        chronicle.clone(),
    );
    let (has, recorded) = watch::channel(0);
    let mut recording = JoinSet::new();
    recording.spawn(recorder::record(
        store,
        Arc::clone(&world.writes),
        chronicle.clone(),
        has,
    ));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    let (scarce, known) = (Scarce::of(seed), Known::default());
    let several = Client::several(
        CLIENTS,
        &world.doors,
        &dice,
        &chronicle,
        scarce.as_ref(),
        &known,
    );
    for client in several {
        clients.spawn(client.work(began + CLIENTS_UNTIL));
    }
    let mut others = JoinSet::new();
    if let Some(scarce) = &scarce {
        let operator = Operator::of(scarce, world.calm_connection());
        others.spawn(operator.work(began + CLIENTS_UNTIL));
        let somebody = Somebody::of(scarce, world.calm_connection());
        others.spawn(somebody.work(began + CLIENTS_UNTIL));
    }
    let somebody = |scheduled: &Scheduled, world: &World| {
        let nodes = (0..NODES).map(|node| world.store_of(node)).collect();
        Planner::of(scheduled, nodes, world.calm_store(), &known)
    };
    if let Some(scheduled) = &scheduled {
        others.spawn(somebody(scheduled, &world).work(began + CLIENTS_UNTIL));
    }
    for node in 0..NODES {
        world.start(node);
        sleep(Duration::from_millis(dice.within(0..=300))).await;
    }
    break_and_mend(&mut world, &chronicle, began, planned).await;
    sleep_until(began + Duration::from_millis(FAULTS.until_ms)).await;
    if let Some(outage) = scheduled.as_ref().and_then(|scheduled| scheduled.outage) {
        (0..NODES).for_each(|node| world.kill(node));
        sleep(outage).await;
    }
    world.heal();
    while others.join_next().await.is_some() {}
    if let Some(scarce) = &scarce {
        let operator = Operator::of(scarce, world.calm_connection());
        operator.relent().await;
    }
    chronicle.saw(Entry::AllHealed);
    while clients.join_next().await.is_some() {}
    if let Some(scheduled) = &scheduled {
        somebody(scheduled, &world).relent().await;
    }
    let _ = timeout(HEALS_WITHIN, drained(&world)).await;
    if dice.in_thousand(LONG_IN_THOUSAND) {
        sleep_until(began + LONG).await;
    }
    refusals(&world, &chronicle).await;
    seal(&world, &chronicle, recorded).await;
    recording.shutdown().await;
    chronicle.close()
}

/// Breaks and mends by the plan, in order of time.
async fn break_and_mend(
    world: &mut World,
    chronicle: &Chronicle,
    began: Instant,
    planned: Vec<Planned>,
) {
    let mut turns: Vec<(u64, u64, bool, Fault)> = Vec::new();
    for (id, planned) in (1..).zip(planned) {
        turns.push((planned.at_ms, id, true, planned.fault.clone()));
        turns.push((planned.at_ms + planned.for_ms, id, false, planned.fault));
    }
    // A fault without length begins before it ends.
    turns.sort_by_key(|(at_ms, id, begins, _)| (*at_ms, *id, !*begins));
    for (at_ms, id, begins, fault) in turns {
        sleep_until(began + Duration::from_millis(at_ms)).await;
        if begins {
            let (from, to) = ends(&fault);
            chronicle.saw(Entry::Fault(Broken {
                id,
                kind: fault.kind(),
                target: fault.node().map(|node| World::name(node).to_owned()),
                from,
                to,
            }));
            world.break_(&fault).await;
        } else {
            world.mend(&fault);
            chronicle.saw(Entry::Healed { id });
        }
    }
}

/// Where a broken link begins and ends.
fn ends(fault: &Fault) -> (Option<String>, Option<String>) {
    let store = || Some("store".to_owned());
    match *fault {
        Fault::Cut { node, to: true, .. } | Fault::CutOne { node, .. } => {
            (Some(World::name(node).to_owned()), store())
        }
        Fault::Cut { node, .. } => (store(), Some(World::name(node).to_owned())),
        Fault::Crash { .. }
        | Fault::Slow { .. }
        | Fault::LoseRequests { .. }
        | Fault::LoseAnswers { .. }
        | Fault::Break { .. }
        | Fault::Member { .. }
        | Fault::Store
        | Fault::StoreLeader
        | Fault::Revoke { .. }
        | Fault::Compact
        | Fault::NoSpace
        | Fault::Clock { .. } => (None, None),
    }
}

/// Waits until nothing is ready, due or running, and a term has begun that goes on.
async fn drained(world: &World) {
    let connection = world.calm_connection();
    let name = "default".parse().expect("it is a name");
    let store = Store::new(connection.clone(), Keys::new(&name));
    let open = ["ready/", "due/", "run/"].map(|part| format!("/tenure/default/live/{part}"));
    loop {
        let mut left = 0;
        for prefix in &open {
            left += connection
                .range(&Range::prefix(prefix.clone()).count_only())
                .await
                .map_or(1, |page| page.count);
        }
        let leader = store.leader().await.ok().and_then(|found| found.0);
        if left == 0 && leader.is_some_and(|leader| leader.record.is_some()) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What the product counted of writes that it refused. All nodes are in one process and share its counters.
async fn refusals(world: &World, chronicle: &Chronicle) {
    let text = world.metrics().await;
    let (mut stale_reports, mut stale_terms) = (0, 0);
    for line in text.lines() {
        let Some((op, count)) = line
            .strip_prefix("tenure_fencing_rejected_total{op=\"")
            .and_then(|rest| rest.split_once("\"} "))
        else {
            continue;
        };
        let count: u64 = count.parse().unwrap_or(0);
        if op == "report" {
            stale_reports += count;
        } else {
            stale_terms += count;
        }
    }
    for (what, count) in [
        (Refusal::StaleReport, stale_reports),
        (Refusal::StaleTerm, stale_terms),
    ] {
        if count > 0 {
            chronicle.saw(NodeEvent::Refused {
                node: World::name(0).to_owned(),
                what,
                count,
            });
        }
    }
}

/// Says how far the log goes, once the recorder has it all.
async fn seal(world: &World, chronicle: &Chronicle, mut recorded: watch::Receiver<i64>) {
    let range = Range::prefix("/").count_only();
    let page = world
        .calm_connection()
        .range(&range)
        .await
        .expect("the store answers");
    let has_all = recorded.wait_for(|has| *has >= page.revision);
    // It may have gone on since, by a clock's or a leader's own writes.
    if let Ok(Ok(has)) = timeout(RECORDED_WITHIN, has_all).await {
        let revision = *has;
        chronicle.saw(Entry::Marker(Marker::Sealed { revision }));
    }
}

fn settings(dice: &Dice, scheduled: Option<&Scheduled>) -> Settings {
    // The retention counts from the first end of a pack's tasks: an outage between two of them is not to be longer than it.
    let outage = scheduled.is_some_and(|scheduled| scheduled.outage.is_some());
    world::Settings {
        lease_ttl_secs: dice.within(2..=5),
        slots: *dice.one(&[2, 4, 16]),
        window: *dice.one(&[16, 64, 1_024]),
        retention_secs: if outage { 180 } else { 60 },
        death_budget: dice.within(1..=3),
    }
}

/// What the run is held to. Two runs of one task may be seen together for a moment: the younger is started by another node's
/// answer, the older ends at its own next look.
fn limits(settings: &Settings, planned: &[Planned]) -> Limits {
    let ahead = planned.iter().filter_map(|planned| {
        if let Fault::Clock { ahead_ms, .. } = planned.fault {
            return u64::try_from(ahead_ms).ok();
        }
        None
    });
    Limits {
        // A watch that was refused several times waits up to 2 s before it asks again; and half a second to act on what it hears.
        reclaim_ms: 2_500,
        failover_ms: 2_500,
        lease_ms: settings.lease_ttl_secs * 1_000 + 1_000,
        drain_ms: u64::try_from(HEALS_WITHIN.as_millis()).expect("a minute fits"),
        retention_ms: settings.retention_secs * 1_000,
        // As far as a clock is set off, either way.
        skew_ms: 10_000,
        ahead_ms: ahead.max().unwrap_or(0),
        death_budget: u32::try_from(settings.death_budget).expect("a small number"),
        ..Limits::default()
    }
}
