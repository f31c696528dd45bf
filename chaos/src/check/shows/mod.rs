//! What a kill test shows: for each trial of a history what its fault cost, in milliseconds and counts, and which promise it
//! broke. Pure, as the checks are: a saved history is measured again to the same numbers. An aim is printed and breaks nothing.

mod claims;
mod work;

pub use work::{LONG, POISON};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Facts;
use super::calm::{faults, instants};
use super::effects::fenced;
use super::lives::Reign;
use crate::history::{Entry, FaultKind, History, Show, Trial};

/// 1,000 ms: what a process may take to be seen to have died with its node, on a busy machine.
const DEAD_WITHIN_MS: u64 = 1_000;
/// 2,000 ms: how long what a process had started may go on after it no longer stands still, and learns that its lease is gone.
const STOPPED_WITHIN_MS: u64 = 2_000;
/// 1,000 ms more than a lease, and since etcd has a new leader: that one counts each lease anew (promise P8: TTL + 2 s then).
const ANEW_MS: u64 = 1_000;

/// What one trial shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Which.
    pub trial: Trial,
    /// When its fault began, in milliseconds.
    pub at_ms: u64,
    /// What was measured, by name: milliseconds where the name ends so, else counts.
    pub figures: BTreeMap<String, u64>,
    /// Promises that it broke, in words.
    #[serde(default)]
    pub failures: Vec<String>,
    /// Why it shows nothing, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
}

/// What a show is measured by: the name of the figure, and what it should not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The figure.
    pub figure: &'static str,
    /// The aim; none where there is only a promise, or the figure is to be known.
    pub aim: Option<u64>,
}

impl Show {
    /// What it is measured by.
    pub fn measure(self) -> Measure {
        let (figure, aim) = match self {
            Self::LeaderKill => ("assigned_ms", Some(500)),
            Self::NodeKill => ("elsewhere_ms", Some(200)),
            Self::LeaderTerm | Self::NodeTerm | Self::Rolling => ("leaderless_ms", Some(100)),
            Self::LeaderStop | Self::LeaderCut => ("assigned_ms", None),
            Self::NodeStop | Self::NodeCut => ("elsewhere_ms", None),
            Self::BothLeaders => ("assigned_ms", Some(3_000)),
            Self::LinkCut => ("false_deaths", None),
            Self::StoreDown => ("resumed_ms", None),
            Self::Poison => ("dead_ms", None),
        };
        Measure { figure, aim }
    }
}

/// What all trials of a history show, in order; none where it does not begin with its setup.
pub fn shown(history: &History) -> Option<Vec<Shown>> {
    let (facts, _) = Facts::of(history, history.setup()?);
    let fenced = fenced(history);
    let failures = fenced.failures(&facts);
    let windows = windows(&facts);
    let mut all = Vec::new();
    for window in &windows {
        let mut shown = one(&facts, window, &fenced.refused);
        let own = failures.iter().filter(|(at_ms, _)| window.has(*at_ms));
        shown.failures.extend(own.map(|(_, what)| what.clone()));
        shown.closes(window);
        all.push(shown);
    }
    Some(all)
}

/// A trial's time.
struct Window<'h> {
    trial: &'h Trial,
    /// When it was announced.
    begun_ms: u64,
    /// When its first fault began.
    at_ms: u64,
    /// When its last fault was over.
    healed_ms: u64,
    /// When the next trial began, or all was over.
    to_ms: u64,
    /// Who led when it began.
    reign: Option<&'h Reign>,
}

impl Window<'_> {
    fn has(&self, at_ms: u64) -> bool {
        self.at_ms <= at_ms && at_ms < self.to_ms
    }

    fn target(&self) -> Option<&str> {
        self.trial.target.as_deref()
    }
}

