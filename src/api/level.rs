//! How much service a node gives: named levels from how full etcd is and how loaded the node is, and whose submits each level sheds;
//! reads no clock, never touches what was accepted.

use std::fmt;

use tenure_cluster::Room;

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

/// What the level is decided from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// The part of etcd's quota that is in use.
    pub etcd: f64,
    /// Whether etcd has raised its alarm about space.
    pub no_space: bool,
    /// The part of the submits that this node takes at once which is in flight.
    pub load: f64,
}

/// From which part on there is less service: reduced, minimal, emergency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Of etcd's quota.
    pub etcd: [f64; 3],
    /// Of the submits in flight; what is over all of them is refused as `busy`, so there is no emergency of that.
    pub load: [f64; 2],
}

/// What there is not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Room in etcd: so many percent of its quota are in use.
    Etcd(u32),
    /// Room in etcd, by its alarm.
    NoSpace,
    /// The node: so many percent of the submits that it takes at once are in flight.
    Load(u32),
}

/// A level and what made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
        }
    }
}

impl Signals {
    /// From etcd's room and the node's load.
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes of databases are far below 2^52"
    )]
    pub fn of(room: &Room, load: f64) -> Self {
        Self {
            etcd: room.in_use as f64 / room.quota.max(1) as f64,
            no_space: room.no_space,
            load,
        }
    }
}

/// The worst of what its signals say.
pub fn service(signals: Signals, thresholds: Thresholds) -> Service {
    let mut etcd = Level::of(signals.etcd, &thresholds.etcd);
    if signals.no_space {
        etcd = Level::Emergency;
    }
    let level = etcd.max(Level::of(signals.load, &thresholds.load));
    let why = if signals.no_space {
        Cause::NoSpace
    } else if etcd == level {
        Cause::Etcd(percent(signals.etcd))
    } else {
        Cause::Load(percent(signals.load))
    };
    Service {
        level,
        why: (level != Level::Full).then_some(why),
    }
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
            Self::Load(percent) => write!(
                f,
                "{percent} % of the submits that this node takes at once are in flight"
            ),
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
    };

    fn signals(etcd: f64, load: f64) -> Signals {
        Signals {
            etcd,
            no_space: false,
            load,
        }
    }

    #[test]
    fn the_worst_signal_decides_and_is_named() {
        for (etcd, load, level, why) in [
            (0.59, 0.49, Level::Full, ""),
            (0.6, 0.0, Level::Reduced, "60 % of etcd's quota"),
            (0.7, 0.5, Level::Minimal, "70 % of etcd's quota"),
            (0.6, 0.75, Level::Minimal, "75 % of the submits"),
            (0.8, 0.0, Level::Emergency, "80 % of etcd's quota"),
            (0.0, 1.0, Level::Minimal, "100 % of the submits"),
        ] {
            let service = service(signals(etcd, load), AT);
            assert_eq!(service.level, level, "{etcd} {load}");
            let told = service.why.map(|why| why.to_string()).unwrap_or_default();
            assert!(told.contains(why), "{why}: {told}");
        }
        let alarmed = Signals {
            no_space: true,
            ..signals(0.0, 0.0)
        };
        assert_eq!(service(alarmed, AT).level, Level::Emergency);
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
        fn service_falls_as_use_grows(etcd in 0.0..1.2, load in 0.0..1.2, more in 0.0..0.5) {
            let now = service(signals(etcd, load), AT).level;
            prop_assert!(service(signals(etcd + more, load), AT).level >= now);
            prop_assert!(service(signals(etcd, load + more), AT).level >= now);
        }
    }
}
