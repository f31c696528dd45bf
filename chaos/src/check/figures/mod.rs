//! What a run under limits comes to in numbers: how much was held at most, how two queues shared, how fast a queue with a rate
//! went, how long nobody led; and which of these numbers are not what was promised. Pure, as the checks are, and beside them: a
//! check says that nothing was wrong, a figure how much there was of it.

mod held;
mod led;
mod pace;
mod shares;

pub use held::{Locks, Outside, Semaphore};
pub use led::{Gap, Kill};
pub use pace::Pace;
pub use shares::Shares;

pub use super::schedules::{Lateness, Pace as Occurrences};

use super::Facts;
use crate::history::History;

/// 5 %: how far a share or a rate may be from what was set.
pub const TOLERANCE: f64 = 0.05;
/// 500 starts of the smaller of two queues at least: five in a hundred of less could be chance.
const STARTS_MIN: u64 = 500;
/// 20 s with a leader at least, for the same reason.
const LED_MS_MIN: u64 = 20_000;
/// 2 kills of a leader, and as many of others, at least.
const KILLS_MIN: usize = 2;

/// What was set, and is to be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Two queues and their weights.
    pub shares: [(String, u32); 2],
    /// A queue and how many of its tasks may start in a second.
    pub rated: (String, u32),
}

/// All numbers of one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Each semaphore, by name.
    pub semaphores: Vec<Semaphore>,
    /// All locks together.
    pub locks: Locks,
    /// Holds of those outside.
    pub outside: Outside,
    /// How two queues shared.
    pub shares: Shares,
    /// How fast the queue with a rate went.
    pub pace: Pace,
    /// Processes that were killed, in order.
    pub kills: Vec<Kill>,
    /// Times in which nobody led, after the first leader.
    pub gaps: Vec<Gap>,
}

/// The numbers of a history; none where it does not begin with its setup.
pub fn figures(history: &History, scene: &Scene) -> Option<Figures> {
    let (facts, _) = Facts::of(history, history.setup()?);
    let (semaphores, locks) = held::inside(&facts);
    Some(Figures {
        semaphores,
        locks,
        outside: held::outside(&facts),
        shares: shares::of(&facts, &scene.shares),
        pace: pace::of(&facts, &scene.rated),
        kills: led::kills(&facts),
        gaps: led::gaps(&facts),
    })
}

/// The numbers of a history of schedules.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedules {
    /// What became of due times, and how late.
    pub occurrences: Occurrences,
    /// Processes that were killed, in order.
    pub kills: Vec<Kill>,
    /// Times in which nobody led, after the first leader.
    pub gaps: Vec<Gap>,
}

/// The numbers of a history of schedules; none where it does not begin with its setup.
pub fn schedules(history: &History) -> Option<Schedules> {
    let (facts, _) = Facts::of(history, history.setup()?);
    Some(Schedules {
        occurrences: super::schedules::pace(&facts),
        kills: led::kills(&facts),
        gaps: led::gaps(&facts),
    })
}

impl Figures {
    /// What is not as promised, each in words.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong: Vec<String> = Vec::new();
        for semaphore in &self.semaphores {
            wrong.extend(semaphore.violations());
        }
        wrong.extend(self.locks.violations());
        wrong.extend(self.outside.violations());
        wrong.extend(self.shares.violation());
        wrong.extend(self.pace.violations());
        wrong
    }

    /// What this history does not show, each in words.
    pub fn unproved(&self) -> Vec<String> {
        let mut unproved = Vec::new();
        let mut unless = |shown: bool, what: &str| {
            if !shown {
                unproved.push(what.to_owned());
            }
        };
        let full = self.semaphores.iter().any(|one| one.most >= one.limit);
        unless(full, "no semaphore was ever full");
        unless(self.locks.again > 0, "no lock was held twice");
        unless(self.outside.released > 0, "nobody outside released a hold");
        unless(self.outside.expired > 0, "no hold was left to expire");
        unless(
            self.shares
                .starts
                .iter()
                .all(|starts| *starts >= STARTS_MIN),
            "too few starts while both queues had a backlog",
        );
        unless(
            self.pace.led_ms >= LED_MS_MIN,
            "too little time with a leader and a backlog of the queue with a rate",
        );
        let leaders = self.kills.iter().filter(|kill| kill.led).count();
        let others = self.kills.len() - leaders;
        unless(leaders >= KILLS_MIN, "too few leaders were killed");
        unless(
            others >= KILLS_MIN,
            "too few nodes that do not lead were killed",
        );
        unproved
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and milliseconds of a history are far below 2^52"
)]
fn float(count: u64) -> f64 {
    count as f64
}