fn windows<'h>(facts: &'h Facts<'h>) -> Vec<Window<'h>> {
    let records = facts.history.records();
    let begins = records.iter().filter_map(|record| {
        if let Entry::Trial(trial) = &record.entry {
            return Some((record.at_ms, trial));
        }
        None
    });
    let begins: Vec<(u64, &Trial)> = begins.collect();
    let mut windows = Vec::new();
    for (nth, (begun_ms, trial)) in begins.iter().enumerate() {
        let to_ms = begins.get(nth + 1).map_or(facts.end_ms + 1, |next| next.0);
        let own = faults(facts.history, facts.end_ms)
            .filter(|(_, from_ms, _)| *begun_ms <= *from_ms && *from_ms < to_ms);
        let own: Vec<(u64, u64)> = own
            .map(|(_, from_ms, until_ms)| (from_ms, until_ms))
            .collect();
        let at_ms = own.first().map_or(*begun_ms, |first| first.0);
        let healed_ms = own.iter().map(|one| one.1).max().unwrap_or(at_ms);
        let leads = |reign: &&Reign| {
            let acted = reign.acted.is_some_and(|acted| acted.1 <= at_ms);
            acted && reign.until.is_none_or(|until| until.1 > at_ms)
        };
        windows.push(Window {
            trial,
            begun_ms: *begun_ms,
            at_ms,
            healed_ms,
            to_ms,
            reign: facts.reigns.iter().find(leads),
        });
    }
    windows
}

fn one(facts: &Facts<'_>, window: &Window<'_>, refused: &[u64]) -> Shown {
    let mut shown = Shown {
        trial: window.trial.clone(),
        at_ms: window.at_ms,
        figures: BTreeMap::new(),
        failures: Vec::new(),
        nothing: None,
    };
    measure(&mut shown, facts, window);
    let refused = refused.iter().filter(|at_ms| window.has(**at_ms));
    shown.figure("stale_acts_refused", count(refused.count()));
    shown
}

fn measure(shown: &mut Shown, facts: &Facts<'_>, window: &Window<'_>) {
    let lease_ms = facts.setup.limits.lease_ms;
    match window.trial.show {
        Show::LeaderKill | Show::LeaderCut | Show::LeaderStop => {
            claims::assigned(shown, facts, window, lease_ms);
            claims::elsewhere(shown, facts, window, None);
            claims::leftovers(shown, facts, window);
        }
        Show::NodeKill | Show::NodeCut | Show::NodeStop => {
            claims::elsewhere(shown, facts, window, Some(lease_ms));
            claims::leftovers(shown, facts, window);
        }
        Show::BothLeaders => {
            let elected = instants(facts.history).find(|one| window.has(one.0));
            let elected_ms = elected.map_or(0, |one| one.0 - window.at_ms);
            shown.figure("etcd_elected_ms", elected_ms);
            claims::assigned(shown, facts, window, elected_ms + lease_ms + ANEW_MS);
        }
        Show::LeaderTerm | Show::NodeTerm => {
            claims::leaderless(shown, facts, window);
            work::left_in_order(shown, facts, window);
        }
        Show::Rolling => {
            claims::leaderless(shown, facts, window);
            work::left_in_order(shown, facts, window);
            work::nothing_failed(shown, facts, window);
        }
        Show::LinkCut => work::false_deaths(shown, facts, window),
        Show::StoreDown => work::outlived(shown, facts, window),
        Show::Poison => work::poisoned(shown, facts, window),
    }
}

impl Shown {
    fn figure(&mut self, name: &str, value: u64) {
        self.figures.insert(name.to_owned(), value);
    }

    fn fails(&mut self, what: String) {
        self.failures.push(what);
    }

    /// Where no promise was broken, its measure says something, or it shows nothing.
    fn closes(&mut self, window: &Window<'_>) {
        let measure = window.trial.show.measure().figure;
        if self.failures.is_empty() && !self.figures.contains_key(measure) {
            self.nothing
                .get_or_insert_with(|| format!("{measure} could not be measured"));
        }
    }
}

/// Whether the trial's fault ends a process.
fn kills(show: Show) -> bool {
    matches!(
        show,
        Show::LeaderKill | Show::NodeKill | Show::BothLeaders | Show::Poison
    )
}

/// Which nodes were told to end, or were killed, in this time.
fn ended<'h>(facts: &'h Facts<'h>, window: &Window<'_>, kinds: &[FaultKind]) -> Vec<&'h str> {
    let own = faults(facts.history, facts.end_ms)
        .filter(|(fault, from_ms, _)| window.has(*from_ms) && kinds.contains(&fault.kind));
    own.filter_map(|(fault, ..)| fault.target.as_deref())
        .collect()
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
