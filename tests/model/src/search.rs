//! Searches, breadth first: the first counterexample found is a shortest one.

use stateright::{Checker, HasDiscoveries, Model as _};

use crate::action::Action;
use crate::checks;
use crate::config::Config;
use crate::model::Model;
use crate::weakening::Weakening;

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Found {
    /// How many states there are, or were seen until a promise was broken.
    pub states: usize,
    /// How many steps the longest shortest way has.
    pub depth: usize,
    /// The promise that was broken, and the steps to it.
    pub broken: Option<(&'static str, Vec<Action>)>,
}

/// Searches a configuration to its end, or until a promise is broken.
pub fn search(config: &Config, without: Option<Weakening>) -> Found {
    let mut found = within(config, without, None);
    // The checker looks at a block of states before it stops, and keeps the last counterexample: look for a shorter one until
    // there is none.
    while let Some((_, steps)) = &found.broken {
        let shorter = within(config, without, Some(steps.len()));
        if shorter.broken.is_none() {
            break;
        }
        found = shorter;
    }
    found
}

/// Searches ways of less than so many steps.
fn within(config: &Config, without: Option<Weakening>, steps: Option<usize>) -> Found {
    let mut builder = Model::new(*config, without)
        .checker()
        .finish_when(HasDiscoveries::Any);
    if let Some(steps) = steps {
        // A way of n steps has n + 1 states; those of the depth given are left out.
        builder = builder.target_max_depth(steps + 1);
    }
    let checker = builder.spawn_bfs().join();
    let rank = |name: &str| checks::ALL.iter().position(|other| *other == name);
    let broken = checker
        .discoveries()
        .into_iter()
        .map(|(name, path)| (name, path.into_actions()))
        .min_by_key(|(name, actions)| (actions.len(), rank(name)));
    Found {
        states: checker.unique_state_count(),
        // The checker counts states, not steps.
        depth: checker.max_depth().saturating_sub(1),
        broken,
    }
}
