//! Watches etcd's size and whether it answers, and the machine, for the API, which refuses new work well before there is not enough
//! of them; never refuses anything itself.

use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::{MemberStatus, Room};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::api::Usage;
use crate::api::level::{Signals, Strain, Thresholds, service};
use crate::metrics;
use crate::store::{Rulebook, Submitter};
use crate::worker::Reading;

/// 5 s between looks.
const EVERY: Duration = Duration::from_secs(5);

/// 1 s between looks while no member answers, so that new work is taken again soon after one does.
const EVERY_SILENT: Duration = Duration::from_secs(1);

/// 2 looks in a row have to find no member that answers: one may be a connection that was lost and is made again.
const SILENT_LOOKS: u32 = 2;

/// 3 looks in a row, 15 s, have to find the machine short: a burst of work passes sooner.
const STRAIN_LOOKS: usize = 3;

/// Who is told, and who tells what is not looked at here.
pub(super) struct Told {
    pub(super) usage: watch::Sender<Usage>,
    pub(super) submitter: Submitter,
    pub(super) rulebook: Rulebook,
}

/// What is kept from one look to the next.
#[derive(Default)]
struct Kept {
    /// Looks in a row that found no member that answers.
    silent: u32,
    /// The last looks at the machine, the newest first.
    strains: [Strain; STRAIN_LOOKS],
}

/// Looks until the node ends.
pub(super) async fn watch(node: Arc<Shared>, told: Told, closing: CancellationToken) {
    let (mut kept, mut gauge) = (Kept::default(), node.machine.gauge());
    let thresholds = Thresholds::of(&node.config);
    let mut next = Instant::now();
    loop {
        let look = async {
            sleep_until(next).await;
            let members = node.store.connection().status().await;
            (members, gauge.read().await)
        };
        let (members, (again, reading)) = tokio::select! {
            look = look => look,
            () = closing.cancelled() => return,
        };
        gauge = again;
        let answering = tell_ready(&node, &members);
        let (silent, strain) = kept.look(answering, &reading);
        let quota = i64::try_from(node.config.etcd_quota.0).unwrap_or(i64::MAX);
        told.usage.send_modify(|usage| {
            (usage.silent, usage.strain) = (silent, strain);
            size(usage, &members, quota);
        });
        let signals = {
            let usage = told.usage.borrow();
            Signals::of(&usage, told.submitter.load(), told.rulebook.fullest())
        };
        metrics::service_level(service(signals, thresholds).level.number());
        node.full.send_replace(is_full(signals, thresholds));
        let every = if answering == 0 { EVERY_SILENT } else { EVERY };
        next = Instant::now() + every;
    }
}

/// Whether etcd has so little room left that no new work is taken, whatever else is short.
fn is_full(signals: Signals, at: Thresholds) -> bool {
    let [.., refuse] = at.etcd;
    signals.no_space || signals.etcd >= refuse
}

/// How many members answer, which decides whether the node is ready.
fn tell_ready(node: &Shared, members: &[MemberStatus]) -> usize {
    let all = members.len();
    let answering = members
        .iter()
        .filter(|member| member.health.is_ok())
        .count();
    node.ready.send_modify(|ready| {
        let told = format!("{answering} of {all} members answer");
        ready.etcd = if answering == 0 { Err(told) } else { Ok(told) };
    });
    answering
}

/// Notes how full etcd is; as it was last where no member answers.
fn size(usage: &mut Usage, members: &[MemberStatus], quota: i64) {
    let healthy: Vec<_> = members
        .iter()
        .filter_map(|member| member.health.as_ref().ok())
        .collect();
    let Some(room) = Room::of_all(healthy.iter().copied(), quota) else {
        return;
    };
    usage.room = room;
    usage.version = healthy.iter().map(|member| member.version.clone()).min();
    metrics::etcd_size(bytes(room.size), bytes(room.in_use), bytes(room.quota));
}

impl Kept {
    /// Whether etcd is silent, and how short the machine is, as far as these looks in a row agree.
    fn look(&mut self, answering: usize, reading: &Reading) -> (bool, Strain) {
        self.silent = if answering == 0 { self.silent + 1 } else { 0 };
        self.strains.rotate_right(1);
        self.strains[0] = strain(reading);
        let least = |part: fn(&Strain) -> f64| {
            let parts = self.strains.iter().map(part);
            parts.fold(f64::INFINITY, f64::min)
        };
        let strain = Strain {
            cpu: least(|strain| strain.cpu),
            memory: least(|strain| strain.memory),
        };
        (self.silent >= SILENT_LOOKS, strain)
    }
}

/// Processors in use are not short of themselves: where it is known, work has to wait for them too.
fn strain(reading: &Reading) -> Strain {
    let cpu = reading.cpu.unwrap_or(0.0);
    Strain {
        cpu: reading.cpu_stalled.map_or(cpu, |stalled| stalled.min(cpu)),
        memory: reading.memory.unwrap_or(0.0),
    }
}

fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_is_silent_once_no_member_answered_twice_and_until_one_does() {
        let mut kept = Kept::default();
        let told = [3, 0, 0, 0, 1, 0].map(|answering| kept.look(answering, &Reading::default()).0);
        assert_eq!(told, [false, false, true, true, false, false]);
    }

    #[test]
    fn etcd_is_full_by_its_alarm_or_by_its_use_and_by_nothing_else() {
        let at = Thresholds {
            etcd: [0.6, 0.7, 0.8],
            load: [0.5, 0.7],
            backlog: [0.9, 1.5],
            cpu: [0.95, 2.0],
            memory: [0.95, 0.98],
        };
        let of = |etcd, no_space| Signals {
            etcd,
            no_space,
            load: 1.0,
            silent: true,
            ..Signals::default()
        };
        let told = [of(0.79, false), of(0.8, false), of(0.0, true)];
        let told = told.map(|signals| is_full(signals, at));
        assert_eq!(told, [false, true, true]);
    }

    #[test]
    fn the_machine_is_as_short_as_it_was_at_the_best_of_three_looks() {
        let reading = |cpu, cpu_stalled, memory| Reading {
            cpu: Some(cpu),
            cpu_stalled,
            memory: Some(memory),
            memory_stalled: None,
        };
        let mut kept = Kept::default();
        let looks = [
            reading(1.0, Some(0.5), 0.9),
            reading(1.0, None, 0.99),
            reading(1.0, Some(0.7), 0.98),
            reading(0.6, Some(0.7), 0.99),
        ];
        let told = looks.map(|look| kept.look(1, &look).1);
        let parts = told.map(|strain| (strain.cpu, strain.memory));
        assert_eq!(parts, [(0.0, 0.0), (0.0, 0.0), (0.5, 0.9), (0.6, 0.98)]);
        let unknown = kept.look(1, &Reading::default()).1;
        assert_eq!(unknown, Strain::default());
    }
}
