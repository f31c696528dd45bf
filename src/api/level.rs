//! How much service a node gives: named levels from how etcd is, how much waits and how loaded node and machine are, and whose
//! submits each level sheds; reads no clock, never touches what was accepted.

use std::fmt;

use super::state::Usage;
use crate::config::Config;
use crate::store::Importance;

/// How much service there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// All of it.
    #[default]
    Full,
    /// Submits to queues of low importance are refused.
    Reduced,
    /// Those to queues of normal importance too.
    Minimal,
    /// All submits are refused; what was accepted goes on.
    Emergency,
}

/// What the level is decided from. Shares are of 1, and may be more.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// The part of etcd's quota that is in use.
    pub etcd: f64,
    /// Whether etcd has raised its alarm about space.
    pub no_space: bool,
    /// Whether no member of etcd answers.
    pub silent: bool,
    /// The part of the submits that this node takes at once which is in flight.
    pub load: f64,
    /// What is pending in the queue that is fullest by its `backlog_max`, as a part of that.
    pub backlog: f64,
    /// What the machine has not left.
    pub strain: Strain,
}

/// How short the machine is; 0 where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strain {
    /// The part of the processors' time that was in use, or that in which work waited for one, whichever is less.
    pub cpu: f64,
    /// The part of the memory that is in use.
    pub memory: f64,
}

/// From which part on there is less service: reduced, minimal, emergency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Of etcd's quota.
    pub etcd: [f64; 3],
    /// Of the submits in flight; what is over all of them is refused as `busy`, so there is no emergency of that.
    pub load: [f64; 2],
    /// Of the fullest bounded queue; its own submits are refused from 1 on, so there is no emergency of that.
    pub backlog: [f64; 2],
    /// Of the processors. High queues are not shed for a machine that is short: other nodes take from it what it cannot do.
    pub cpu: [f64; 2],
    /// Of the memory; the same.
    pub memory: [f64; 2],
}

/// What there is not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Room in etcd: so many percent of its quota are in use.
    Etcd(u32),
    /// Room in etcd, by its alarm.
    NoSpace,
    /// etcd: no member answers.
    Silent,
    /// The node: so many percent of the submits that it takes at once are in flight.
    Load(u32),
    /// Patience: so many percent of the bound of a queue's backlog are pending in it.
    Backlog(u32),
    /// Processors: in use, and waited for, so many percent of the time.
    Cpu(u32),
    /// Memory: so many percent are in use.
    Memory(u32),
}

/// A level and what made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The level.
    pub level: Level,
    /// Why it is not full.
    pub why: Option<Cause>,
}

impl Level {
    /// All, best first.
    pub const ALL: [Self; 4] = [Self::Full, Self::Reduced, Self::Minimal, Self::Emergency];

    /// As users read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reduced => "reduced",
            Self::Minimal => "minimal",
            Self::Emergency => "emergency",
        }
    }

    /// 0 for full to 3 for emergency: for metrics.
    pub fn number(self) -> u64 {
        match self {
            Self::Full => 0,
            Self::Reduced => 1,
            Self::Minimal => 2,
            Self::Emergency => 3,
        }
    }

    /// Whether submits to a queue of this importance are refused.
    pub fn sheds(self, importance: Importance) -> bool {
        match self {
            Self::Full => false,
            Self::Reduced => importance == Importance::Low,
            Self::Minimal => importance != Importance::High,
            Self::Emergency => true,
        }
    }

    /// The level of a part that is in use.
    fn of(part: f64, from: &[f64]) -> Self {
        let passed = from.iter().filter(|from| part >= **from).count();
        Self::ALL[passed]
    }
}

impl Thresholds {
    /// As the settings say.
    pub fn of(config: &Config) -> Self {
        Self {
            etcd: [
                config.etcd_reduced,
                config.etcd_minimal,
                config.quota_refuse,
            ],
            load: [config.load_reduced, config.load_minimal],
            backlog: [config.backlog_reduced, config.backlog_minimal],
            cpu: [config.cpu_reduced, config.cpu_minimal],
            memory: [config.memory_reduced, config.memory_minimal],
        }
    }
}

impl Signals {
    /// From how etcd and the machine were when they were looked at last, and how loaded the node and its queues are.
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes of databases are far below 2^52"
    )]
    pub fn of(usage: &Usage, load: f64, backlog: f64) -> Self {
        let room = &usage.room;
        Self {
            etcd: room.in_use as f64 / room.quota.max(1) as f64,
            no_space: room.no_space,
            silent: usage.silent,
            load,
            backlog,
            strain: usage.strain,
        }
    }
}

/// The worst of what its signals say, and the first of those that say it.
pub fn service(signals: Signals, at: Thresholds) -> Service {
    let Strain { cpu, memory } = signals.strain;
    let emergency = |is: bool| if is { Level::Emergency } else { Level::Full };
    let says = [
        (emergency(signals.silent), Cause::Silent),
        (emergency(signals.no_space), Cause::NoSpace),
        (
            Level::of(signals.etcd, &at.etcd),
            Cause::Etcd(percent(signals.etcd)),
        ),
        (
            Level::of(signals.load, &at.load),
            Cause::Load(percent(signals.load)),
        ),
        (
            Level::of(signals.backlog, &at.backlog),
            Cause::Backlog(percent(signals.backlog)),
        ),
        (
            Level::of(memory, &at.memory),
            Cause::Memory(percent(memory)),
        ),
        (Level::of(cpu, &at.cpu), Cause::Cpu(percent(cpu))),
    ];
    let mut worst = Service::default();
    for (level, why) in says {
        if level > worst.level {
            let why = Some(why);
            worst = Service { level, why };
        }
    }
    worst
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "parts are not negative, and saturate"
)]
fn percent(part: f64) -> u32 {
    (part * 100.0).round() as u32
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(percent) => write!(f, "{percent} % of etcd's quota are in use"),
            Self::NoSpace => f.write_str("etcd has raised its alarm about space"),
            Self::Silent => f.write_str("etcd does not answer"),
            Self::Load(percent) => write!(
                f,
                "{percent} % of the submits that this node takes at once are in flight"
            ),
            Self::Backlog(percent) => write!(
                f,
                "{percent} % of a queue's backlog_max are pending in it (`tenure queue list` says of which)"
            ),
            Self::Cpu(percent) => write!(
                f,
                "the machine's processors are in use, and waited for, {percent} % of the time"
            ),
            Self::Memory(percent) => write!(f, "{percent} % of the machine's memory are in use"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Thresholds = Thresholds {
        etcd: [0.6, 0.7, 0.8],
        load: [0.5, 0.7],
        backlog: [0.9, 1.5],
        cpu: [0.95, 2.0],
        memory: [0.95, 0.98],
    };

    fn signals(etcd: f64, load: f64) -> Signals {
        Signals {
            etcd,
            load,
            ..Signals::default()
        }
    }

    #[test]
    fn the_worst_signal_decides_and_is_named() {
        let none = Signals::default();
        let backlog = |backlog| Signals { backlog, ..none };
        let strain = |cpu, memory| Signals {
            strain: Strain { cpu, memory },
            ..none
        };
        let no_space = Signals {
            no_space: true,
            ..none
        };
        let silent = Signals {
            silent: true,
            ..signals(0.8, 1.0)
        };
        for (signals, level, why) in [
            (none, Level::Full, ""),
            (signals(0.59, 0.49), Level::Full, ""),
            (signals(0.6, 0.0), Level::Reduced, "60 % of etcd's quota"),
            (signals(0.7, 0.5), Level::Minimal, "70 % of etcd's quota"),
            (signals(0.6, 0.75), Level::Minimal, "75 % of the submits"),
            (signals(0.8, 0.0), Level::Emergency, "80 % of etcd's quota"),
            (signals(0.0, 1.0), Level::Minimal, "100 % of the submits"),
            (no_space, Level::Emergency, "alarm about space"),
            (silent, Level::Emergency, "etcd does not answer"),
            (backlog(0.89), Level::Full, ""),
            (backlog(1.0), Level::Reduced, "100 % of a queue's backlog"),
            (backlog(9.0), Level::Minimal, "900 % of a queue's backlog"),
            (strain(0.94, 0.94), Level::Full, ""),
            (strain(1.0, 0.94), Level::Reduced, "waited for, 100 %"),
            (strain(1.0, 0.96), Level::Reduced, "96 % of the machine's"),
            (strain(1.0, 1.0), Level::Minimal, "100 % of the machine's"),
        ] {
            let service = service(signals, AT);
            assert_eq!(service.level, level, "{signals:?}");
            let told = service.why.map(|why| why.to_string()).unwrap_or_default();
            assert!(told.contains(why), "{why}: {told}");
            assert_eq!(told.is_empty(), level == Level::Full, "{told}");
        }
    }

    #[test]
    fn the_lowest_queues_are_shed_first() {
        let shed = |importance| Level::ALL.map(|level| level.sheds(importance));
        assert_eq!(shed(Importance::Low), [false, true, true, true]);
        assert_eq!(shed(Importance::Normal), [false, false, true, true]);
        assert_eq!(shed(Importance::High), [false, false, false, true]);
    }

    proptest! {
        /// More in use never gives more service.
        #[test]
        fn service_falls_as_use_grows(parts in prop::array::uniform5(0.0..2.0), nth in 0..5_usize, more in 0.0..0.5) {
            let of = |[etcd, load, backlog, cpu, memory]: [f64; 5]| {
                let strain = Strain { cpu, memory };
                service(Signals { backlog, strain, ..signals(etcd, load) }, AT).level
            };
            let mut after = parts;
            after[nth] += more;
            prop_assert!(of(after) >= of(parts));
        }
    }
}
